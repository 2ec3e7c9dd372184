//! A copy of the store, made while others read and write.
//!
//! `VACUUM INTO` reads one snapshot in one transaction, so the copy shows one moment, and writers do not wait for it.
//! The copy is a single file without a log. It is written under another name, checked like a store, and only then gets
//! its own name.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::new_file::NewFile;
use super::{ANOTHER_FILE, error_of, integrity, schema};
use crate::store::db::{Conn, Kept, Sqlite};
use crate::store::error::StoreError;
use crate::store::history::{self, ChainCheck};

/// What was found in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// How many keys it holds.
    pub keys: u64,
    /// How many events its history has.
    pub events: u64,
    /// How large it is, in bytes.
    pub bytes: u64,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file exists already.
    #[error("{} already exists", .0.display())]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("{} cannot be written: {error}", .path.display())]
    Io {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The store or the copy is damaged.
    #[error("the store, or the copy, is not sound: {0}")]
    Unsound(String),
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes a copy to `path`, which must not exist.
pub(in crate::store) fn write(conn: &Connection, store: &Path, path: &Path) -> Result<BackupReport, BackupError> {
    let failed = |error| BackupError::Io { path: path.to_owned(), error };
    let file = NewFile::begin(path)?;
    let target = file.unfinished().to_str().ok_or_else(|| failed(std::io::ErrorKind::InvalidFilename.into()))?;
    // The copy is made from the tables: it would not show an index that misses some of their rows.
    if let Some(damage) = integrity::damage(conn).map_err(|error| error_of(store, error))? {
        return Err(BackupError::Unsound(damage));
    }
    conn.execute("VACUUM INTO ?1", [target]).map_err(|error| match error_of(store, error) {
        StoreError::Unusable { detail, .. } => failed(std::io::Error::other(detail)),
        error => BackupError::Store(error),
    })?;
    become_another_file(file.unfinished())?;
    let copied = look_through(file.unfinished())?;
    file.finish()?;
    Ok(copied)
}

/// What an SQLite error during the copy means: lack of space is not damage.
fn at_the_copy(path: &Path, error: rusqlite::Error) -> BackupError {
    match error_of(path, error) {
        StoreError::Unusable { path, detail, .. } => BackupError::Io { path, error: std::io::Error::other(detail) },
        error => BackupError::Unsound(error.to_string()),
    }
}

/// The pages of a copy are in another order, so a log of the store does not fit it.
fn become_another_file(path: &Path) -> Result<(), BackupError> {
    let sql = |error: rusqlite::Error| at_the_copy(path, error);
    let copy = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sql)?;
    copy.execute(ANOTHER_FILE, []).map_err(sql)?;
    Ok(())
}

/// Opens the copy as any other program would, and reads all of it.
pub(in crate::store) fn look_through(path: &Path) -> Result<BackupReport, BackupError> {
    let sql = |error: rusqlite::Error| at_the_copy(path, error);
    let copy = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sql)?;
    let verdict: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sql)?;
    if verdict != "ok" {
        return Err(BackupError::Unsound(verdict));
    }
    for (pragma, own) in [("application_id", schema::APPLICATION_ID), ("user_version", schema::VERSION)] {
        if copy.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(sql)? != own {
            return Err(BackupError::Unsound(format!("it has another {pragma}")));
        }
    }
    let copy = Conn::new(Sqlite::new(copy, path.to_owned(), Kept::InMemory));
    let unsound = |error: StoreError| BackupError::Unsound(error.to_string());
    let events = match history::check(&copy, |_| {}).map_err(unsound)? {
        ChainCheck::Intact { rows } => rows,
        // A store with a broken history is worth copying too; a check of the history reports that.
        ChainCheck::Broken { .. } => history::count(&copy).map_err(unsound)?,
    };
    let keys = copy.alone("SELECT count(*) FROM key", &[], |row| row.count(0)).map_err(unsound)?;
    let bytes = fs::metadata(path).map_or(0, |found| found.len());
    Ok(BackupReport { keys, events, bytes })
}
