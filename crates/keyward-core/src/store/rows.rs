//! Rows of the store as keys, and keys as rows: where each setting of a key is kept. Reading is one query shape,
//! whatever finds the keys.
//!
//! The lists of a key (scopes, labels, secrets …) come as one text a list, put together by the engine and taken apart
//! here. So a key is one row, and any number of keys is one pass over one statement. Separators are control
//! characters, which none of the values can hold: U+001F between items, U+001E inside one.
//!
//! What a row refers to or counts and what is not there makes a damaged key ([`Key::damage`]).

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use jiff::Timestamp;

use super::db::{Conn, Row, Value};
use super::error::StoreError;
use crate::rules::key::{Key, SecretInfo, Settings, Standing};
use crate::rules::names::Name;
use crate::rules::text;
use crate::rules::token::Id;

/// The statement that selects keys as [`key`] reads them: with `more` columns behind those of the key,
/// and with `rest` (joins, conditions, an order) behind the tables.
pub(super) fn select_key(more: &str, rest: &str) -> String {
    format!("SELECT {KEY_COLUMNS}{more}{KEY_TABLES} {rest}")
}

/// The statement that counts keys, `most` of them at most.
pub(super) fn count_keys(rest: &str, most: u64) -> String {
    format!("SELECT count(*) FROM (SELECT 1{KEY_TABLES} {rest} LIMIT {most}) AS counted")
}

/// How many columns a key has; further ones follow from this index on.
pub(super) const COLUMNS: usize = 37;

const KEY_COLUMNS: &str = "
           k.public_id, k.name, k.description, g.name, o.name, r.name, t.name,
           k.read_only, k.require_secure, k.enabled, k.expires_at, k.prefix,
           k.created_at, k.created_by, k.updated_at, k.revision,
           u.last_used_at, coalesce(u.use_count, 0),
           coalesce(o.enabled, 1), coalesce(t.enabled, 1), r.rank, p.name, p.rank,
           (SELECT string_agg(scope, '\u{1f}') FROM key_scope WHERE key = k.id),
           (SELECT string_agg(level, '\u{1f}') FROM key_level WHERE key = k.id),
           (SELECT string_agg(network, '\u{1f}') FROM key_address WHERE key = k.id),
           (SELECT string_agg(label || '\u{1e}' || value, '\u{1f}') FROM key_label WHERE key = k.id),
           (SELECT string_agg(public_id || '\u{1e}' || CAST(created_at AS TEXT)
                                        || '\u{1e}' || coalesce(CAST(expires_at AS TEXT), '')
                                        || '\u{1e}' || CAST(staged AS TEXT), '\u{1f}' ORDER BY id DESC)
              FROM secret WHERE key = k.id),
           k.key_group, k.owner, k.role, k.tenant, o.role,
           k.scope_count, k.level_count, k.address_count, k.label_count";

const KEY_TABLES: &str = "
      FROM key k
      LEFT JOIN key_group g ON g.id = k.key_group
      LEFT JOIN \"user\" o ON o.id = k.owner
      LEFT JOIN role r ON r.id = k.role
      LEFT JOIN tenant t ON t.id = k.tenant
      LEFT JOIN role p ON p.id = o.role
      LEFT JOIN key_use u ON u.key = k.id";

/// The key in a row of [`select_key`].
pub(super) fn key(row: &Row<'_>) -> Result<Key, StoreError> {
    let settings = Settings {
        description: row.optional_parsed(2)?,
        group: row.optional_parsed(3)?,
        owner: row.optional_parsed(4)?,
        role: row.optional_parsed(5)?,
        tenant: row.optional_parsed(6)?,
        scopes: set(row, 23)?,
        levels: set(row, 24)?,
        allowed_ips: set(row, 25)?,
        labels: labels(row, 26)?,
        read_only: row.flag(7)?,
        require_secure: row.flag(8)?,
        enabled: row.flag(9)?,
        expires_at: row.optional_time(10)?,
        prefix: row.parsed(11)?,
    };
    let owner_role: Option<Name> = row.optional_parsed(21)?;
    let damage = missing_from(row, &settings, owner_role.is_some())?;
    let standing = Standing {
        owner_enabled: row.flag(18)?,
        tenant_enabled: row.flag(19)?,
        rank: row.optional_integer(20)?,
        owner_role: owner_role.zip(row.optional_integer(22)?),
    };
    Ok(Key {
        id: row.parsed(0)?,
        name: row.parsed(1)?,
        settings,
        created_at: row.time(12)?,
        created_by: row.optional_parsed(13)?,
        updated_at: row.time(14)?,
        revision: row.integer(15)?,
        last_used_at: row.optional_time(16)?,
        use_count: row.count(17)?,
        secrets: secrets(row, 27)?,
        standing,
        damage,
    })
}

/// Writes the row of a new key, and the rows of its lists; returns its number.
pub(super) fn insert(
    conn: &Conn,
    id: &Id,
    name: &Name,
    settings: &Settings,
    now: Timestamp,
    by: Option<&Name>,
) -> Result<i64, StoreError> {
    let key = conn.alone(
        "INSERT INTO key (public_id, name, created_at, created_by, updated_at, revision,
                          read_only, require_secure, enabled, prefix)
         VALUES (?1, ?2, ?3, ?4, ?3, 0, 0, 1, 1, '') RETURNING id",
        &[id.into(), name.into(), now.into(), by.into()],
        |row| row.integer(0),
    )?;
    update(conn, key, name, settings, now)?;
    Ok(key)
}

/// Writes what a person decided about a key anew: its name and its settings.
pub(super) fn update(
    conn: &Conn,
    key: i64,
    name: &Name,
    settings: &Settings,
    now: Timestamp,
) -> Result<(), StoreError> {
    conn.execute(
        "UPDATE key SET name = ?2, description = ?3, key_group = (SELECT id FROM key_group WHERE name = ?4),
                        owner = (SELECT id FROM \"user\" WHERE name = ?5), role = (SELECT id FROM role WHERE name = ?6),
                        tenant = (SELECT id FROM tenant WHERE name = ?7), read_only = ?8, require_secure = ?9,
                        enabled = ?10, expires_at = ?11, prefix = ?12, updated_at = ?13, revision = revision + 1,
                        scope_count = ?14, level_count = ?15, address_count = ?16, label_count = ?17
          WHERE id = ?1",
        &[
            key.into(),
            name.into(),
            settings.description.as_ref().map(AsRef::<str>::as_ref).into(),
            settings.group.as_ref().into(),
            settings.owner.as_ref().into(),
            settings.role.as_ref().into(),
            settings.tenant.as_ref().into(),
            settings.read_only.into(),
            settings.require_secure.into(),
            settings.enabled.into(),
            settings.expires_at.into(),
            settings.prefix.as_str().into(),
            now.into(),
            settings.scopes.len().into(),
            settings.levels.len().into(),
            settings.allowed_ips.len().into(),
            settings.labels.len().into(),
        ],
    )?;
    for clear in [
        "DELETE FROM key_scope WHERE key = ?1",
        "DELETE FROM key_level WHERE key = ?1",
        "DELETE FROM key_address WHERE key = ?1",
        "DELETE FROM key_label WHERE key = ?1",
    ] {
        conn.execute(clear, &[key.into()])?;
    }
    insert_lists(conn, key, settings)
}

fn insert_lists(conn: &Conn, key: i64, settings: &Settings) -> Result<(), StoreError> {
    let add = |sql, values: &[Value<'_>]| conn.execute(sql, values).map(drop);
    for scope in &settings.scopes {
        add("INSERT INTO key_scope (key, scope) VALUES (?1, ?2)", &[key.into(), scope.as_str().into()])?;
    }
    for level in &settings.levels {
        add("INSERT INTO key_level (key, level) VALUES (?1, ?2)", &[key.into(), level.as_str().into()])?;
    }
    for network in &settings.allowed_ips {
        let network = network.to_string();
        add("INSERT INTO key_address (key, network) VALUES (?1, ?2)", &[key.into(), network.as_str().into()])?;
    }
    for (label, value) in &settings.labels {
        add(
            "INSERT INTO key_label (key, label, value) VALUES (?1, ?2, ?3)",
            &[key.into(), label.as_str().into(), value.as_str().into()],
        )?;
    }
    Ok(())
}

/// What the row refers to or counts, and what is not there. Foreign keys keep it from happening; a tool that does not
/// heed them does not.
fn missing_from(row: &Row<'_>, settings: &Settings, has_owner_role: bool) -> Result<Option<String>, StoreError> {
    let mut found: Vec<String> = vec![];
    for (column, is_there, what) in [
        (28, settings.group.is_some(), "group"),
        (29, settings.owner.is_some(), "owner"),
        (30, settings.role.is_some(), "role"),
        (31, settings.tenant.is_some(), "tenant"),
        (32, has_owner_role, "owner's role"),
    ] {
        if !is_there && row.optional_integer(column)?.is_some() {
            found.push(format!("its {what} is missing"));
        }
    }
    for (column, there, what) in [
        (33, settings.scopes.len(), "scope"),
        (34, settings.levels.len(), "level"),
        (35, settings.allowed_ips.len(), "network"),
        (36, settings.labels.len(), "label"),
    ] {
        let (there, expected) = (there as u64, row.count(column)?);
        if there != expected {
            found.push(format!("it has {} of {expected}", text::count(there, what)));
        }
    }
    Ok(if found.is_empty() { None } else { Some(found.join(", ")) })
}

fn items<'r>(row: &'r Row<'_>, column: usize) -> Result<impl Iterator<Item = &'r str>, StoreError> {
    Ok(row.optional_text(column)?.into_iter().flat_map(|list| list.split('\u{1f}')))
}

fn set<T: FromStr + Ord>(row: &Row<'_>, column: usize) -> Result<BTreeSet<T>, StoreError> {
    items(row, column)?.map(|item| row.parse(item, column)).collect()
}

fn labels<K: FromStr + Ord, V: FromStr>(row: &Row<'_>, column: usize) -> Result<BTreeMap<K, V>, StoreError> {
    items(row, column)?
        .map(|item| {
            let (key, value) = item.split_once('\u{1e}').ok_or_else(|| row.damage(column))?;
            Ok((row.parse(key, column)?, row.parse(value, column)?))
        })
        .collect()
}

fn secrets(row: &Row<'_>, column: usize) -> Result<Vec<SecretInfo>, StoreError> {
    let time = |text: &str| row.timestamp(row.parse(text, column)?, column);
    items(row, column)?
        .map(|item| {
            let mut parts = item.split('\u{1e}');
            let mut part = || parts.next().ok_or_else(|| row.damage(column));
            let (id, created_at, expires_at, staged) = (part()?, part()?, part()?, part()?);
            Ok(SecretInfo {
                id: row.parse(id, column)?,
                created_at: time(created_at)?,
                expires_at: if expires_at.is_empty() { None } else { Some(time(expires_at)?) },
                staged: staged == "1",
            })
        })
        .collect()
}
