//! `list`: which keys each filter selects, and in which order.

use std::process::Command;

use jiff::ToSpan as _;

use keyward_cli::world::StreamKinds;

use crate::harness::{Sandbox, finish_with, words};

/// Keys of all kinds; some of them used.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.mint("c-old --scope rest --level A/B --label team=web --label old=");
    sandbox.pass(1.day());
    sandbox.mint("a-short --scope rest,ui --expires 5d --level A/Bc");
    sandbox.mint("d-disabled --disabled --expires 5d --label team=ops");
    sandbox.pass(1.day());
    let used = sandbox.mint("b-used --expires 300d --level A");
    sandbox.mint("e-expired --expires 1h");
    sandbox.pass(2.hours());
    sandbox.run_with("verify", used);
    sandbox.pass(1.day());
    sandbox
}

#[test]
fn filters() {
    let sandbox = sandbox();
    for (flags, names) in [
        ("", "a-short b-used c-old d-disabled e-expired"),
        ("--name *d*", "b-used c-old d-disabled e-expired"),
        ("--name ?-s*", "a-short"),
        ("--name [ab]-*", "a-short b-used"),
        ("--name A*", ""),
        ("--scope rest", "a-short c-old"),
        ("--scope rest,ui", "a-short c-old"),
        ("--scope rest --scope ui", "a-short"),
        ("--level A", "a-short b-used c-old"),
        ("--level A/B", "c-old"),
        ("--level A/B/C", ""),
        ("--label team", "c-old d-disabled"),
        ("--label team=web", "c-old"),
        ("--label old=", "c-old"),
        ("--label team=web --label team=ops", ""),
        ("--state active", "a-short b-used c-old"),
        ("--state disabled", "d-disabled"),
        ("--state expired", "e-expired"),
        ("--state suspended", ""),
        ("--expires-within 14d", "a-short d-disabled"),
        ("--expires-within 1y", "a-short b-used d-disabled"),
        ("--unused-for 1d", "a-short b-used c-old d-disabled e-expired"),
        ("--unused-for 25h", "a-short c-old d-disabled e-expired"),
        ("--unused-for 3d", "c-old"),
        ("--state active --scope rest --expires-within 14d", "a-short"),
        ("--limit 2", "a-short b-used"),
        ("--limit 0", ""),
        ("--limit 18446744073709551615 --scope ui", "a-short"),
        ("--reverse --limit 2", "e-expired d-disabled"),
        ("--sort created", "c-old a-short d-disabled b-used e-expired"),
        ("--sort created --reverse --limit 1", "e-expired"),
        ("--sort expires", "e-expired a-short d-disabled b-used c-old"),
        ("--sort expires --reverse", "c-old b-used d-disabled a-short e-expired"),
        ("--sort used --reverse --limit 1", "b-used"),
        ("--search OLD", "c-old"),
        ("--search ops", "d-disabled"),
        ("--search team,ops", ""),
        ("--name ?-s*,*old", "a-short c-old"),
        ("--name ?-s* --name *old", "a-short c-old"),
        ("--name !*d*", "a-short"),
        ("--scope ui,none", "a-short b-used d-disabled e-expired"),
        ("--scope rest --scope !ui", "c-old"),
        ("--scope !none", "a-short c-old"),
        ("--level none", "d-disabled e-expired"),
        ("--label !team", "a-short b-used e-expired"),
        ("--label none --level !none", "a-short b-used"),
        ("--label team --label !team=web", "d-disabled"),
        ("--owner none --group none --role none --tenant none --expires never", "c-old"),
        ("--owner !none", ""),
        ("--expires !never --state active", "a-short b-used"),
        ("--state disabled,expired", "d-disabled e-expired"),
        ("--state !active --state !expired", "d-disabled"),
    ] {
        let output = sandbox.run(&format!("list -q {flags}"));
        assert_eq!(output.stdout.split_whitespace().collect::<Vec<_>>().join(" "), names, "{flags}");
        let array = sandbox.run(&format!("list --json {flags}")).json();
        let listed: Vec<_> = array.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
        assert_eq!(listed.join(" "), names, "{flags} --json");
        let gate = sandbox.run(&format!("list -q --fail-if-any {flags}"));
        assert_eq!(gate.code, if names.is_empty() { 0 } else { 8 }, "{flags} --fail-if-any");
        assert_eq!(gate.stdout, output.stdout);
    }
}

#[test]
fn a_value_that_nothing_has_is_named_also_where_keys_are_found() {
    let sandbox = sandbox();
    for (flags, note) in [
        ("--scope !resst", "no key has the scope resst; did you mean rest?\n"),
        ("--scope ui,resst", "no key has the scope resst; did you mean rest?\n"),
        ("--name ?-s*,x*", "no key has a name like x*\n"),
        ("--label !team=api", "no key has the label team=api\n"),
        ("--level A,B", "no key holds the level B\n"),
        ("--level A --scope rest", ""),
        ("--scope !rest", ""),
    ] {
        let output = sandbox.run(&format!("list {flags}"));
        assert_eq!((output.code, output.stderr.as_str()), (0, note), "{flags}");
    }
    for (flags, told) in [
        ("--owner !bob", "no user bob"),
        ("--group a,b", "no group a"),
        ("--state none", "a state is active, disabled, expired or suspended"),
        ("--expires 5d", "--expires-within"),
        ("--name a,,b", "a pattern is empty"),
        ("--csv --json", "cannot be used with"),
    ] {
        let output = sandbox.run(&format!("list {flags}"));
        assert!(matches!(output.code, 1 | 2) && output.stderr.contains(told), "{flags}: {output}");
    }
}

/// Another program reads the output.
#[test]
#[ignore = "needs python3"]
fn csv_has_the_fields_of_json() {
    let sandbox = sandbox();
    let limits = "edit a-short --limit 100/1m:20 --limit 10000/1d --allow-ip 10.0.0.0/8,192.0.2.0/24";
    assert_eq!(sandbox.run(limits).code, 0);
    let description = "first, \"second\" ü";
    assert_eq!(sandbox.run_args(&["edit", "c-old", "--description", description].map(str::to_owned), b"").code, 0);
    let printed = sandbox.run("list --csv");
    assert!(printed.stdout.lines().count() == 6 && printed.stdout.contains("\r\n"), "{printed}");
    let read = |text: &str| {
        let script = "import csv, json, sys; json.dump(list(csv.DictReader(sys.stdin)), sys.stdout)";
        finish_with(Command::new("/usr/bin/python3").args(["-c", script]), text.as_bytes()).json()
    };
    let rows = read(&printed.stdout);
    let keys = sandbox.run("list --json").json();
    for (row, key) in rows.as_array().unwrap().iter().zip(keys.as_array().unwrap()) {
        let (row, key) = (row.as_object().unwrap(), key.as_object().unwrap());
        assert_eq!(row.len(), key.len());
        for (field, value) in key {
            let told = row[field].as_str().unwrap();
            match value {
                serde_json::Value::Null => assert_eq!(told, "", "{field}"),
                serde_json::Value::String(text) => assert_eq!(told, text, "{field}"),
                serde_json::Value::Bool(_) | serde_json::Value::Number(_) => assert_eq!(told, value.to_string()),
                _ => {}
            }
        }
    }
    assert_eq!(rows[0]["scopes"], "rest,ui");
    assert_eq!(rows[0]["allowed_ips"], "10.0.0.0/8,192.0.2.0/24");
    assert_eq!(rows[0]["limits"], "100/1m:20,10000/1d");
    assert_eq!(rows[2]["labels"], "old=,team=web");
    assert_eq!(rows[2]["description"], description);

    let few = sandbox.run("list --csv --columns name,uses --state disabled");
    assert_eq!(few.stdout, "name,use_count\r\nd-disabled,0\r\n");
    let none = sandbox.run("list --csv --columns name --search nothing");
    assert_eq!((none.code, none.stdout.as_str()), (0, "name\r\n"));
}

#[test]
fn the_state_filter_and_the_state_that_is_shown_agree() {
    let sandbox = sandbox();
    for state in ["active", "disabled", "expired", "suspended"] {
        for key in sandbox.run(&format!("list --json --state {state}")).json().as_array().unwrap() {
            assert_eq!(key["state"], state);
        }
    }
}

/// More than a thousand keys are laid out a thousand at a time, and look like one table.
#[test]
fn a_long_list_is_one_table() {
    let sandbox = Sandbox::new();
    let number = 2_345;
    // Imported, because that makes many keys quickly on a server too.
    let key = |n: usize| {
        // The only owner, which is wide, comes after the first thousand.
        let owner = if n == 2_000 { r#", "owner": "someone-with-a-long-name""# } else { "" };
        format!(
            "{{\"name\": \"key-{n:04}\", \"scopes\": [\"rest\", \"area-{}\"], \"sha256\": \"{n:064x}\"{owner}}}\n",
            n % 7
        )
    };
    let keys: String = (0..number).map(key).collect();
    std::fs::write(sandbox.path("keys.jsonl"), keys).unwrap();
    let file = sandbox.path("keys.jsonl").display().to_string();
    for line in ["user create someone-with-a-long-name", &format!("import {file} --yes")] {
        assert_eq!(sandbox.run(line).code, 0);
    }
    let named = |text: &str| text.lines().filter(|line| line.starts_with("key-")).count();

    let piped = sandbox.run("list");
    assert_eq!((named(&piped.stdout), piped.stdout.lines().count()), (number, number + 1));
    let column = piped.stdout.lines().next().unwrap().find("EXPIRES").unwrap();
    assert!(
        piped.stdout.lines().skip(1).all(|line| line[column..].starts_with("never    never")),
        "{}",
        &piped.stdout[..500]
    );

    for (limit, told) in [("20", "20 of 2345 keys"), ("2200", "2200 of 2345 keys"), ("2345", "")] {
        let stderr = sandbox.run(&format!("list --limit {limit}")).stderr;
        assert_eq!(stderr.split(", ").find(|part| part.contains(" of ")).unwrap_or_default(), told, "{stderr}");
    }

    let streams = StreamKinds { stdout_is_terminal: true, width: Some(70), ..StreamKinds::default() };
    let shown = sandbox.run_in(&words("list --color never"), b"", &[], streams);
    assert_eq!(named(&shown.stdout), number);
    assert!(shown.stdout.contains("OWNER") && shown.stdout.contains("someone-with"), "{}", &shown.stdout[..200]);
    assert!(shown.stdout.lines().all(|line| line.chars().count() <= 70));
    let column = shown.stdout.lines().next().unwrap().find("STATE").unwrap();
    let keys = || shown.stdout.lines().filter(|line| line.starts_with("key-"));
    assert!(keys().all(|line| line[column..].starts_with("active ")), "{}", &shown.stdout[..500]);
    assert!(shown.stderr.contains("hidden: ") && shown.stderr.contains("2345 keys"), "{}", shown.stderr);
}
