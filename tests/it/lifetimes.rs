//! How long keys and secrets live: durations, `max-lifetime` and grace, with a clock that runs, stands still or goes
//! back.

use std::fs;

use jiff::{SignedDuration, Span, Timestamp, ToSpan as _};
use keyward_core::rules::time::Duration;
use serde_json::{Value, json};

use crate::harness::{Output, Sandbox, words};
use crate::manifest::apply;
use crate::pty::Screen;

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap_or_else(|| panic!("no time: {value}")).parse().unwrap()
}

fn show(sandbox: &Sandbox, key: &str) -> Value {
    let output = sandbox.run(&format!("show {key} --json"));
    assert_eq!(output.code, 0, "{output}");
    output.json()
}

/// The time `duration` after this field of the key.
fn after(key: &Value, field: &str, duration: &str) -> Value {
    let end = duration.parse::<Duration>().unwrap().after(time(&key[field])).unwrap();
    json!(keyward_core::rules::time::rfc3339(end).to_string())
}

fn run_words(sandbox: &Sandbox, line: &str, rest: &[&str]) -> Output {
    let mut args = words(line);
    args.extend(rest.iter().map(|word| (*word).to_owned()));
    sandbox.run_args(&args, b"")
}

fn ok(sandbox: &Sandbox, line: &str) -> Output {
    let output = sandbox.run(line);
    assert_eq!(output.code, 0, "{line}: {output}");
    output
}

fn refused(output: &Output, code: &str) -> String {
    assert_eq!((output.code, output.error()["code"].as_str()), (1, Some(code)), "{output}");
    format!("{} {}", output.error()["message"].as_str().unwrap(), output.error()["hint"].as_str().unwrap_or_default())
}

/// Each reading of the clock differs, whatever a command does in between.
#[test]
fn a_duration_counts_from_the_moment_that_is_stamped() {
    for tick in [1, 61, 86_400, -5] {
        let sandbox = Sandbox::new();
        sandbox.tick(tick);
        let taken = sandbox.path("taken").display().to_string();
        let sink = format!("cat > {taken}");
        for (name, line) in [
            ("line", "create line --expires 90d"),
            ("document", "create document --expires 90d --json"),
            ("ensured", "create ensured --expires 90d --ensure"),
        ] {
            ok(&sandbox, line);
            assert_eq!(run_words(&sandbox, line, &[]).code, u8::from(name != "ensured"));
        }
        for (name, line) in [
            ("command", "create command --expires 90d --secret-to"),
            ("copy", "duplicate line copy --expires 90d --secret-to"),
            ("ensured-command", "create ensured-command --ensure --expires 90d --secret-to"),
        ] {
            assert_eq!(run_words(&sandbox, line, &[&sink]).code, 0, "{name}");
        }
        let key = |n| format!("[[key]]\nname = 'm{n}'\nexpires_at = '90d'\ndeliver = {{ secret_to = '{sink}' }}\n");
        let manifest = [key(0), key(1), key(2)].concat();
        assert_eq!(apply(&sandbox, "", &manifest).code, 0);
        let names = ["line", "document", "ensured", "command", "copy", "ensured-command", "m0", "m1", "m2"];
        for name in names {
            let key = show(&sandbox, name);
            assert_eq!(key["expires_at"], after(&key, "created_at", "90d"), "{name}, {tick}: {key:#}");
        }
        // What is printed is what is stored.
        let printed = ok(&sandbox, "create printed --json --expires 90d").json()["key"].clone();
        assert_eq!(printed, show(&sandbox, "printed"));
        let again = apply(&sandbox, "--json", &manifest);
        assert_eq!(again.json()["outcome"], "unchanged", "{tick}: {again}");
        // The same goes for edits.
        ok(&sandbox, "edit line --expires 30d");
        let key = show(&sandbox, "line");
        assert_eq!(key["expires_at"], after(&key, "updated_at", "30d"), "{tick}");
    }
}

#[test]
fn what_an_application_says_of_new_keys_is_what_they_are() {
    let sandbox = Sandbox::new();
    sandbox.tick(60);
    let text = "[[key]]\nname = 'a'\nexpires_at = '90d'\ndeliver = { secret_to = 'cat > /dev/null' }\n";
    let said = apply(&sandbox, "--json", text).json();
    let fields = said["changes"][0]["fields"].as_array().unwrap();
    let end = fields.iter().find(|field| field["field"] == "expires_at").unwrap();
    assert_eq!(end["new"], show(&sandbox, "a")["expires_at"]);
}

/// The same command again, after changes to the key that give it no other expiry.
#[test]
fn the_same_duration_again_changes_nothing() {
    let line = "create a --ensure --json --expires 90d";
    let text = "[[key]]\nname = 'a'\nexpires_at = '90d'\n";
    let clocks: [Span; 5] = [0.days(), (-1).second(), 91.days(), 400.days(), (-2).years()];
    for clock in clocks {
        for between in [
            "show a",
            "rotate a",
            "rotate a --grace 1h",
            "disable a",
            "edit a --name b",
            // The same duration again by hand, counted from then.
            "edit a --expires 90d",
        ] {
            let sandbox = Sandbox::new();
            sandbox.tick(3);
            ok(&sandbox, line);
            sandbox.pass(10.days());
            ok(&sandbox, between);
            // Later changes to other settings leave it as it is.
            sandbox.pass(1.hour());
            let name = if between.ends_with("--name b") { "b" } else { "a" };
            ok(&sandbox, &format!("edit {name} --label x=y"));
            ok(&sandbox, &format!("enable {name}"));
            if name == "b" {
                ok(&sandbox, "edit b --name a");
            }
            ok(&sandbox, "edit a --clear label");
            sandbox.pass(clock);
            let before = show(&sandbox, "a");
            for _ in 0..2 {
                let again = sandbox.run(line);
                assert_eq!((again.code, &again.json()["outcome"]), (0, &json!("unchanged")), "{clock} {between}");
                let again = apply(&sandbox, "--json", text);
                assert_eq!((again.code, &again.json()["outcome"]), (0, &json!("unchanged")), "{clock} {between}");
            }
            assert_eq!(show(&sandbox, "a")["expires_at"], before["expires_at"]);
        }
    }
}

/// Another duration counts from the key's creation. If it is already over, the refusal says what it counts from.
#[test]
fn another_duration_counts_from_when_the_key_was_made() {
    let sandbox = Sandbox::new();
    ok(&sandbox, "create a --expires 2030-01-01");
    sandbox.pass(10.days());
    ok(&sandbox, "rotate a");
    let text = |duration: &str| format!("[[key]]\nname = 'a'\nexpires_at = '{duration}'\n");
    assert_eq!(apply(&sandbox, "", &text("90d")).code, 0);
    assert_eq!(show(&sandbox, "a")["expires_at"], "2026-05-01T12:00:00Z");
    ok(&sandbox, "create a --ensure --expires 60d");
    assert_eq!(show(&sandbox, "a")["expires_at"], "2026-04-01T12:00:00Z");
    sandbox.pass(30.days());
    let says = refused(&apply(&sandbox, "--json", &text("30d")), "invalid_value");
    assert!(says.contains("in the past") && says.contains("2026-01-31T12:00:00Z"), "{says}");
    let says = refused(&sandbox.run("create a --ensure --json --expires 30d"), "invalid_value");
    assert!(says.contains("in the past"), "{says}");
}

/// A key keeps its expiry if nothing is said about it, and `export` shows it.
#[test]
fn an_end_that_nobody_names_stays() {
    let sandbox = Sandbox::new();
    ok(&sandbox, "create a --expires 90d");
    ok(&sandbox, "create b");
    let before = show(&sandbox, "a");
    assert_eq!(apply(&sandbox, "", "[[key]]\nname = 'a'\n[[key]]\nname = 'b'\n").code, 0);
    assert_eq!(show(&sandbox, "a"), before);
    assert!(ok(&sandbox, "export").stdout.contains("name = \"b\"\nexpires_at = \"never\"\n"));
    let exported = ok(&sandbox, "export --json").json();
    assert_eq!(exported["key"][1]["expires_at"], "never");
    assert_eq!(apply(&sandbox, "", "[[key]]\nname = 'a'\nexpires_at = 'never'\n").code, 0);
    assert_eq!(show(&sandbox, "a")["expires_at"], Value::Null);
}

#[test]
fn what_was_decided_is_echoed() {
    let sandbox = Sandbox::new();
    for (line, says, warns) in [
        ("create a --expires 90d", "it expires in 90 days (2026-05-01)", false),
        ("create b --expires 2d", "it expires in 2 days (2026-02-02)", false),
        ("create c --expires 5h", "it expires in 5 hours (2026-01-31T17:00:00Z)", false),
        ("create d --expires 59m", "it expires in 59 minutes (2026-01-31T12:59:00Z)", true),
        ("duplicate d e", "it expires in 59 minutes", true),
        ("edit a --expires 30m", "it expires in 30 minutes", true),
        ("create f --ensure --expires 10s", "it expires in 10 seconds", true),
    ] {
        let said = ok(&sandbox, line).stderr;
        assert!(said.contains(says) && said.contains("warning: ") == warns, "{line}: {said}");
    }
    assert!(ok(&sandbox, "create g").stderr.ends_with("it never expires\n"));
    assert_eq!(ok(&sandbox, "create h --json --expires 59m").json()["warnings"], json!(["expires_soon"]));
    assert_eq!(ok(&sandbox, "create i --json --expires 1h").json()["warnings"], json!([]));
}

#[test]
fn no_secret_outlives_max_lifetime() {
    let sandbox = Sandbox::new();
    ok(&sandbox, "create old");
    ok(&sandbox, "create late --expires 300d");
    ok(&sandbox, "settings set max-lifetime 60d");
    // Keys created before the setting keep their expiry.
    assert_eq!(show(&sandbox, "old")["expires_at"], Value::Null);
    ok(&sandbox, "edit late --description x");
    let created = json!("2026-04-01T12:00:00Z");
    for line in ["create a", "create b --expires 60d", "create c --ensure", "duplicate old d", "duplicate late e"] {
        let made = ok(&sandbox, line);
        let name = words(line).into_iter().nth(if line.starts_with("dup") { 2 } else { 1 }).unwrap();
        assert_eq!(show(&sandbox, &name)["expires_at"], created, "{line}");
        assert!(made.stderr.contains("it expires in 60 days (2026-04-01)"), "{line}: {made}");
        let cut = made.stderr.contains("warning: max-lifetime is 60d");
        assert_eq!(cut, line.starts_with("dup"), "{line}: {made}");
    }
    let copy = ok(&sandbox, "duplicate old f --json").json();
    assert_eq!((&copy["warnings"], &copy["key"]["expires_at"]), (&json!(["expiry_cut"]), &created));
    assert_eq!(ok(&sandbox, "create g --json").json()["warnings"], json!([]));
    let text = "[[key]]\nname = 'h'\n[[key]]\nname = 'i'\nexpires_at = '60d'\n";
    let folder = sandbox.path("s").display().to_string();
    assert_eq!(apply(&sandbox, &format!("--secrets-dir {folder}"), text).code, 0);
    assert_eq!(apply(&sandbox, "--json", text).json()["outcome"], "unchanged");
    for name in ["h", "i"] {
        assert_eq!(show(&sandbox, name)["expires_at"], created, "{name}");
    }
    // More than that is refused, however it is given.
    let before = sandbox.files();
    for value in ["61d", "never", "2026-04-02", "2026-04-01T12:00:01Z"] {
        for output in [
            sandbox.run(&format!("create x --json --expires {value}")),
            sandbox.run(&format!("create x --ensure --json --expires {value}")),
            sandbox.run(&format!("create a --ensure --json --expires {value}")),
            sandbox.run(&format!("duplicate a x --json --expires {value}")),
            sandbox.run(&format!("edit a --json --expires {value}")),
            apply(&sandbox, "--json", &format!("[[key]]\nname = 'x'\nexpires_at = '{value}'\n")),
            apply(&sandbox, "--json", &format!("[[key]]\nname = 'a'\nexpires_at = '{value}'\n")),
            apply(&sandbox, "--json --dry-run", &format!("[[key]]\nname = 'a'\nexpires_at = '{value}'\n")),
        ] {
            let says = refused(&output, "invalid_value");
            assert!(says.contains("60d") && says.contains("2026-04-01T12:00:00Z"), "{value}: {says}");
        }
    }
    assert!(refused(&sandbox.run("edit a --json --clear expires"), "invalid_value").contains("60d"));
    assert!(sandbox.files() == before);
}

#[test]
fn a_new_key_ends_as_the_default_says_and_others_stay() {
    let sandbox = Sandbox::new();
    ok(&sandbox, "create old");
    ok(&sandbox, "settings set default-lifetime 30d");
    let (end, folder) = (json!("2026-03-02T12:00:00Z"), sandbox.path("s").display().to_string());
    for line in ["create a", "create b --ensure"] {
        let made = ok(&sandbox, line);
        assert!(made.stderr.contains("it expires in 30 days (2026-03-02)"), "{line}: {made}");
    }
    let manifest = "[[key]]\nname = 'c'\n[[key]]\nname = 'old'\n[[key]]\nname = 'd'\nexpires_at = 'never'\n";
    assert_eq!(apply(&sandbox, &format!("--secrets-dir {folder}"), manifest).code, 0);
    for name in ["a", "b", "c"] {
        assert_eq!(show(&sandbox, name)["expires_at"], end, "{name}");
    }
    // An explicit expiry wins, and existing keys keep theirs.
    ok(&sandbox, "create e --expires never");
    ok(&sandbox, "create f --expires 60d");
    ok(&sandbox, "duplicate old g");
    ok(&sandbox, "create old --ensure");
    ok(&sandbox, "rotate old");
    for name in ["old", "d", "e", "g"] {
        assert_eq!(show(&sandbox, name)["expires_at"], Value::Null, "{name}");
    }
    assert_eq!(show(&sandbox, "f")["expires_at"], json!("2026-04-01T12:00:00Z"));
    sandbox.pass(1.day());
    assert_eq!(apply(&sandbox, "--json", manifest).json()["outcome"], "unchanged");
    assert_eq!(ok(&sandbox, "create a --ensure --json").json()["outcome"], "unchanged");
    assert_eq!(apply(&sandbox, "--json", &ok(&sandbox, "export").stdout).json()["outcome"], "unchanged");

    // The default cannot exceed the maximum, whichever is set last.
    ok(&sandbox, "settings set max-lifetime 60d");
    let says = refused(&sandbox.run("settings set default-lifetime 61d --json"), "invalid_value");
    assert!(says.contains("61d") && says.contains("60d"), "{says}");
    let says = refused(&sandbox.run("settings set max-lifetime 29d --json"), "invalid_value");
    assert!(says.contains("default-lifetime"), "{says}");
    ok(&sandbox, "settings set default-lifetime never");
    ok(&sandbox, "create h");
    assert_eq!(show(&sandbox, "h")["expires_at"], json!("2026-04-02T12:00:00Z"));
    refused(&sandbox.run("create i --expires never --json"), "invalid_value");
}

/// Repeated edits cannot take a secret past its maximum lifetime.
#[test]
fn edit_does_not_stretch_the_life_of_a_secret() {
    let sandbox = Sandbox::new();
    ok(&sandbox, "settings set max-lifetime 60d");
    let first = sandbox.mint("a --expires 30d");
    let mut refusals = 0;
    for _ in 0..10 {
        sandbox.pass(7.days());
        let output = sandbox.run("edit a --json --expires 30d");
        if output.code != 0 {
            let says = refused(&output, "invalid_value");
            assert!(says.contains("2026-04-01T12:00:00Z") && says.contains("keyward rotate a"), "{says}");
            refusals += 1;
        }
        assert!(time(&show(&sandbox, "a")["expires_at"]) <= time(&json!("2026-04-01T12:00:00Z")));
    }
    assert!(refusals > 0);
    assert_eq!(sandbox.reason("", &first), "key_expired");
    // The limit itself can be reached; only a new secret brings an expired key back.
    let says = refused(&sandbox.run("edit a --json --expires 1d"), "invalid_value");
    assert!(says.contains("keyward rotate a"), "{says}");
    ok(&sandbox, "rotate a");
    ok(&sandbox, "edit a --expires 60d");
    assert_eq!(show(&sandbox, "a")["expires_at"], "2026-06-10T12:00:00Z");
}

#[test]
fn rotate_keeps_the_end_and_sets_one_where_there_was_none() {
    let sandbox = Sandbox::new();
    for line in ["create eternal", "create far --expires 300d", "create near --expires 30d"] {
        ok(&sandbox, line);
    }
    ok(&sandbox, "settings set max-lifetime 60d");
    sandbox.pass(1.day());
    let cut = "2026-04-02T12:00:00Z";
    for (name, end, warnings) in [
        ("eternal", cut, json!(["expiry_cut"])),
        ("far", cut, json!(["expiry_cut"])),
        ("near", "2026-03-02T12:00:00Z", json!([])),
    ] {
        let rotated = ok(&sandbox, &format!("rotate {name} --json")).json();
        assert_eq!((&rotated["key"]["expires_at"], &rotated["warnings"]), (&json!(end), &warnings), "{name}");
        assert_eq!(show(&sandbox, name), rotated["key"], "{name}");
    }
    ok(&sandbox, "settings set max-lifetime 30d");
    let said = ok(&sandbox, "rotate far").stderr;
    assert!(said.contains("warning: max-lifetime is 30d, so far expires at 2026-03-03T12:00:00Z"), "{said}");
    let rows = ok(&sandbox, "history far --json").json();
    let last = rows.as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["detail"]["settings"]["expires_at"], json!({"old": cut, "new": "2026-03-03T12:00:00Z"}));
    ok(&sandbox, "history --check");
    // Without a maximum, nothing is cut.
    ok(&sandbox, "settings set max-lifetime unlimited");
    ok(&sandbox, "edit eternal --expires never");
    assert_eq!(ok(&sandbox, "rotate eternal --json").json()["key"]["expires_at"], Value::Null);
    // A rotation made by `--ensure` counts too.
    ok(&sandbox, "settings set max-lifetime 30d");
    let file = sandbox.path("secret").display().to_string();
    let line = format!("create eternal --ensure --rotate-if-missing --secret-file {file} --json");
    let ensured = ok(&sandbox, &line).json();
    assert_eq!(ensured["key"]["expires_at"], "2026-03-03T12:00:00Z");
    assert_eq!(ensured["warnings"], json!(["expiry_cut"]));
    let again = ok(&sandbox, &line).json();
    assert_eq!((&again["outcome"], &again["warnings"]), (&json!("unchanged"), &json!([])));
}

#[test]
fn the_old_name_of_max_lifetime_is_refused_with_the_new_one() {
    let sandbox = Sandbox::new();
    let output = sandbox.run("settings set longest-life 365d --json");
    assert_eq!((output.code, output.error()["code"].as_str()), (2, Some("usage")), "{output}");
    assert!(output.error()["hint"].as_str().unwrap().contains("keyward settings set max-lifetime 365d"), "{output}");
    assert_eq!(ok(&sandbox, "settings list --json").json()["max_lifetime"], Value::Null);
    assert!(!ok(&sandbox, "settings set --help").stdout.contains("longest-life"));
}

#[test]
fn doctor_advises_nothing_that_the_store_refuses() {
    let sandbox = Sandbox::new();
    ok(&sandbox, "create eternal");
    ok(&sandbox, "create soon --expires 10d");
    let remedies = || {
        let found = ok(&sandbox, "doctor --json").json();
        let of = |check: &str| {
            let found = found.as_array().unwrap().iter().find(|finding| finding["check"] == check).unwrap();
            found["remedy"].as_str().unwrap().to_owned()
        };
        (of("never_expires"), of("expires_soon"))
    };
    let (never, soon) = remedies();
    assert!(
        never.contains("--expires 90d") && never.contains("default-lifetime 90d") && soon.contains("90d"),
        "{never}"
    );
    for max in ["30d", "90d", "2y"] {
        ok(&sandbox, &format!("settings set max-lifetime {max}"));
        let (never, soon) = remedies();
        for advice in [&never, &soon] {
            assert!(advice.contains(max) && advice.contains("keyward rotate KEY"), "{advice}");
            assert!(!advice.contains("365d"), "{advice}");
            assert!(max == "90d" || !advice.contains("90d"), "{advice}");
        }
    }
}

/// A secret replaced without grace stays retired, whatever the clock says and whatever happens to the key.
#[test]
fn no_grace_means_retired_at_any_time() {
    for first in ["rotate a", "rotate a --grace 0s", "rotate a --grace 30d"] {
        for last in ["rotate a", "create a --ensure --rotate-if-missing --force --secret-file"] {
            let sandbox = Sandbox::new();
            sandbox.pass(30.days());
            let one = sandbox.mint("a");
            sandbox.pass(1.hour());
            let two = ok(&sandbox, first).stdout.trim().to_owned();
            sandbox.pass(2.hours());
            let place = sandbox.path("secret").display().to_string();
            let line = if last.ends_with("file") { format!("{last} {place}") } else { last.to_owned() };
            ok(&sandbox, &line);
            let noon = sandbox.now();
            for back in [0.seconds(), (-1).second(), (-90).minutes(), (-1).day(), (-29).days(), (-40).years(), 1.day()]
            {
                sandbox.set_clock(noon);
                sandbox.pass(back);
                for secret in [&one, &two] {
                    assert_eq!(sandbox.reason("--no-record", secret), "secret_retired", "{first}, {last}, {back}");
                    for at in ["2026-01-01", "1970-01-01", "2026-03-02T12:30:00Z"] {
                        let reason = sandbox.reason(&format!("--at {at}"), secret);
                        assert_eq!(reason, "secret_retired", "{first}, {last}, {back}, {at}");
                    }
                }
                let states: Vec<_> =
                    show(&sandbox, "a")["secrets"].as_array().unwrap().iter().map(|s| s["state"].clone()).collect();
                assert_eq!(states, ["current", "retired", "retired"]);
                let card = ok(&sandbox, "show a").stdout;
                assert_eq!((card.matches("(retired").count(), card.matches("works until").count()), (2, 0), "{card}");
                // No command takes it for a working one.
                fs::write(sandbox.path("old"), &one).unwrap();
                let line = format!("create a --ensure --json --secret-file {}", sandbox.path("old").display());
                refused(&sandbox.run(&line), "conflict");
            }
        }
    }
}

/// Once a rotation has seen a grace end, turning the clock back does not revive it either.
#[test]
fn a_grace_that_has_ended_does_not_begin_again() {
    let sandbox = Sandbox::new();
    let one = sandbox.mint("a");
    let two = ok(&sandbox, "rotate a --grace 1h").stdout.trim().to_owned();
    sandbox.pass(2.hours());
    ok(&sandbox, "rotate a --grace 1d");
    sandbox.pass((-90).minutes());
    assert_eq!(sandbox.reason("", &one), "secret_retired");
    assert_eq!(sandbox.reason("", &two), "allowed");
}

#[test]
fn a_grace_ends_with_its_key_and_that_is_said() {
    let sandbox = Sandbox::new();
    let end = "2026-03-02T12:00:00Z";
    for (n, (create, grace, ends, cut)) in [
        ("--expires 30d", "90d", end, true),
        ("--expires 30d", "30d", end, false),
        ("--expires 30d", "1d", "2026-02-01T12:00:00Z", false),
        ("", "90d", "2026-05-01T12:00:00Z", false),
    ]
    .into_iter()
    .enumerate()
    {
        ok(&sandbox, &format!("create a{n} {create}"));
        let rotated = ok(&sandbox, &format!("rotate a{n} --grace {grace} --json")).json();
        let warnings = if cut { json!(["grace_cut"]) } else { json!([]) };
        assert_eq!(rotated["warnings"], warnings, "{create} {grace}");
        assert_eq!(rotated["key"]["secrets"][1]["expires_at"], ends, "{create} {grace}");
        ok(&sandbox, &format!("create b{n} {create}"));
        let said = ok(&sandbox, &format!("rotate b{n} --grace {grace}")).stderr;
        assert!(said.contains(&format!("the old secret works until {ends}")), "{said}");
        assert_eq!(said.contains(&format!("warning: b{n} expires then, so the grace is shorter than {grace}")), cut);
    }
    // Also if max-lifetime has just cut the expiry, and if another sink takes the secret.
    ok(&sandbox, "create c --expires 300d");
    ok(&sandbox, "settings set max-lifetime 60d");
    let line = "rotate c --grace 90d --json --secret-to";
    let rotated = run_words(&sandbox, line, &["cat > /dev/null"]).json();
    assert_eq!(rotated["warnings"], json!(["expiry_cut", "grace_cut"]));
    let key = &rotated["key"];
    assert_eq!(key["secrets"][1]["expires_at"], key["expires_at"]);
    // An expired key gets no grace, even if its expiry is extended later.
    let old = sandbox.mint("d --expires 1d");
    sandbox.pass(2.days());
    let said = ok(&sandbox, "rotate d --grace 7d").stderr;
    assert!(said.contains("the old secret no longer works"), "{said}");
    assert!(
        said.contains("d has expired, so there is no grace") && said.contains("keyward edit d --expires"),
        "{said}"
    );
    ok(&sandbox, "edit d --expires 7d");
    assert_eq!(sandbox.reason("", &old), "secret_retired");
}

/// A clock that goes back neither backdates a use nor extends a secret's life.
#[test]
fn a_clock_that_steps_back_moves_nothing_else() {
    let sandbox = Sandbox::new();
    ok(&sandbox, "settings set max-lifetime 60d");
    let secret = sandbox.mint("a");
    assert_eq!(sandbox.reason("", &secret), "allowed");
    let used = show(&sandbox, "a")["last_used_at"].clone();
    sandbox.set_clock(sandbox.now() - SignedDuration::from_hours(24));
    assert_eq!(sandbox.reason("", &secret), "allowed");
    let key = show(&sandbox, "a");
    assert_eq!((&key["last_used_at"], &key["use_count"]), (&used, &json!(2)));
    // Counted from its minting, now in the future.
    ok(&sandbox, "edit a --expires 2026-03-01");
    ok(&sandbox, "edit a --expires 2026-04-01T12:00:00Z");
    refused(&sandbox.run("edit a --json --expires 2026-04-01T12:00:01Z"), "invalid_value");
    let events = ok(&sandbox, "history a --json").json();
    let seqs: Vec<_> = events.as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert!(seqs.is_sorted() && seqs.len() >= 2);
    for line in ["list", "show a", "history", "doctor", "history --check"] {
        ok(&sandbox, line);
    }
}

/// If a person takes a while to answer, what they agreed to counts from the recorded moment.
#[test]
fn a_person_may_take_their_time() {
    let sandbox = Sandbox::new();
    let wait = || std::thread::sleep(std::time::Duration::from_millis(1_300));
    let mut screen = Screen::start(&sandbox.store(), "create a --expires 90d", 100);
    screen.wait_for("I have stored it");
    wait();
    screen.press("\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    let key = show(&sandbox, "a");
    assert_eq!(key["expires_at"], after(&key, "created_at", "90d"));
    let editor = r#"sed -i -e 's/^expires_at = .*/expires_at = "30d"/'"#;
    let variables = [("TERM", "xterm-256color"), ("EDITOR", editor), ("PATH", "/usr/bin:/bin")];
    let mut screen = Screen::start_with(&sandbox.store(), "edit a", 100, &variables);
    screen.wait_for("Make these changes?");
    wait();
    screen.press("y");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    let key = show(&sandbox, "a");
    assert_eq!(key["expires_at"], after(&key, "updated_at", "30d"));
    // A plan to confirm, and a command that receives a new key's secret.
    let text = "[[key]]\nname = 'b'\nexpires_at = '90d'\ndeliver = { secret_to = 'cat > /dev/null; sleep 1.3' }\n";
    fs::write(sandbox.path("m.toml"), text).unwrap();
    let line = format!("apply {} --prune", sandbox.path("m.toml").display());
    let mut screen = Screen::start(&sandbox.store(), &line, 100);
    screen.wait_for("permanently?");
    wait();
    screen.press("y");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    let key = show(&sandbox, "b");
    assert_eq!(key["expires_at"], after(&key, "created_at", "90d"));
    assert_eq!(ok(&sandbox, &format!("{line} --json")).json()["outcome"], "unchanged");
}
