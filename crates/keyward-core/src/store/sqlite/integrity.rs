//! Whether a file is in order as a database, and has what keyward made, and nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Connection;

use super::schema;

/// Whether SQLite finds the file in order: its pages, its indexes, and every reference. `None` for yes.
///
/// SQLite counts the entries of an index only where every row has one. None of ours leaves rows out.
pub(in crate::store) fn damage(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let verdict: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Ok(Some(verdict));
    }
    let mut dangling = conn.prepare("PRAGMA foreign_key_check")?;
    let mut rows = dangling.query([])?;
    Ok(match rows.next()? {
        Some(row) => Some(format!("a row of {} refers to nothing", row.get::<_, String>(0)?)),
        None => None,
    })
}

/// What is in the file that keyward did not make so, or is missing: tables, columns, indexes, triggers, views.
pub(in crate::store) fn strange_parts(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let new = Connection::open_in_memory()?;
    schema::create(&new, Timestamp::UNIX_EPOCH)?;
    let (mut expected, found) = (parts(&new)?, parts(conn)?);
    let mut strange = vec![];
    for (part, definition) in found {
        match expected.remove(&part) {
            None => strange.push(format!("{part} is not of keyward")),
            Some(own) if own != definition => strange.push(format!("{part} was changed")),
            Some(_) => {}
        }
    }
    strange.extend(expected.into_keys().map(|part| format!("{part} is missing")));
    Ok(strange)
}

/// What a schema is made of, each with its definition, in which blanks and line ends do not matter.
fn parts(conn: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut statement = conn.prepare("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema")?;
    let mut rows = statement.query([])?;
    let mut parts = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let [kind, name, table, sql] = [row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
        let words: Vec<_> = sql.split_ascii_whitespace().collect();
        parts.insert(format!("the {kind} {name}"), format!("{table}: {}", words.join(" ")));
    }
    Ok(parts)
}
