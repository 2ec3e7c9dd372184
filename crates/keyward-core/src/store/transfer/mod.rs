//! A whole store in another place: copied, moved, or backed up from a server into a file.
//!
//! The rows are copied byte for byte: hashes of secrets, row numbers and public ids, the history with its hashes,
//! usage, settings. The store keeps its identity. The source is read under its lock; everything is written in one
//! transaction of the target, read back inside it and compared. [`tables`] says what is copied and what is not.
//!
//! # A move
//!
//! 1. The source is marked as on its way: from then on it refuses changes and verification.
//! 2. It is locked and copied, and the target is committed with one more event in its history, `store.move`.
//! 3. Under the same lock the source is marked as moved.
//!
//! A kill in between leaves a source that can only be read, and a target that is empty or complete. Repeating the move
//! finds out which, and continues from there. A failed move removes its mark if certainly nothing was committed in the
//! target.
//!
//! What may break: both places could be written to. So the mark is set before anything is copied, and removed only
//! under the lock.

mod moving;
mod rows;
mod tables;
mod target;

use std::path::{Path, PathBuf};

use super::db::Conn;
use super::error::StoreError;
use super::history::{EMPTY, Head};
use super::sqlite::backup::{BackupError, BackupReport, look_through};
use super::sqlite::new_file::NewFile;
use super::view::View;
use super::{Stamp, Store, sqlite};
use rows::Counts;
pub use target::Place;
use target::{State, Target};

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// The number of rows in each table.
    pub tables: Vec<(&'static str, u64)>,
    /// The end of the history in the new place.
    pub head: Head,
    /// Whether it was there already, from an earlier move that got so far.
    pub was_there: bool,
}

/// Why a store was not copied, or not moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store to be copied failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The target failed.
    #[error(transparent)]
    Target(StoreError),
    /// The target already holds a store, or something else.
    #[error("{} is not empty", .0.display())]
    Used(PathBuf),
    /// The target is the store itself.
    #[error("{} is the store itself", .0.display())]
    Itself(PathBuf),
    /// The file cannot be written.
    #[error("{} cannot be written: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// What was read back is not what was written. Nothing was committed.
    #[error("what arrived in {} is not what was sent: {detail}", .path.display())]
    Differs {
        /// The target.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The move got as far as the commit of the target, but whether that was made is unknown. The store is marked as on
    /// its way; repeating the move finds out.
    #[error("nobody knows whether {} has the store: {error}", .path.display())]
    Unknown {
        /// The target.
        path: PathBuf,
        /// Why it cannot be asked.
        error: StoreError,
    },
    /// The store was moved, but its former place could not be marked as moved: it is still marked as on its way.
    /// Repeating the move does the rest.
    #[error("the store is at {} now, but its former place does not say so yet: {error}", .path.display())]
    Unmarked {
        /// The new place.
        path: PathBuf,
        /// Why not.
        error: StoreError,
    },
}

impl From<BackupError> for TransferError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => Self::Target(error),
            BackupError::Io { path, error } => Self::Io { path, error },
            BackupError::Exists(path) => Self::Used(path),
            BackupError::Unsound(detail) => Self::Differs { path: PathBuf::new(), detail },
        }
    }
}

impl Store {
    /// Copies the whole store to an empty place: a path where nothing exists, or a database with a new, unused store.
    /// No one can change the store meanwhile.
    ///
    /// # Errors
    /// [`TransferError`] says which of the many reasons it is. The target is unchanged then.
    pub fn copy_to(&self, place: &Place, stamp: Stamp<'_>) -> Result<Copied, TransferError> {
        let done = self.copy_rows(place, stamp);
        self.conn.wait_for(self.patience);
        done
    }

    fn copy_rows(&self, place: &Place, stamp: Stamp<'_>) -> Result<Copied, TransferError> {
        place.check_other(self)?;
        self.check_may_transfer(stamp)?;
        let target = Target::open(place, stamp.now)?;
        let source = View::to_copy(&self.conn, !self.is_read_only())?;
        if target.state(source.conn())? != State::Empty {
            return Err(TransferError::Used(place.name()));
        }
        let tables = target.fill(source.conn(), EMPTY, |_| Ok(()))?;
        let head = source.head()?;
        target.finish()?;
        Ok(Copied { tables, head, was_there: false })
    }

    /// Only a user who may govern the whole store may move it elsewhere.
    fn check_may_transfer(&self, stamp: Stamp<'_>) -> Result<(), StoreError> {
        Ok(self.view()?.authority(stamp.actor)?.govern("store as a whole")?)
    }
}

/// Writes a copy of the store behind `conn` into a file, which must not exist, while others read and write.
pub(super) fn back_up(conn: &Conn, path: &Path) -> Result<BackupReport, BackupError> {
    let file = NewFile::begin(path)?;
    let source = View::to_copy(conn, false)?;
    into_file(source.conn(), file)
}

/// The same from a transaction that is open.
pub(super) fn into_file(source: &Conn, file: NewFile) -> Result<BackupReport, BackupError> {
    let target = Conn::new(sqlite::fresh(file.unfinished(), jiff::Timestamp::UNIX_EPOCH)?);
    let filling = View::to_fill(&target)?;
    target::clear(&target, EMPTY)?;
    // A store with a broken history is worth copying too; a check of the history reports that.
    rows::copy(source, &target, EMPTY.seq, false).map_err(|error| match error {
        TransferError::Store(error) => BackupError::Store(error),
        TransferError::Target(StoreError::Unusable { path, detail, .. }) => {
            BackupError::Io { path, error: std::io::Error::other(detail) }
        }
        error => BackupError::Unsound(error.to_string()),
    })?;
    filling.commit()?;
    // Closing the last connection leaves a single file.
    drop(target);
    let copied = look_through(file.unfinished())?;
    file.finish()?;
    Ok(copied)
}

/// Replaces everything in the open transaction of `target` with the store behind `source`. The events up to `known` are
/// the same in both. Afterwards `target` has the identity of `source`.
pub(super) fn replace(source: &Conn, target: &Conn, known: Head) -> Result<(), StoreError> {
    target::clear(target, known)?;
    rows::copy(source, target, known.seq, true).map(drop).map_err(|error| match error {
        TransferError::Store(error) | TransferError::Target(error) => error,
        error => StoreError::Corrupt { path: target.place().to_owned(), detail: error.to_string() },
    })
}
