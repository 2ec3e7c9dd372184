//! Whether the log beside a file is the log of this file.
//!
//! SQLite takes any log that lies there for the right one, and reads what is in both as one store. Where somebody put
//! another file at the path while a program had the former one open, or beside a log that was left behind, pages of two
//! files are mixed, and a key that was disabled may work again. So each commit writes down which file it is for, how
//! many commits there were, and how many when the log was begun. What the file has of that alone has to fit to what file
//! and log have together.
//!
//! What may break: a copy of the file alone, made by hand after the present log was begun and put back while there is
//! something in the log. A copy by `backup` is another file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rusqlite::Connection;

use super::connection::{connect_immutable, harden};
use super::{beside, error_of};
use crate::store::error::StoreError;
use crate::store::exposure::Weakness;

/// What tells one run of a log from the next: its salt, in bytes 16 to 24 (file format of SQLite, 4.1). `None` for an
/// empty log.
pub(in crate::store) fn salt_of(log: &Path) -> Option<i64> {
    let mut header = [0; 24];
    File::open(log).and_then(|mut file| file.read_exact(&mut header)).ok()?;
    header[16..].try_into().ok().map(i64::from_be_bytes)
}

/// The statement by which a commit tells how the file and its log belong together, from the salt of the log.
///
/// An empty log begins with this commit. One with another salt was begun anew by the commit before, in the same place.
pub(in crate::store) const BIND_LOG: &str = "
    UPDATE history_head SET
        log_base = CASE WHEN ?1 IS NULL THEN commits WHEN log_salt IS NOT ?1 THEN max(commits - 1, 0) ELSE log_base END,
        log_salt = ?1, commits = commits + 1";

/// What the last commit wrote down: the file, how many commits there were, and how many when the log was begun.
pub(super) struct Binding {
    file: String,
    commits: i64,
    log_base: i64,
}

impl Binding {
    fn read(conn: &Connection) -> rusqlite::Result<Self> {
        conn.query_row("SELECT file_id, commits, log_base FROM history_head", [], |row| {
            Ok(Self { file: row.get(0)?, commits: row.get(1)?, log_base: row.get(2)? })
        })
    }

    /// That of the file at `path`, as if there were no log. `None` where it cannot be told: a file that is new, or of an
    /// older schema, has none.
    ///
    /// Nobody in this process may have the file open: SQLite opens it here without locks, and when it is closed again,
    /// the system drops those that the process has on it.
    pub(super) fn of_the_file_alone(path: &Path) -> Option<Self> {
        Self::read(&connect_immutable(path).ok()?).ok()
    }

    /// Makes sure that the log belongs to the file at `path`, of which this is the binding. `shared` reads both, and is set
    /// up for that.
    ///
    /// # Errors
    /// [`Weakness::StaleLog`], or where it cannot be read.
    pub(super) fn check(&self, shared: &Connection, path: &Path) -> Result<(), StoreError> {
        match harden(shared).and_then(|()| Self::read(shared)).map_err(|error| error_of(path, error)) {
            Ok(both) if self.file == both.file && (both.log_base..=both.commits).contains(&self.commits) => {
                return Ok(());
            }
            // What can be read, and only without the log, is not damaged.
            Ok(_) | Err(StoreError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
        Err(StoreError::Insecure { path: path.to_owned(), weakness: Weakness::StaleLog(beside::log_of(path)) })
    }
}
