//! Whether the open file is still the one at its path, and in the state that SQLite knows of.
//!
//! SQLite does not look. It goes on with a file that was replaced or removed, and with what it has read of one that
//! somebody copied another over: its own counter, `data_version`, tells only of what came by way of SQLite. So a glance
//! at the path, which costs a microsecond, precedes each answer and each commit.
//!
//! What may break: a copy over a file that has something in its log, which SQLite then mixes with the copy; see
//! [`mixture`](super::mixture). `restore` goes by way of SQLite, and does not have this trouble.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::mixture::salt_of;
use super::place::check_names;
use super::{beside, error_of, schema};
use crate::platform::{FileId, Status};
use crate::store::error::StoreError;
use crate::store::exposure::Weakness;

/// What a glance at the path shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Sight {
    /// The store as it was.
    Same,
    /// Another connection has written to it.
    Written,
    /// The file is not as it was, and SQLite does not know why: it has to be opened again. Perhaps only a log was
    /// merged into it.
    Touched,
    /// The same, and there is a log that may not belong to it any more: everybody in this process has to close it first.
    Suspect,
    /// Another file is at the path.
    Replaced,
}

/// What was seen of the file of an open store.
#[derive(Debug)]
pub(in crate::store) struct Watch {
    held: Held,
    status: Status,
    log_path: PathBuf,
    log: Log,
    version: i64,
}

/// What was seen of the log.
#[derive(Debug)]
enum Log {
    /// SQLite works with this one, once it is there.
    Shared(Option<FileId>),
    /// The file is read as one that nobody writes, and so neither is its log.
    Frozen(Option<Status>),
}

impl Watch {
    /// For a file that others read and write. [`Watch::begin`] follows when it is open.
    pub(super) fn of_a_shared(path: &Path) -> Result<Self, StoreError> {
        Self::new(path, Log::Shared(None))
    }

    /// For a file that is read as one that nobody writes.
    pub(super) fn of_a_frozen(path: &Path) -> Result<Self, StoreError> {
        Self::new(path, Log::Frozen(filled(&beside::log_of(path))))
    }

    fn new(path: &Path, log: Log) -> Result<Self, StoreError> {
        let status = status(path)?;
        Ok(Self { held: Held::new(path, status.id)?, status, log_path: beside::log_of(path), log, version: 0 })
    }

    /// SQLite has opened the file.
    pub(super) fn begin(&mut self, conn: &Connection) -> Result<(), StoreError> {
        self.version = number(conn, &self.held.path, DATA_VERSION)?;
        if status(&self.held.path)?.id != self.status.id {
            // It was replaced while it was opened.
            return Err(StoreError::Locked(self.held.path.clone()));
        }
        let now = self.own_log(conn);
        if let Log::Shared(log) = &mut self.log {
            *log = now;
        }
        Ok(())
    }

    /// Looks whether the store is as it was at the last look, and takes what it sees for known, if SQLite can explain
    /// it.
    ///
    /// # Errors
    /// Where there is no store any more, or one that may not be used.
    pub(in crate::store) fn look(&mut self, conn: &Connection) -> Result<Sight, StoreError> {
        let path = &self.held.path;
        let now = status(path)?;
        if now.id != self.status.id {
            return Ok(Sight::Replaced);
        }
        if now.has_other_names || now.is_mounted == Some(true) {
            check_names(path)?;
        }
        match self.log {
            Log::Frozen(_) if self.is_outdated() => return Ok(Sight::Touched),
            Log::Frozen(_) => return Ok(Sight::Same),
            Log::Shared(Some(known)) if self.log_now() != Some(known) => {
                return Err(StoreError::Insecure { path: path.clone(), weakness: Weakness::LogReplaced });
            }
            Log::Shared(Some(_)) => {}
            Log::Shared(None) => self.log = Log::Shared(self.own_log(conn)),
        }
        let path = &self.held.path;
        let version = number(conn, path, DATA_VERSION)?;
        if version == self.version {
            if now == self.status {
                return Ok(Sight::Same);
            }
            // Whether its log still belongs to it is seen by who opens it first.
            let is_suspect = filled(&self.log_path).is_some() && !self.held.suspect();
            return Ok(if is_suspect { Sight::Suspect } else { Sight::Touched });
        }
        // A newer keyward may have changed the schema under our feet.
        let (found, known) = (number(conn, path, USER_VERSION)?, schema::VERSION);
        if found > known {
            return Err(StoreError::Newer { path: path.clone(), found, known });
        }
        (self.version, self.status) = (version, now);
        Ok(Sight::Written)
    }

    /// Whether nobody else in this process has the file open.
    pub(super) fn is_first(&self) -> bool {
        self.held.is_alone()
    }

    /// Whether something was done to the file of which SQLite does not know.
    pub(in crate::store) fn is_suspect(&self) -> bool {
        Status::of(&self.held.path).ok() != Some(self.status)
    }

    /// Makes sure that the file is still the one at its path, between a look and a commit.
    ///
    /// # Errors
    /// [`StoreError::Replaced`], or where there is none.
    pub(in crate::store) fn check(&self) -> Result<(), StoreError> {
        if status(&self.held.path)?.id == self.status.id {
            Ok(())
        } else {
            Err(StoreError::Replaced(self.held.path.clone()))
        }
    }

    /// Moves what stands in the log into the file, which is not at its path any more: SQLite finds the log by the path.
    ///
    /// # Errors
    /// [`Weakness::StaleLog`], where the log is still there. Nobody may open the other file then.
    pub(in crate::store) fn take_log_along(&self, conn: &Connection) -> Result<(), StoreError> {
        let Log::Shared(Some(own)) = self.log else { return Ok(()) };
        // What came of it is seen from the file.
        let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let (path, log) = (&self.held.path, &self.log_path);
        match Status::of(log) {
            Ok(found) if found.id == own && !found.is_empty() => {
                Err(StoreError::Insecure { path: path.clone(), weakness: Weakness::StaleLog(log.clone()) })
            }
            _ => Ok(()),
        }
    }

    /// Whether somebody wrote to a file that is read as one that nobody writes. SQLite itself never looks again at one.
    pub(in crate::store) fn is_outdated(&self) -> bool {
        let Log::Frozen(log) = &self.log else { return false };
        Status::of(&self.held.path).ok() != Some(self.status) || filled(&self.log_path) != *log
    }

    /// Whether something stands in the log.
    pub(in crate::store) fn has_log(&self) -> bool {
        filled(&self.log_path).is_some()
    }

    /// What tells the present run of the log from the next; `None` for an empty one.
    pub(in crate::store) fn log_salt(&self) -> Option<i64> {
        salt_of(&self.log_path)
    }

    /// The log that SQLite works with, if it is there by now. One may lie there that belongs to nobody.
    fn own_log(&self, conn: &Connection) -> Option<FileId> {
        let has_log = |mode: String| mode == "wal";
        let uses_one = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).is_ok_and(has_log);
        self.log_now().filter(|_| uses_one)
    }

    fn log_now(&self) -> Option<FileId> {
        Status::of(&self.log_path).ok().map(|found| found.id)
    }
}

fn status(path: &Path) -> Result<Status, StoreError> {
    Status::of(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => StoreError::Missing(path.to_owned()),
        _ => StoreError::from_io(path, "opened", &error),
    })
}

/// The status of a log that something stands in. An empty one comes and goes with those who look at the store.
fn filled(log: &Path) -> Option<Status> {
    Status::of(log).ok().filter(|found| !found.is_empty())
}

/// A counter of SQLite's that moves when another connection commits.
const DATA_VERSION: &str = "PRAGMA data_version";
/// The number of the schema.
const USER_VERSION: &str = "PRAGMA user_version";

fn number(conn: &Connection, path: &Path, pragma: &str) -> Result<i64, StoreError> {
    let mut statement = conn.prepare_cached(pragma).map_err(|error| error_of(path, error))?;
    statement.query_row([], |row| row.get(0)).map_err(|error| error_of(path, error))
}

/// The files that this process has open as stores.
static OPEN: Mutex<Vec<Open>> = Mutex::new(vec![]);

struct Open {
    path: PathBuf,
    id: FileId,
    /// Whether it has to be closed before it is opened again.
    is_suspect: bool,
}

fn open() -> MutexGuard<'static, Vec<Open>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that this process has open as a store.
///
/// SQLite shares memory by the name of the file that holds it. Of two files that are open at one path, one after the
/// other, the second would be read with what is known of the first. So the first has to be closed before.
#[derive(Debug)]
struct Held {
    path: PathBuf,
    id: FileId,
}

impl Held {
    fn new(path: &Path, id: FileId) -> Result<Self, StoreError> {
        let mut open = open();
        if open.iter().any(|other| other.path == path && (other.id != id || other.is_suspect)) {
            return Err(StoreError::Locked(path.to_owned()));
        }
        open.push(Open { path: path.to_owned(), id, is_suspect: false });
        Ok(Self { path: path.to_owned(), id })
    }

    /// Whether nobody else in this process has it open.
    fn is_alone(&self) -> bool {
        open().iter().filter(|other| other.path == self.path).count() == 1
    }

    /// Has it closed by all before it is opened again, and returns whether there is nobody else.
    fn suspect(&self) -> bool {
        let mut open = open();
        let others: Vec<_> = open.iter_mut().filter(|other| other.path == self.path).collect();
        let is_alone = others.len() == 1;
        if !is_alone {
            others.into_iter().for_each(|other| other.is_suspect = true);
        }
        is_alone
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut open = open();
        if let Some(own) = open.iter().position(|other| other.path == self.path && other.id == self.id) {
            open.swap_remove(own);
        }
    }
}
