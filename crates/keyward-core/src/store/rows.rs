//! Rows of the store as keys: one query shape, whatever finds them.
//!
//! Each list of a key (scopes, labels, secrets …) arrives as one text. So a key is one row, and any number of keys is
//! one pass over one statement. A missing reference or list item makes a damaged key ([`Key::damage`]).

use super::db::Row;
use super::error::StoreError;
use super::key_settings;
use crate::rules::imported::Import;
use crate::rules::key::{Key, SecretInfo, Standing};
use crate::rules::names::Name;

/// The statement that selects keys as [`key`] reads them: with `more` columns after those of the key, and `rest`
/// (joins, conditions, an order) after the tables.
pub(super) fn select_key(more: &str, rest: &str) -> String {
    let tables = tables(|_| true);
    format!("SELECT k.public_id, k.name, {}, {KEY_COLUMNS}{more}{tables} {rest}", key_settings::COLUMNS)
}

/// The statement that counts keys.
pub(super) fn count_keys(conditions: &str) -> String {
    format!("SELECT count(*){} {conditions}", tables_of(conditions))
}

/// The statement that says whether there is a key, as 1 or 0.
pub(super) fn has_key(conditions: &str) -> String {
    format!("SELECT CAST(EXISTS (SELECT 1{} {conditions}) AS INTEGER)", tables_of(conditions))
}

/// The key table with the tables that the conditions name: an engine would read any others for every key.
fn tables_of(conditions: &str) -> String {
    tables(|alias| {
        let mut before = conditions.match_indices(alias).map(|(place, _)| conditions[..place].chars().next_back());
        before.any(|c| c.is_none_or(|c| !c.is_alphanumeric() && c != '_'))
    })
}

/// The key table with the tables whose column prefix `is_wanted` accepts.
fn tables(is_wanted: impl Fn(&str) -> bool) -> String {
    let mut sql = "\n      FROM key k".to_owned();
    for (_, join) in JOINS.iter().filter(|(alias, _)| is_wanted(alias)) {
        sql.push_str("\n      ");
        sql.push_str(join);
    }
    sql
}

/// The tables that a key refers to, by the prefix of their columns.
const JOINS: [(&str, &str); 6] = [
    ("g.", "LEFT JOIN key_group g ON g.id = k.key_group"),
    ("o.", "LEFT JOIN \"user\" o ON o.id = k.owner"),
    ("r.", "LEFT JOIN role r ON r.id = k.role"),
    ("t.", "LEFT JOIN tenant t ON t.id = k.tenant"),
    ("p.", "LEFT JOIN role p ON p.id = o.role"),
    ("u.", "LEFT JOIN key_use u ON u.key = k.id"),
];

/// The index of the first settings column, and of the first one after them.
const SETTINGS: usize = 2;
const REST: usize = SETTINGS + key_settings::WIDTH;

/// How many columns a key has; further ones follow from this index on.
pub(super) const COLUMNS: usize = REST + 17;

const KEY_COLUMNS: &str = "
           k.created_at, k.created_by, k.updated_at, k.revision,
           u.last_used_at, coalesce(u.use_count, 0),
           coalesce(o.enabled, 1), coalesce(t.enabled, 1), r.rank, p.name, p.rank, o.role,
           (SELECT string_agg(public_id || '\u{1e}' || CAST(created_at AS TEXT)
                                        || '\u{1e}' || coalesce(CAST(expires_at AS TEXT), '')
                                        || '\u{1e}' || CAST(staged AS TEXT)
                                        || '\u{1e}' || CAST(retired AS TEXT)
                                        || coalesce('\u{1e}' || imported || '\u{1e}' || CASE
                                             WHEN bucket >= 0 AND substr(hash, 1, 8) <> '$sha256$' THEN '1' ELSE '0' END, ''),
                              '\u{1f}' ORDER BY id DESC)
              FROM secret WHERE key = k.id),
           coalesce(k.expiry_set_at, k.created_at), coalesce(o.limits, ''), coalesce(t.limits, ''),
           u.last_used_from";

/// The key in a row of [`select_key`].
pub(super) fn key(row: &Row<'_>) -> Result<Key, StoreError> {
    let (settings, mut missing) = key_settings::read(row, SETTINGS)?;
    let owner_role: Option<Name> = row.optional_parsed(REST + 9)?;
    missing.extend(key_settings::missing_reference(row, REST + 11, owner_role.is_some(), "owner's role")?);
    let standing = Standing {
        owner_enabled: row.flag(REST + 6)?,
        tenant_enabled: row.flag(REST + 7)?,
        rank: row.optional_integer(REST + 8)?,
        owner_role: owner_role.zip(row.optional_integer(REST + 10)?),
        owner_limits: row.parsed(REST + 14)?,
        tenant_limits: row.parsed(REST + 15)?,
    };
    Ok(Key {
        id: row.parsed(0)?,
        name: row.parsed(1)?,
        settings,
        created_at: row.time(REST)?,
        created_by: row.optional_parsed(REST + 1)?,
        updated_at: row.time(REST + 2)?,
        expiry_set_at: row.time(REST + 13)?,
        revision: row.integer(REST + 3)?,
        last_used_at: row.optional_time(REST + 4)?,
        last_used_from: row.optional_parsed(REST + 16)?,
        use_count: row.count(REST + 5)?,
        secrets: secrets(row, REST + 12)?,
        standing,
        damage: if missing.is_empty() { None } else { Some(missing.join(", ")) },
    })
}

fn secrets(row: &Row<'_>, column: usize) -> Result<Vec<SecretInfo>, StoreError> {
    let time = |text: &str| row.timestamp(row.parse(text, column)?, column);
    row.items(column)?
        .map(|item| {
            let mut parts = item.split('\u{1e}');
            let mut part = || parts.next().ok_or_else(|| row.damage(column));
            let (id, created_at, expires_at, staged, retired) = (part()?, part()?, part()?, part()?, part()?);
            let (origin, renewed) = (parts.next(), parts.next());
            let origin = origin.map(|origin| row.parse(origin, column)).transpose()?;
            Ok(SecretInfo {
                id: row.parse(id, column)?,
                created_at: time(created_at)?,
                expires_at: if expires_at.is_empty() { None } else { Some(time(expires_at)?) },
                staged: staged == "1",
                retired: retired == "1",
                imported: origin.map(|origin| Import { origin, is_renewed: renewed == Some("1") }),
            })
        })
        .collect()
}
