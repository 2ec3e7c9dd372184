//! What verifies after an import is exactly what was in the file, in any format.

use std::collections::BTreeMap;

use keyward_core::rules::imported::{ImportedText, Origin};
use proptest::prelude::*;
use serde_json::json;

use super::{hex, lines, phc};
use crate::harness::Sandbox;

/// Texts that clients send. The part before a colon could be a name.
fn text() -> impl Strategy<Value = String> {
    let any = "[!-~]{16,40}";
    let likely = "(k[0-4]:)?[a-z0-9]{16,24}([:,][a-z0-9]{1,17})?";
    prop_oneof![any, likely].prop_filter("a form", |text| ImportedText::has_form(text))
}

fn csv(cell: &str) -> String {
    format!("\"{}\"", cell.replace('"', "\"\""))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_was_in_the_file_verifies_and_nothing_else(
        texts in prop::collection::btree_set(text(), 1..5), others in prop::collection::vec(text(), 3),
        origins in prop::collection::vec(prop::sample::select(Origin::ALL.to_vec()), 5), is_csv: bool, place: prop::sample::Index,
    ) {
        let sandbox = Sandbox::new();
        let (mut records, mut table) = (vec![], "name,secret,sha256,phc\n".to_owned());
        let mut keys = BTreeMap::new();
        for (number, (text, origin)) in texts.iter().zip(&origins).enumerate() {
            let name = format!("k{number}");
            let value = match origin {
                Origin::Secret => text.clone(),
                Origin::Sha256 => hex(text),
                Origin::Phc => phc(text),
            };
            let cells = Origin::ALL.map(|other| if other == *origin { csv(&value) } else { String::new() });
            table.push_str(&format!("{name},{}\n", cells.join(",")));
            records.push(json!({"name": name, origin.as_str(): value}));
            keys.insert(text.clone(), (name, *origin));
        }
        let (format, input) = if is_csv { ("csv", table) } else { ("jsonl", lines(&records)) };
        let output = sandbox.run_with(&format!("import - --format {format}"), input);
        prop_assert_eq!(output.code, 0, "{}", output);
        let opens = |line: &str| {
            let told = sandbox.run_with("verify --json", line).json();
            told["key"]["name"].as_str().map(str::to_owned).filter(|_| told["allowed"] == true)
        };
        for (text, (name, origin)) in &keys {
            // A damaged one opens nothing, whatever the damage.
            let at = place.index(text.len());
            let other = if text.as_bytes()[at] == b'x' { "y" } else { "x" };
            let damaged = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            if !keys.contains_key(&damaged) && !damaged.split_once(':').is_some_and(|(_, rest)| keys.contains_key(rest)) {
                prop_assert_eq!(opens(&format!("x-api-key: {damaged}")), None, "{}", damaged);
            }
            if *origin == Origin::Phc {
                prop_assert_eq!(opens(&format!("Authorization: Bearer {text}")), None, "{}", text);
                prop_assert_eq!(opens(&format!("Authorization: Bearer {name}:{text}")), Some(name.clone()), "{}", text);
            }
            for line in [format!("x-api-key: {text}"), format!("Authorization: Bearer {name}:{text}")] {
                prop_assert_eq!(opens(&line), Some(name.clone()), "{}", line);
            }
        }
        for other in others.iter().filter(|other| !keys.contains_key(*other)) {
            let rest = other.split_once(':').map(|(_, rest)| rest);
            if rest.is_none_or(|rest| !keys.contains_key(rest)) {
                prop_assert_eq!(opens(&format!("x-api-key: {other}")), None, "{}", other);
            }
        }
        // Each is imported only once: the same file again is refused as a whole.
        let again = sandbox.run_with("import - --format jsonl", lines(&records));
        prop_assert_eq!(again.code, 1);
    }
}
