//! The house: who may know whom, read from the sources.

use std::path::{Path, PathBuf};

/// What only one operating system has, or speaks with it.
const OF_ONE_SYSTEM: [&str; 7] =
    ["rustix", "std::os::", "signal_hook", "cfg(unix", "cfg(windows", "target_os", "Command::new(\"sh\")"];

/// The rooms of the command line, the uppermost first. Each knows only rooms that stand below it.
const ORDER: [&str; 16] = [
    "run", "cli", "commands", "complete", "manual", "delivery", "session", "global", "world", "terminal", "formats",
    "errors", "words", "error", "text", "platform",
];

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

#[test]
fn only_the_room_for_it_names_an_operating_system() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&root).iter().filter(|path| !path.starts_with(root.join("platform"))) {
        let text = std::fs::read_to_string(path).unwrap();
        for (line, text) in text.lines().enumerate() {
            let found = OF_ONE_SYSTEM.iter().find(|word| text.contains(**word));
            assert_eq!(found, None, "{}:{}: {text}", path.display(), line + 1);
        }
    }
}

#[test]
fn a_room_knows_only_those_below_it() {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floor = |room: &str| ORDER.iter().position(|known| *known == room);
    for path in sources(&house) {
        let inside = path.strip_prefix(&house).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").trim_end_matches("_tests");
        // They put the others together: the library's map, and the program around it.
        if room == "lib" || room == "main" {
            continue;
        }
        let own = floor(room).unwrap_or_else(|| panic!("the room {room} has no place in the order"));
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (start, _) in line.match_indices("crate::") {
                let other: String =
                    line[start + 7..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let is_allowed = other == room || floor(&other).is_some_and(|other| other > own);
                assert!(is_allowed, "{} knows {other:?}: {line}", path.display());
            }
        }
    }
}
