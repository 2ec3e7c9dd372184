//! Rows of the store as keys: one query shape, whatever finds them.
//!
//! The lists of a key (scopes, labels, secrets …) come as one text a list, put together by SQLite
//! and taken apart here. So a key is one row, and any number of keys is one pass over one statement.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;

use crate::rules::key::{Key, SecretInfo, Settings, Standing};
use crate::rules::names::Name;

/// The statement that selects keys as [`key`] reads them: with `more` columns behind those of the key,
/// and with `rest` (joins, conditions, an order) behind the tables.
pub(super) fn select_key(more: &str, rest: &str) -> String {
    format!("SELECT {KEY_COLUMNS}{more}{KEY_TABLES} {rest}")
}

/// The statement that counts keys, `most` of them at most.
pub(super) fn count_keys(rest: &str, most: u64) -> String {
    format!("SELECT count(*) FROM (SELECT 1{KEY_TABLES} {rest} LIMIT {most})")
}

/// How many columns a key has; further ones follow from this index on.
pub(super) const COLUMNS: usize = 37;

/// Separators are control characters, which none of the values can hold.
const KEY_COLUMNS: &str = "
           k.public_id, k.name, k.description, g.name, o.name, r.name, t.name,
           k.read_only, k.require_secure, k.enabled, k.expires_at, k.prefix,
           k.created_at, k.created_by, k.updated_at, k.revision,
           u.last_used_at, coalesce(u.use_count, 0),
           coalesce(o.enabled, 1), coalesce(t.enabled, 1), r.rank, p.name, p.rank,
           (SELECT group_concat(scope, char(31)) FROM key_scope WHERE key = k.id),
           (SELECT group_concat(level, char(31)) FROM key_level WHERE key = k.id),
           (SELECT group_concat(network, char(31)) FROM key_address WHERE key = k.id),
           (SELECT group_concat(label || char(30) || value, char(31)) FROM key_label WHERE key = k.id),
           (SELECT group_concat(public_id || char(30) || created_at || char(30) || coalesce(expires_at, '')
                                || char(30) || staged, char(31)
                                ORDER BY id DESC) FROM secret WHERE key = k.id),
           k.key_group, k.owner, k.role, k.tenant, o.role,
           k.scope_count, k.level_count, k.address_count, k.label_count";

const KEY_TABLES: &str = "
      FROM key k
      LEFT JOIN key_group g ON g.id = k.key_group
      LEFT JOIN user o ON o.id = k.owner
      LEFT JOIN role r ON r.id = k.role
      LEFT JOIN tenant t ON t.id = k.tenant
      LEFT JOIN role p ON p.id = o.role
      LEFT JOIN key_use u ON u.key = k.id";

/// The key in a row of [`select_key`].
pub(super) fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    let settings = Settings {
        description: optional(row, 2)?,
        group: optional(row, 3)?,
        owner: optional(row, 4)?,
        role: optional(row, 5)?,
        tenant: optional(row, 6)?,
        scopes: set(row, 23)?,
        levels: set(row, 24)?,
        allowed_ips: set(row, 25)?,
        labels: labels(row, 26)?,
        read_only: row.get(7)?,
        require_secure: row.get(8)?,
        enabled: row.get(9)?,
        expires_at: optional_time(row, 10)?,
        prefix: parsed(row, 11)?,
    };
    let owner_role: Option<Name> = optional(row, 21)?;
    let standing = Standing {
        owner_enabled: row.get(18)?,
        tenant_enabled: row.get(19)?,
        rank: row.get(20)?,
        owner_role: owner_role.clone().zip(row.get(22)?),
    };
    let damage = missing_from(row, &settings, owner_role.is_some())?;
    Ok(Key {
        damage,
        id: parsed(row, 0)?,
        name: parsed(row, 1)?,
        settings,
        created_at: time(row, 12)?,
        created_by: optional(row, 13)?,
        updated_at: time(row, 14)?,
        revision: row.get(15)?,
        last_used_at: optional_time(row, 16)?,
        use_count: count(row, 17)?,
        secrets: secrets(row, 27)?,
        standing,
    })
}

/// What the row refers to or counts, and what is not there. Foreign keys keep it from happening; a tool that does not
/// heed them does not.
fn missing_from(row: &Row<'_>, settings: &Settings, has_owner_role: bool) -> rusqlite::Result<Option<String>> {
    let mut found: Vec<String> = vec![];
    for (column, is_there, what) in [
        (28, settings.group.is_some(), "group"),
        (29, settings.owner.is_some(), "owner"),
        (30, settings.role.is_some(), "role"),
        (31, settings.tenant.is_some(), "tenant"),
        (32, has_owner_role, "owner's role"),
    ] {
        if !is_there && row.get::<_, Option<i64>>(column)?.is_some() {
            found.push(format!("its {what} is missing"));
        }
    }
    for (column, there, what) in [
        (33, settings.scopes.len(), "scope"),
        (34, settings.levels.len(), "level"),
        (35, settings.allowed_ips.len(), "network"),
        (36, settings.labels.len(), "label"),
    ] {
        let (there, expected) = (there as u64, count(row, column)?);
        if there != expected {
            found.push(format!("it has {} of {expected}", crate::rules::text::count(there, what)));
        }
    }
    Ok(if found.is_empty() { None } else { Some(found.join(", ")) })
}

/// A text column as the type that checks it. What does not parse is damage.
pub(super) fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    parse(row.get_ref(column)?.as_str()?, column)
}

/// The same for a column that may be NULL.
pub(super) fn optional<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    row.get_ref(column)?.as_str_or_null()?.map(|text| parse(text, column)).transpose()
}

/// A column of whole seconds.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    timestamp(row.get(column)?, column)
}

/// The same for a column that may be NULL.
pub(super) fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|second| timestamp(second, column)).transpose()
}

/// A column that counts something.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column)?.try_into().map_err(|_| damage(column))
}

fn timestamp(second: i64, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_second(second).map_err(|_| damage(column))
}

fn parse<T: FromStr>(text: &str, column: usize) -> rusqlite::Result<T> {
    text.parse().map_err(|_| damage(column))
}

fn damage(column: usize) -> rusqlite::Error {
    broken(column, "a value that keyward never writes".to_owned())
}

/// The error for a row that keyward did not leave so.
pub(super) fn broken(column: usize, what: String) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, what, Type::Text)
}

fn items<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<impl Iterator<Item = &'r str>> {
    let list = row.get_ref(column)?.as_str_or_null()?;
    Ok(list.into_iter().flat_map(|list| list.split('\u{1f}')))
}

fn set<T: FromStr + Ord>(row: &Row<'_>, column: usize) -> rusqlite::Result<BTreeSet<T>> {
    items(row, column)?.map(|item| parse(item, column)).collect()
}

fn labels<K: FromStr + Ord, V: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<BTreeMap<K, V>> {
    items(row, column)?
        .map(|item| {
            let (key, value) = item.split_once('\u{1e}').ok_or_else(|| damage(column))?;
            Ok((parse(key, column)?, parse(value, column)?))
        })
        .collect()
}

fn secrets(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<SecretInfo>> {
    items(row, column)?
        .map(|item| {
            let mut parts = item.split('\u{1e}');
            let mut part = || parts.next().ok_or_else(|| damage(column));
            let (id, created_at, expires_at, staged) = (part()?, part()?, part()?, part()?);
            Ok(SecretInfo {
                id: parse(id, column)?,
                created_at: timestamp(parse(created_at, column)?, column)?,
                expires_at: match expires_at {
                    "" => None,
                    second => Some(timestamp(parse(second, column)?, column)?),
                },
                staged: staged == "1",
            })
        })
        .collect()
}
