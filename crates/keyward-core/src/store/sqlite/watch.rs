//! Whether the open file is still the one at its path, and in the state that SQLite knows.
//!
//! SQLite does not check. It continues with a file that was replaced or removed, and with what it had read before
//! another file was copied over it: its own counter, `data_version`, reports only changes made through SQLite. So a
//! check of the path, which costs a microsecond, precedes each answer and each commit. If the file changed without a
//! commit by SQLite, either a log was moved into it or something else happened: [`binding`](super::binding) tells
//! which.

use std::cell::Cell;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rusqlite::{Connection, ErrorCode};

use super::binding::{Binding, Page, Run, Together};
use super::place::check_names;
use super::{beside, error_of, schema};
use crate::platform::{self, FileId, Status};
use crate::store::error::StoreError;
use crate::store::exposure::Weakness;

/// The result of a check of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Sight {
    /// The store is unchanged.
    Same,
    /// Another connection has written to it.
    Written,
    /// The connection reads outdated data: it must be opened again.
    Old,
    /// Another file is at the path, or was copied over this one: every connection in this process must be closed first.
    Replaced,
}

/// What was seen of the file of an open store.
#[derive(Debug)]
pub(in crate::store) struct Watch {
    held: Arc<Held>,
    status: Status,
    log_path: PathBuf,
    shared_path: PathBuf,
    log: Log,
    version: i64,
    /// The page of the file that holds its binding.
    page: Option<Page>,
    /// The commits of the file itself at the last check: there are never fewer.
    commits: Cell<u64>,
}

/// What was seen of the log.
#[derive(Debug)]
enum Log {
    /// SQLite works with this one and its shared memory, once they are there.
    Shared(Option<[Option<FileId>; 2]>),
    /// The file is read as one that no one writes, so its log must not change either.
    Frozen(Option<Status>),
}

/// How often to check before a log is taken to belong to another file.
const LOOKS: u32 = 5;

impl Watch {
    /// For a file that others read and write. [`Watch::begin`] follows when it is open.
    pub(super) fn of_a_shared(path: &Path) -> Result<Self, StoreError> {
        Self::new(path, Log::Shared(None))
    }

    /// For a file that is read as one that no one writes.
    pub(super) fn of_a_frozen(path: &Path) -> Result<Self, StoreError> {
        Self::new(path, Log::Frozen(filled(&beside::log_of(path))))
    }

    fn new(path: &Path, log: Log) -> Result<Self, StoreError> {
        let held = Held::of(path)?;
        let status = Status::of_file(&held.file).map_err(|error| StoreError::from_io(path, "opened", &error))?;
        Ok(Self {
            held,
            status,
            log_path: beside::log_of(path),
            shared_path: beside::shared_of(path),
            log,
            version: 0,
            page: None,
            commits: Cell::new(0),
        })
    }

    /// Called when SQLite has opened the file.
    pub(super) fn begin(&mut self, conn: &Connection) -> Result<(), StoreError> {
        self.version = number(conn, &self.held.path, DATA_VERSION)?;
        if status(&self.held.path)?.id != self.status.id {
            // It was replaced while it was opened.
            return Err(StoreError::Locked(self.held.path.clone()));
        }
        self.log = Log::Shared(self.own_log(conn));
        if self.page.is_none() {
            self.page = Page::find(conn).ok();
            self.fits(conn);
        }
        Ok(())
    }

    /// Whether the log belongs to the file, as far as can be known here.
    pub(super) fn check_log(&mut self, conn: &Connection) -> Result<bool, StoreError> {
        self.page = Some(Page::find(conn).map_err(|error| error_of(&self.held.path, error))?);
        Ok(!self.has_log() || self.fits(conn))
    }

    /// Checks that the log belongs to the file with this binding.
    ///
    /// # Errors
    /// [`Weakness::StaleLog`].
    pub(super) fn check_with(&self, conn: &Connection, alone: Option<Binding>) -> Result<(), StoreError> {
        let (Some(alone), Ok(together)) = (alone, Together::read(conn)) else { return Err(self.stale_log()) };
        if !together.binding.fits(&alone, &together.possible(self.run())) {
            return Err(self.stale_log());
        }
        self.commits.set(alone.commits);
        Ok(())
    }

    /// Whether this process has the file open only here.
    pub(super) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.held) == 1
    }

    /// The error for a log that belongs to another file.
    pub(super) fn stale_log(&self) -> StoreError {
        StoreError::Insecure { path: self.held.path.clone(), weakness: Weakness::StaleLog(self.log_path.clone()) }
    }

    /// Whether the binding in the file fits what `conn` reads from the file and log together.
    pub(in crate::store) fn fits(&self, conn: &Connection) -> bool {
        // Others may write in between, and a page may be read while it is written.
        (0..LOOKS).any(|_| self.fits_now(conn))
    }

    fn fits_now(&self, conn: &Connection) -> bool {
        let Some(page) = self.page else { return true };
        // In this order: commits made meanwhile are then in the second, never only in the first.
        let alone = Binding::alone(&self.held.file, &page);
        let together = match Together::read(conn) {
            Ok(together) => together,
            // What SQLite knows of the pages is out of date.
            Err(error) if is_damage(&error) => return false,
            // A store whose history has lost its end has no binding either.
            Err(_) => return true,
        };
        let known = self.commits.get();
        let Some(alone) = alone.filter(|alone| alone.commits >= known) else { return false };
        let fits = together.binding.fits(&alone, &together.possible(self.run()));
        if fits {
            self.commits.set(alone.commits);
        }
        fits
    }

    /// Checks whether the store has changed since the last check, and accepts what it sees if SQLite can explain it.
    ///
    /// # Errors
    /// If the store is gone or must not be used.
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
            Log::Frozen(_) if self.is_outdated() => return Ok(Sight::Old),
            Log::Frozen(_) => return Ok(Sight::Same),
            Log::Shared(Some(_)) if self.has_lost_log() => {
                return Err(StoreError::Insecure { path: path.clone(), weakness: Weakness::LogReplaced });
            }
            Log::Shared(Some(_)) => {}
            Log::Shared(None) => self.log = Log::Shared(self.own_log(conn)),
        }
        let path = &self.held.path;
        let version = match number(conn, path, DATA_VERSION) {
            // Another file was copied over this one, and what SQLite knows of the pages is out of date. Opening the new
            // file shows whether it is damaged.
            Err(StoreError::Corrupt { .. }) if now != self.status => {
                self.held.give_up();
                return Ok(Sight::Replaced);
            }
            version => version?,
        };
        if version == self.version {
            if now == self.status {
                return Ok(Sight::Same);
            }
            // Only a log was moved into it, or it was touched.
            if self.page.is_some() && self.fits(conn) {
                self.status = now;
                return Ok(Sight::Same);
            }
            self.held.give_up();
            return Ok(Sight::Replaced);
        }
        // A newer keyward may have upgraded the schema meanwhile.
        let (found, known) = (number(conn, path, USER_VERSION)?, schema::VERSION);
        if found > known {
            return Err(StoreError::Newer { path: path.clone(), found, known });
        }
        if self.page.is_some() {
            // Only another program moves the page.
            self.page = Page::find(conn).ok();
        }
        // Something may have been copied over the file before others wrote to it.
        if now != self.status && !self.fits(conn) {
            self.held.give_up();
            return Ok(Sight::Replaced);
        }
        (self.version, self.status) = (version, now);
        Ok(Sight::Written)
    }

    /// Checks that the file is still the one at its path, between a full check and a commit.
    ///
    /// # Errors
    /// [`StoreError::Replaced`], or another error if there is none.
    pub(in crate::store) fn check(&self) -> Result<(), StoreError> {
        if status(&self.held.path)?.id == self.status.id {
            Ok(())
        } else {
            Err(StoreError::Replaced(self.held.path.clone()))
        }
    }

    /// Moves the content of the log into the file, which is no longer at its path: SQLite finds the log by the path.
    ///
    /// # Errors
    /// [`Weakness::StaleLog`], if the log is still there. The other file must not be opened then.
    pub(in crate::store) fn take_log_along(&self, conn: &Connection) -> Result<(), StoreError> {
        let Log::Shared(Some(own)) = self.log else { return Ok(()) };
        if status(&self.held.path).is_ok_and(|now| now.id == self.status.id) {
            // Another file was copied over this one, and the content of the log is useless with that.
            return if self.has_log() { Err(self.stale_log()) } else { Ok(()) };
        }
        if !self.fits(conn) {
            // It belongs to the other file by now.
            return Ok(());
        }
        // The file shows whether it worked.
        let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        match Status::of(&self.log_path) {
            Ok(found) if own[0] == Some(found.id) && !found.is_empty() => Err(self.stale_log()),
            _ => Ok(()),
        }
    }

    /// Whether a file that is read as immutable was written meanwhile. SQLite itself never checks.
    pub(in crate::store) fn is_outdated(&self) -> bool {
        let Log::Frozen(log) = &self.log else { return false };
        Status::of(&self.held.path).ok() != Some(self.status) || filled(&self.log_path) != *log
    }

    /// The length of the log in bytes.
    pub(in crate::store) fn log_length(&self) -> u64 {
        Status::of(&self.log_path).map_or(0, |found| found.size())
    }

    /// Whether the log holds anything.
    pub(in crate::store) fn has_log(&self) -> bool {
        self.log_length() > 0
    }

    /// Whether everyone who can read the store can read the files beside it too; sets that right if possible.
    pub(in crate::store) fn others_can_read_log(&self) -> bool {
        let Ok(store) = self.held.file.metadata() else { return false };
        [&self.log_path, &self.shared_path].into_iter().all(|file| platform::give_access_of(&store, file).is_ok())
    }

    /// Which run of the log this is.
    pub(in crate::store) fn run(&self) -> Run {
        Run::of(&self.log_path)
    }

    /// The log that SQLite uses, if it exists by now. A stray log may be there too.
    fn own_log(&self, conn: &Connection) -> Option<[Option<FileId>; 2]> {
        let has_log = |mode: String| mode == "wal";
        let uses_one = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).is_ok_and(has_log);
        let now = self.log_now();
        (uses_one && now[0].is_some()).then_some(now)
    }

    fn log_now(&self) -> [Option<FileId>; 2] {
        [&self.log_path, &self.shared_path].map(|path| Status::of(path).ok().map(|found| found.id))
    }

    /// Whether the log, or its shared memory, was removed or replaced: others now use different ones.
    pub(in crate::store) fn has_lost_log(&self) -> bool {
        matches!(self.log, Log::Shared(Some(known)) if self.log_now() != known)
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn status(path: &Path) -> Result<Status, StoreError> {
    Status::of(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => StoreError::Missing(path.to_owned()),
        _ => StoreError::from_io(path, "opened", &error),
    })
}

/// The status of a log that is not empty. An empty one comes and goes with readers of the store.
fn filled(log: &Path) -> Option<Status> {
    Status::of(log).ok().filter(|found| !found.is_empty())
}

/// An SQLite counter that moves when another connection commits.
const DATA_VERSION: &str = "PRAGMA data_version";
/// The number of the schema.
const USER_VERSION: &str = "PRAGMA user_version";

fn number(conn: &Connection, path: &Path, pragma: &str) -> Result<i64, StoreError> {
    let mut statement = conn.prepare_cached(pragma).map_err(|error| error_of(path, error))?;
    statement.query_row([], |row| row.get(0)).map_err(|error| error_of(path, error))
}

/// The files that this process has open as stores.
static OPEN: Mutex<Vec<Weak<Held>>> = Mutex::new(vec![]);

/// A file that this process has open as a store, once for all of its connections.
///
/// SQLite shares memory by the name of the file that holds it. If two files were open in turn at one path, the second
/// would be read with what is known of the first. So the first must be closed before.
#[derive(Debug)]
struct Held {
    path: PathBuf,
    id: FileId,
    /// For reading the file without SQLite. It stays open as long as any connection: when it is closed, the system
    /// drops all locks of the process on the file.
    file: File,
    /// Whether all connections must close it before it is opened again.
    is_given_up: AtomicBool,
}

impl Held {
    fn of(path: &Path) -> Result<Arc<Self>, StoreError> {
        let mut open: MutexGuard<'_, _> = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|other| other.strong_count() > 0);
        let same: Vec<_> = open.iter().filter_map(Weak::upgrade).filter(|other| other.path == path).collect();
        let id = status(path)?.id;
        if let Some(other) = same.first() {
            // There are several only if one of them is given up.
            let is_good = other.id == id && !other.is_given_up.load(Ordering::SeqCst);
            return if is_good { Ok(Arc::clone(other)) } else { Err(StoreError::Locked(path.to_owned())) };
        }
        let failed = |error: std::io::Error| StoreError::from_io(path, "opened", &error);
        let file = platform::open_to_read(path).map_err(failed)?;
        let id = Status::of_file(&file).map_err(failed)?.id;
        let held = Arc::new(Self { path: path.to_owned(), id, file, is_given_up: AtomicBool::new(false) });
        open.push(Arc::downgrade(&held));
        Ok(held)
    }

    fn give_up(&self) {
        self.is_given_up.store(true, Ordering::SeqCst);
    }
}
