//! The house: which room may use which, read from the sources.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod house;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use house::{room, sources, without_tests, words_behind};

/// The rooms, from the top. Each knows only rooms below it; neither of the first two knows the other.
const ORDER: [&str; 5] = ["issuer", "verifier", "store", "rules", "platform"];

/// What only one operating system has, or what talks to it.
const OF_ONE_SYSTEM: [&str; 5] = ["rustix", "std::os::", "cfg(unix", "cfg(windows", "target_os"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn only_the_room_for_it_names_an_operating_system() {
    for path in sources(&root()).iter().filter(|path| !path.starts_with(root().join("platform"))) {
        let text = std::fs::read_to_string(path).unwrap();
        for (line, text) in text.lines().enumerate() {
            let found = OF_ONE_SYSTEM.iter().find(|word| text.contains(**word));
            assert_eq!(found, None, "{}:{}: {text}", path.display(), line + 1);
        }
    }
}

#[test]
fn a_room_knows_only_those_below_it() {
    let floor = |room: &str| ORDER.iter().position(|known| *known == room);
    for path in sources(&root()) {
        let room = room(&path, &root());
        // The crate root; and tests, which may use their room from above.
        if room == "lib" || path.parent().is_some_and(|folder| folder.ends_with("tests")) {
            continue;
        }
        let own = floor(&room).unwrap_or_else(|| panic!("the room {room} has no place in the order"));
        for (other, line) in words_behind(&without_tests(&path), "crate::") {
            let is_pair = room == "issuer" && other == "verifier";
            let is_below = floor(&other).is_some_and(|other| other > own) && !is_pair;
            assert!(other == room || is_below, "{} knows {other:?}: {line}", path.display());
        }
    }
}

#[test]
fn no_two_rules_know_each_other() {
    let rules = root().join("rules");
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let map = rules.join("mod.rs");
    for path in sources(&rules).iter().filter(|path| **path != map && !is_test(path)) {
        let rule = room(path, &rules);
        let mut others: Vec<_> = words_behind(&without_tests(path), "crate::rules::");
        if path.parent() == Some(&rules) || **path == rules.join(&rule).join("mod.rs") {
            others.extend(words_behind(&without_tests(path), "super::"));
        }
        let others = others.into_iter().map(|(other, _)| other).filter(|other| !other.is_empty() && *other != rule);
        known.entry(rule.clone()).or_default().extend(others);
    }
    assert!(known.len() > 5, "{known:?}");
    // Remove what knows nothing that is left; what can never be removed is part of a cycle.
    while let Some(lowest) =
        known.iter().find(|(_, others)| others.iter().all(|other| !known.contains_key(other))).map(|(rule, _)| rule)
    {
        let lowest = lowest.clone();
        known.remove(&lowest);
    }
    assert!(known.is_empty(), "a circle among {known:?}");
}

fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|name| name.to_str().unwrap().ends_with("tests"))
}
