//! Which file is opened as a store: its path, and what is refused before SQLite sees it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::beside;
use crate::platform::{self, OtherUsers, Status};
use crate::store::error::StoreError;
use crate::store::exposure::{Exposure, Weakness};

/// The smallest page, and so the smallest database. SQLite treats a shorter file as empty.
const SMALLEST_DATABASE: u64 = 512;

/// The path with its parent folder resolved. The last part is not resolved, so that a link is noticed.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    let Some(name) = path.file_name() else {
        return Err(StoreError::Foreign { path: path.to_owned(), what: "a folder" });
    };
    if beside::is_kept(name) {
        let what = "a log by its name, and SQLite takes it for that of another file";
        return Err(StoreError::Foreign { path: path.to_owned(), what });
    }
    match fs::canonicalize(parent(path)) {
        Ok(folder) => Ok(folder.join(name)),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::Missing(path.to_owned())),
        Err(error) => Err(StoreError::from_io(path, "opened", &error)),
    }
}

pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Refuses a file that is not a store, or that others can change, before SQLite opens it. Returns what others can do to
/// a file that is accepted nevertheless.
pub(super) fn check_file(path: &Path) -> Result<Option<Exposure>, StoreError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(StoreError::Missing(path.to_owned())),
        Err(error) => return Err(StoreError::from_io(path, "opened", &error)),
    };
    let foreign = |what| Err(StoreError::Foreign { path: path.to_owned(), what });
    if found.is_symlink() {
        return Err(insecure(path, Weakness::Link));
    } else if found.is_dir() {
        return foreign("a folder");
    } else if !found.is_file() {
        return foreign("a device, a pipe or a socket");
    } else if found.len() == 0 {
        return Err(StoreError::Missing(path.to_owned()));
    } else if found.len() < SMALLEST_DATABASE {
        return foreign("not an SQLite database");
    }
    check_folder(&parent(path))?;
    check_names(path)?;
    beside::check(path, &found)?;
    let mode = platform::mode(&found);
    let group_writes = match OtherUsers::of(&found) {
        OtherUsers::AllWrite => return Err(insecure(path, Weakness::OpenFile { mode })),
        OtherUsers::GroupWrites => true,
        OtherUsers::Read => false,
        OtherUsers::Nothing => return Ok(None),
    };
    Ok(Some(Exposure { mode, group_writes }))
}

fn insecure(path: &Path, weakness: Weakness) -> StoreError {
    StoreError::Insecure { path: path.to_owned(), weakness }
}

/// Anyone who can write a folder can replace the store, unless the folder is sticky.
pub(super) fn check_folder(folder: &Path) -> Result<(), StoreError> {
    let found = fs::metadata(folder).map_err(|error| StoreError::from_io(folder, "opened", &error))?;
    if !platform::anybody_may_replace_in(&found) {
        return Ok(());
    }
    Err(insecure(folder, Weakness::OpenFolder))
}

/// Refuses a file with a second path. SQLite keeps the log beside the path by which it opens a file: with two paths
/// there are two logs, and users of one do not see what is written to the other.
pub(super) fn check_names(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::from_io(path, "opened", &error);
    let status = Status::of(path).map_err(failed)?;
    if status.has_other_names {
        return Err(insecure(path, Weakness::SecondName));
    }
    if platform::is_mounted(path, &status).map_err(failed)? {
        return Err(insecure(path, Weakness::MountedFile));
    }
    Ok(())
}
