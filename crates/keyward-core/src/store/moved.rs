//! The mark of a store that was moved to another place: from then on it is only read.
//!
//! What may break: somebody goes on writing to the former place, or verifies by it, where a key that is revoked in the new
//! one still works. So the mark is read with the end of the history, in one statement: by everyone who opens a store to change it
//! or to verify, within each change, and at each look of a service at its store. A mark that is set while a service runs
//! is seen at its next look, because it changes what a look compares.

use std::path::PathBuf;

use super::continuity::Known;
use super::db::{Conn, Row};
use super::error::StoreError;
use super::history;

/// Where a store went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    /// The path of a file, or the URL of a server without password and parameters.
    pub(super) target: PathBuf,
    /// Whether it is there. Until then it is on its way.
    pub(super) is_done: bool,
}

/// Which store it is, the end of its history, and where it was moved to, if it was.
pub(super) fn identity(conn: &Conn) -> Result<(Known, Option<Moved>), StoreError> {
    let read = |row: &Row<'_>| {
        let moved = match row.optional_text(3)? {
            Some(target) => Some(Moved { target: target.into(), is_done: row.flag(4)? }),
            None => None,
        };
        Ok((history::identity_in(row)?, moved))
    };
    let select = "SELECT h.store_id, h.seq, h.hash, m.target, m.is_done
                    FROM history_head h LEFT JOIN moved m ON m.one = h.one";
    Ok(conn.optional(select, &[], read)?.map_or((None, None), |(identity, moved)| (Some(identity), moved)))
}

/// Marks the store in the open transaction.
#[cfg(feature = "postgres")]
pub(super) fn set(conn: &Conn, moved: &Moved) -> Result<(), StoreError> {
    conn.execute(
        "INSERT INTO moved (one, target, is_done) VALUES (1, ?1, ?2)
         ON CONFLICT (one) DO UPDATE SET target = excluded.target, is_done = excluded.is_done",
        &[moved.target.to_string_lossy().as_ref().into(), moved.is_done.into()],
    )
    .map(drop)
}

/// Takes the mark away in the open transaction.
pub(super) fn clear(conn: &Conn) -> Result<(), StoreError> {
    conn.execute("DELETE FROM moved", &[]).map(drop)
}

impl Moved {
    /// The error for who wants more than to read the store at `path`.
    pub(super) fn refusal(&self, path: &std::path::Path) -> StoreError {
        StoreError::Moved { path: path.to_owned(), target: self.target.clone(), is_done: self.is_done }
    }
}
