//! Reads the sources of a crate: what is in which room, and whom it names. For the tests of the order of rooms, of every
//! crate of the workspace.

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

/// The room that `path` is in, or the file itself, below `folder`.
pub(crate) fn room(path: &Path, folder: &Path) -> String {
    let first = path.strip_prefix(folder).unwrap().iter().next().unwrap();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The words that stand behind `before` in this code, and the lines that they stand in. Comments are left out.
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
