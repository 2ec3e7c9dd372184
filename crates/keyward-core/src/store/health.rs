//! What a doctor asks of a store.

use jiff::Timestamp;
use rusqlite::Connection;

use super::rows;
use crate::rules::hashing::{Cost, HashedSecret};

/// Facts about all keys, as names: at most so many of each are told, beside how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameCount {
    /// How many there are.
    pub count: u64,
    /// The first of them, by name.
    pub names: Vec<String>,
}

/// How many names are told.
const SHOWN: usize = 20;

/// Whether SQLite finds the file in order: its pages, its indexes, and every reference. `None` for yes.
pub(super) fn damage(conn: &Connection) -> rusqlite::Result<Option<String>> {
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

/// Keys that have a secret of another cost than `cost`, and that somebody could still present.
pub(super) fn other_cost(conn: &Connection, cost: Cost, now: Timestamp) -> rusqlite::Result<NameCount> {
    let mut found = NameCount::default();
    let mut statement = conn.prepare(
        "SELECT k.name, s.hash FROM secret s JOIN key k ON k.id = s.key
          WHERE s.expires_at IS NULL OR s.expires_at > ?1 ORDER BY k.name",
    )?;
    let mut rows = statement.query([now.as_second()])?;
    while let Some(row) = rows.next()? {
        if HashedSecret::from_stored(row.get(1)?).needs_renewal(cost) {
            found.add(row.get(0)?);
        }
    }
    Ok(found)
}

/// Keys with a secret that a rotation staged and left.
pub(super) fn staged(conn: &Connection) -> rusqlite::Result<NameCount> {
    let mut found = NameCount::default();
    let mut statement =
        conn.prepare("SELECT k.name FROM secret s JOIN key k ON k.id = s.key WHERE s.staged = 1 ORDER BY k.name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.add(row.get(0)?);
    }
    Ok(found)
}

/// Keys that never expire.
pub(super) fn never_expiring(conn: &Connection) -> rusqlite::Result<NameCount> {
    let count = conn.query_row("SELECT count(*) FROM key WHERE expires_at IS NULL", [], |row| rows::count(row, 0))?;
    let mut statement = conn.prepare("SELECT name FROM key WHERE expires_at IS NULL ORDER BY name LIMIT ?1")?;
    let names = statement.query_map([SHOWN as u32], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(NameCount { count, names })
}

impl NameCount {
    /// Takes one more in.
    pub fn add(&mut self, name: String) {
        self.count += 1;
        if self.names.len() < SHOWN && self.names.last() != Some(&name) {
            self.names.push(name);
        }
    }
}
