//! A leak that is found later can be attributed: the history finds deleted keys by anything known about them.

use std::collections::BTreeSet;

use jiff::ToSpan as _;
use keyward_cli::world::StreamKinds;
use keyward_core::rules::hashing::{Cost, HashedSecret};
use keyward_core::rules::names::Prefix;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::{NewSecret, Staging, Stamp, Store};

use crate::harness::{Output, Sandbox, words};

/// The public id in a secret.
fn public_id(secret: &str) -> String {
    secret.rsplit('_').nth(1).unwrap().to_owned()
}

fn id_of(sandbox: &Sandbox, name: &str) -> String {
    sandbox.run(&format!("show {name} --json")).json()["id"].as_str().unwrap().to_owned()
}

/// The actions, and the ids of their keys.
fn told(sandbox: &Sandbox, text: &str) -> (Vec<String>, BTreeSet<String>) {
    let output = sandbox.run(&format!("history {text} --json"));
    assert_eq!(output.code, 0, "{text}: {output}");
    let events = output.json();
    let field = |name: &str| -> Vec<String> {
        events.as_array().unwrap().iter().map(|event| event[name].as_str().unwrap().to_owned()).collect()
    };
    (field("action"), field("subject_id").into_iter().collect())
}

#[test]
fn a_key_that_is_gone_is_found_by_all_that_was_ever_known_of_it() {
    let sandbox = Sandbox::new();
    sandbox.mint("other");
    let first = sandbox.mint("one");
    let id = id_of(&sandbox, "one");
    let second = sandbox.run("rotate one --grace 1d").stdout;
    sandbox.run("edit one --name two");
    let third = sandbox.run("rotate two").stdout;
    let known = ["one", "two", &id, &public_id(&first), &public_id(&second), &public_id(third.trim())];
    let live = ["key.create", "key.rotate", "key.edit", "key.rotate"];
    for text in known {
        let (actions, ids) = told(&sandbox, text);
        assert_eq!((actions.as_slice(), ids), (&live.map(str::to_owned)[..], BTreeSet::from([id.clone()])), "{text}");
    }
    sandbox.run("delete two --yes");
    for text in known {
        let (actions, ids) = told(&sandbox, text);
        assert_eq!((actions.len(), &*actions[4], ids), (5, "key.delete", BTreeSet::from([id.clone()])), "{text}");
        // If the text is not a name, the output says whose it is.
        let output = sandbox.run(&format!("history {text}"));
        assert_eq!(output.code, 0, "{output}");
        let says = output.stderr.contains(&format!("{text} is the public id of a secret of two ({id}), which is gone"));
        assert_eq!(says, ![&*id, "one", "two"].contains(&text), "{text}: {output}");
    }
    // It works with filters, too; unknown texts are still not found.
    assert_eq!(
        sandbox.run(&format!("history {} --action delete --json", known[3])).json().as_array().unwrap().len(),
        1
    );
    for text in ["nobody", "0123456789ab", "rotate"] {
        assert_eq!(sandbox.run(&format!("history {text} --json")).error()["code"], "not_found", "{text}");
    }
}

#[test]
fn a_name_of_several_keys_shows_all_of_them_and_which_is_which() {
    let sandbox = Sandbox::new();
    let mut ids = vec![];
    for round in 0..3 {
        sandbox.mint("deploy");
        ids.push(id_of(&sandbox, "deploy"));
        sandbox.pass(1.day());
        match round {
            0 => sandbox.run("delete deploy --yes"),
            1 => sandbox.run("edit deploy --name moved"),
            _ => sandbox.run("disable deploy"),
        };
    }
    // One of the keys now has a name under which no event was recorded.
    let all: BTreeSet<_> = ids.iter().cloned().collect();
    let (actions, found) = told(&sandbox, "deploy");
    let expected = ["key.create", "key.delete", "key.create", "key.edit", "key.create", "key.disable"];
    assert_eq!((actions, found), (expected.map(str::to_owned).to_vec(), all));
    let check = |output: Output| {
        for (row, id) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let rows: Vec<_> = output.stdout.lines().filter(|line| line.starts_with("2026-")).collect();
            assert!(rows[row].contains(&ids[id]), "{row}: {output}");
        }
        let [deleted, moved, live] = [&ids[0], &ids[1], &ids[2]];
        let note = format!("3 keys had the name deploy: {deleted} (gone), {moved} (now moved), {live} (now deploy)");
        let said = output.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&note), "{note}: {output}");
    };
    check(sandbox.run("history deploy"));
    let narrow = StreamKinds { stdout_is_terminal: true, width: Some(60), ..StreamKinds::default() };
    check(sandbox.run_in(&words("history deploy --color never"), b"", &[], narrow));
    // The later name of one of them finds only that one.
    let (actions, found) = told(&sandbox, "moved");
    assert_eq!((actions.len(), found), (2, BTreeSet::from([ids[1].clone()])));
    assert!(!sandbox.run("history moved").stdout.contains(&ids[1]));
}

/// A staged secret works even before the history mentions it.
#[test]
fn a_secret_that_was_never_told_of_is_told_of_at_the_latest_with_the_end_of_its_key() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    let secret = Secret::build(&Prefix::default(), Id::from_random([9; 8]), &[9; 32]);
    let hash = HashedSecret::new(&secret, [9; 16], Cost::FLOOR).unwrap();
    let staged = NewSecret { id: secret.id().clone(), hash };
    let mut store = Store::open(&sandbox.store()).unwrap();
    let stamp = Stamp { now: sandbox.now(), actor: None };
    store
        .write(stamp, |changes| {
            let key = changes.find("deploy")?.unwrap();
            changes.stage_secret(&key, &staged, Staging::Quiet)
        })
        .unwrap();
    drop(store);
    let id = secret.id().to_string();
    assert_eq!(told(&sandbox, &id).0, ["key.create"]);
    // It is retired with the others, without an event.
    assert_eq!(sandbox.run("rotate deploy").code, 0);
    assert_eq!(told(&sandbox, &id).0, ["key.create", "key.rotate"]);
    sandbox.run("delete deploy --yes");
    assert_eq!(told(&sandbox, &id).0, ["key.create", "key.rotate", "key.stage", "key.delete"]);
    assert_eq!(sandbox.run("history --check").code, 0);
}

#[test]
fn what_asks_for_a_key_that_is_gone_is_shown_where_its_history_is() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    sandbox.run("delete deploy --yes");
    for verb in ["show", "rotate", "disable", "edit --description x"] {
        let error = sandbox.run(&format!("{verb} deploy --json")).error();
        assert_eq!(error["code"], "not_found");
        assert!(
            error["hint"].as_str().unwrap().contains("it is gone; who did what: keyward history deploy"),
            "{error}"
        );
    }
    sandbox.mint("old-name");
    sandbox.run("edit old-name --name new-name");
    let error = sandbox.run("show old-name --json").error();
    assert!(error["hint"].as_str().unwrap().starts_with("it is called new-name now\n"), "{error}");
}
