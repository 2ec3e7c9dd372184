//! Limits as settings of keys, users and tenants: every way to set one, and every place that shows it.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Output, Sandbox, words};
use crate::terminal::edit_with;

/// The limits of a key, a user or a tenant, as the command line writes them.
fn limits(sandbox: &Sandbox, what: &str) -> String {
    let document = sandbox.run(&format!("{what} --json")).json();
    let in_words = |limit: &Value| {
        let (count, period) = (&limit["count"], limit["period"].as_str().unwrap());
        let burst = limit["burst"].as_u64().filter(|burst| *burst != count.as_u64().unwrap());
        assert_eq!(limit["burst"].is_null(), period == "1d" || period == "1mo", "{limit}");
        burst.map_or_else(|| format!("{count}/{period}"), |burst| format!("{count}/{period}:{burst}"))
    };
    document["limits"].as_array().unwrap().iter().map(in_words).collect::<Vec<_>>().join(" ")
}

fn ok(sandbox: &Sandbox, line: &str) -> Output {
    let output = sandbox.run(line);
    assert_eq!(output.code, 0, "{line}: {output}");
    output
}

const EIGHT: &str = "1/1s,2/2s,3/3s,4/4s,5/5s,6/6s,7/1d,8/1mo";

#[test]
fn every_flag_does_to_limits_what_it_says() {
    let sandbox = Sandbox::new();
    for (kind, show) in [("", "show"), ("user ", "user show"), ("tenant ", "tenant show")] {
        let line = "create a --limit 9/1mo --limit 100/1m:20,1000/1h";
        ok(&sandbox, &format!("{kind}{line}"));
        let mut before = limits(&sandbox, &format!("{show} a"));
        assert_eq!(before, "100/1m:20 1000/1h 9/1mo", "{kind}");
        for (flags, after) in [
            ("--add-limit 50/60s", "50/60s 1000/1h 9/1mo"),
            ("--add-limit 7/1d,8/1mo --add-limit 1/1s", "1/1s 50/60s 1000/1h 7/1d 8/1mo"),
            ("--remove-limit 1m --remove-limit 1s,3600s", "7/1d 8/1mo"),
            ("--remove-limit 5s", "7/1d 8/1mo"),
            ("--add-limit 3/1h:3 --remove-limit 1d", "3/1h 8/1mo"),
            ("--limit 4/1h", "4/1h"),
            ("--clear limit", ""),
            ("--add-limit 2/1h", "2/1h"),
            (&format!("--limit {EIGHT}"), "1/1s 2/2s 3/3s 4/4s 5/5s 6/6s 7/1d 8/1mo"),
            ("--add-limit 9/7s --remove-limit 1s", "2/2s 3/3s 4/4s 5/5s 6/6s 9/7s 7/1d 8/1mo"),
        ] {
            ok(&sandbox, &format!("{kind}edit a {flags}"));
            assert_eq!(limits(&sandbox, &format!("{show} a")), after, "{kind}{flags} from {before}");
            after.clone_into(&mut before);
        }
    }
    assert_eq!(sandbox.run("history --check").code, 0);
}

#[test]
fn what_is_no_limit_is_refused_with_what_to_do() {
    let sandbox = Sandbox::new();
    for line in ["create a", "user create a", "tenant create a"] {
        ok(&sandbox, &format!("{line} --limit {EIGHT}"));
    }
    let before = sandbox.files();
    for kind in ["", "user ", "tenant "] {
        for (flags, says, hint) in [
            ("edit a --add-limit 1/7s", "there may be 8 limits, and no more", "8 at most"),
            (&format!("create b --limit {EIGHT},9/9s"), "there may be 8 limits, and no more", "8 at most"),
            ("create b --limit 1/1m,2/60s", "1/1m and 2/60s are limits of the same period", "one limit a period"),
            ("edit a --limit 1/1m --limit 1/1m", "are limits of the same period", "one limit a period"),
            ("edit a --add-limit 1/1d --remove-limit 1d", "name the same period", "keep one of them"),
            ("edit a --limit 1/1h --add-limit 1/1m", "cannot be used with", "keyward help"),
            ("edit a --limit 1/1h --remove-limit 1m", "cannot be used with", "keyward help"),
            ("edit a --limit 1/1h --clear limit", "contradict each other", "keep one of them"),
            ("create b --limit 100", "is not a limit: write 100/1m", "keyward help"),
            ("create b --limit 1/2h", "is not a period: write 1s to 1h, 1d or 1mo", "keyward help"),
            ("create b --limit 0/1m", "numbers from 1 to 1000000000", "keyward help"),
            ("create b --limit 1/1m:0", "numbers from 1 to 1000000000", "keyward help"),
            ("create b --limit 5/1d:2", "has no burst: write 5/1d", "keyward help"),
            ("edit a --add-limit 1000000001/1m", "numbers from 1 to 1000000000", "keyward help"),
            ("edit a --remove-limit 1w", "is not a period: write 1s to 1h, 1d or 1mo", "keyward help"),
        ] {
            let output = sandbox.run(&format!("{kind}{flags} --json"));
            let error = output.error();
            assert_eq!((output.code, error["code"].as_str()), (2, Some("usage")), "{kind}{flags}: {output}");
            assert!(error["message"].as_str().unwrap().contains(says), "{kind}{flags}: {output}");
            assert!(error["hint"].as_str().unwrap().contains(hint), "{kind}{flags}: {output}");
        }
    }
    for line in ["group create b --limit 1/1m", "role create b --limit 1/1m", "group edit ci --clear limit"] {
        assert_eq!(sandbox.run(line).code, 2, "{line}");
    }
    assert!(sandbox.files() == before);
}

#[test]
fn a_limit_is_shown_wherever_settings_are() {
    let sandbox = Sandbox::new();
    ok(&sandbox, "tenant create acme --limit 7/1d");
    ok(&sandbox, "user create ann --limit 60/60s:5");
    sandbox.mint("a --limit 100/1m:20,9/1mo");
    let card = ok(&sandbox, "show a").stdout;
    let lines = "limits            100/1m:20 (nothing used)\n                  9/1mo (nothing used)\n";
    assert!(card.contains(lines), "{card}");
    for (line, says) in [("user show ann", "60/60s:5"), ("tenant list", "7/1d"), ("user list", "60/60s:5")] {
        let output = ok(&sandbox, line);
        assert!(output.stdout.contains(says), "{line}: {output}");
    }
    let listed = ok(&sandbox, "list --json").json()[0]["limits"].clone();
    let expected = json!([{"count": 100, "period": "1m", "burst": 20}, {"count": 9, "period": "1mo", "burst": null}]);
    assert_eq!(listed, expected);
    let output = ok(&sandbox, "edit a --remove-limit 1mo --add-limit 50/1m");
    assert!(output.stderr.contains("limits: 100/1m:20, 9/1mo → 50/1m\n"), "{output}");
    let output = ok(&sandbox, "edit a --clear limit");
    assert!(output.stderr.contains("limits: 50/1m → none\n"), "{output}");
    let history = ok(&sandbox, "history").stdout;
    for says in ["limits: none → 7/1d", "limits: none → 60/60s:5", "limits: 100/1m:20, 9/1mo → 50/1m", "→ none"]
    {
        assert!(history.contains(says), "{says}: {history}");
    }
    let output = ok(&sandbox, "edit a --label period=1m --label count=5 --label burst=1");
    assert!(output.stderr.contains("labels: none → burst=1, count=5, period=1m\n"), "{output}");
    let history = ok(&sandbox, "history a --json").json();
    let is_told = |event: &Value| {
        event["detail"]["settings"].to_string().contains(r#"{"count":50"#)
            || event["detail"].to_string().contains(r#""period":"1m""#)
    };
    assert!(history.as_array().unwrap().iter().any(is_told), "{history}");
}

#[test]
fn a_copy_has_the_limits_and_may_have_others() {
    let sandbox = Sandbox::new();
    sandbox.mint("a --limit 100/1m:20,9/1mo");
    ok(&sandbox, "duplicate a b");
    ok(&sandbox, "duplicate a c --limit 5/1h");
    assert_eq!(limits(&sandbox, "show b"), "100/1m:20 9/1mo");
    assert_eq!(limits(&sandbox, "show c"), "5/1h");
}

#[test]
fn the_editor_takes_limits_as_texts_and_tells_what_is_wrong() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy --limit 100/1m:20");
    let editor = r#"sed -i -e 's|^limits = \["100/1m:20"\]|limits = ["7/1h", "9/1d"]|'"#;
    let mut screen = edit_with(&sandbox, editor, 100);
    screen.wait_for("Make these changes?");
    assert!(screen.text().contains("limits: 100/1m:20 → 7/1h, 9/1d"), "{}", screen.text());
    screen.press("y");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert_eq!(limits(&sandbox, "show deploy"), "7/1h 9/1d");
    let mut screen = edit_with(&sandbox, r#"sed -i -e 's|^limits = .*|limits = ["7/1h", "8/60m"]|'"#, 100);
    screen.wait_for("are limits of the same period");
    screen.press("\x1b");
    assert_eq!(screen.end(), 5, "{}", screen.text());
    assert_eq!(limits(&sandbox, "show deploy"), "7/1h 9/1d");
}

#[test]
fn a_manifest_has_limits_as_texts_or_as_objects() {
    let sandbox = Sandbox::new();
    for line in
        ["tenant create acme --limit 7/1d", "user create ann --limit 60/60s:5", "create a --limit 100/1m:20,9/1mo"]
    {
        ok(&sandbox, line);
    }
    let all = |sandbox: &Sandbox| ["show a", "user show ann", "tenant show acme"].map(|what| limits(sandbox, what));
    let before = all(&sandbox);
    for (line, file) in [("export", "m.toml"), ("export --json", "m.json")] {
        let exported = ok(&sandbox, line).stdout;
        fs::write(sandbox.path(file), &exported).unwrap();
        let apply =
            format!("apply {} --secrets-dir {} --json", sandbox.path(file).display(), sandbox.path("").display());
        assert_eq!(ok(&sandbox, &apply).json()["outcome"], "unchanged", "{exported}");
        for line in ["edit a --clear limit", "user edit ann --limit 1/1s", "tenant edit acme --add-limit 5/1m"] {
            ok(&sandbox, line);
        }
        let applied = ok(&sandbox, &apply).json();
        assert_eq!(applied["changes"].as_array().unwrap().len(), 3, "{applied}");
        assert_eq!(applied["changes"][0]["fields"][0]["field"], "limits", "{applied}");
        assert_eq!(all(&sandbox), before, "{exported}");
    }
    let apply = |limits: &str| {
        fs::write(sandbox.path("m.toml"), format!("[[key]]\nname = 'a'\n{limits}\n")).unwrap();
        sandbox.run_args(&words(&format!("apply {} --json", sandbox.path("m.toml").display())), b"")
    };
    let output = apply("limits = [{ count = 5, period = '1m', burst = 2 }, '8/1d', { count = 3, period = '1mo' }]");
    assert_eq!((output.code, limits(&sandbox, "show a").as_str()), (0, "5/1m:2 8/1d 3/1mo"), "{output}");
    assert_eq!(apply("").code, 0);
    assert_eq!(limits(&sandbox, "show a"), "", "what is left out has its default");
    for (text, says) in [
        ("limits = [{ count = 5, period = '1m', bursts = 2 }]", "unknown field `bursts`; did you mean `burst`?"),
        ("limits = [{ count = 5 }]", "a limit is"),
        ("limits = [{ period = '1m' }]", "a limit is"),
        ("limits = [{ count = '5', period = '1m' }]", "a limit is"),
        ("limits = [{ count = -5, period = '1m' }]", "is not a limit"),
        ("limits = [{ count = 5, period = '1m', burst = 0 }]", "numbers from 1 to 1000000000"),
        ("limits = [{ count = 5, period = '1w' }]", "is not a period"),
        ("limits = ['5/1m', { count = 5, period = '60s' }]", "are limits of the same period"),
        ("limits = '5/1m'", "write a list"),
        ("limits = { count = 5, period = '1m' }", "write a list"),
        ("scopes = [{ count = 5, period = '1m' }]", "write this in quotation marks"),
    ] {
        let output = apply(text);
        assert_eq!(output.code, 1, "{text}: {output}");
        assert!(output.stderr.contains(says), "{text}: {output}");
    }
    assert_eq!(limits(&sandbox, "show a"), "");
}

#[test]
fn restore_keeps_a_limit_that_was_added_or_lowered() {
    let sandbox = Sandbox::new();
    for line in [
        "tenant create acme --limit 7/1d",
        "tenant create t --limit 7/1d",
        "user create ann",
        "user create ben --limit 5/1m",
    ] {
        ok(&sandbox, line);
    }
    for line in ["added", "lowered --limit 9/1m", "burst --limit 9/1m", "raised --limit 9/1m", "lifted --limit 9/1m"] {
        sandbox.mint(line);
    }
    ok(&sandbox, &format!("backup {}", sandbox.path("backup.db").display()));
    for line in [
        "edit added --limit 3/1h",
        "edit lowered --limit 8/60s",
        "edit burst --limit 9/1m:2",
        "edit raised --limit 10/1m",
        "edit lifted --clear limit",
        "tenant edit acme --limit 6/1d",
        "user edit ann --limit 2/1s",
        "user edit ben --limit 500/1m",
    ] {
        ok(&sandbox, line);
    }
    let restored = ok(&sandbox, &format!("restore {} --yes --json", sandbox.path("backup.db").display())).json();
    for (what, expected) in [
        ("show added", "3/1h"),
        ("show lowered", "8/60s"),
        ("show burst", "9/1m:2"),
        ("show raised", "9/1m"),
        ("show lifted", "9/1m"),
        ("tenant show acme", "6/1d"),
        ("tenant show t", "7/1d"),
        ("user show ann", "2/1s"),
        ("user show ben", "5/1m"),
    ] {
        assert_eq!(limits(&sandbox, what), expected, "{what}: {restored}");
    }
    let again: Vec<_> =
        restored["made_again"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(again, ["acme", "ann", "added", "burst", "lowered"], "{restored}");
    assert_eq!(sandbox.run("history --check").code, 0);
}
