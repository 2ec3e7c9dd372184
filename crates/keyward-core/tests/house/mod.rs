//! Reads a crate's sources: what is in which room, and which other rooms it names. For the room-order tests of every
//! crate in the workspace.

use std::path::{Path, PathBuf};

/// Every source file below `folder`.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
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

/// The room below `folder` that `path` is in, or the file itself.
pub(crate) fn room(path: &Path, folder: &Path) -> String {
    let first = path.strip_prefix(folder).unwrap().iter().next().unwrap();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The words after `before` in this code, with their lines. Comments are left out.
pub(crate) fn words_behind(code: &str, before: &str) -> Vec<(String, String)> {
    let mut found = vec![];
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (start, _) in line.match_indices(before) {
            let rest = line[start + before.len()..].chars();
            found.push((rest.take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect(), line.to_owned()));
        }
    }
    found
}

/// A file without the tests at its end.
pub(crate) fn without_tests(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("\n#[cfg(test)]\n").next().unwrap_or_default().to_owned()
}
