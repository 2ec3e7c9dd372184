//! The house: who may know whom, read from the sources.

use std::path::{Path, PathBuf};

/// What only one operating system has, or speaks with it.
const OF_ONE_SYSTEM: [&str; 7] =
    ["rustix", "std::os::", "signal_hook", "cfg(unix", "cfg(windows", "target_os", "Command::new(\"sh\")"];

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
