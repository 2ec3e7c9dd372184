//! Checks of the file: its permissions, and its file system.

use std::path::Path;

use super::{Diagnosis, Severity};
use crate::platform::{self, FileSystem, OtherUsers, User};
use crate::text::shell_path;

pub(super) fn permissions(path: &Path) -> Diagnosis {
    let check = "permissions";
    let folder = path.parent().unwrap_or(Path::new("/"));
    let (Ok(file), Ok(around)) = (std::fs::metadata(path), std::fs::metadata(folder)) else {
        return Diagnosis::ok(check, "the permissions could not be looked at");
    };
    let mode = |found| platform::mode(found) & 0o777;
    let meaning = match OtherUsers::of(&file) {
        OtherUsers::Nothing => None,
        OtherUsers::Read => Some("others on this machine can read the names and the hashes of the keys"),
        OtherUsers::Write => Some("others on this machine can change the keys"),
    };
    if let Some(meaning) = meaning {
        let finding = format!("the store has mode {:03o}", mode(&file));
        return Diagnosis::bad(check, Severity::Problem, finding, meaning, format!("chmod 600 {}", shell_path(path)));
    }
    if OtherUsers::of(&around) == OtherUsers::Write {
        let finding = format!("the folder of the store has mode {:03o}", mode(&around));
        let meaning = "others can put another file in the place of the store, or remove it";
        return Diagnosis::bad(
            check,
            Severity::Warning,
            finding,
            meaning,
            format!("chmod go-w {}", shell_path(folder)),
        );
    }
    if platform::owner(&file).user != User::own() {
        let meaning = "its owner can do with the keys whatever you can do";
        let remedy = format!("if that is not meant to be: chown {} {}", User::own(), shell_path(path));
        return Diagnosis::bad(check, Severity::Warning, "the store belongs to another user", meaning, remedy);
    }
    Diagnosis::ok(check, format!("the store has mode {:03o}, its folder {:03o}", mode(&file), mode(&around)))
}

/// SQLite's log needs memory that all users of the file share, which file servers do not provide.
pub(super) fn file_system(path: &Path) -> Diagnosis {
    let check = "file_system";
    let (level, finding, meaning) = match platform::file_system(path) {
        FileSystem::Local => return Diagnosis::ok(check, "the store is on a local file system"),
        FileSystem::Untold => return Diagnosis::ok(check, "the system does not tell what the store is kept on"),
        FileSystem::Network(name) => (
            Severity::Problem,
            format!("the store is on a network file system ({name})"),
            "two machines that write it at once can damage it",
        ),
        FileSystem::Program => (
            Severity::Warning,
            "the store is on a file system that a program provides (FUSE)".to_owned(),
            "it may lead to another machine, or not keep the locks that several commands at once need",
        ),
        FileSystem::Unknown(number) => (
            Severity::Warning,
            format!("the store is on a file system that keyward does not know (0x{number:x})"),
            "perhaps it does not keep the locks that several commands at once need",
        ),
    };
    let remedy = "move it to a local disk, and let other machines ask the machine that has it".to_owned();
    Diagnosis::bad(check, level, finding, meaning, remedy)
}
