//! Limits as `verify` and `verify --batch` enforce them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use crate::batch::Conversation;
use crate::harness::{Output, Sandbox, binary, finish_with, words};
use crate::store_files::unprivileged;

fn ok(sandbox: &Sandbox, line: &str) -> Output {
    let output = sandbox.run(line);
    assert_eq!(output.code, 0, "{line}: {output}");
    output
}

/// How many of `number` verifications are allowed. The others are refused for this reason.
fn allowed(sandbox: &Sandbox, secret: &str, number: usize, reason: &str) -> usize {
    let reasons: Vec<_> = (0..number).map(|_| sandbox.reason("--method GET", secret)).collect();
    assert!(reasons.iter().all(|found| found == "allowed" || found == reason), "{reasons:?}");
    reasons.iter().filter(|found| *found == "allowed").count()
}

/// The two limit checks: each outcome with its detail.
fn checks(answer: &Value) -> [String; 2] {
    let checks = &answer["checks"].as_array().unwrap()[13..];
    [("rate_limited", 0), ("quota_exceeded", 1)].map(|(name, place)| {
        assert_eq!(checks[place]["check"], name);
        format!("{}: {}", checks[place]["outcome"].as_str().unwrap(), checks[place]["detail"].as_str().unwrap())
    })
}

#[test]
fn sixteen_processes_at_once_get_exactly_as_many_as_there_are() {
    let sandbox = Sandbox::new();
    let (rate, quota) = (sandbox.mint("rate --limit 100/1h"), sandbox.mint("quota --limit 100/1mo"));
    // The rate allows one more at first, and one more every 36 seconds.
    for (secret, more, period) in [(&rate, 1, 36), (&quota, 0, u64::MAX)] {
        let (start, store) = (Instant::now(), sandbox.store());
        let codes: Vec<u8> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..16)
                .map(|_| {
                    let one = || finish_with(&mut binary(&store, &words("verify -q")), secret.as_bytes()).code;
                    scope.spawn(move || (0..50).map(|_| one()).collect::<Vec<_>>())
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        assert!(codes.iter().all(|code| [0, 9].contains(code)), "{codes:?}");
        let passed = codes.into_iter().filter(|code| *code == 0).collect::<Vec<_>>().len();
        let most = 100 + more + usize::try_from(start.elapsed().as_secs() / period).unwrap();
        assert!((100..=most).contains(&passed), "{passed}");
    }
    // Only allowed requests were counted.
    assert_eq!(sandbox.run("show quota --json").json()["use_count"], 100);
}

#[test]
fn a_rate_and_a_quota_come_back_with_time() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a --limit 60/1m:3,5/1d");
    assert_eq!(allowed(&sandbox, &secret, 5, "rate_limited"), 3);
    let output = sandbox.run_with("verify --json", &secret);
    let answer = output.json();
    assert_eq!((output.code, &answer["allowed"], &answer["status"]), (9, &json!(false), &json!(429)));
    assert_eq!(answer["key"]["name"], "a");
    assert_eq!(
        checks(&answer),
        [
            "fail: the limit 60/1m:3 of the key is used up; the next request may come in 1 s",
            "pass: 2 left of the limit 5/1d of the key"
        ]
    );
    let card = sandbox.run_with("verify", &secret);
    assert!(card.stdout.starts_with("refused: rate_limited (429), key a\n"), "{card}");
    sandbox.pass(1.second());
    assert_eq!(allowed(&sandbox, &secret, 3, "rate_limited"), 1);
    sandbox.pass(1.minute());
    assert_eq!(allowed(&sandbox, &secret, 3, "quota_exceeded"), 1);
    let answer = sandbox.run_with("verify --json", &secret).json();
    let wait = "2026-02-01T00:00:00Z".parse::<Timestamp>().unwrap().duration_since(sandbox.now()).as_secs();
    assert_eq!(
        checks(&answer)[1],
        format!("fail: the limit 5/1d of the key is used up; the next request may come in {wait} s")
    );
    sandbox.pass(12.hours());
    assert_eq!(allowed(&sandbox, &secret, 3, "rate_limited"), 3);
    // The clock goes back: no one gets more of the day that had ended, or waits longer than a period.
    sandbox.set_clock("2026-01-31T12:00:00Z".parse().unwrap());
    assert_eq!(sandbox.reason("", &secret), "rate_limited quota_exceeded");
    assert!(checks(&sandbox.run_with("verify --json", &secret).json())[0].ends_with("may come in 1 s"));
}

#[test]
fn keys_share_the_limits_of_their_user_and_their_tenant() {
    let sandbox = Sandbox::new();
    for line in ["tenant create acme --limit 7/1d", "user create ann --limit 4/1h", "user create ben"] {
        ok(&sandbox, line);
    }
    let [a, b] = ["a", "b"].map(|name| sandbox.mint(&format!("{name} --owner ann --tenant acme")));
    let c = sandbox.mint("c --owner ben --tenant acme --limit 100/1h");
    let d = sandbox.mint("d");
    let ask = |secret: &str| sandbox.reason("--tenant acme", secret);
    let reasons = [&a, &b, &a, &b, &a, &b].map(|secret| ask(secret));
    assert_eq!(reasons, ["allowed", "allowed", "allowed", "allowed", "rate_limited", "rate_limited"]);
    let answer = sandbox.run_with("verify --tenant acme --json", &b).json();
    assert!(checks(&answer)[0].contains("the limit 4/1h of its owner is used up"), "{answer}");
    assert_eq!(checks(&answer)[1], "pass: 3 left of the limit 7/1d of its tenant");
    assert_eq!([&c, &c, &c, &c].map(|secret| ask(secret)), ["allowed", "allowed", "allowed", "quota_exceeded"]);
    let answer = sandbox.run_with("verify --tenant acme --json", &c).json();
    assert_eq!(checks(&answer)[0], "pass: 97 left of the limit 100/1h of the key", "a refusal takes nothing");
    // Both limits are used up for this key.
    assert_eq!(ask(&a), "rate_limited quota_exceeded");
    assert_eq!(sandbox.reason("", &d), "allowed");
    ok(&sandbox, "tenant edit acme --limit 8/1d");
    assert_eq!([&c, &c].map(|secret| ask(secret)), ["allowed", "quota_exceeded"], "another limit of the same day");
}

#[test]
fn what_is_refused_or_only_asked_about_takes_nothing() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a --limit 2/1h,2/1mo --scope rest --read-only");
    let left = |flags: &str| {
        let answer = sandbox.run_with(&format!("verify --json --no-record --method GET {flags}"), &secret).json();
        assert_eq!(answer["allowed"], true, "{answer}");
        checks(&answer)
    };
    let both = ["pass: 2 left of the limit 2/1h of the key", "pass: 2 left of the limit 2/1mo of the key"];
    for flags in ["--method POST", "--method GET --scope ui", "--method GET --role admin", ""] {
        let output = sandbox.run_with(&format!("verify --json {flags}"), &secret);
        assert_eq!(output.code, 4, "{output}");
        assert_eq!(
            checks(&output.json()),
            ["skip: no limit of up to an hour was checked", "skip: no limit for a day or a month was checked"]
        );
        assert_eq!(left(""), both, "{flags}");
    }
    for _ in 0..5 {
        assert_eq!(left("--at 2026-01-31"), both);
        assert_eq!(left(""), both);
    }
    let questions = format!("{}\n", json!({"credential": secret, "method": "GET"})).repeat(5);
    let output = sandbox.run_with("verify --batch --no-record", &questions);
    assert_eq!((output.code, output.stdout.matches("2 left of the limit").count()), (0, 10), "{output}");
    assert_eq!(left(""), both);
    assert_eq!(sandbox.reason("--method GET", &secret), "allowed");
    assert_eq!(left("")[1], "pass: 1 left of the limit 2/1mo of the key");
    assert_eq!(sandbox.reason("--method GET", &secret), "allowed");
    let output = sandbox.run_with("verify --json --no-record --method GET", &secret);
    assert_eq!((output.code, output.json()["reason"].as_str()), (9, Some("rate_limited")), "{output}");
    // Another month, whatever happened in this one.
    assert_eq!(left("--at 2026-02-01")[1], "pass: 2 left of the limit 2/1mo of the key");
    assert_eq!(sandbox.run("show a --json").json()["use_count"], 2);
}

#[test]
fn a_limit_that_cannot_be_written_down_is_no_answer() {
    let sandbox = Sandbox::new();
    let (limited, free) = (sandbox.mint("limited --limit 5/1h"), sandbox.mint("free"));
    for (path, mode) in [(sandbox.path(""), 0o555), (sandbox.store(), 0o444)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let output = finish_with(&mut unprivileged(&sandbox, "verify --json"), limited.as_bytes());
    assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_unwritable")), "{output}");
    assert_eq!(output.stdout, "");
    let output = finish_with(&mut unprivileged(&sandbox, "verify --json --no-record"), limited.as_bytes());
    assert_eq!(output.code, 0, "{output}");
    let output = finish_with(&mut unprivileged(&sandbox, "verify --json"), free.as_bytes());
    assert_eq!((output.code, &output.json()["warnings"][1]), (0, &json!("use_not_recorded")), "{output}");
    let mut batch = Conversation::start_as(unprivileged(&sandbox, "verify --batch"));
    for _ in 0..3 {
        assert_eq!(batch.ask(&limited), "store_unwritable");
        assert_eq!(batch.ask(&free), "allowed");
    }
    drop(batch);
    fs::set_permissions(sandbox.path(""), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_batch_knows_what_was_used_and_leaves_what_it_used() {
    let sandbox = Sandbox::new();
    let (rate, quota) = (sandbox.mint("rate --limit 10/1m"), sandbox.mint("quota --limit 10/1d"));
    for (secret, reason) in [(&rate, "rate_limited"), (&quota, "quota_exceeded")] {
        assert_eq!(sandbox.reason("", secret), "allowed");
        let questions = format!("{}\n", json!({"credential": secret})).repeat(1_000);
        let output = sandbox.run_with("verify --batch", &questions);
        let passed = output.stdout.matches(r#""reason":"allowed""#).count();
        let limited = output.stdout.matches(&format!(r#""reason":"{reason}""#)).count();
        assert_eq!((output.code, passed, limited), (9, 9, 991));
        let output = sandbox.run_with("verify --batch", &questions);
        assert_eq!((output.code, output.stdout.matches(r#""allowed":true"#).count()), (9, 0));
        assert_eq!(sandbox.reason("", secret), reason);
    }
    for key in ["rate", "quota"] {
        assert_eq!(sandbox.run(&format!("show {key} --json")).json()["use_count"], 10);
    }
}

#[test]
fn the_exit_code_of_a_batch_is_that_of_the_worst_line() {
    let sandbox = Sandbox::new();
    let limited = sandbox.mint("limited --limit 1/1mo");
    assert_eq!(sandbox.reason("", &limited), "allowed");
    let free = sandbox.mint("free");
    let line = |code: u8| match code {
        0 => json!({"credential": free}).to_string(),
        1 => "no question".to_owned(),
        3 => json!({"credential": "nothing"}).to_string(),
        9 => json!({"credential": limited}).to_string(),
        _ => json!({"credential": free, "scopes": ["x"]}).to_string(),
    };
    let order = [0, 1, 3, 9, 4];
    for (place, worst) in order.iter().enumerate() {
        for other in &order[..=place] {
            for pair in [[*worst, *other], [*other, *worst]] {
                let output = sandbox.run_with("verify --batch", pair.map(line).join("\n"));
                assert_eq!(output.code, *worst, "{pair:?}: {output}");
            }
        }
    }
}

#[test]
fn what_is_deleted_takes_with_it_what_it_had_used() {
    let sandbox = Sandbox::new();
    // The next one reuses the deleted one's row.
    for round in 0..3 {
        let secret = sandbox.mint(&format!("k{round} --limit 1/1h,1/1d"));
        assert_eq!(allowed(&sandbox, &secret, 2, "rate_limited quota_exceeded"), 1, "{round}");
        ok(&sandbox, &format!("delete k{round} --yes"));
    }
    for (kind, flag) in [("user", "--owner"), ("tenant", "--tenant")] {
        for round in 0..3 {
            ok(&sandbox, &format!("{kind} create x{round} --limit 1/1mo"));
            let secret = sandbox.mint(&format!("k {flag} x{round}"));
            let ask = || sandbox.reason(&format!("--tenant x{round}"), &secret);
            assert_eq!([ask(), ask()], ["allowed", "quota_exceeded"], "{kind} {round}");
            ok(&sandbox, "delete k --yes");
            ok(&sandbox, &format!("{kind} delete x{round}"));
        }
    }
    let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
    assert_eq!(conn.query_row("SELECT count(*) FROM meter", [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn a_batch_does_not_take_a_new_key_for_one_that_is_gone() {
    let sandbox = Sandbox::new();
    let mut batch = Conversation::start(&sandbox);
    for round in 0..3 {
        let secret = sandbox.mint(&format!("k{round} --limit 1/1h,1/1mo"));
        assert_eq!([batch.ask(&secret), batch.ask(&secret)], ["allowed", "rate_limited"], "{round}");
        ok(&sandbox, &format!("delete k{round} --yes"));
    }
    let secret = sandbox.mint("last --limit 1/1h,1/1mo");
    batch.end();
    let output = finish_with(&mut sandbox.binary("verify --json"), secret.as_bytes());
    assert_eq!(output.code, 0, "nothing was written down for the one in the same row: {output}");
}

#[test]
fn restore_gives_nothing_back_of_what_was_used_since() {
    for flags in ["", "--as-it-was"] {
        let sandbox = Sandbox::new();
        ok(&sandbox, "user create ann --limit 3/1mo");
        let (a, b) = (sandbox.mint("a --limit 4/1d --owner ann"), sandbox.mint("b --limit 2/1d"));
        assert_eq!([sandbox.reason("", &a), sandbox.reason("", &b)], ["allowed", "allowed"]);
        ok(&sandbox, &format!("backup {}", sandbox.path("backup.db").display()));
        assert_eq!([&a, &a, &b].map(|secret| sandbox.reason("", secret)), ["allowed", "allowed", "allowed"]);
        let mut batch = Conversation::start(&sandbox);
        let c = sandbox.mint("c --limit 1/1mo");
        assert_eq!([batch.ask(&c), batch.ask(&c)], ["allowed", "quota_exceeded"]);
        ok(&sandbox, &format!("restore {} --yes {flags}", sandbox.path("backup.db").display()));
        assert_eq!([&a, &b].map(|secret| sandbox.reason("", secret)), ["quota_exceeded", "quota_exceeded"], "{flags}");
        // A new key does not inherit the row of the one that is gone.
        let d = sandbox.mint("d --limit 1/1mo");
        assert_eq!([batch.ask(&d), batch.ask(&d)], ["allowed", "quota_exceeded"], "{flags}");
    }
}

#[test]
fn a_clock_that_was_years_ahead_for_a_moment_locks_nobody_out() {
    for is_batch in [false, true] {
        let sandbox = Sandbox::new();
        let secrets = ["a --limit 2/1m", "b --limit 2/1d", "c --limit 2/1mo"].map(|line| sandbox.mint(line));
        let ask = |secret: &str| {
            if !is_batch {
                return sandbox.run_with("verify -q", secret).code;
            }
            let question = json!({"credential": secret}).to_string();
            sandbox.run_with("verify --batch -q", format!("{question}\n")).code
        };
        let now = sandbox.now();
        sandbox.pass(5.years());
        assert_eq!(secrets.each_ref().map(|secret| [ask(secret), ask(secret), ask(secret)]), [[0, 0, 9]; 3]);
        sandbox.set_clock(now);
        assert_eq!(
            secrets[1..].iter().map(|secret| [ask(secret), ask(secret), ask(secret)]).collect::<Vec<_>>(),
            [[0, 0, 9]; 2]
        );
        assert_eq!(ask(&secrets[0]), 9);
        sandbox.pass(31.seconds());
        assert_eq!([ask(&secrets[0]), ask(&secrets[0])], [0, 9], "batch: {is_batch}");
    }
}
