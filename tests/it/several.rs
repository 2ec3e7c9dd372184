//! Several keys at once: all or nothing, and in JSON an array in the order given.

use serde_json::Value;

use crate::harness::{Output, Sandbox};

fn names(output: &Output) -> Vec<String> {
    let document = output.json();
    let name = |item: &Value| {
        let key = if item["key"].is_object() { &item["key"] } else { item };
        key["name"].as_str().unwrap().to_owned()
    };
    document.as_array().unwrap_or_else(|| panic!("{output}")).iter().map(name).collect()
}

#[test]
fn several_are_shown_in_the_order_in_which_they_were_named() {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "c"] {
        sandbox.mint(name);
    }
    let id = sandbox.run("show b --json").json()["id"].as_str().unwrap().to_owned();
    assert_eq!(names(&sandbox.run(&format!("show c {id} a c --json"))), ["c", "b", "a"]);
    assert!(sandbox.run("show a --json").json().is_object());
    // The same key twice still gives a list.
    assert_eq!(names(&sandbox.run("show a a --json")), ["a"]);
    let cards = sandbox.run("show c a").stdout;
    assert!(cards.find("name").unwrap() < cards.find("\n\nname").unwrap(), "{cards}");
    assert_eq!(sandbox.run("show c a -q").stdout, "c\na\n");
    let missing = sandbox.run("show a bb --json");
    assert_eq!((missing.code, missing.stdout.as_str(), &missing.error()["code"]), (1, "", &"not_found".into()));
}

#[test]
fn several_are_edited_or_none() {
    let sandbox = Sandbox::new();
    for line in ["user create ann --role viewer", "user create boss --role admin", "user create mid --role editor"] {
        assert_eq!(sandbox.run(line).code, 0);
    }
    sandbox.mint("a --scope rest");
    sandbox.mint("b --owner ann --role admin");
    sandbox.mint("c --scope ui");
    let edited = sandbox.run("edit c a --owner ann --add-scope x --json");
    assert_eq!(names(&edited), ["c", "a"]);
    let document = edited.json();
    assert_eq!((&document[0]["outcome"], &document[1]["key"]["owner"]), (&"updated".into(), &"ann".into()));
    assert_eq!(document[0]["key"]["scopes"], serde_json::json!(["ui", "x"]));
    let again = sandbox.run("edit a b --owner ann --json").json();
    assert_eq!((&again[0]["outcome"], &again[1]["outcome"]), (&"unchanged".into(), &"unchanged".into()));
    assert!(sandbox.run("edit a --description d --json").json().is_object());
    let told = sandbox.run("edit a b --description e").stderr;
    assert!(told.contains("changed the key a\n") && told.contains("changed the key b\n"), "{told}");

    let before = sandbox.run("list --json").stdout;
    let history = sandbox.run("history --json").stdout;
    for (line, code, error) in [
        ("edit a nosuch --owner boss", 1, "not_found"),
        // The second key's role is above the actor's.
        ("edit a b --description x --as mid", 1, "role_ceiling"),
        ("edit a b --name x", 2, "usage"),
        ("edit a b", 2, "usage"),
        ("edit a b --group nosuch", 1, "not_found"),
    ] {
        let output = sandbox.run(&format!("{line} --json"));
        assert_eq!((output.code, output.error()["code"].as_str()), (code, Some(error)), "{line}: {output}");
        assert_eq!(output.stdout, "", "{line}");
    }
    assert_eq!(sandbox.run("list --json").stdout, before);
    assert_eq!(sandbox.run("history --json").stdout, history);
}

#[test]
fn an_answer_is_short_unless_all_of_it_is_wanted() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --scope rest --allow-ip 10.0.0.0/8");
    let short = sandbox.run_with("verify --scope rest --ip 10.0.0.1", &secret);
    assert_eq!(short.stdout, "allowed: deploy\n");
    let all = sandbox.run_with("verify --scope rest --ip 10.0.0.1 --all", &secret).stdout;
    assert!(all.starts_with("allowed: deploy\n") && all.lines().count() > 8, "{all}");
    let refused = sandbox.run_with("verify --scope ui --ip 192.0.2.1", &secret);
    assert_eq!((refused.code, refused.stdout.matches("FAIL").count()), (4, 2), "{refused}");
    assert!(!refused.stdout.contains("pass") && refused.stdout.contains("--add-scope"), "{refused}");

    // The name of a check reads correctly with either outcome.
    let answer = sandbox.run_with("verify --scope ui --ip 10.0.0.1 --json", &secret).json();
    let outcome = |subject: &str| {
        let checks = answer["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["subject"] == subject).unwrap();
        (check["check"].as_str().unwrap().to_owned(), check["outcome"].as_str().unwrap().to_owned())
    };
    for (subject, check, told) in [
        ("expiry", "key_expired", "skip"),
        ("enabled", "key_disabled", "pass"),
        ("address", "ip_not_allowed", "pass"),
        ("scope", "scope_missing", "fail"),
    ] {
        assert_eq!(outcome(subject), (check.to_owned(), told.to_owned()));
    }
}
