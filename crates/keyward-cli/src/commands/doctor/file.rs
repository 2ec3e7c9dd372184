//! What is looked at of the file: who may do what with it, what it is kept on, and whether it is in order.

use std::path::Path;

use super::{Diagnosis, Severity};
use crate::error::Error;
use crate::platform::{self, FileSystem, OtherUsers, User};
use crate::session::Session;
use crate::text::{count, shell_path};
use keyward_core::store::{ChainCheck, Filter, NameCount, StoreError, View};

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

/// SQLite's log needs memory that all users of the file share, which file servers do not give.
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

pub(super) fn integrity(session: &Session, view: &View<'_>) -> Result<Diagnosis, Error> {
    let meaning = "what the file says about some keys cannot be trusted, so nothing else was looked at";
    let remedy = || "leave it as it is, and put the newest backup in its place".to_owned();
    let bad = |found: String| Diagnosis::bad("integrity", Severity::Problem, found, meaning, remedy());
    let working = session.terminal.working("looking through the file");
    let found = view.damage();
    // In a file whose pages are out of order, not even the keys can be read.
    let (keys, what) = damaged_keys(session, view).unwrap_or_default();
    drop(working);
    Ok(match found {
        Ok(_) if keys.count > 0 => Diagnosis {
            count: keys.count,
            keys: keys.names,
            ..bad(format!("{} damaged: {}", count(keys.count, "key"), what.join("; ")))
        },
        Ok(None) => Diagnosis::ok("integrity", "integrity check passed"),
        Ok(Some(damage)) | Err(StoreError::Corrupt { detail: damage, .. }) => bad(damage),
        Err(error) => return Err(error.into()),
    })
}

/// What keyward did not make, it does not obey; but who put it there could do other things.
pub(super) fn schema(path: &Path, view: &View<'_>) -> Result<Diagnosis, Error> {
    const SHOWN: usize = 5;
    let mut found = view.strange_parts()?;
    if found.is_empty() {
        return Ok(Diagnosis::ok("schema", "the file has the tables and indexes of keyward, and nothing else"));
    }
    let more = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    Ok(Diagnosis::bad(
        "schema",
        Severity::Problem,
        format!("{}{more}", found.join(", ")),
        "somebody changed the file without keyward; triggers and views are not obeyed, and the rest is not relied on",
        format!("find out who could write {}, and restore a backup from before", shell_path(path)),
    ))
}

/// The keys of which something is missing, and what.
fn damaged_keys(session: &Session, view: &View<'_>) -> Result<(NameCount, Vec<String>), StoreError> {
    const KINDS: usize = 5;
    let (mut keys, mut what) = (NameCount::default(), vec![]);
    view.each_key(&Filter::default(), session.now(), |key| {
        if let Some(damage) = key.damage {
            keys.add(key.name.as_str());
            if what.len() < KINDS && !what.contains(&damage) {
                what.push(damage);
            }
        }
        Ok::<_, StoreError>(())
    })?;
    Ok((keys, what))
}

pub(super) fn history(session: &Session, view: &View<'_>) -> Result<Diagnosis, Error> {
    let mut progress = session.terminal.progress("checking the history", view.count_events()?);
    let found = view.check_history(|done| progress.at(done))?;
    drop(progress);
    Ok(match found {
        ChainCheck::Intact { rows } => {
            Diagnosis::ok("history", format!("the history is intact: {}", count(rows, "row")))
        }
        ChainCheck::Broken { seq, what } => Diagnosis::bad(
            "history",
            Severity::Problem,
            format!("the history is not as it was written: at row {seq}, {what}"),
            "somebody changed the file without keyward",
            "compare it with a backup, and find out who could write the store".to_owned(),
        ),
    })
}
