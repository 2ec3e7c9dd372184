//! What the doctor asks about all keys of a store.

use jiff::Timestamp;

use super::db::Conn;
use super::error::StoreError;
use crate::rules::hashing::{Cost, HashedSecret};
use crate::rules::names::{NOT, RESERVED};

/// Names to report: the first few, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameCount {
    /// How many there are.
    pub count: u64,
    /// The first of them, by name.
    pub names: Vec<String>,
}

/// How many names are reported.
const SHOWN: usize = 20;

impl NameCount {
    /// Adds one more.
    pub fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < SHOWN && self.names.last().is_none_or(|last| last != name) {
            self.names.push(name.to_owned());
        }
    }
}

/// Keys with a secret that has a cost other than `cost` and can still be presented.
pub(super) fn other_cost(conn: &Conn, cost: Cost, now: Timestamp) -> Result<NameCount, StoreError> {
    let mut found = NameCount::default();
    conn.each(
        "SELECT k.name, s.hash FROM secret s JOIN key k ON k.id = s.key
          WHERE s.retired = 0 AND (s.expires_at IS NULL OR s.expires_at > ?1) ORDER BY k.name",
        &[now.into()],
        |row| {
            if HashedSecret::from_stored(row.text(1)?.to_owned()).needs_renewal(cost) {
                found.add(row.text(0)?);
            }
            Ok::<_, StoreError>(())
        },
    )?;
    Ok(found)
}

/// How many secrets were imported.
pub(super) fn imported(conn: &Conn) -> Result<u64, StoreError> {
    conn.alone("SELECT count(*) FROM secret WHERE bucket >= -1", &[], |row| row.count(0))
}

/// Keys with an imported secret that is not yet stored like any other and can still be presented.
pub(super) fn to_be_renewed(conn: &Conn, now: Timestamp) -> Result<NameCount, StoreError> {
    let mut found = NameCount::default();
    conn.each(
        "SELECT k.name FROM secret s JOIN key k ON k.id = s.key
          WHERE s.bucket >= -1 AND (s.bucket < 0 OR substr(s.hash, 1, 8) = '$sha256$')
            AND s.retired = 0 AND (s.expires_at IS NULL OR s.expires_at > ?1) ORDER BY k.name",
        &[now.into()],
        |row| {
            found.add(row.text(0)?);
            Ok::<_, StoreError>(())
        },
    )?;
    Ok(found)
}

/// Keys with a secret that a rotation staged and left behind.
pub(super) fn staged(conn: &Conn) -> Result<NameCount, StoreError> {
    let mut found = NameCount::default();
    conn.each(
        "SELECT DISTINCT k.name FROM secret s JOIN key k ON k.id = s.key WHERE s.staged = 1 ORDER BY k.name",
        &[],
        |row| {
            found.add(row.text(0)?);
            Ok::<_, StoreError>(())
        },
    )?;
    Ok(found)
}

/// Things named by a word that filters read as something else, each with its kind.
pub(super) fn reserved_names(conn: &Conn) -> Result<NameCount, StoreError> {
    let mut found = NameCount::default();
    let words = RESERVED.map(|word| format!("'{word}'")).join(", ");
    for (kind, table, column) in [
        ("key", "key", "name"),
        ("group", "key_group", "name"),
        ("user", "\"user\"", "name"),
        ("role", "role", "name"),
        ("tenant", "tenant", "name"),
        ("scope", "key_scope", "scope"),
        ("level", "key_level", "level"),
    ] {
        let more = if kind == "scope" { format!(" OR substr({column}, 1, 1) = '{NOT}'") } else { String::new() };
        let sql = format!("SELECT DISTINCT {column} FROM {table} WHERE {column} IN ({words}){more} ORDER BY {column}");
        conn.each(&sql, &[], |row| {
            found.add(&format!("{kind} {}", row.text(0)?));
            Ok::<_, StoreError>(())
        })?;
    }
    Ok(found)
}

/// Keys that never expire.
pub(super) fn never_expiring(conn: &Conn) -> Result<NameCount, StoreError> {
    let count = conn.alone("SELECT count(*) FROM key WHERE expires_at IS NULL", &[], |row| row.count(0))?;
    let names =
        conn.all("SELECT name FROM key WHERE expires_at IS NULL ORDER BY name LIMIT ?1", &[SHOWN.into()], |row| {
            Ok(row.text(0)?.to_owned())
        })?;
    Ok(NameCount { count, names })
}
