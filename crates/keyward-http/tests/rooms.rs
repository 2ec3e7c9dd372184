//! The house: who may know whom, read from the sources.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};

/// The rooms, the uppermost first. Each knows only rooms that stand below it; neither of the first two knows the other.
const ORDER: [&str; 9] = ["server", "tower", "observe", "guard", "answer", "policy", "facts", "refusal", "clock"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The room that `path` is in, or the file itself, below `folder`.
fn room(path: &Path, folder: &Path) -> String {
    let first = path.strip_prefix(folder).unwrap().iter().next().unwrap();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The words that stand behind `before`, and the lines that they stand in. Comments and the tests at a file's end are
/// left out.
fn words_behind(path: &Path, before: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.lines().take_while(|line| *line != "#[cfg(test)]");
    let mut found = vec![];
    for line in code.filter(|line| !line.trim_start().starts_with("//")) {
        for (start, _) in line.match_indices(before) {
            let rest = line[start + before.len()..].chars();
            found.push((rest.take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect(), line.to_owned()));
        }
    }
    found
}

#[test]
fn a_room_knows_only_those_below_it() {
    let floor = |room: &str| ORDER.iter().position(|known| *known == room);
    for path in sources(&root()) {
        let room = room(&path, &root());
        // The map of the crate.
        if room == "lib" {
            continue;
        }
        let own = floor(&room).unwrap_or_else(|| panic!("the room {room} has no place in the order"));
        for (other, line) in words_behind(&path, "crate::") {
            let is_pair = room == "server" && other == "tower";
            // What the crate's front page names is known by its own name.
            let other = match other.as_str() {
                "Refusal" | "" if line.contains("Refusal") => "refusal".to_owned(),
                "" | "Policy" | "PolicyName" | "Policies" => "policy".to_owned(),
                "Guard" => "guard".to_owned(),
                _ => other,
            };
            let is_below = floor(&other).is_some_and(|other| other > own) && !is_pair;
            assert!(other == room || is_below, "{} knows {other:?}: {line}", path.display());
        }
    }
}
