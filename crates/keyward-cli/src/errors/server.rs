//! What to do about a store in a database: there is no file to check, to protect or to copy.

use std::path::Path;

use super::code_of;
use crate::error::Error;
use keyward_core::store::{DISK_FULL, NO_MEMORY, StoreError};

/// A query for the holder of the store's lock.
const WHO_HOLDS_IT: &str = "SELECT a.pid, a.usename, a.client_addr, a.state FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                            WHERE l.mode = 'RowShareLock' AND l.relation::regclass::text LIKE '%history_head'";

/// Whether the store is in a database: file paths never begin like this.
fn is_server(store: &Path) -> bool {
    store.to_str().is_some_and(|text| text.starts_with("postgres:"))
}

/// The error for a store in a database, if it differs from the one for a file.
///
/// # Errors
/// The error itself, if it does not differ.
pub(super) fn explained(error: StoreError) -> Result<Error, StoreError> {
    let (StoreError::Missing(path)
    | StoreError::Locked(path)
    | StoreError::Rewound(path)
    | StoreError::Replaced(path)
    | StoreError::Exists(path)
    | StoreError::Corrupt { path, .. }
    | StoreError::Newer { path, .. }
    | StoreError::NotMigrated { path, .. }
    | StoreError::Foreign { path, .. }
    | StoreError::Forbidden { path, .. }
    | StoreError::Server { path, .. }
    | StoreError::Unusable { path, .. }) = &error
    else {
        return Err(error);
    };
    if !is_server(path) {
        return Err(error);
    }
    let hints = hints(&error);
    let explained = Error::new(code_of(&error), error.to_string());
    Ok(hints.into_iter().fold(explained, Error::hint))
}

fn hints(error: &StoreError) -> Vec<String> {
    let one = |hint: &str| vec![hint.to_owned()];
    match error {
        StoreError::Missing(_) => vec![
            "see whether the database and schema=… in the URL are right".to_owned(),
            "if there is none yet, make it with the same --store: keyward store init".to_owned(),
        ],
        StoreError::Locked(_) => {
            vec![format!("it was tried for 10 seconds; see who holds it, then try again: {WHO_HOLDS_IT}")]
        }
        StoreError::Corrupt { .. } => vec![
            "somebody changed the tables without keyward; what else is wrong: keyward doctor".to_owned(),
            "leave them as they are, and restore the newest backup of the database".to_owned(),
        ],
        StoreError::Newer { .. } => {
            one("nothing was changed; a newer keyward brought this store up to date: update keyward on this machine")
        }
        StoreError::NotMigrated { .. } => {
            one("bring it up to date with the same --store, as the role that owns its tables: keyward store migrate")
        }
        StoreError::Exists(_) => vec![
            "use it as it is: keyward list".to_owned(),
            "another one in the same database needs a schema of its own: schema=NAME behind a ? in the URL".to_owned(),
        ],
        StoreError::Forbidden { role, .. } => vec![
            format!(
                "what `keyward store grants` prints makes roles with the rights; then: GRANT keyward_admin TO {} (only to \
                 verify: keyward_verify)",
                identifier(role)
            ),
            "or sign in as another role".to_owned(),
        ],
        StoreError::Replaced(_) => {
            one("nothing was changed in the store that is there now; look at it, then try again")
        }
        StoreError::Rewound(_) => vec![
            "the database was restored from a backup, or a standby took over that had not received everything"
                .to_owned(),
            "see where it ends with `keyward history`, make again what is missing, revocations first, and start this \
             program again"
                .to_owned(),
        ],
        StoreError::Server { remedy, .. } => one(remedy),
        StoreError::Foreign { .. } => one(
            "nothing was changed; name a schema that is not there yet, or is empty: schema=NAME behind a ? in the URL",
        ),
        StoreError::Unusable { detail, .. } => one(match detail.as_str() {
            DISK_FULL => "nothing was changed; free some space on the server and try again",
            NO_MEMORY => "allow this process more memory, see `ulimit -v` and `ulimit -d`",
            _ => "see the log of the server",
        }),
        _ => vec![],
    }
}

/// The name of a role as an SQL identifier.
fn identifier(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_plain = name.chars().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
