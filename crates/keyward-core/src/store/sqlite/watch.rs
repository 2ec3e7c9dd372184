//! Whether the open file is still the one at its path, and in the state that SQLite knows of.
//!
//! SQLite does not look. It goes on with a file that was replaced or removed, and with what it has read of one that
//! somebody copied another over: its own counter, `data_version`, tells only of what came by way of SQLite. So a glance
//! at the path, which costs a microsecond, precedes each answer and each commit. Where the file was changed and SQLite
//! has no commit to tell of, either a log was moved into it, or something else: [`binding`](super::binding) tells which.

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

/// What a glance at the path shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Sight {
    /// The store as it was.
    Same,
    /// Another connection has written to it.
    Written,
    /// The connection reads what is not there any more: it has to be opened again.
    Old,
    /// Another file is at the path, or was copied over this one: everybody in this process has to close it first.
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
    /// Where in the file its binding stands.
    page: Option<Page>,
    /// The commits of the file alone at the last look: there are never fewer.
    commits: Cell<u64>,
}

/// What was seen of the log.
#[derive(Debug)]
enum Log {
    /// SQLite works with this one and its shared memory, once they are there.
    Shared(Option<[Option<FileId>; 2]>),
    /// The file is read as one that nobody writes, and so neither is its log.
    Frozen(Option<Status>),
}

/// How often it is looked before a log is held for that of another file.
const LOOKS: u32 = 5;

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

    /// SQLite has opened the file.
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

    /// Whether the log belongs to the file, as far as can be told from here.
    pub(super) fn check_log(&mut self, conn: &Connection) -> Result<bool, StoreError> {
        self.page = Some(Page::find(conn).map_err(|error| error_of(&self.held.path, error))?);
        Ok(!self.has_log() || self.fits(conn))
    }

    /// Makes sure that the log belongs to the file, of which this is the binding.
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

    /// Whether nobody else in this process has the file open.
    pub(super) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.held) == 1
    }

    /// The error for a log that belongs to another file.
    pub(super) fn stale_log(&self) -> StoreError {
        StoreError::Insecure { path: self.held.path.clone(), weakness: Weakness::StaleLog(self.log_path.clone()) }
    }

    /// Whether what stands in the file alone may be what `conn` reads as one with the log.
    pub(in crate::store) fn fits(&self, conn: &Connection) -> bool {
        // Others may write in between, and a page may be read while it is written.
        (0..LOOKS).any(|_| self.fits_now(conn))
    }

    fn fits_now(&self, conn: &Connection) -> bool {
        let Some(page) = self.page else { return true };
        // In this order: what others commit meanwhile is in the second, and not only in the first.
        let alone = Binding::alone(&self.held.file, &page);
        let together = match Together::read(conn) {
            Ok(together) => together,
            // What SQLite knows of the pages does not hold.
            Err(error) if is_damage(&error) => return false,
            // A store whose history has no end any more has no binding either.
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
            // Another file was copied over this one, and what SQLite knows of the pages does not hold. Whether that one
            // is damaged is found by whoever opens it.
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
        // A newer keyward may have changed the schema under our feet.
        let (found, known) = (number(conn, path, USER_VERSION)?, schema::VERSION);
        if found > known {
            return Err(StoreError::Newer { path: path.clone(), found, known });
        }
        if self.page.is_some() {
            // Nobody but another program moves the page.
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
        if status(&self.held.path).is_ok_and(|now| now.id == self.status.id) {
            // Something was copied over the file, and what stands in the log is worth nothing with that.
            return if self.has_log() { Err(self.stale_log()) } else { Ok(()) };
        }
        if !self.fits(conn) {
            // It is that of the other file by now.
            return Ok(());
        }
        // What came of it is seen from the file.
        let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        match Status::of(&self.log_path) {
            Ok(found) if own[0] == Some(found.id) && !found.is_empty() => Err(self.stale_log()),
            _ => Ok(()),
        }
    }

    /// Whether somebody wrote to a file that is read as one that nobody writes. SQLite itself never looks again at one.
    pub(in crate::store) fn is_outdated(&self) -> bool {
        let Log::Frozen(log) = &self.log else { return false };
        Status::of(&self.held.path).ok() != Some(self.status) || filled(&self.log_path) != *log
    }

    /// How long the log is, in bytes.
    pub(in crate::store) fn log_length(&self) -> u64 {
        Status::of(&self.log_path).map_or(0, |found| found.size())
    }

    /// Whether something stands in the log.
    pub(in crate::store) fn has_log(&self) -> bool {
        self.log_length() > 0
    }

    /// Whether whoever can read the store can read what is beside it as well; it is seen to, where that is possible.
    pub(in crate::store) fn others_can_read_log(&self) -> bool {
        let Ok(store) = self.held.file.metadata() else { return false };
        [&self.log_path, &self.shared_path].into_iter().all(|file| platform::give_access_of(&store, file).is_ok())
    }

    /// Which run of the log this is.
    pub(in crate::store) fn run(&self) -> Run {
        Run::of(&self.log_path)
    }

    /// The log that SQLite works with, if it is there by now. One may lie there that belongs to nobody.
    fn own_log(&self, conn: &Connection) -> Option<[Option<FileId>; 2]> {
        let has_log = |mode: String| mode == "wal";
        let uses_one = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).is_ok_and(has_log);
        let now = self.log_now();
        (uses_one && now[0].is_some()).then_some(now)
    }

    fn log_now(&self) -> [Option<FileId>; 2] {
        [&self.log_path, &self.shared_path].map(|path| Status::of(path).ok().map(|found| found.id))
    }

    /// Whether the log, or the memory that is shared with it, was removed or replaced: others use other ones by now.
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
static OPEN: Mutex<Vec<Weak<Held>>> = Mutex::new(vec![]);

/// A file that this process has open as a store, once for all of its connections.
///
/// SQLite shares memory by the name of the file that holds it. Of two files that are open at one path, one after the
/// other, the second would be read with what is known of the first. So the first has to be closed before.
#[derive(Debug)]
struct Held {
    path: PathBuf,
    id: FileId,
    /// To read the file past SQLite. It stays open for as long as any connection does: when it is closed, the system
    /// drops all locks that the process has on the file.
    file: File,
    /// Whether it has to be closed by all before it is opened again.
    is_given_up: AtomicBool,
}

impl Held {
    fn of(path: &Path) -> Result<Arc<Self>, StoreError> {
        let mut open: MutexGuard<'_, _> = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|other| other.strong_count() > 0);
        let same: Vec<_> = open.iter().filter_map(Weak::upgrade).filter(|other| other.path == path).collect();
        let id = status(path)?.id;
        if let Some(other) = same.first() {
            // Several are there only where one of them is given up.
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
