//! What SQLite's errors mean for a person.

use std::path::Path;

use rusqlite::ErrorCode;

use super::beside;
use crate::platform;
use crate::store::error::{DISK_FULL, READ_ONLY, StoreError};

/// The error that `error` means for the store at `path`.
pub(in crate::store) fn error_of(path: &Path, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let (failure, message) = match &error {
        rusqlite::Error::SqliteFailure(failure, message) => (failure, message),
        // keyward never writes a value that it cannot read: another program wrote this one.
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) => return StoreError::Corrupt { path, detail: error.to_string() },
        rusqlite::Error::SqlInputError { msg, .. } if is_missing_part(msg) => {
            return StoreError::Corrupt { path, detail: msg.clone() };
        }
        _ => return StoreError::Bug(error.into()),
    };
    let detail = || message.clone().unwrap_or_else(|| failure.to_string());
    match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Locked(path),
        ErrorCode::Unknown if is_missing_part(&detail()) => StoreError::Corrupt { detail: detail(), path },
        // Constraints are checked before anything is written: these rows are not as keyward wrote them.
        ErrorCode::DatabaseCorrupt | ErrorCode::ConstraintViolation => StoreError::Corrupt { detail: detail(), path },
        ErrorCode::NotADatabase => StoreError::Foreign { path, what: "not an SQLite database" },
        ErrorCode::DiskFull => StoreError::Unusable { path, verb: "written", detail: DISK_FULL.to_owned() },
        ErrorCode::ReadOnly => StoreError::Unusable { path, verb: "written", detail: READ_ONLY.to_owned() },
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::SystemIoFailure => {
            let detail = what_the_system_minds(&path).map_or_else(detail, str::to_owned);
            StoreError::Unusable { path, verb: "opened", detail }
        }
        _ => StoreError::Bug(error.into()),
    }
}

/// A table or column that the file lacks, or that a constraint in the file names but no schema has.
fn is_missing_part(message: &str) -> bool {
    message.starts_with("no such table")
        || message.starts_with("unknown function")
        || message.starts_with("no such function")
        || message.starts_with("no such collation")
        || message.starts_with("no such module")
        || message.starts_with("unsafe use of")
        || message.starts_with("access to view")
        || message.starts_with("integer overflow")
        || message.starts_with("no such column")
        || message.starts_with("ambiguous column name")
        || message.contains("has no column named")
        || message.starts_with("foreign key mismatch")
}

/// SQLite reports that something could not be opened; the system knows why.
fn what_the_system_minds(path: &Path) -> Option<&'static str> {
    let folder = path.parent()?;
    if !platform::may_read(path) {
        Some("permission denied")
    } else if beside::all_of(path).iter().any(|file| file.exists() && !platform::may_read(file)) {
        Some("the files beside it, which belong to it, may not be read; give them the mode of the store")
    } else if platform::is_full(folder) {
        Some(DISK_FULL)
    } else {
        None
    }
}
