//! Manifests as tables and properties.

use super::*;
use crate::formats::sample::{at, sample};
use crate::formats::tree::locate;

/// All mistakes in a text, including its references, with `present` in the store.
fn mistakes(text: &str, present: &Present, prune: bool) -> Vec<String> {
    let found = read(text).and_then(|manifest| plan(&manifest, present, prune, at(1_000)));
    let mistakes = found.err().unwrap_or_default();
    let mistakes = locate(text, mistakes);
    mistakes.into_iter().map(|m| format!("{}:{} {}", m.line, m.column, m.what)).collect()
}

fn steps(text: &str, present: &Present, prune: bool) -> Vec<String> {
    let plan = plan(&read(text).unwrap(), present, prune, at(1_000)).unwrap();
    let step = |step: &Step| {
        let fields: Vec<_> = step.differences.iter().map(|d| d.field.as_str()).collect();
        let (action, kind, name) = (step.action, step.subject.kind(), step.subject.name());
        format!("{action:?} {kind} {name} {}", fields.join(",")).trim_end().to_owned()
    };
    plan.iter().map(step).collect()
}

#[test]
fn all_mistakes_are_found_at_once_with_their_places() {
    let text = r#"[[role]]
nam = "x"
[[role]]
name = "ops"
rank = "high"
[[key]]
name = "a"
scope = ["x"]
allowed_ips = ["10.0.0.0/8", "10.1.2.3/8"]
role = "opz"
[[key]]
name = "a"
expires_at = "1970-01-01"
deliver = { secret_file = "x", secret_to = "y" }
[[keys]]
name = "z"
"#;
    let found = mistakes(text, &Present::default(), false);
    for (found, says) in found.iter().zip([
        "1:1 this role has no name",
        "2:1 unknown field `nam`; did you mean `name`?",
        "5:8 write a whole number",
        "8:1 unknown field `scope`; did you mean `scopes`?",
        "9:30 10.1.2.3/8 has host bits set",
        "12:8 the key a stands here twice",
        "14:11 a secret is delivered to one place",
        "15:3 unknown field `keys`; did you mean `key`?",
    ]) {
        assert!(found.starts_with(says), "{says}: {found}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
    // If the text itself is valid, its references are checked.
    let text =
        "[[role]]\nname = \"ops\"\n[[key]]\nname = \"a\"\nrole = \"opz\"\nowner = \"ann\"\nexpires_at = \"9999y\"\n";
    let found = mistakes(text, &Present::default(), false);
    for (found, says) in found.iter().zip([
        "5:8 there is no role named opz; did you mean ops?",
        "6:9 there is no user named ann; add a [[user]]",
        "7:14 that is after the year 9999",
    ]) {
        assert!(found.starts_with(says), "{says}: {found}");
    }
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn what_is_pruned_cannot_be_referred_to() {
    let group =
        Draft { name: "ci".parse().unwrap(), description: None, facts: keyward_core::rules::directory::Facts::Group };
    let present = Present { entries: vec![group], ..Present::default() };
    let text = "[[key]]\nname = \"a\"\ngroup = \"ci\"\n";
    assert!(mistakes(text, &present, false).is_empty());
    assert_eq!(mistakes(text, &present, true).len(), 1);
}

#[test]
fn a_plan_names_what_differs_in_an_order_that_works() {
    let mut key = sample();
    key.settings.scopes = ["rest".parse().unwrap()].into();
    key.settings.prefix = "live".parse().unwrap();
    let old =
        Draft { name: "old".parse().unwrap(), description: None, facts: keyward_core::rules::directory::Facts::Group };
    let present = Present { entries: vec![old], keys: vec![key], ..Present::default() };
    let text = r#"
        [[key]]
        name = "new"
        owner = "ann"
        [[key]]
        name = "sample"
        [[user]]
        name = "ann"
        role = "ops"
        [[role]]
        name = "ops"
        rank = 5
    "#;
    let kept = ["Create role ops rank", "Create user ann role", "Create key new owner", "Change key sample scopes"];
    assert_eq!(steps(text, &present, false), kept);
    let pruned: Vec<_> = kept.into_iter().chain(["Delete group old"]).collect();
    assert_eq!(steps(text, &present, true), pruned);
    assert_eq!(steps("", &present, true), ["Delete key sample", "Delete group old"]);
    assert!(steps("", &present, false).is_empty());
}

#[test]
fn a_duration_means_the_same_each_time() {
    let mut key = sample();
    key.settings.expires_at = Some(at(600));
    let present = Present { keys: vec![key], ..Present::default() };
    // Ten minutes after it was made at 0: it has expired, and nothing differs.
    assert!(steps("[[key]]\nname = \"sample\"\nexpires_at = \"10m\"\n", &present, false).is_empty());
    assert_eq!(
        steps("[[key]]\nname = \"sample\"\nexpires_at = \"1h\"\n", &present, false),
        ["Change key sample expires_at"]
    );
    assert_eq!(mistakes("[[key]]\nname = \"sample\"\nexpires_at = \"5m\"\n", &present, false).len(), 1);
}

#[test]
fn a_prefix_is_always_written_and_only_a_named_one_changes() {
    let mut key = sample();
    let default = key_to_toml(&key.name, &key.settings);
    assert!(default.contains("prefix = \"kw\"") && !default.contains("enabled"), "{default}");
    key.settings.prefix = "live".parse().unwrap();
    let present = Present { keys: vec![key], ..Present::default() };
    assert!(steps("[[key]]\nname = \"sample\"\n", &present, false).is_empty());
    assert_eq!(steps(&default, &present, false), ["Change key sample prefix"]);
}

#[test]
fn what_is_written_is_read_back() {
    let mut key = sample();
    key.settings.description = Some("a \"quoted\" \\ text".parse().unwrap());
    key.settings.labels = [("a.b".parse().unwrap(), "x = y".parse().unwrap())].into();
    key.settings.levels = ["A/B c".parse().unwrap()].into();
    key.settings.expires_at = Some(at(5_000));
    key.settings.read_only = true;
    key.settings.enabled = false;
    key.settings.prefix = "live".parse().unwrap();
    let entries: Vec<Draft> = [
        keyward_core::rules::directory::Facts::Group,
        keyward_core::rules::directory::Facts::Role { rank: 7, manages_keys: true },
        keyward_core::rules::directory::Facts::Tenant { enabled: false, limits: "".parse().unwrap() },
        keyward_core::rules::directory::Facts::User {
            role: Some("x".parse().unwrap()),
            tenant: None,
            enabled: false,
            limits: "".parse().unwrap(),
        },
    ]
    .into_iter()
    .map(|facts| Draft { name: "x".parse().unwrap(), description: Some("why".parse().unwrap()), facts })
    .collect();
    let present = Present { entries: entries.clone(), keys: vec![key.clone()], ..Present::default() };
    let toml = to_toml(&entries) + &key_to_toml(&key.name, &key.settings);
    let mut json = to_json(&entries);
    json.insert("key".to_owned(), serde_json::Value::Array(vec![key_to_json(&key.name, &key.settings)]));
    for text in [toml, serde_json::Value::Object(json).to_string()] {
        assert_eq!(steps(&text, &present, true), Vec::<String>::new(), "{text}");
        assert_eq!(steps(&text, &Present::default(), false).len(), 5);
    }
}
