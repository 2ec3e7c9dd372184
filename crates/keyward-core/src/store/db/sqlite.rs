//! SQLite behind the seam.

use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use super::row::Row;
use super::value::Value;
use crate::store::error::{NO_MEMORY, StoreError};
use crate::store::sqlite::{Frozen, error_of};

/// An open database, and where it is.
#[derive(Debug)]
pub(in crate::store) struct Engine {
    conn: Connection,
    place: PathBuf,
    /// What the file was, where it is read as one that nobody writes.
    frozen: Option<Frozen>,
}

impl Engine {
    pub(in crate::store) fn new(conn: Connection, place: PathBuf, frozen: Option<Frozen>) -> Self {
        Self { conn, place, frozen }
    }

    /// The connection itself, for what only a file has.
    pub(in crate::store) fn connection(&self) -> &Connection {
        &self.conn
    }

    /// The same, to be watched.
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

    pub(super) fn each<E: From<StoreError>>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut f: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |error| E::from(self.error(error));
        let mut statement = self.conn.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            f(&Row::new(row, &self.place))?;
        }
        Ok(self.check_frozen()?)
    }

    pub(super) fn optional<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        f: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let failed = |error| self.error(error);
        let mut statement = self.conn.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(failed)?;
        let found = rows.next().map_err(failed)?.map(|row| f(&Row::new(row, &self.place))).transpose()?;
        self.check_frozen()?;
        Ok(found)
    }

    pub(super) fn begin_to_write(&self) -> Result<(), StoreError> {
        self.execute("BEGIN IMMEDIATE", &[]).map(drop)
    }

    /// FULL: what was reported as done survives a power cut. NORMAL: it may not, and the file stays sound.
    pub(super) fn wait_for_the_disk(&self, wait: bool) -> Result<(), StoreError> {
        let level = if wait { "FULL" } else { "NORMAL" };
        self.conn.pragma_update(None, "synchronous", level).map_err(|error| self.error(error))
    }

    pub(super) fn version(&self) -> Result<i64, StoreError> {
        self.optional("PRAGMA data_version", &[], |row| row.integer(0)).map(Option::unwrap_or_default)
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.frozen.as_ref().is_some_and(|frozen| frozen.is_outdated(&self.place))
    }

    /// A file that was taken for one that nobody writes, and to which somebody wrote after all, may have been read half
    /// before and half after.
    fn check_frozen(&self) -> Result<(), StoreError> {
        if self.is_outdated() { Err(StoreError::Locked(self.place.clone())) } else { Ok(()) }
    }

    fn error(&self, error: rusqlite::Error) -> StoreError {
        for_want_of_memory(&self.place, error_of(&self.place, error))
    }
}

/// The same error, or what it means where the engine found no memory: no mistake of keyward's, and passing.
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
