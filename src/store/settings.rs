//! The settings of a store, as opposed to those of a key.

use rusqlite::{Connection, OptionalExtension as _};

use crate::domain::hashing::Cost;
use crate::domain::names::Prefix;

/// What a store decides for all of its keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreSettings {
    /// What new secrets start with, unless their key says otherwise.
    pub prefix: Prefix,
    /// What hashing a new secret costs.
    pub hash_cost: Cost,
}

pub(super) fn load(conn: &Connection) -> rusqlite::Result<StoreSettings> {
    let default = StoreSettings::default();
    Ok(StoreSettings {
        prefix: read(conn, "prefix")?.unwrap_or(default.prefix),
        hash_cost: read(conn, "hash_cost")?.unwrap_or(default.hash_cost),
    })
}

pub(super) fn save(conn: &Connection, settings: &StoreSettings) -> rusqlite::Result<()> {
    for (name, value) in [("prefix", settings.prefix.to_string()), ("hash_cost", settings.hash_cost.to_string())] {
        conn.execute("INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)", (name, value))?;
    }
    Ok(())
}

/// A value that does not parse is damage, not a reason to fall back to a default.
fn read<T: std::str::FromStr>(conn: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    conn.prepare_cached("SELECT value FROM setting WHERE name = ?1")?
        .query_row([name], |row| super::rows::parsed(row, 0))
        .optional()
}
