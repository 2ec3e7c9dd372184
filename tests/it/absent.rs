//! Filters for a value that nothing has: the result is empty, and a note says why.

use crate::harness::{Output, Sandbox};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.run("user create ann --role editor");
    sandbox.run("user create bob --role editor");
    sandbox.run("group create ci");
    sandbox.mint("deploy --scope rest,ui --level A/B --label team=web --owner ann");
    sandbox.run("edit deploy --description x --as ann");
    sandbox
}

/// The notes about a filter, checked in all output forms.
fn said(sandbox: &Sandbox, line: &str, is_history: bool) -> (Output, Vec<String>) {
    let output = sandbox.run(line);
    assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{line}: {output}");
    let json = sandbox.run(&format!("{line} --json"));
    assert_eq!((json.code, json.stdout.as_str()), (0, "[]\n"), "{line}: {json}");
    let notes: Vec<String> = json
        .stderr
        .lines()
        .map(|line| {
            let warning: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(warning["warning"]["code"], "nothing_has");
            warning["warning"]["message"].as_str().unwrap().to_owned()
        })
        .collect();
    let mut lines: Vec<_> = output.stderr.lines().map(str::to_owned).collect();
    let last = lines.pop();
    let nothing = if is_history { "no matching events" } else { "no key matches" };
    assert_eq!(last, Some(sandbox.looked_at(nothing)), "{line}: {output}");
    assert_eq!(lines, notes, "{line}: {output}");
    assert_eq!(sandbox.run(&format!("{line} -q")).stderr, "", "{line}");
    (output, notes)
}

#[test]
fn a_list_says_what_no_key_has() {
    let sandbox = sandbox();
    for (flags, notes) in [
        ("--scope res", &["no key has the scope res; did you mean rest?"][..]),
        ("--scope rest --scope zzz", &["no key has the scope zzz"]),
        ("--scope qqq --scope zzz", &["no key has the scope qqq", "no key has the scope zzz"]),
        ("--level A/C", &["no key holds the level A/C; did you mean A/B?"]),
        ("--level A/B/C", &["no key holds the level A/B/C; did you mean A/B?"]),
        ("--label tema", &["no key has the label tema"]),
        ("--label team=wbe", &["no key has the label team=wbe"]),
        ("--name deplyo", &["no key is called deplyo; did you mean deploy?"]),
        ("--name d?plyo*", &["no key has a name like d?plyo*"]),
        ("--owner bob", &["no key has the owner bob"]),
        ("--group ci", &["no key has the group ci"]),
        ("--role viewer --scope res", &["no key has the role viewer", "no key has the scope res; did you mean rest?"]),
        // Each of these values exists, but no key has all of them, or none is in that state.
        ("--scope rest --state disabled", &[]),
        ("--scope rest --label team=web --name d* --owner ann --state expired", &[]),
        ("--state suspended", &[]),
        ("--expires-within 1d", &[]),
        ("--limit 0 --scope rest", &[]),
    ] {
        assert_eq!(said(&sandbox, &format!("list {flags}"), false).1, notes, "{flags}");
    }
    // There are no notes about matches. An unknown owner is an error.
    for flags in ["", "--scope rest", "--level A", "--label team", "--owner ann", "--name dep*"] {
        let output = sandbox.run(&format!("list {flags}"));
        assert_eq!(
            (output.code, output.stderr.as_str(), output.stdout.is_empty()),
            (0, "", false),
            "{flags}: {output}"
        );
    }
    assert_eq!(sandbox.run("list --owner nobody --json").error()["code"], "not_found");
    assert_eq!(sandbox.run("list --scope res --fail-if-any").code, 0);
    // An empty store gets no notes about the filter.
    let empty = Sandbox::new();
    let nothing = "there are no keys yet; make the first one with: keyward create first-key";
    assert_eq!(empty.run("list").stderr, empty.looked_at(nothing) + "\n");
    assert_eq!(empty.run("list --json").stderr, "");
}

#[test]
fn a_history_says_what_nothing_tells_of() {
    let sandbox = sandbox();
    for (flags, notes) in [
        ("--action delte", &["there is no action delte; did you mean delete?"][..]),
        ("--action key.creat", &["there is no action key.creat; did you mean key.create?"]),
        ("--action key.", &["there is no action key.; did you mean key.create, key.import or key.edit?"]),
        ("--action zzz", &["there is no action zzz; `keyward help history` says what there is"]),
        ("--action rotate", &["no event has the action rotate"]),
        ("--action tenant", &["no event has the action tenant"]),
        ("--by bobb", &["no event is by bobb, and there is no user bobb; did you mean bob?"]),
        ("--by bob", &["no event is by bob"]),
        ("--by bob --action delte", &["no event is by bob", "there is no action delte; did you mean delete?"]),
        ("--by ann --action create", &[]),
        ("--limit 0", &[]),
        ("deploy --action group", &[]),
        ("--since 2030-01-01", &["--since is in the future"]),
        ("--since 2h --until 3h", &["--until is not after --since"]),
    ] {
        assert_eq!(said(&sandbox, &format!("history {flags}"), true).1, notes, "{flags}");
    }
    for flags in ["", "--by owner", "--by ann", "--action create", "--action settings.edit", "--since 1h"] {
        let output = sandbox.run(&format!("history {flags}"));
        assert_eq!(
            (output.code, output.stderr.as_str(), output.stdout.is_empty()),
            (0, "", false),
            "{flags}: {output}"
        );
    }
    // A deleted actor still counts as known, and so does an action from another version.
    sandbox.run("edit deploy --owner bob");
    sandbox.run("user delete ann");
    assert_eq!(sandbox.run("history --by ann").code, 0);
    assert_eq!(sandbox.run("history --by ann --action create").stderr, sandbox.looked_at("no matching events") + "\n");
    let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
    conn.execute("UPDATE history SET action = 'key.later' WHERE seq = 5", []).unwrap();
    drop(conn);
    assert_eq!(sandbox.run("history --action key.later --by bob").stderr.lines().count(), 2);
}
