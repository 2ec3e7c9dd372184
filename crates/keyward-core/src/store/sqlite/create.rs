//! Making a store: in a file and in memory.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::connection::{BUSY_TIMEOUT, connect, harden};
use super::place::{check_folder, check_names, parent, resolve};
use super::{beside, error_of, schema};
use crate::platform;
use crate::store::db::{Kept, Sqlite};
use crate::store::error::StoreError;

/// The cache of a connection that writes a whole store, in KiB (negative, as SQLite expects).
#[cfg(feature = "postgres")]
const CACHE: i64 = -16 * 1024;

/// Makes the store at `path` unless something exists there.
pub(in crate::store) fn create(path: &Path, now: Timestamp) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::from_io(path, "created", &error);
    if let Err(error @ StoreError::Foreign { .. }) = resolve(path) {
        return Err(error);
    }
    let folder = parent(path);
    let journal = beside::journal_of(path);
    // The process making it may have been killed: then it is empty once SQLite has read its journal.
    let is_whole = |found: fs::Metadata| !found.is_file() || found.len() > 0 && !journal.exists();
    if fs::symlink_metadata(path).is_ok_and(is_whole) {
        return Ok(());
    }
    platform::private_folders(&folder).map_err(failed)?;
    if fs::symlink_metadata(path).is_err() {
        // They belong to a store that is no longer at this path: a process that still has it open would share them with
        // the new one.
        beside::put_aside(path).map_err(failed)?;
    }
    match platform::private_file(path) {
        Ok(file) => file.sync_all().and_then(|()| fs::File::open(&folder)?.sync_all()).map_err(failed)?,
        // Another program reserved the name, for example with mktemp. The file is still empty.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            check_folder(&folder)?;
            let found = fs::symlink_metadata(path).map_err(failed)?;
            let resolved = resolve(path)?;
            check_names(&resolved)?;
            beside::check(&resolved, &found)?;
            if found.len() == 0 {
                platform::make_private(path).map_err(failed)?;
            }
        }
        Err(error) => return Err(failed(error)),
    }
    let conn = connect(&resolve(path)?, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let sql = |error| error_of(path, error);
    harden(&conn, BUSY_TIMEOUT).map_err(sql)?;
    // It may hold another program's data after all: then it is left alone.
    let number = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sql);
    if number("page_count")? > 0 && number("application_id")? != schema::APPLICATION_ID {
        return Ok(());
    }
    schema::create(&conn, now).map_err(sql)
}

/// A new store in an empty file that no other process knows yet: it waits for nothing, and on failure the file is
/// thrown away.
#[cfg(feature = "postgres")]
pub(in crate::store) fn fresh(path: &Path, now: Timestamp) -> Result<Sqlite, StoreError> {
    let make = || {
        let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        harden(&conn, BUSY_TIMEOUT)
            .and_then(|()| conn.pragma_update(None, "journal_mode", "MEMORY"))
            .and_then(|()| conn.pragma_update(None, "synchronous", "OFF"))
            .and_then(|()| conn.pragma_update(None, "secure_delete", false))
            .and_then(|()| conn.pragma_update(None, "cache_size", CACHE))
            .and_then(|()| schema::create_tables(&conn, now))
            .map_err(|error| error_of(path, error))?;
        Ok::<_, StoreError>(conn)
    };
    Ok(Sqlite::new(make()?, path.to_owned(), Kept::InMemory))
}

/// A new store in memory, without a file.
pub(in crate::store) fn in_memory(path: PathBuf, now: Timestamp) -> Result<Sqlite, StoreError> {
    let make = || {
        let conn = Connection::open_in_memory()?;
        harden(&conn, BUSY_TIMEOUT)?;
        schema::create(&conn, now)?;
        Ok(conn)
    };
    let conn = make().map_err(|error| error_of(&path, error))?;
    Ok(Sqlite::new(conn, path, Kept::InMemory))
}

/// An empty in-memory database, to replace one that is closed.
pub(in crate::store) fn nothing(path: PathBuf) -> Result<Sqlite, StoreError> {
    let conn = Connection::open_in_memory().map_err(|error| error_of(&path, error))?;
    Ok(Sqlite::new(conn, path, Kept::Nowhere))
}
