//! `create --ensure`: the same command again, whatever happened to the previous run.

use std::fs;

use expect_test::expect;
use jiff::ToSpan as _;
use keyward_core::rules::hashing::{Cost, HashedSecret};
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::{NewSecret, Staging, Stamp, Store};
use serde_json::Value;

use crate::harness::{Sandbox, words};

/// What the place holds | with the key: - force rotate both | without it: - force
///
/// `u` unchanged, `r` rotated, `+` created, `=` refused (conflict), `x` refused (not_delivered), `.` no such flags.
const TABLE: &str = "
file good     | u u u u | + +
file missing  | = = r r | + +
file empty    | = = r r | + +
file text     | = = x r | x +
file binary   | = = x r | x +
file damaged  | = = x r | x +
file another  | = = r r | x +
file former   | = = r r | + +
file deleted  | = = r r | + +
file stray    | = = r r | x +
env  good     | u . u . | + .
env  missing  | = . r . | + .
env  empty    | = . r . | + .
env  text     | = . r . | + .
env  damaged  | = . r . | + .
env  another  | = . r . | + .
env  former   | = . r . | + .
env  deleted  | = . r . | + .
env  stray    | = . r . | + .
";

/// A secret unknown to the store, as left by a crash between delivery and commit.
fn stray() -> Secret {
    Secret::build(&"kw".parse().unwrap(), Id::from_random([9; 8]), &[7; 32])
}

/// A store with the key `deploy` (or after its deletion), and a place that holds what the row says.
fn prepared(place: &str, holds: &str, with_key: bool) -> Sandbox {
    let sandbox = Sandbox::new();
    let another = sandbox.mint("another");
    let deleted = sandbox.mint("deleted");
    let former = sandbox.mint("deploy --scope rest");
    sandbox.pass(1.hour());
    let good = sandbox.run("rotate deploy").stdout.trim_end().to_owned();
    sandbox.run("delete deleted --yes");
    if !with_key {
        sandbox.run("delete deploy --yes");
    }
    let text = match holds {
        "good" => good,
        "empty" => String::new(),
        "blank" => " \n\n".to_owned(),
        "text" => "the password of something else".to_owned(),
        "damaged" => good[..good.len() - 1].to_owned() + if good.ends_with('0') { "1" } else { "0" },
        "another" => another,
        "former" => former,
        "deleted" => deleted,
        _ => stray().expose().to_owned(),
    };
    match (place, holds) {
        ("file", "missing") => {}
        ("file", "binary") => fs::write(sandbox.path("secret"), [0xff, 0xfe, 0]).unwrap(),
        ("file", _) => fs::write(sandbox.path("secret"), text).unwrap(),
        (_, "missing") => fs::write(sandbox.path(".env"), "A=1\n").unwrap(),
        _ => fs::write(sandbox.path(".env"), format!("A=1\nexport API_KEY='{text}' # ours\n")).unwrap(),
    }
    sandbox
}

fn command(sandbox: &Sandbox, place: &str, flags: &str) -> String {
    let place = match place {
        "file" => format!("--secret-file {}", sandbox.path("secret").display()),
        _ => format!("--env-file {} --env-name API_KEY", sandbox.path(".env").display()),
    };
    format!("create deploy --ensure --json {place} {flags}")
}

/// The secret that the place holds.
fn delivered(sandbox: &Sandbox, place: &str) -> String {
    if place == "file" {
        return fs::read_to_string(sandbox.path("secret")).unwrap().trim_end().to_owned();
    }
    let text = fs::read_to_string(sandbox.path(".env")).unwrap();
    assert!(text.starts_with("A=1\n"), "the other variables stay");
    let line = text.lines().find(|line| line.contains("API_KEY=")).unwrap();
    line.split_once('=').unwrap().1.trim_end_matches(" # ours").trim_matches('\'').to_owned()
}

/// How many secrets the key has, and the current ones.
fn secrets(sandbox: &Sandbox) -> (usize, Vec<Value>) {
    let shown = sandbox.run("show deploy --json");
    if shown.code != 0 {
        return (0, vec![]);
    }
    let secrets = shown.json()["secrets"].as_array().unwrap().clone();
    (secrets.len(), secrets.into_iter().filter(|secret| secret["state"] == "current").collect())
}

#[test]
fn whatever_the_place_holds_there_is_a_working_secret_in_it_or_nothing_was_changed() {
    TABLE.lines().filter(|row| !row.is_empty()).for_each(check);
}

#[test]
fn a_blank_file_is_as_good_as_an_empty_one() {
    check("file blank    | = = r r | + +");
}

fn check(row: &str) {
    let cells: Vec<&str> = row.split_whitespace().filter(|cell| *cell != "|").collect();
    let flags = ["", "--force", "--rotate-if-missing", "--rotate-if-missing --force", "", "--force"];
    for (column, (answer, flags)) in cells[2..].iter().zip(flags).enumerate().filter(|(_, (a, _))| **a != ".") {
        let sandbox = prepared(cells[0], cells[1], column < 4);
        let (line, before) = (command(&sandbox, cells[0], flags), sandbox.files());
        let (count, _) = secrets(&sandbox);
        let output = sandbox.run(&line);
        let what = format!("{row}: {line}: {output}");
        let (outcome, minted) = match *answer {
            "u" => ("unchanged", 0),
            "r" => ("rotated", 1),
            "+" => ("created", 1),
            refused => {
                let (code, name) = if refused == "=" { (1, "conflict") } else { (7, "not_delivered") };
                assert_eq!((output.code, output.error()["code"].as_str()), (code, Some(name)), "{what}");
                assert!(!output.error()["hint"].is_null(), "{what}");
                assert_eq!(output.stdout, "", "{what}");
                assert!(sandbox.files() == before, "{what}");
                continue;
            }
        };
        assert_eq!(output.code, 0, "{what}");
        let document = output.json();
        assert_eq!((&document["outcome"], &document["secret"]), (&outcome.into(), &Value::Null), "{what}");
        let (now, current) = secrets(&sandbox);
        assert_eq!((now, current.len()), (count + minted, 1), "{what}");
        let secret = delivered(&sandbox, cells[0]);
        assert!(secret.contains(current[0]["id"].as_str().unwrap()), "{what}");
        assert_eq!(sandbox.reason("--no-record", &secret), "allowed", "{what}");
        assert!(minted == 1 || sandbox.files() == before, "{what}");
        // Run twice more: nothing is left to do.
        let done = sandbox.files();
        for _ in 0..2 {
            let again = sandbox.run(&line);
            assert_eq!((again.code, again.json()["outcome"].as_str()), (0, Some("unchanged")), "{what}{again}");
            assert!(sandbox.files() == done, "{what}");
        }
    }
}

#[test]
fn a_rotation_stops_the_old_secret_at_once() {
    let sandbox = prepared("file", "missing", false);
    let old = sandbox.mint("deploy");
    assert_eq!(sandbox.run(&command(&sandbox, "file", "--rotate-if-missing")).code, 0);
    assert_eq!(sandbox.reason("", &old), "secret_retired");
}

#[test]
fn settings_that_differ_are_named_and_no_secret_is_minted_for_them() {
    let sandbox = Sandbox::new();
    let run = |line: &str| {
        let output = sandbox.run(&format!("create deploy --ensure {line}"));
        format!("{output}")
    };
    expect![[r#"
        code: 0
        stdout: [secret]
        stderr: created the key deploy (id j6z9307nasrf)
        stderr: it never expires
    "#]]
    .assert_eq(&run("--scope rest --label team=web"));
    expect![[r#"
        code: 0
        stderr: deploy is unchanged
    "#]]
    .assert_eq(&run("--scope rest --label team=web"));
    sandbox.pass(1.day());
    expect![[r#"
        code: 0
        stderr: changed the key deploy
        stderr:   scopes: rest → rest, ui
        stderr:   read only: false → true
        stderr:   expires: none → 2026-05-01T12:00:00Z
        stderr: it expires in 89 days (2026-05-01)
    "#]]
    .assert_eq(&run("--scope ui,rest --read-only --expires 90d"));
    // Settings that are not named stay.
    expect![[r#"
        code: 0
        stderr: deploy is unchanged
    "#]]
    .assert_eq(&run(""));
    assert_eq!(run("-q --scope rest,ui"), "code: 0\n");
    for (flags, outcome) in [("--read-only", "unchanged"), ("--read-write", "updated"), ("--read-write", "unchanged")] {
        let document = sandbox.run(&format!("create deploy --ensure --json {flags}")).json();
        assert_eq!((&document["outcome"], &document["secret"]), (&outcome.into(), &Value::Null));
        assert_eq!(document["key"], sandbox.run("show deploy --json").json());
    }
    assert_eq!(secrets(&sandbox).0, 1);
    let changes = sandbox.run("history deploy --json").json();
    assert_eq!(changes.as_array().unwrap().len(), 3, "what changes nothing tells nothing: {changes:#}");
}

#[test]
fn a_command_gets_a_secret_once() {
    let sandbox = Sandbox::new();
    let taken = sandbox.path("taken");
    let mut args = words("create deploy --ensure --secret-to");
    args.push(format!("cat >> {}", taken.display()));
    for outcome in ["created", "unchanged", "unchanged"] {
        let output = sandbox.run_args(&[args.clone(), words("--json")].concat(), b"");
        assert_eq!(output.json()["outcome"], outcome, "{output}");
        assert_eq!(sandbox.reason("--no-record", &fs::read_to_string(&taken).unwrap()), "allowed");
    }
    // A failed delivery command leaves no key behind; the next run creates it.
    args[4] = "exit 3".to_owned();
    args[1] = "other".to_owned();
    assert_eq!(sandbox.run_args(&args, b"").code, 7);
    args[4] = "cat > /dev/null".to_owned();
    assert_eq!(sandbox.run_args(&args, b"").code, 0);
}

#[test]
fn a_duration_counts_from_when_the_key_was_made() {
    let sandbox = Sandbox::new();
    let run = |expires: &str| sandbox.run(&format!("create deploy --ensure --json --expires {expires}"));
    for (days, expires, outcome, end) in [
        (0, "90d", "created", "2026-05-01T12:00:00Z"),
        (30, "90d", "unchanged", "2026-05-01T12:00:00Z"),
        (30, "2026-05-01T12:00:00Z", "unchanged", "2026-05-01T12:00:00Z"),
        // The expiry that it has may have passed by now.
        (60, "90d", "unchanged", "2026-05-01T12:00:00Z"),
        (0, "1y", "updated", "2027-01-31T12:00:00Z"),
        (1, "1y", "unchanged", "2027-01-31T12:00:00Z"),
    ] {
        sandbox.pass(days.days());
        let document = run(expires).json();
        assert_eq!((&document["outcome"], &document["key"]["expires_at"]), (&outcome.into(), &end.into()), "{expires}");
    }
    // Any other expiry in the past is refused, whatever it is counted from.
    let before = sandbox.files();
    for expires in ["60d", "2026-02-01"] {
        assert_eq!((run(expires).code, run(expires).error()["code"].as_str()), (1, Some("invalid_value")), "{expires}");
    }
    assert!(sandbox.files() == before);
}

#[test]
fn settings_change_together_with_the_secret() {
    let sandbox = prepared("file", "missing", true);
    let line = command(&sandbox, "file", "--rotate-if-missing --scope ui").replace("--json", "");
    expect![[r#"
        code: 0
        stderr: the file holds no secret of deploy
        stderr: rotated the key deploy; the old secret no longer works
        stderr:   scopes: rest → ui
    "#]]
    .assert_eq(&sandbox.run(&line).to_string());
    assert_eq!(sandbox.reason("--scope ui", &delivered(&sandbox, "file")), "allowed");
    fs::remove_file(sandbox.path("secret")).unwrap();
    let document = sandbox.run(&command(&sandbox, "file", "--rotate-if-missing --scope rest")).json();
    assert_eq!((&document["outcome"], &document["key"]["scopes"]), (&"rotated".into(), &serde_json::json!(["rest"])));
    assert_eq!(secrets(&sandbox).0, 4);
}

#[test]
fn a_new_secret_starts_as_the_key_says_from_now_on() {
    let sandbox = prepared("file", "missing", true);
    assert_eq!(sandbox.run(&command(&sandbox, "file", "--rotate-if-missing --prefix live")).code, 0);
    assert!(delivered(&sandbox, "file").starts_with("live_"));
}

#[test]
fn what_is_refused_changes_nothing() {
    let sandbox = prepared("file", "missing", true);
    for line in [
        "user create low --role viewer",
        "user create ed --role editor",
        "role edit viewer --manages-keys",
        "edit deploy --role editor",
        "create above --role admin",
        "settings set max-lifetime 60d",
    ] {
        assert_eq!(sandbox.run(line).code, 0, "{line}");
    }
    let before = sandbox.files();
    let file = command(&sandbox, "file", "--rotate-if-missing");
    for (line, code, error) in [
        ("create deploy --ensure --json --as low", 1, "role_ceiling"),
        ("create deploy --ensure --json --as low --scope ui", 1, "role_ceiling"),
        ("create deploy --ensure --json --as ed --role admin", 1, "role_ceiling"),
        ("create above --ensure --json --as ed", 1, "role_ceiling"),
        ("create new --ensure --json --as ed --role admin", 1, "role_ceiling"),
        ("create new --ensure --json --as nobody", 1, "not_permitted"),
        ("create deploy --ensure --json --group nosuch", 1, "not_found"),
        ("create deploy --ensure --json --expires 61d", 1, "invalid_value"),
        ("create deploy --ensure --json --rotate-if-missing", 2, "usage"),
        ("create deploy --ensure --json --rotate-if-missing --secret-to cat", 2, "usage"),
        ("create deploy --json --rotate-if-missing --secret-file x", 2, "usage"),
        ("create --ensure --json", 2, "usage"),
        ("create deploy --ensure --json --secret-file /nosuch/secret", 7, "not_delivered"),
        ("create deploy --ensure --json --secret-file /dev/null", 7, "not_delivered"),
        (&format!("{file} --as low"), 1, "role_ceiling"),
    ] {
        let output = sandbox.run_args(&words(line), b"");
        assert_eq!((output.code, output.error()["code"].as_str()), (code, Some(error)), "{line}: {output}");
        assert!(sandbox.files() == before, "{line}");
    }
    // An actor with permission succeeds.
    assert_eq!(sandbox.run("create deploy --ensure --as ed --scope ui").code, 0);
    let key = sandbox.run("create theirs --ensure --json --expires 30d --as ed").json()["key"].clone();
    assert_eq!((&key["owner"], &key["created_by"]), (&"ed".into(), &"ed".into()));
    // A default is for new keys: when someone else runs the same command, the owner stays.
    assert_eq!(sandbox.run("create theirs --ensure --json --expires 30d").json()["outcome"], "unchanged");
}

#[test]
fn a_secret_of_the_grace_period_still_verifies() {
    let sandbox = prepared("file", "missing", false);
    let old = sandbox.mint("deploy");
    fs::write(sandbox.path("secret"), &old).unwrap();
    sandbox.run("rotate deploy --grace 2h");
    let line = command(&sandbox, "file", "--rotate-if-missing");
    for (hours, outcome, count) in [(1, "unchanged", 2), (1, "rotated", 3), (1, "unchanged", 3)] {
        sandbox.pass(hours.hours());
        let document = sandbox.run(&line).json();
        assert_eq!((&document["outcome"], secrets(&sandbox).0), (&outcome.into(), count));
    }
}

#[test]
fn settings_that_are_refused_change_nothing_where_a_rotation_is_due() {
    let sandbox = prepared("file", "missing", true);
    sandbox.run("user create ed --role editor");
    let before = sandbox.files();
    for flags in ["--group nosuch", "--as ed --role admin"] {
        let output = sandbox.run(&command(&sandbox, "file", &format!("--rotate-if-missing {flags}")));
        assert_eq!(output.code, 1, "{output}");
        assert!(sandbox.files() == before, "{flags}");
    }
}

#[test]
fn several_at_once_make_one_key_and_all_of_them_succeed() {
    let sandbox = Sandbox::new();
    for round in 0..5 {
        let file = sandbox.path("s").with_extension(round.to_string());
        let line = format!("create deploy{round} --ensure --secret-file {}", file.display());
        let start = || sandbox.binary(&line).stderr(std::process::Stdio::null()).spawn().unwrap();
        let mut running: Vec<_> = (0..4).map(|_| start()).collect();
        let codes: Vec<_> = running.iter_mut().map(|child| child.wait().unwrap().code()).collect();
        assert_eq!(codes, [Some(0); 4]);
    }
}

#[test]
fn a_secret_of_a_key_that_is_stopped_is_not_passed_over_in_silence() {
    let sandbox = Sandbox::new();
    let line = command(&sandbox, "file", "--expires 90d").replace("--json", "");
    assert_eq!(sandbox.run(&line).code, 0);
    for stop in ["disable deploy", "enable deploy"] {
        sandbox.run(stop);
        assert_ne!(sandbox.run(&line).stderr, "deploy is unchanged\n", "{stop}");
        sandbox.pass(91.days());
    }
}

/// Stages a secret, as a rotation that is killed midway does.
fn stage(sandbox: &Sandbox) -> Secret {
    let secret = stray();
    let hash = HashedSecret::new(&secret, [3; 16], Cost::FLOOR).unwrap();
    let stored = NewSecret { id: secret.id().clone(), hash };
    let mut store = Store::open(&sandbox.store()).unwrap();
    let key = store.view().unwrap().find("deploy").unwrap().unwrap();
    store
        .write(Stamp { now: sandbox.now(), actor: None }, |changes| changes.stage_secret(&key, &stored, Staging::Told))
        .unwrap();
    secret
}

#[test]
fn a_rotation_that_was_killed_is_finished() {
    for place in ["file", "env"] {
        for flags in ["", "--rotate-if-missing", "--scope ui --rotate-if-missing"] {
            let sandbox = prepared(place, "stray", true);
            let old = sandbox.run("rotate deploy").stdout;
            let staged = stage(&sandbox);
            assert_eq!(sandbox.reason("", old.trim_end()), "allowed");
            let line = command(&sandbox, place, flags);
            let document = sandbox.run(&line).json();
            assert_eq!((&document["outcome"], &document["secret"]), (&"rotated".into(), &Value::Null), "{flags}");
            let (count, current) = secrets(&sandbox);
            assert_eq!((count, &current[0]["id"]), (4, &staged.id().as_str().into()), "none was minted");
            assert_eq!(delivered(&sandbox, place), staged.expose());
            assert_eq!(sandbox.reason("", staged.expose()), "allowed");
            assert_eq!(sandbox.reason("", old.trim_end()), "secret_retired");
            assert_eq!(sandbox.run(&line).json()["outcome"], "unchanged");
            assert_eq!(sandbox.run("history --check").code, 0);
        }
    }
}

#[test]
fn a_rotation_that_was_killed_before_its_delivery_leaves_the_old_secret_in_place() {
    let sandbox = prepared("file", "good", true);
    let staged = stage(&sandbox);
    assert_eq!(sandbox.run(&command(&sandbox, "file", "--rotate-if-missing")).json()["outcome"], "unchanged");
    // If the file is gone too, a third secret ends both.
    fs::remove_file(sandbox.path("secret")).unwrap();
    assert_eq!(sandbox.run(&command(&sandbox, "file", "--rotate-if-missing")).json()["outcome"], "rotated");
    assert_eq!(sandbox.reason("", staged.expose()), "secret_retired");
    assert_eq!(secrets(&sandbox).1.len(), 1);
}
