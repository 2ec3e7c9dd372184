//! Names for command-line completion: few of them, and fast for a store of any size.

use super::db::Conn;
use super::error::StoreError;
use super::filter::behind;

/// More candidates than this help nobody.
const MOST: u32 = 100;

/// What can be completed from a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub enum Names {
    Keys,
    EnabledKeys,
    DisabledKeys,
    Groups,
    Users,
    Roles,
    Tenants,
    Scopes,
    Levels,
    /// Labels followed by `=`; after that, their values.
    Labels,
}

pub(super) fn names_starting(conn: &Conn, names: Names, start: &str) -> Result<Vec<String>, StoreError> {
    let (table, column, and) = match names {
        Names::Keys => ("key", "name", ""),
        Names::EnabledKeys => ("key", "name", " AND enabled = 1"),
        Names::DisabledKeys => ("key", "name", " AND enabled = 0"),
        Names::Groups => ("key_group", "name", ""),
        Names::Users => ("\"user\"", "name", ""),
        Names::Roles => ("role", "name", ""),
        Names::Tenants => ("tenant", "name", ""),
        Names::Scopes => ("key_scope", "scope", ""),
        Names::Levels => ("key_level", "level", ""),
        Names::Labels => return labels_starting(conn, start),
    };
    // A range, so that an index can be used.
    let sql = format!(
        "SELECT DISTINCT {column} FROM {table} WHERE {column} >= ?1 AND {column} < ?2{and} ORDER BY {column} LIMIT {MOST}"
    );
    conn.all(&sql, &[start.into(), behind(start).as_str().into()], |row| Ok(row.text(0)?.to_owned()))
}

fn labels_starting(conn: &Conn, start: &str) -> Result<Vec<String>, StoreError> {
    let Some((label, value)) = start.split_once('=') else {
        let sql = format!(
            "SELECT DISTINCT label FROM key_label WHERE label >= ?1 AND label < ?2 ORDER BY label LIMIT {MOST}"
        );
        return conn.all(&sql, &[start.into(), behind(start).as_str().into()], |row| Ok(format!("{}=", row.text(0)?)));
    };
    // Values may contain any character: those with this prefix are adjacent in order, and the first without it ends the
    // run.
    let sql =
        format!("SELECT DISTINCT value FROM key_label WHERE label = ?1 AND value >= ?2 ORDER BY value LIMIT {MOST}");
    let values = conn.all(&sql, &[label.into(), value.into()], |row| Ok(row.text(0)?.to_owned()))?;
    Ok(values.iter().filter(|found| found.starts_with(value)).map(|found| format!("{label}={found}")).collect())
}
