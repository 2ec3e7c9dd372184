//! The files that SQLite keeps beside a database: their content counts as part of the database.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::platform;
use crate::store::error::StoreError;
use crate::store::exposure::Weakness;

/// The suffix of the write-ahead log.
const LOG: &str = "-wal";
/// The suffix of the memory that all users of the log share.
const SHARED: &str = "-shm";
/// The suffix of the rollback journal.
const JOURNAL: &str = "-journal";

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// The write-ahead log of the database at `path`.
pub(super) fn log_of(path: &Path) -> PathBuf {
    with_end(path, LOG)
}

/// The memory that all users of the log of the database at `path` share.
pub(super) fn shared_of(path: &Path) -> PathBuf {
    with_end(path, SHARED)
}

/// The rollback journal of the database at `path`.
pub(super) fn journal_of(path: &Path) -> PathBuf {
    with_end(path, JOURNAL)
}

/// All files that SQLite keeps beside the database at `path`, whether they exist at the moment or not.
pub fn all_of(path: &Path) -> [PathBuf; 3] {
    [LOG, SHARED, JOURNAL].map(|end| with_end(path, end))
}

/// Whether SQLite would take a file of this name for one of those.
pub(super) fn is_kept(name: &OsStr) -> bool {
    [LOG, SHARED, JOURNAL].iter().any(|end| name.as_encoded_bytes().ends_with(end.as_bytes()))
}

/// Refuses files that a user without write access to the store may have put there: they must be plain files, owned by a
/// user who could write the store.
pub(super) fn check(path: &Path, store: &fs::Metadata) -> Result<(), StoreError> {
    for file in all_of(path) {
        let Ok(found) = fs::symlink_metadata(&file) else { continue };
        let weakness = if !found.is_file() || platform::has_other_names(&found) {
            Weakness::StrayFile(file)
        } else if !platform::is_trusted_beside(store, &found) {
            Weakness::ForeignFile(file)
        } else {
            continue;
        };
        return Err(StoreError::Insecure { path: path.to_owned(), weakness });
    }
    Ok(())
}

/// Gives the files beside the store at `path` the group and the mode of the store: SQLite does so when it makes them,
/// but a log left behind keeps the mode that the store had then.
pub(super) fn align(path: &Path) {
    let Ok(store) = fs::symlink_metadata(path) else { return };
    for file in all_of(path) {
        // If this process may not do it, one that may does it later.
        let _ = platform::give_access_of(&store, &file);
    }
}

/// Moves aside files beside a path without a store. A log that is not empty is kept under another name: its store may
/// only have been moved.
pub(super) fn put_aside(path: &Path) -> std::io::Result<()> {
    for file in all_of(path) {
        let done = match fs::symlink_metadata(&file) {
            Ok(found) if found.is_file() && found.len() > 0 && file == log_of(path) => {
                fs::rename(&file, with_end(&file, ".old"))
            }
            Ok(_) => fs::remove_file(&file),
            Err(error) => Err(error),
        };
        match done {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
