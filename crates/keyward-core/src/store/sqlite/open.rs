//! How a store comes to be, and how it is opened.
//!
//! What may break here, and how it is kept from breaking:
//!
//! - **Permissions.** A new store is 0600 in a folder that is 0700, from the first moment: the file
//!   is created with that mode before SQLite sees it, and SQLite gives its log the same mode.
//! - **Two processes, a crash, a full disk.** The schema is made in one exclusive transaction of the
//!   rollback journal: whoever comes second finds it made, and what does not succeed leaves an empty
//!   file, which the next one takes for a place where a store can be made. WAL is switched on last.
//! - **Links.** The parent folder is resolved once; the file itself may not be a link.
//! - **Other files.** A folder, a text file, another program's database and a store of a newer
//!   keyward are recognised and left alone. Only SQLite opens the file: the system drops all of a
//!   process's locks on a file when that process closes it anywhere.
//! - **Files and folders that cannot be written, full disks.** SQLite cannot share a WAL store there. Where nothing
//!   is left in a `-wal` file, the store is opened as immutable, only for reading.
//! - **Network file systems.** WAL needs shared memory, so a store on NFS or SMB is not supported.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{beside, error_of, schema};
use crate::platform::{self, OtherUsers, Version};
use crate::store::db::Sqlite;
use crate::store::error::{DISK_FULL, READ_ONLY, StoreError};
use crate::store::exposure::{Exposure, Weakness};

/// How long a command waits for other processes before it says that the store is locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements that stay prepared: more than there are, so that a thousand new keys prepare each of theirs once.
const STATEMENTS: usize = 128;
/// The smallest page, and so the smallest database. SQLite takes a shorter file for an empty one.
const SMALLEST_DATABASE: u64 = 512;

/// An open database, and what is worth telling about it.
pub(in crate::store) struct OpenFile {
    pub engine: Sqlite,
    pub path: PathBuf,
    /// Why nothing can be written, if that is so.
    pub unwritable: Option<String>,
    pub exposure: Option<Exposure>,
}

/// Opens the store at `path`, for reading and, where the system allows, for writing.
pub(in crate::store) fn open(path: &Path) -> Result<OpenFile, StoreError> {
    let path = resolve(path)?;
    let exposure = check_file(&path)?;
    // Who may only read the file would leave a log beside it that belongs to them, and lock its owner out.
    if !platform::may_write(&path) && platform::may_read(&path) && nothing_in_the_log(&path) {
        return open_immutable(path, exposure, READ_ONLY.to_owned());
    }
    let conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    match prepare(&conn, &path) {
        Ok(()) => {
            let is_read_only = conn.is_readonly("main").map_err(|error| error_of(&path, error))?;
            let unwritable = is_read_only.then(|| READ_ONLY.to_owned());
            Ok(OpenFile { engine: Sqlite::new(conn, path.clone(), None), path, unwritable, exposure })
        }
        // A folder that cannot be written, or a disk without room for the memory that is shared.
        Err(StoreError::Unusable { path: of, verb, detail }) if nothing_in_the_log(&path) => {
            drop(conn);
            let why = if detail == DISK_FULL { DISK_FULL } else { READ_ONLY };
            open_immutable(path, exposure, why.to_owned()).map_err(|_| StoreError::Unusable { path: of, verb, detail })
        }
        Err(error) => Err(error),
    }
}

fn open_immutable(path: PathBuf, exposure: Option<Exposure>, why: String) -> Result<OpenFile, StoreError> {
    let frozen = Frozen(Version::of(&path));
    let conn = connect_immutable(&path)?;
    prepare(&conn, &path)?;
    Ok(OpenFile { engine: Sqlite::new(conn, path.clone(), Some(frozen)), path, unwritable: Some(why), exposure })
}

/// What a file was that is read without locks, because nobody here can write it. SQLite itself never looks again at one
/// that it takes for immutable, and whoever owns the store may write it all the same.
#[derive(Debug)]
pub(in crate::store) struct Frozen(Version);

impl Frozen {
    /// Whether somebody wrote to the file, which is at `path`, or to its log.
    pub(in crate::store) fn is_outdated(&self, path: &Path) -> bool {
        self.0 != Version::of(path) || !nothing_in_the_log(path)
    }
}

/// Makes the store at `path` unless there is something at that path.
pub(in crate::store) fn create(path: &Path, now: Timestamp) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::from_io(path, "created", &error);
    let folder = parent(path);
    let journal = beside::journal_of(path);
    // Whoever was making it may have been killed: then it is empty as soon as SQLite has looked at its journal.
    let is_whole = |found: fs::Metadata| !found.is_file() || found.len() > 0 && !journal.exists();
    if fs::symlink_metadata(path).is_ok_and(is_whole) {
        return Ok(());
    }
    platform::private_folders(&folder).map_err(failed)?;
    match platform::private_file(path) {
        Ok(file) => file.sync_all().and_then(|()| fs::File::open(&folder)?.sync_all()).map_err(failed)?,
        // Somebody reserved the name, with mktemp for example. Nothing is in it yet.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            check_folder(&folder)?;
            let found = fs::symlink_metadata(path).map_err(failed)?;
            beside::check(&resolve(path)?, &found)?;
            if found.len() == 0 {
                platform::make_private(path).map_err(failed)?;
            }
        }
        Err(error) => return Err(failed(error)),
    }
    let conn = connect(&resolve(path)?, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let sql = |error| error_of(path, error);
    harden(&conn).map_err(sql)?;
    // Something may be in it after all, and be another program's: then nothing is done to it.
    let number = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sql);
    if number("page_count")? > 0 && number("application_id")? != schema::APPLICATION_ID {
        return Ok(());
    }
    schema::create(&conn, now).map_err(sql)
}

/// A new store in memory, without a file.
pub(in crate::store) fn in_memory(path: PathBuf, now: Timestamp) -> Result<Sqlite, StoreError> {
    let make = || {
        let conn = Connection::open_in_memory()?;
        harden(&conn)?;
        schema::create(&conn, now)?;
        Ok(conn)
    };
    let conn = make().map_err(|error| error_of(&path, error))?;
    Ok(Sqlite::new(conn, path, None))
}

/// The path with its parent folder resolved. The last part is left alone, so that a link shows.
fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    let Some(name) = path.file_name() else {
        return Err(StoreError::Foreign { path: path.to_owned(), what: "a folder" });
    };
    match fs::canonicalize(parent(path)) {
        Ok(folder) => Ok(folder.join(name)),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::Missing(path.to_owned())),
        Err(error) => Err(StoreError::from_io(path, "opened", &error)),
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Refuses a file that is not a store, or that others can change, before SQLite opens it. Returns what others can do
/// to one that is used all the same.
fn check_file(path: &Path) -> Result<Option<Exposure>, StoreError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(StoreError::Missing(path.to_owned())),
        Err(error) => return Err(StoreError::from_io(path, "opened", &error)),
    };
    let foreign = |what| Err(StoreError::Foreign { path: path.to_owned(), what });
    if found.is_symlink() {
        return Err(insecure(path, Weakness::Link));
    } else if found.is_dir() {
        return foreign("a folder");
    } else if !found.is_file() {
        return foreign("a device, a pipe or a socket");
    } else if found.len() == 0 {
        return Err(StoreError::Missing(path.to_owned()));
    } else if found.len() < SMALLEST_DATABASE {
        return foreign("not an SQLite database");
    }
    check_folder(&parent(path))?;
    beside::check(path, &found)?;
    let mode = platform::mode(&found);
    let group_writes = match OtherUsers::of(&found) {
        OtherUsers::AllWrite => return Err(insecure(path, Weakness::OpenFile { mode })),
        OtherUsers::GroupWrites => true,
        OtherUsers::Read => false,
        OtherUsers::Nothing => return Ok(None),
    };
    Ok(Some(Exposure { mode, group_writes }))
}

fn insecure(path: &Path, weakness: Weakness) -> StoreError {
    StoreError::Insecure { path: path.to_owned(), weakness }
}

/// Who can write a folder can put another file in the place of the store, unless it is sticky.
fn check_folder(folder: &Path) -> Result<(), StoreError> {
    let found = fs::metadata(folder).map_err(|error| StoreError::from_io(folder, "opened", &error))?;
    if !platform::anybody_may_replace_in(&found) {
        return Ok(());
    }
    Err(insecure(folder, Weakness::OpenFolder))
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|error| error_of(path, error))
}

/// Opens the file as one that nobody changes: no log, no locks, no shared memory.
fn connect_immutable(path: &Path) -> Result<Connection, StoreError> {
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

/// Whether everything that was written is in the main file.
fn nothing_in_the_log(path: &Path) -> bool {
    fs::metadata(beside::log_of(path)).map_or(true, |found| found.len() == 0)
}

/// Checks that this is a store of ours, of a schema that we know, and sets the connection up.
fn prepare(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let sql = |error| error_of(path, error);
    harden(conn).map_err(sql)?;
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
    if found < schema::VERSION {
        schema::migrate(conn).map_err(sql)?;
    }
    schema::use_log(conn).map_err(sql)
}

/// Settings of a connection; none of them is kept in the file.
fn harden(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // A misspelt column in double quotes is an error, not a string.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // A store that somebody prepared cannot run functions through its schema.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A plan does not depend on what is bound to its parameters: or else SQLite prepares a statement again when
    // something is bound, which takes longer than most of ours run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // FULL: what was reported as done survives a power cut. secure_delete: old hashes are overwritten.
    conn.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;")
}
