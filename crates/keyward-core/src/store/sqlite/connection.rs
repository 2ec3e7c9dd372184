//! A connection to a file, set up for a store.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error_of;
use crate::store::error::StoreError;

/// How long a command waits for other processes before it says that the store is locked.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements that stay prepared: more than there are, so that a thousand new keys prepare each of theirs once.
const STATEMENTS: usize = 128;

/// Opens the file as SQLite does.
pub(super) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|error| error_of(path, error))
}

/// Opens the file as one that nobody changes: no log, no locks, no shared memory.
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

/// Settings of a connection; none of them is kept in the file. It waits for other processes for as long as `patience`.
pub(super) fn harden(conn: &Connection, patience: Duration) -> rusqlite::Result<()> {
    conn.busy_timeout(patience)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // A misspelt column in double quotes is an error, not a string.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // A store that somebody prepared cannot run functions through its schema.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // keyward has no triggers and no views: those in a file were put there by somebody else, and are not obeyed.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    // A plan does not depend on what is bound to its parameters: or else SQLite prepares a statement again when
    // something is bound, which takes longer than most of ours run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // FULL: what was reported as done survives a power cut. secure_delete: old hashes are overwritten.
    conn.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;")
}

/// Has the last connection that closes leave the log where it is, and not move it into the file; or moves it again.
pub(in crate::store) fn leave_log(conn: &Connection, leave: bool) {
    // Where it cannot be set, nothing else can be done either.
    let _ = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave);
}
