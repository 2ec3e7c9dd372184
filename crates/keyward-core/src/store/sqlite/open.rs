//! How a store is opened.
//!
//! What may break here, and what prevents it:
//!
//! - **Permissions.** A new store is 0600 in a folder that is 0700, from the start: the file is created with that mode
//!   before SQLite sees it, and SQLite gives its log the same mode.
//! - **Two processes, a crash, a full disk.** The schema is made in one exclusive transaction of the rollback journal:
//!   the second process finds it made, and a failure leaves an empty file, in which the next process can make a store.
//!   WAL is switched on last.
//! - **Links and second names.** The parent folder is resolved once; the file itself may not be a link. A file with
//!   another path, through a hard link or a mount of the file, is refused ([`place`](super::place)).
//! - **Other files.** A folder, a text file, another program's database and a store of a newer keyward are recognised
//!   and left alone. Only SQLite opens the file: when a process closes a file anywhere, the system drops all of its
//!   locks on it.
//! - **Another file at the same path**, or another state of it, while it is open: see [`watch`](super::watch).
//! - **Files and folders that cannot be written, full disks.** SQLite cannot share a WAL store there. If nothing is
//!   left in a `-wal` file, the store is opened as immutable, only for reading.
//! - **Older schemas.** Opening a store for changes upgrades it. A process that only reads it, or may not write it,
//!   reads a copy in memory that is upgraded there.
//! - **Network file systems.** WAL needs shared memory, so a store on NFS or SMB is not supported.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::binding::Binding;
use super::connection::{BUSY_TIMEOUT, connect, connect_immutable, harden, leave_log};
use super::place::{check_file, resolve};
use super::watch::Watch;
use super::{beside, error_of, schema};
use crate::platform;
use crate::store::db::{Kept, Sqlite};
use crate::store::error::{DISK_FULL, READ_ONLY, StoreError};
use crate::store::exposure::Exposure;

/// The largest store with an older schema that is copied into memory for reading: 256 MiB.
const LARGEST_COPY: i64 = 256 << 20;

/// The purpose of opening a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Purpose {
    /// For reading, and for changes if the system allows. An older schema is upgraded.
    Change,
    /// For reading. The file is left unchanged.
    Read,
}

/// An open database, and what should be reported about it.
pub(in crate::store) struct OpenFile {
    pub engine: Sqlite,
    pub path: PathBuf,
    /// Why nothing can be written, if that is the case.
    pub unwritable: Option<String>,
    pub exposure: Option<Exposure>,
}

/// Opens the store at `path`.
pub(in crate::store) fn open(path: &Path, purpose: Purpose, patience: Duration) -> Result<OpenFile, StoreError> {
    let path = resolve(path)?;
    let exposure = check_file(&path)?;
    let file = |(engine, unwritable)| OpenFile { engine, path: path.clone(), unwritable, exposure };
    // A user who may only read the file would leave a log of their own beside it, and lock its owner out.
    if !platform::may_write(&path) && platform::may_read(&path) && nothing_in_the_log(&path) {
        return open_immutable(&path, READ_ONLY).map(file);
    }
    match open_shared(&path, purpose, patience) {
        // The folder cannot be written, or the disk has no room for the shared memory.
        Err(StoreError::Unusable { path: of, verb, detail }) if nothing_in_the_log(&path) => {
            let why = if detail == DISK_FULL { DISK_FULL } else { READ_ONLY };
            open_immutable(&path, why).map(file).map_err(|error| match error {
                StoreError::OldSchema { .. } => error,
                _ => StoreError::Unusable { path: of, verb, detail },
            })
        }
        found => found.map(file),
    }
}

/// Opens it as a store that others read and write meanwhile.
fn open_shared(path: &Path, purpose: Purpose, patience: Duration) -> Result<(Sqlite, Option<String>), StoreError> {
    let sql = |error| error_of(path, error);
    let mut watch = Watch::of_a_shared(path)?;
    let (mut conn, mut schema) = connected(path, patience).map_err(|error| match error {
        // If it can be read, but only without the log, it is not damaged.
        StoreError::Corrupt { .. } if watch.has_log() && watch.is_alone() && Binding::of_the_file(path).is_some() => {
            watch.stale_log()
        }
        error => error,
    })?;
    if schema == schema::VERSION && !watch.check_log(&conn)? {
        // Another program may have moved the page with the binding. The file is read without its log, and for that this
        // process must not have it open.
        drop(conn);
        let alone = if watch.is_alone() { Binding::of_the_file(path) } else { None };
        (conn, schema) = connected(path, patience)?;
        watch.check_with(&conn, alone)?;
    }
    leave_log(&conn, false);
    let is_read_only = conn.is_readonly("main").map_err(sql)?;
    if schema < schema::VERSION && (purpose == Purpose::Read || is_read_only) {
        if !nothing_in_the_log(path) {
            leave_log(&conn, true);
        }
        let watch = Watch::of_a_frozen(path)?;
        let kept = Kept::InFile(Box::new(watch));
        return Ok((Sqlite::new(copied(&conn, path)?, path.to_owned(), kept), Some(READ_ONLY.to_owned())));
    }
    if schema < schema::VERSION {
        schema::migrate(&conn).map_err(|error| not_of_schema(path, schema, error))?;
    }
    if purpose == Purpose::Change {
        schema::use_log(&conn).map_err(sql)?;
        if watch.has_log() {
            beside::align(path);
        }
    }
    watch.begin(&conn)?;
    Ok((Sqlite::new(conn, path.to_owned(), Kept::InFile(Box::new(watch))), is_read_only.then(|| READ_ONLY.to_owned())))
}

/// A connection that does not touch the log until it is known to belong to the file, and the schema of the store.
fn connected(path: &Path, patience: Duration) -> Result<(Connection, i64), StoreError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    leave_log(&conn, !nothing_in_the_log(path));
    harden(&conn, patience).map_err(|error| error_of(path, error))?;
    let schema = recognise(&conn, path)?;
    Ok((conn, schema))
}

/// Opens it as a file that no one writes.
fn open_immutable(path: &Path, why: &str) -> Result<(Sqlite, Option<String>), StoreError> {
    let watch = Watch::of_a_frozen(path)?;
    let mut conn = connect_immutable(path)?;
    harden(&conn, BUSY_TIMEOUT).map_err(|error| error_of(path, error))?;
    if recognise(&conn, path)? < schema::VERSION {
        conn = copied(&conn, path)?;
    }
    Ok((Sqlite::new(conn, path.to_owned(), Kept::InFile(Box::new(watch))), Some(why.to_owned())))
}

/// An upgraded copy in memory of a store with an older schema.
fn copied(conn: &Connection, path: &Path) -> Result<Connection, StoreError> {
    let sql = |error| error_of(path, error);
    let number = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sql);
    let found = number("user_version")?;
    if number("page_count")?.saturating_mul(number("page_size")?) > LARGEST_COPY {
        return Err(StoreError::OldSchema { path: path.to_owned(), found, known: schema::VERSION });
    }
    let mut copy = Connection::open_in_memory().map_err(sql)?;
    Backup::new(conn, &mut copy).and_then(|backup| backup.step(-1)).map_err(sql)?;
    harden(&copy, BUSY_TIMEOUT).map_err(sql)?;
    schema::migrate(&copy).map_err(|error| not_of_schema(path, found, error))?;
    Ok(copy)
}

/// Whether everything written is in the main file.
fn nothing_in_the_log(path: &Path) -> bool {
    fs::metadata(beside::log_of(path)).map_or(true, |found| found.len() == 0)
}

/// Checks that this is a keyward store with a known schema, and returns its number.
fn recognise(conn: &Connection, path: &Path) -> Result<i64, StoreError> {
    let sql = |error| error_of(path, error);
    let number = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sql);
    if number("application_id")? != schema::APPLICATION_ID {
        return Err(match number("page_count")? {
            0 => StoreError::Missing(path.to_owned()),
            _ => StoreError::Foreign { path: path.to_owned(), what: "another program's SQLite database" },
        });
    }
    let found = number("user_version")?;
    if found > schema::VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: schema::VERSION });
    }
    if found < schema::FIRST_VERSION {
        return Err(StoreError::Corrupt { path: path.to_owned(), detail: format!("there is no schema {found}") });
    }
    Ok(found)
}

/// The error for a migration that finds something unexpected: the file does not have the schema that its number says.
fn not_of_schema(path: &Path, schema: i64, error: rusqlite::Error) -> StoreError {
    match error_of(path, error) {
        StoreError::Bug(cause) => StoreError::Corrupt {
            path: path.to_owned(),
            detail: format!("it says that its schema is number {schema}, and it is not: {cause}"),
        },
        error => error,
    }
}
