//! Whether a file is a sound database, with exactly what keyward made.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Connection;

use super::schema;

/// What SQLite finds wrong with the file: its pages, its indexes, or any reference. `None` if nothing.
///
/// SQLite counts the entries of an index only if every row has one, as in all of ours.
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

/// Parts of the file that keyward did not make, or that are missing: tables, columns, indexes, triggers, views.
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

/// The parts of a schema, each with its definition, ignoring differences in white space.
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
