//! The house: which room may use which, read from the sources.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

#[path = "../../keyward-core/tests/house/mod.rs"]
mod house;

use std::path::{Path, PathBuf};

use house::{room, sources, without_tests, words_behind};

/// The rooms, top first. Each may use only rooms below it; the first two must not use each other.
const ORDER: [&str; 9] = ["server", "tower", "observe", "guard", "answer", "policy", "facts", "refusal", "clock"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
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
        for (other, line) in words_behind(&without_tests(&path), "crate::") {
            let is_pair = room == "server" && other == "tower";
            // A name re-exported at the crate root stands for its room.
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
