//! Names for the completion of a command line: few of them, and fast whatever the store holds.

use super::db::Conn;
use super::error::StoreError;
use super::filter::behind;

/// More candidates than this are of no use to anybody.
const MOST: u32 = 100;

/// What can be completed from a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub enum Names {
    Keys,
    Groups,
    Users,
    Roles,
    Tenants,
    Scopes,
    Levels,
}

pub(super) fn names_starting(conn: &Conn, names: Names, start: &str) -> Result<Vec<String>, StoreError> {
    let (table, column) = match names {
        Names::Keys => ("key", "name"),
        Names::Groups => ("key_group", "name"),
        Names::Users => ("\"user\"", "name"),
        Names::Roles => ("role", "name"),
        Names::Tenants => ("tenant", "name"),
        Names::Scopes => ("key_scope", "scope"),
        Names::Levels => ("key_level", "level"),
    };
    // A range, which an index serves.
    let sql = format!(
        "SELECT DISTINCT {column} FROM {table} WHERE {column} >= ?1 AND {column} < ?2 ORDER BY {column} LIMIT {MOST}"
    );
    conn.all(&sql, &[start.into(), behind(start).as_str().into()], |row| Ok(row.text(0)?.to_owned()))
}
