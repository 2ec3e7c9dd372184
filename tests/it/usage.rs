//! How often keys were used: what is counted, and how it is reported.

use jiff::{Timestamp, ToSpan as _};
use keyward_cli::world::StreamKinds;
use serde_json::{Value, json};

use crate::harness::{Output, Sandbox, finish, words};

fn ok(sandbox: &Sandbox, line: &str) -> Output {
    let output = sandbox.run(line);
    assert_eq!(output.code, 0, "{line}: {output}");
    output
}

/// Verifies this many times.
fn call(sandbox: &Sandbox, secret: &str, flags: &str, number: usize) {
    for _ in 0..number {
        sandbox.reason(flags, secret);
    }
}

/// Allowed, forbidden and limited calls over all periods.
fn total(sandbox: &Sandbox, key: &str) -> [u64; 3] {
    let usage = ok(sandbox, &format!("usage {key} --json")).json();
    let of = |calls: &Value| ["allowed", "forbidden", "limited"].map(|field| calls[field].as_u64().unwrap());
    let sum = usage["periods"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .fold([0; 3], |sum, calls| [sum[0] + calls[0], sum[1] + calls[1], sum[2] + calls[2]]);
    assert_eq!(of(&usage["total"]), sum, "{usage}");
    if !key.is_empty() {
        let keys = usage["keys"].as_array().unwrap();
        assert_eq!((keys.len(), of(&keys[0])), (1, sum), "{usage}");
    }
    sum
}

#[test]
fn a_call_is_counted_by_what_came_of_it() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a --scope rest --limit 4/1d");
    let other = sandbox.mint("b");
    assert_eq!(total(&sandbox, "a"), [0, 0, 0]);
    call(&sandbox, &secret, "--ip 192.0.2.1", 3);
    call(&sandbox, &secret, "--scope admin --ip 192.0.2.9", 2);
    call(&sandbox, &secret, "--ip ::ffff:198.51.100.7", 2);
    assert_eq!(total(&sandbox, "a"), [4, 2, 1]);
    // Unknown secrets, checks without recording, and keys that no longer work do not count as calls.
    call(&sandbox, &format!("{secret}x"), "", 1);
    call(&sandbox, &secret, "--no-record --scope admin", 1);
    call(&sandbox, &secret, "--at 2026-03-01", 1);
    ok(&sandbox, "disable a");
    call(&sandbox, &secret, "", 1);
    ok(&sandbox, "enable a");
    assert_eq!(total(&sandbox, "a"), [4, 2, 1]);
    let key = ok(&sandbox, "show a --json").json();
    assert_eq!((&key["use_count"], &key["last_used_from"]), (&json!(4), &json!("198.51.100.7")));
    // A batch counts the same way.
    let line = |secret: &str, more: Value| {
        let mut question = json!({"credential": secret});
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("{question}\n")
    };
    let lines = [
        line(&other, json!({"ip": "2001:db8::1"})),
        line(&other, json!({"scopes": ["rest"]})),
        line(&secret, json!({})),
        line("nothing", json!({})),
        line(&other, json!({})),
    ];
    assert_eq!(sandbox.run_with("verify --batch", lines.concat()).code, 4);
    assert_eq!((total(&sandbox, "a"), total(&sandbox, "b")), ([4, 2, 2], [2, 1, 0]));
    assert_eq!(total(&sandbox, ""), [6, 3, 2]);
    // The address of the caller is unknown.
    let key = ok(&sandbox, "show b --json").json();
    assert_eq!((&key["use_count"], &key["last_used_from"]), (&json!(2), &Value::Null));
    assert!(ok(&sandbox, "show a").stdout.contains("now from 198.51.100.7 (4 times in all)\n"));
    ok(&sandbox, "delete a --yes");
    assert_eq!(total(&sandbox, ""), [2, 1, 0]);
}

#[test]
fn what_cannot_be_written_is_told_and_changes_no_answer() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    sandbox.run_with("verify", &secret);
    let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    let output = sandbox.run_with("verify --scope rest --json", &secret);
    assert_eq!((output.code, &output.json()["reason"]), (4, &json!("scope_missing")), "{output}");
    assert_eq!(output.json()["warnings"], json!(["use_not_recorded"]));
}

#[test]
fn periods_are_those_of_the_calendar_in_utc() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    let mut calls = vec![];
    for (time, number) in [
        ("2026-01-30T23:59:59Z", 1),
        ("2026-01-31T00:00:00Z", 2),
        ("2026-01-31T23:10:00Z", 3),
        ("2026-03-01T00:00:00Z", 4),
        ("2026-03-01T02:30:00Z", 5),
    ] {
        sandbox.set_clock(time.parse().unwrap());
        call(&sandbox, &secret, "", number);
        calls.push(number);
    }
    let periods = |line: &str| {
        let usage = ok(&sandbox, line).json();
        let of = |period: &Value| format!("{} {}", period["start"].as_str().unwrap(), period["allowed"]);
        let periods = usage["periods"].as_array().unwrap().iter().map(of).collect::<Vec<_>>();
        (usage["since"].as_str().unwrap().to_owned(), periods)
    };
    let (since, months) = periods("usage --by month --json");
    assert_eq!(since, "2025-04-01T00:00:00Z");
    assert_eq!(months, ["2026-01-01T00:00:00Z 6", "2026-02-01T00:00:00Z 0", "2026-03-01T00:00:00Z 9"]);
    let (since, days) = periods("usage --json");
    assert_eq!((since.as_str(), days.len()), ("2026-01-31T00:00:00Z", 30));
    assert_eq!((days[0].as_str(), days[29].as_str()), ("2026-01-31T00:00:00Z 5", "2026-03-01T00:00:00Z 9"));
    let (since, hours) = periods("usage --by hour --json");
    assert_eq!(since, "2026-02-28T03:00:00Z");
    assert_eq!(hours, ["2026-03-01T00:00:00Z 4", "2026-03-01T01:00:00Z 0", "2026-03-01T02:00:00Z 5"]);
    // The period that `--since` falls in is reported whole.
    let (since, days) = periods("usage a --since 2026-01-30T12:00:00Z --json");
    assert_eq!((since.as_str(), days[0].as_str()), ("2026-01-30T00:00:00Z", "2026-01-30T00:00:00Z 1"));
    assert_eq!(periods("usage --since 2027-01-01 --json").1, [""; 0]);
    assert_eq!(
        ok(&sandbox, "usage --by month --csv").stdout,
        "start,allowed,forbidden,limited\r\n2026-01-01T00:00:00Z,6,0,0\r\n2026-02-01T00:00:00Z,0,0,0\r\n\
         2026-03-01T00:00:00Z,9,0,0\r\n"
    );
}

#[test]
fn the_keys_with_most_calls_come_first() {
    let sandbox = Sandbox::new();
    for (name, number) in [("rare", 1), ("often", 5), ("also-often", 5), ("idle", 0)] {
        let secret = sandbox.mint(name);
        call(&sandbox, &secret, "", number);
        call(&sandbox, &secret, "--scope x", number / 5);
    }
    let output = ok(&sandbox, "usage --top 2");
    assert_eq!(
        output.stdout,
        "DAY         ALLOWED  FORBIDDEN\n\
         2026-01-31       11          2\n\
         total            11          2\n\
         \n\
         KEY         ALLOWED  FORBIDDEN\n\
         also-often        5          1\n\
         often             5          1\n"
    );
    assert_eq!(output.stderr, "the 2 with most calls of 3 keys\n");
    let listed = ok(&sandbox, "list --sort uses --reverse --limit 2 --columns name,uses,last-used-from,labels");
    assert_eq!(listed.stdout, "NAME        USES  LAST USED FROM  LABELS\noften          5\nalso-often     5\n");
    assert_eq!(
        ok(&sandbox, "list --sort uses --columns uses,name --json").json(),
        json!([
            {"use_count": 0, "name": "idle"},
            {"use_count": 1, "name": "rare"},
            {"use_count": 5, "name": "also-often"},
            {"use_count": 5, "name": "often"},
        ])
    );
    let refused = sandbox.run("list --columns nme");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("name"), "{refused}");
}

#[test]
fn what_is_left_of_limits_is_told() {
    let sandbox = Sandbox::new();
    ok(&sandbox, "user create ann --limit 100/1h");
    ok(&sandbox, "tenant create acme --limit 5/1mo");
    let secret = sandbox.mint("a --limit 60/1m:3,10/1d --owner ann --tenant acme");
    let left = |wanted: &[(&str, u64, Value)]| {
        let usage = ok(&sandbox, "usage a --json").json();
        let limits = usage["limits"].as_array().unwrap().clone();
        let of = |limit: &Value| {
            let text = format!("{} {}/{}", limit["whose"].as_str().unwrap(), limit["count"], limit["period"]);
            (text.replace('"', ""), limit["remaining"].as_u64().unwrap(), limit["full_at"].clone())
        };
        let wanted: Vec<_> =
            wanted.iter().map(|(what, left, full)| ((*what).to_owned(), *left, full.clone())).collect();
        assert_eq!(limits.iter().map(of).collect::<Vec<_>>(), wanted);
        limits
    };
    let full = Value::Null;
    left(&[
        ("key 60/1m", 3, full.clone()),
        ("key 10/1d", 10, full.clone()),
        ("user 100/1h", 100, full.clone()),
        ("tenant 5/1mo", 5, full.clone()),
    ]);
    call(&sandbox, &secret, "--tenant acme", 3);
    let limits = left(&[
        ("key 60/1m", 0, json!("2026-01-31T12:00:03Z")),
        ("key 10/1d", 7, json!("2026-02-01T00:00:00Z")),
        ("user 100/1h", 97, json!("2026-01-31T12:01:48Z")),
        ("tenant 5/1mo", 2, json!("2026-02-01T00:00:00Z")),
    ]);
    assert_eq!((&limits[0]["burst"], &limits[0]["retry_after"]), (&json!(3), &json!(1)));
    assert_eq!((&limits[1]["burst"], &limits[1]["retry_after"]), (&Value::Null, &json!(0)));
    // `verify` reports the same limits.
    let answer = sandbox.run_with("verify --tenant acme --json", &secret).json();
    assert_eq!((&answer["reason"], &answer["limits"]), (&json!("rate_limited"), &json!(limits)));
    let card = ok(&sandbox, "show a").stdout;
    for line in [
        "60/1m:3 (0 left, full again in 3 seconds)\n",
        "10/1d (7 left, full again in 12 hours)\n",
        "100/1h of its owner (97 left, full again in 2 minutes)\n",
        "5/1mo of its tenant (2 left, full again in 12 hours)\n",
    ] {
        assert!(card.contains(line), "{card}");
        assert!(ok(&sandbox, "usage a").stdout.contains(line));
    }
    sandbox.pass(1.hour());
    left(&[
        ("key 60/1m", 3, full.clone()),
        ("key 10/1d", 7, json!("2026-02-01T00:00:00Z")),
        ("user 100/1h", 100, full),
        ("tenant 5/1mo", 2, json!("2026-02-01T00:00:00Z")),
    ]);
}

/// A restore brings back settings, but undoes no calls.
#[test]
fn a_restore_forgets_no_call() {
    let sandbox = Sandbox::new();
    let (secret, gone) = (sandbox.mint("a"), sandbox.mint("gone"));
    call(&sandbox, &secret, "", 2);
    call(&sandbox, &gone, "", 1);
    let backup = sandbox.path("backup.db").display().to_string();
    ok(&sandbox, &format!("backup {backup}"));
    sandbox.pass(2.hours());
    call(&sandbox, &secret, "", 3);
    call(&sandbox, &secret, "--scope x", 1);
    ok(&sandbox, "delete gone --yes");
    ok(&sandbox, &format!("restore {backup} --yes"));
    assert_eq!(total(&sandbox, "a"), [5, 1, 0]);
    assert_eq!(ok(&sandbox, "show a --json").json()["use_count"], 5);
    assert_eq!(total(&sandbox, ""), [5, 1, 0], "what was deleted since is gone again");
    ok(&sandbox, &format!("restore {backup} --yes --as-it-was"));
    assert_eq!((total(&sandbox, "a"), total(&sandbox, "gone")), ([5, 1, 0], [1, 0, 0]));
    assert_eq!(ok(&sandbox, "show gone --json").json()["use_count"], 1);
    assert_eq!(ok(&sandbox, "doctor --json").code, 0);
}

#[test]
fn usage_is_pruned_by_who_counts() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    let settings = ok(&sandbox, "settings list --json").json();
    assert_eq!(settings["usage_retention"], "400d");
    call(&sandbox, &secret, "", 2);
    sandbox.pass(10.days());
    call(&sandbox, &secret, "", 3);
    assert_eq!(total(&sandbox, "a"), [5, 0, 0]);
    ok(&sandbox, "settings set usage-retention 1w");
    assert_eq!(total(&sandbox, "a"), [5, 0, 0], "who only looks takes nothing away");
    let output = ok(&sandbox, "usage --since 2020-01-01 --json");
    assert!(output.stderr.is_empty(), "{output}");
    let output = ok(&sandbox, "usage --since 2020-01-01");
    assert!(output.stderr.starts_with("usage is kept since 2026-02-03T12:00:00Z; to keep it"), "{output}");
    call(&sandbox, &secret, "", 1);
    assert_eq!(total(&sandbox, "a"), [4, 0, 0]);
    assert_eq!(ok(&sandbox, "show a --json").json()["use_count"], 6);
    for (value, shown) in [("unlimited", Value::Null), ("1y 6mo", json!("1y 6mo"))] {
        let args = ["settings", "set", "usage-retention", value, "--json"].map(str::to_owned);
        let settings = sandbox.run_args(&args, b"");
        assert_eq!(settings.json()["usage_retention"], shown, "{settings}");
    }
    for wrong in ["59m", "0d", "soon", "-1d"] {
        let output = sandbox.run(&format!("settings set usage-retention -- {wrong}"));
        assert_eq!(output.code, 1, "{wrong}: {output}");
    }
}

#[test]
fn whoever_asks_for_nothing_is_told_so() {
    // No store exists yet, and none was named.
    let empty = Sandbox::empty();
    let at_home = |line: &str| finish(empty.binary(line).env_remove("KEYWARD_STORE").env("HOME", empty.path("")));
    let output = at_home("usage");
    assert!(output.code == 0 && output.stdout.is_empty() && output.stderr.contains("\nno calls since "), "{output}");
    assert_eq!(at_home("usage --json").json()["periods"], json!([]));
    assert_eq!(at_home("usage a").code, 1);
    assert_eq!(empty.run("usage").code, 6);
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    let output = sandbox.run("usage depoy");
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("deploy"), "{output}");
    for wrong in ["usage --by week", "usage --json --csv", "usage deploy --top 3", "usage --top -1", "usage --since x"]
    {
        assert_eq!(sandbox.run(wrong).code, 2, "{wrong}");
    }
    assert_eq!(ok(&sandbox, "usage deploy --csv").stdout, "start,allowed,forbidden,limited\r\n");
}

/// The output in a terminal of this width.
fn seen(sandbox: &Sandbox, line: &str, width: u16, variables: &[(&str, &str)]) -> String {
    let streams = StreamKinds { stdout_is_terminal: true, width: Some(width), ..StreamKinds::default() };
    let output = sandbox.run_in(&words(&format!("{line} --color never")), b"", variables, streams);
    assert_eq!(output.code, 0, "{output}");
    output.stdout
}

#[test]
fn bars_fit_into_every_terminal_and_are_in_proportion() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a-key-with-a-name-of-some-length --limit 40/1d");
    let start: Timestamp = "2026-02-01T09:00:00Z".parse().unwrap();
    for (day, allowed, forbidden) in [(0, 10, 0), (1, 40, 5), (3, 1, 1)] {
        sandbox.set_clock(start + jiff::SignedDuration::from_hours(24 * day));
        call(&sandbox, &secret, "", allowed + if day == 1 { 5 } else { 0 });
        call(&sandbox, &secret, "--scope x", forbidden);
    }
    for (ink, variables) in [("█▒░", &[("TERM", "xterm")][..]), ("#x-", &[("TERM", "xterm"), ("NO_COLOR", "1")])]
    {
        let ink: Vec<char> = ink.chars().collect();
        for width in [60, 80, 100, 120, 200] {
            let text = seen(&sandbox, "usage", width, variables);
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines.iter().all(|line| line.chars().count() <= usize::from(width)), "{width}:\n{text}");
            assert!(ink[0] == '█' || text.is_ascii(), "{text}");
            let bar = |day: &str| {
                let line = lines.iter().find(|line| line.starts_with(day)).unwrap_or_else(|| panic!("{day}\n{text}"));
                let count = |ink: &char| line.chars().filter(|c| c == ink).count();
                let place = line.chars().position(|c| c == ink[0]);
                // The dates have dashes too.
                let dashes = if ink[2] == '-' { 2 } else { 0 };
                (place, [count(&ink[0]), count(&ink[1]), count(&ink[2]) - dashes])
            };
            let [(first, small), (second, large), (_, none), (third, least)] =
                ["2026-02-01", "2026-02-02", "2026-02-03", "2026-02-04"].map(bar);
            assert!(first == second && second == third, "bars begin below each other:\n{text}");
            assert!(large.iter().sum::<usize>() >= 8 && large.iter().all(|part| *part > 0), "{text}");
            assert!(small[0] * 4 < large.iter().sum::<usize>() + 4 && small[1..] == [0, 0], "{text}");
            assert_eq!((none, least), ([0; 3], [1, 1, 0]), "{text}");
            assert!(text.contains(&format!("{} allowed   {} forbidden   {} limited\n", ink[0], ink[1], ink[2])));
        }
    }
    // For a single key, its card comes above the bars.
    let text = seen(&sandbox, "usage a-key-with-a-name-of-some-length", 80, &[("TERM", "xterm")]);
    assert!(text.starts_with("name ") && text.contains("\nlimits ") && !text.contains("KEY"), "{text}");
}
