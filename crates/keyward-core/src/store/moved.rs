//! The mark of a store that was moved to another place: from then on it is only read.
//!
//! What may break: someone keeps writing to the former place, or verifies with it, where a key revoked in the new place
//! still works. So the mark is stored with the end of the history and read together with it: when a store is opened for
//! changes or verification, within each change, and whenever a service checks its store. A service notices a new mark
//! at its next check, because the mark changes what the check compares.

use std::path::{Path, PathBuf};

use super::continuity::Known;
use super::db::{Conn, End, Row};
use super::error::StoreError;
use super::history;

/// Where a store went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    /// The path of a file, or the URL of a server without its password, and without parameters but the
    /// schema.
    pub(super) target: PathBuf,
    /// Whether it has arrived. Until then it is on its way.
    pub(super) is_done: bool,
}

impl Moved {
    /// Reads `moved_to` and `is_moved` of a row, from this column on.
    pub(super) fn read(row: &Row<'_>, column: usize) -> Result<Option<Self>, StoreError> {
        let target = row.optional_text(column)?;
        target.map(|target| Ok(Self { target: target.into(), is_done: row.flag(column + 1)? })).transpose()
    }

    /// The error for a command that needs more than to read the store at `path`.
    pub(super) fn refusal(&self, path: &Path) -> StoreError {
        StoreError::Moved { path: path.to_owned(), target: self.target.clone(), is_done: self.is_done }
    }
}

/// The identity of the store, the end of its history, and where it was moved to, if it was.
pub(super) fn identity(conn: &Conn) -> Result<(Known, Option<Moved>), StoreError> {
    if let Some(End { moved, .. }) = conn.held() {
        return Ok((history::identity(conn)?, moved));
    }
    let read = |row: &Row<'_>| Ok((history::identity_in(row)?, Moved::read(row, 3)?));
    let found = conn.optional("SELECT store_id, seq, hash, moved_to, is_moved FROM history_head", &[], read)?;
    Ok(found.map_or((None, None), |(identity, moved)| (Some(identity), moved)))
}

/// Marks the store in the open transaction.
#[cfg(feature = "postgres")]
pub(super) fn set(conn: &Conn, moved: &Moved) -> Result<(), StoreError> {
    let target = moved.target.to_string_lossy();
    let set = "UPDATE history_head SET moved_to = ?1, is_moved = ?2";
    conn.change_one(set, &[target.as_ref().into(), moved.is_done.into()])
}

/// Removes the mark in the open transaction.
pub(super) fn clear(conn: &Conn) -> Result<(), StoreError> {
    conn.change_one("UPDATE history_head SET moved_to = NULL, is_moved = 0", &[])
}
