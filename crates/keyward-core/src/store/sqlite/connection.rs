//! A connection to a file, set up for a store.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error_of;
use crate::store::error::StoreError;

/// How long a command waits for other processes before it reports the store as locked.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How many statements stay prepared: more than there are, so that a thousand new keys prepare each statement only
/// once.
const STATEMENTS: usize = 128;

/// Opens the file the way SQLite usually does.
pub(super) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|error| error_of(path, error))
}

/// Opens the file as one that no one changes: no log, no locks, no shared memory.
pub(super) fn connect_immutable(path: &Path) -> Result<Connection, StoreError> {
    let name = path.as_os_str().as_encoded_bytes();
    let escaped: String = name
        .iter()
        .map(|&b| match b {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags).map_err(|error| error_of(path, error))
}

/// Settings of a connection; none of them is stored in the file. It waits up to `patience` for other processes.
pub(super) fn harden(conn: &Connection, patience: Duration) -> rusqlite::Result<()> {
    conn.busy_timeout(patience)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // A misspelt column in double quotes is an error, not a string.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // A malicious store cannot run functions through its schema.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // keyward has no triggers and no views: those in a file come from someone else, and are ignored.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    // Plans do not depend on bound values: otherwise SQLite prepares a statement again after binding, which takes
    // longer than most of ours run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // FULL: what was reported as done survives a power cut. secure_delete: old hashes are overwritten.
    conn.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;")
}

/// Sets whether the last connection to close leaves the log in place instead of moving it into the file.
pub(in crate::store) fn leave_log(conn: &Connection, leave: bool) {
    // If it cannot be set, there is nothing else to do.
    let _ = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave);
}
