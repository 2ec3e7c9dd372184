//! The house: which room may use which, checked in the sources.

#[path = "../../crates/keyward-core/tests/house/mod.rs"]
#[expect(dead_code, reason = "tests at the end of a file count here")]
mod house;

use std::path::Path;

use house::{room, sources, words_behind};

/// What ties code to one operating system.
const OF_ONE_SYSTEM: [&str; 7] =
    ["rustix", "std::os::", "signal_hook", "cfg(unix", "cfg(windows", "target_os", "Command::new(\"sh\")"];

/// The rooms of the command line, the top one first. Each uses only rooms below it.
const ORDER: [&str; 17] = [
    "run", "cli", "commands", "complete", "manual", "synopsis", "delivery", "session", "global", "world", "terminal",
    "formats", "errors", "words", "error", "text", "platform",
];

#[test]
fn only_the_room_for_it_names_an_operating_system() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/keyward-cli/src");
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
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/keyward-cli/src");
    let floor = |room: &str| ORDER.iter().position(|known| *known == room);
    for path in sources(&house) {
        let room = room(&path, &house);
        let room = room.trim_end_matches("_tests");
        // These assemble the others: the library's map, and the program around it.
        if room == "lib" || room == "main" {
            continue;
        }
        let own = floor(room).unwrap_or_else(|| panic!("the room {room} has no place in the order"));
        let text = std::fs::read_to_string(&path).unwrap();
        for (other, line) in words_behind(&text, "crate::") {
            let is_allowed = other == room || floor(&other).is_some_and(|other| other > own);
            assert!(is_allowed, "{} knows {other:?}: {line}", path.display());
        }
    }
}
