//! Whether the log beside a file is the log of this file.
//!
//! SQLite takes any log that lies there for the right one, and reads what is in both as one store. Where somebody put
//! another file at the path while a program had the former one open, or after one was killed, pages of two stores are
//! mixed, and a key that was disabled may work again. The history tells: what the file knows of it alone has to be where
//! the history once was that file and log have together, with no row missing in between.
//!
//! What may break: a change that the history does not tell of, such as a use.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::connection::connect_immutable;
use super::error_of;
use crate::store::error::StoreError;

/// The schema from which on a store has an identity.
const WITH_IDENTITY: i64 = 4;

/// Makes sure that the log, which is not empty, belongs to the file at `path`.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn check_log(shared: &Connection, path: &Path) -> Result<(), StoreError> {
    match is_mixed(shared, path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::Corrupt {
            path: path.to_owned(),
            detail: "the log beside it belongs to another file, which was at this path before".to_owned(),
        }),
        // The file alone may not be a store yet: it has all of it in the log. And it may be damaged, as may any.
        Err(_) if shared.query_row("SELECT seq FROM history_head", [], |_| Ok(())).is_ok() => Ok(()),
        Err(error) => Err(error_of(path, error)),
    }
}

fn is_mixed(shared: &Connection, path: &Path) -> rusqlite::Result<bool> {
    // As if there were no log. It is read in one piece: the end of the history stands on one page.
    let alone = connect_immutable(path).map_err(|_| rusqlite::Error::InvalidQuery)?;
    let head = |conn: &Connection| {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?));
        conn.query_row("SELECT seq, hash FROM history_head", [], read).optional()
    };
    let Some((from, hash)) = head(&alone)? else { return Ok(false) };
    let tx = shared.unchecked_transaction()?;
    let Some((to, _)) = head(&tx)? else { return Ok(false) };
    let schema = |conn: &Connection| conn.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    if schema(&alone)? >= WITH_IDENTITY && schema(&tx)? >= WITH_IDENTITY {
        let own: String = alone.query_row("SELECT store_id FROM history_head", [], |row| row.get(0))?;
        let same = "SELECT store_id IS ?1, former_id IS ?1 FROM history_head";
        let (is_same, was_restored): (bool, bool) = tx.query_row(same, [&own], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if !is_same {
            return Ok(!was_restored);
        }
    }
    if from == 0 {
        return Ok(false);
    }
    let there = "SELECT count(*), coalesce(max(CASE WHEN seq = ?1 THEN hash = ?2 END), 0) FROM history WHERE seq >= ?1";
    let (rows, is_there): (i64, bool) = tx.query_row(there, (from, hash), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(!is_there || rows.checked_add(from) != to.checked_add(1))
}
