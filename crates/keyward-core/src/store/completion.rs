//! Names for the completion of a command line: few of them, and fast whatever the store holds.

use rusqlite::Connection;

/// More candidates than this are of no use to anybody.
const MOST: u32 = 100;

/// What can be completed from a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Names {
    Keys,
    Groups,
    Users,
    Roles,
    Tenants,
    Scopes,
    Levels,
}

pub(super) fn names_starting(conn: &Connection, names: Names, start: &str) -> rusqlite::Result<Vec<String>> {
    let (table, column) = match names {
        Names::Keys => ("key", "name"),
        Names::Groups => ("key_group", "name"),
        Names::Users => ("user", "name"),
        Names::Roles => ("role", "name"),
        Names::Tenants => ("tenant", "name"),
        Names::Scopes => ("key_scope", "scope"),
        Names::Levels => ("key_level", "level"),
    };
    // A range, which an index serves; all values are ASCII, so nothing that starts so is above it.
    let sql = format!(
        "SELECT DISTINCT {column} FROM {table} WHERE {column} >= ?1 AND {column} < ?1 || char(127)
          ORDER BY {column} LIMIT {MOST}"
    );
    conn.prepare_cached(&sql)?.query_map([start], |row| row.get(0))?.collect()
}
