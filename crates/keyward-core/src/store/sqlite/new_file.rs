//! A file that gets its name when it is complete: no process ever sees half of it, and it replaces nothing.

use std::fs::{self, File};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use super::backup::BackupError;
use super::{Unfinished, beside};
use crate::platform;

/// An unfinished file, beside its final place. It is removed unless it is finished.
#[derive(Debug)]
pub(in crate::store) struct NewFile {
    unfinished: Unfinished,
    /// The path as given.
    path: PathBuf,
    folder: PathBuf,
}

impl NewFile {
    /// Begins a file for `path`, which must not exist.
    pub(in crate::store) fn begin(path: &Path) -> Result<Self, BackupError> {
        let failed = |error| BackupError::Io { path: path.to_owned(), error };
        // SQLite would take a file with this name for the log of some store.
        if path.file_name().is_some_and(beside::is_kept) {
            return Err(failed(Error::other("SQLite keeps names that end so for itself")));
        }
        if fs::symlink_metadata(path).is_ok() {
            return Err(BackupError::Exists(path.to_owned()));
        }
        let name = path.file_name().ok_or_else(|| failed(ErrorKind::IsADirectory.into()))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // SQLite follows no links in this path, not even in folders, because it follows none to the store.
        let folder = folder.canonicalize().map_err(failed)?;
        let unfinished = Unfinished::of(&folder.join(name));
        // Private before anything is in it.
        platform::private_file(&unfinished.0).map_err(failed)?;
        Ok(Self { unfinished, path: path.to_owned(), folder })
    }

    /// Its path until then.
    pub(in crate::store) fn unfinished(&self) -> &Path {
        &self.unfinished.0
    }

    /// Gives it its name once all of it is on the disk.
    pub(in crate::store) fn finish(self) -> Result<(), BackupError> {
        let Self { unfinished, path, folder } = self;
        let failed = |error| BackupError::Io { path: path.clone(), error };
        let written = File::open(&unfinished.0).and_then(|file| file.sync_all());
        written.and_then(|()| platform::rename_new(&unfinished.0, &path)).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => BackupError::Exists(path.clone()),
            _ => failed(error),
        })?;
        drop(unfinished);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// The same for a store that is used from then on: files left beside its place by a former store would be taken for
    /// its own.
    #[cfg(feature = "postgres")]
    pub(in crate::store) fn finish_store(self) -> Result<(), BackupError> {
        if fs::symlink_metadata(&self.path).is_err() {
            beside::put_aside(&self.path).map_err(|error| BackupError::Io { path: self.path.clone(), error })?;
        }
        self.finish()
    }
}
