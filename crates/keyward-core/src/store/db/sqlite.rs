//! SQLite behind the seam.

#[cfg(feature = "postgres")]
mod transfer;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use super::Look;
use super::row::Row;
use super::value::Value;
use crate::store::error::{NO_MEMORY, StoreError};
use crate::store::sqlite::{Sight, Watch, bind, damage, error_of, leave_log, strange_parts};

/// An open database, and where it is.
#[derive(Debug)]
pub(in crate::store) struct Engine {
    conn: Connection,
    place: PathBuf,
    /// Dropped after the connection.
    kept: Kept,
    /// Whether the log stays as it is when the connection closes.
    leaves_log: Cell<bool>,
    /// How many rows had been changed when the transaction began.
    before: Cell<u64>,
}

/// The length in bytes from which a log is no longer left behind: some eighty uses.
const LEFT: u64 = 1 << 20;

impl Drop for Engine {
    fn drop(&mut self) {
        // An empty log is removed, and a long one too, because the next process to open the store would read all of it.
        // A log that may belong to another file is not moved into this one.
        let leaves_log = |watch: &Watch| {
            let length = watch.log_length();
            let may_stay = || length < LEFT && watch.others_can_read_log();
            watch.has_lost_log() || length > 0 && (self.leaves_log.get() && may_stay() || !watch.fits(&self.conn))
        };
        if self.watch().is_some_and(leaves_log) {
            leave_log(&self.conn, true);
        }
    }
}

/// Where the rows are.
#[derive(Debug)]
pub(in crate::store) enum Kept {
    /// In a file, with what was seen of it; or in a copy of it in memory.
    InFile(Box<Watch>),
    /// In memory.
    InMemory,
    /// Nowhere: the connection to the file is closed, and the file must be opened again.
    Nowhere,
}

impl Engine {
    pub(in crate::store) fn new(conn: Connection, place: PathBuf, kept: Kept) -> Self {
        Self { conn, place, kept, leaves_log: Cell::new(false), before: Cell::new(0) }
    }

    /// The connection itself, for what only a file has.
    pub(in crate::store) fn connection(&self) -> &Connection {
        &self.conn
    }

    /// The same, mutably.
    #[cfg(test)]
    pub(in crate::store) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.conn
    }

    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let run = || self.conn.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values));
        run().map(|rows| rows as u64).map_err(|error| self.error(error))
    }

    pub(super) fn rows(&self, sql: &str, values: &[Value<'_>], f: Look<'_>) -> Result<(), StoreError> {
        let failed = |error| self.error(error);
        let mut statement = self.conn.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            if f(&Row::new(row, &self.place)).is_break() {
                break;
            }
        }
        self.check_frozen()
    }

    pub(super) fn begin_to_write(&self) -> Result<(), StoreError> {
        self.execute("BEGIN IMMEDIATE", &[])?;
        self.before.set(self.conn.total_changes());
        Ok(())
    }

    /// Commits, and records how the file and its log belong together.
    pub(super) fn commit(&self) -> Result<(), StoreError> {
        let has_changed = self.conn.total_changes() != self.before.get();
        if let Some(watch) = self.watch().filter(|_| has_changed) {
            bind(&self.conn, watch.run()).map_err(|error| self.error(error))?;
        }
        self.execute("COMMIT", &[]).map(drop)
    }

    /// FULL: what was reported as done survives a power cut. NORMAL: it may not, but the file stays intact.
    pub(super) fn wait_for_the_disk(&self, wait: bool) -> Result<(), StoreError> {
        let level = if wait { "FULL" } else { "NORMAL" };
        self.conn.pragma_update(None, "synchronous", level).map_err(|error| self.error(error))
    }

    /// Checks whether the file is still the one at its path, and in the state that SQLite knows.
    pub(super) fn look(&mut self) -> Result<Sight, StoreError> {
        match &mut self.kept {
            Kept::InFile(watch) => watch.look(&self.conn),
            Kept::InMemory => Ok(Sight::Same),
            Kept::Nowhere => Ok(Sight::Old),
        }
    }

    /// Sets how long it waits for other processes.
    pub(in crate::store) fn wait_for(&self, patience: std::time::Duration) {
        // This fails only for a time too long to count in milliseconds; then it waits as before.
        let _ = self.conn.busy_timeout(patience);
    }

    /// What is wrong with the file as a database, if anything.
    pub(super) fn damage(&self) -> Result<Option<String>, StoreError> {
        damage(&self.conn).map_err(|error| error_of(&self.place, error))
    }

    /// Parts in it that keyward did not make, or that are missing: a trigger, an index, a column.
    pub(super) fn strange_parts(&self) -> Result<Vec<String>, StoreError> {
        strange_parts(&self.conn).map_err(|error| error_of(&self.place, error))
    }

    /// Whether the log holds anything.
    pub(in crate::store) fn has_log(&self) -> bool {
        self.watch().is_some_and(Watch::has_log)
    }

    /// Moves the content of the log into the file, if no other process prevents it.
    pub(in crate::store) fn empty_log(&self) {
        let _ = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Keeps the content of the log there when the connection closes.
    pub(in crate::store) fn leave_log(&self) {
        if let Kept::InFile(_) = self.kept {
            self.leaves_log.set(true);
        }
    }

    /// Lets a large transaction keep 24 MiB in memory before it spills into the log.
    pub(in crate::store) fn widen_cache(&self) {
        // Without it, writing is only slower.
        let _ = self.conn.pragma_update(None, "cache_size", -24 * 1024);
    }

    /// Checks that the file is still the one at its path.
    pub(super) fn check_place(&self) -> Result<(), StoreError> {
        self.watch().map_or(Ok(()), Watch::check)
    }

    /// Moves the content of the log into the file, which is no longer at its path.
    pub(in crate::store) fn take_log_along(&self) -> Result<(), StoreError> {
        self.watch().map_or(Ok(()), |watch| watch.take_log_along(&self.conn))
    }

    fn watch(&self) -> Option<&Watch> {
        if let Kept::InFile(watch) = &self.kept { Some(watch) } else { None }
    }

    /// A file opened as immutable but written by another process may have been read half before and half after that
    /// write.
    fn check_frozen(&self) -> Result<(), StoreError> {
        let is_outdated = self.watch().is_some_and(Watch::is_outdated);
        if is_outdated { Err(StoreError::Locked(self.place.clone())) } else { Ok(()) }
    }

    fn error(&self, error: rusqlite::Error) -> StoreError {
        for_want_of_memory(&self.place, error_of(&self.place, error))
    }
}

/// The same error, or what it means if the engine ran out of memory: not a bug in keyward, and temporary.
pub(in crate::store) fn for_want_of_memory(path: &Path, error: StoreError) -> StoreError {
    let StoreError::Bug(cause) = &error else { return error };
    let code = cause.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    if code != Some(rusqlite::ErrorCode::OutOfMemory) {
        return error;
    }
    StoreError::Unusable { path: path.to_owned(), verb: "read", detail: NO_MEMORY.to_owned() }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
