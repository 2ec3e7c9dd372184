//! The settings of a key in its row and in the tables of its lists: read and written only here.
//!
//! Each list arrives as one text, joined by the engine and split here, so that a key is one row. Separators are control
//! characters, which no value can contain: U+001F between items, U+001E inside one. A missing reference or list item is
//! damage: it must not lift a restriction.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use super::db::{Conn, Row, Value};
use super::error::StoreError;
use crate::rules::setting::Settings;
use crate::rules::text::count;

/// The columns that [`read`] expects, in order. Table names as in `select_key`.
pub(super) const COLUMNS: &str = "
           k.description, g.name, o.name, r.name, t.name,
           k.read_only, k.require_secure, k.enabled, k.expires_at, k.prefix,
           (SELECT string_agg(scope, '\u{1f}') FROM key_scope WHERE key = k.id),
           (SELECT string_agg(level, '\u{1f}') FROM key_level WHERE key = k.id),
           (SELECT string_agg(network, '\u{1f}') FROM key_address WHERE key = k.id),
           (SELECT string_agg(label || '\u{1e}' || value, '\u{1f}') FROM key_label WHERE key = k.id),
           k.key_group, k.owner, k.role, k.tenant,
           k.scope_count, k.level_count, k.address_count, k.label_count, k.limits";

/// How many columns there are.
pub(super) const WIDTH: usize = 23;

/// The settings in the columns from `first` on, and what is missing of them.
pub(super) fn read(row: &Row<'_>, first: usize) -> Result<(Settings, Vec<String>), StoreError> {
    let settings = Settings {
        description: row.optional_parsed(first)?,
        group: row.optional_parsed(first + 1)?,
        owner: row.optional_parsed(first + 2)?,
        role: row.optional_parsed(first + 3)?,
        tenant: row.optional_parsed(first + 4)?,
        read_only: row.flag(first + 5)?,
        require_secure: row.flag(first + 6)?,
        enabled: row.flag(first + 7)?,
        expires_at: row.optional_time(first + 8)?,
        prefix: row.parsed(first + 9)?,
        scopes: set(row, first + 10)?,
        levels: set(row, first + 11)?,
        allowed_ips: set(row, first + 12)?,
        labels: labels(row, first + 13)?,
        limits: row.parsed(first + 22)?,
    };
    let mut missing = vec![];
    for (column, is_there, what) in [
        (14, settings.group.is_some(), "group"),
        (15, settings.owner.is_some(), "owner"),
        (16, settings.role.is_some(), "role"),
        (17, settings.tenant.is_some(), "tenant"),
    ] {
        missing.extend(missing_reference(row, first + column, is_there, what)?);
    }
    for (column, there, what) in [
        (18, settings.scopes.len(), "scope"),
        (19, settings.levels.len(), "level"),
        (20, settings.allowed_ips.len(), "network"),
        (21, settings.labels.len(), "label"),
    ] {
        let (there, expected) = (there as u64, row.count(first + column)?);
        if there != expected {
            missing.push(format!("it has {} of {expected}", count(there, what)));
        }
    }
    Ok((settings, missing))
}

/// Reports a reference whose target is missing. Foreign keys prevent this, but not for tools that do not enforce them.
pub(super) fn missing_reference(
    row: &Row<'_>,
    column: usize,
    is_there: bool,
    what: &str,
) -> Result<Option<String>, StoreError> {
    Ok((!is_there && row.optional_integer(column)?.is_some()).then(|| format!("its {what} is missing")))
}

/// The columns that hold settings, and the value of each: the question mark, or what it names.
const SET: [(&str, &str); 15] = [
    ("description", "?"),
    ("key_group", "(SELECT id FROM key_group WHERE name = ?)"),
    ("owner", "(SELECT id FROM \"user\" WHERE name = ?)"),
    ("role", "(SELECT id FROM role WHERE name = ?)"),
    ("tenant", "(SELECT id FROM tenant WHERE name = ?)"),
    ("read_only", "?"),
    ("require_secure", "?"),
    ("enabled", "?"),
    ("expires_at", "?"),
    ("prefix", "?"),
    ("scope_count", "?"),
    ("level_count", "?"),
    ("address_count", "?"),
    ("label_count", "?"),
    ("limits", "?"),
];

/// The value of each column, with numbered question marks from `first` on.
fn expressions(first: usize) -> impl Iterator<Item = (&'static str, String)> {
    SET.iter().zip(first..).map(|((column, value), number)| (*column, value.replace('?', &format!("?{number}"))))
}

/// The values for these, in order, after `before`.
fn values<'v>(before: &[Value<'v>], settings: &'v Settings, limits: &'v str) -> Vec<Value<'v>> {
    let of_settings = [
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
        settings.scopes.len().into(),
        settings.levels.len().into(),
        settings.allowed_ips.len().into(),
        settings.labels.len().into(),
        limits.into(),
    ];
    [before, &of_settings].concat()
}

/// The statement that inserts the row of a key. `columns` are those without settings, with their values, which are numbered
/// from 1 to `width`. It returns the number of the row.
pub(super) fn insertion(columns: &[(&str, &str)], width: usize) -> String {
    let (mut names, mut wanted) = (vec![], vec![]);
    for (column, value) in columns {
        names.push(*column);
        wanted.push((*value).to_owned());
    }
    for (column, value) in expressions(width + 1) {
        names.push(column);
        wanted.push(value);
    }
    format!("INSERT INTO key ({}) VALUES ({}) RETURNING id", names.join(", "), wanted.join(", "))
}

/// Inserts a row by such a statement, whose first values are these, and the rows of its lists. Returns the number of the
/// row.
pub(super) fn insert(
    conn: &Conn,
    insertion: &str,
    before: &[Value<'_>],
    settings: &Settings,
) -> Result<i64, StoreError> {
    let limits = settings.limits.to_string();
    let key = conn
        .optional(insertion, &values(before, settings, &limits), |row| row.integer(0))?
        .ok_or_else(|| conn.ineffective("a key was not inserted"))?;
    insert_lists(conn, key, settings)?;
    Ok(key)
}

/// Writes the settings into the row of a key and into the tables of its lists.
pub(super) fn write(conn: &Conn, key: i64, settings: &Settings) -> Result<(), StoreError> {
    let limits = settings.limits.to_string();
    let set: Vec<_> = expressions(2).map(|(column, value)| format!("{column} = {value}")).collect();
    let sql = format!("UPDATE key SET {} WHERE id = ?1", set.join(", "));
    conn.change_one(&sql, &values(&[key.into()], settings, &limits))?;
    for clear in [
        "DELETE FROM key_scope WHERE key = ?1",
        "DELETE FROM key_level WHERE key = ?1",
        "DELETE FROM key_address WHERE key = ?1",
        "DELETE FROM key_label WHERE key = ?1",
    ] {
        conn.execute(clear, &[key.into()])?;
    }
    insert_lists(conn, key, settings)?;
    let count = "SELECT (SELECT count(*) FROM key_scope WHERE key = ?1) + (SELECT count(*) FROM key_level WHERE key = ?1)
                      + (SELECT count(*) FROM key_address WHERE key = ?1) + (SELECT count(*) FROM key_label WHERE key = ?1)";
    let wanted = settings.scopes.len() + settings.levels.len() + settings.allowed_ips.len() + settings.labels.len();
    let found = conn.alone(count, &[key.into()], |row| row.integer(0))?;
    if usize::try_from(found) == Ok(wanted) {
        Ok(())
    } else {
        Err(conn.ineffective("a list of the key was not stored as given"))
    }
}

fn insert_lists(conn: &Conn, key: i64, settings: &Settings) -> Result<(), StoreError> {
    let add = |sql, values: &[Value<'_>]| conn.change_one(sql, values);
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

/// The items are inserted one by one: `collect` would sort them first, and each set type would add 6 KiB of sorting
/// code to the program.
fn set<T: FromStr + Ord>(row: &Row<'_>, column: usize) -> Result<BTreeSet<T>, StoreError> {
    let mut set = BTreeSet::new();
    for item in row.items(column)? {
        set.insert(row.parse(item, column)?);
    }
    Ok(set)
}

fn labels<K: FromStr + Ord, V: FromStr>(row: &Row<'_>, column: usize) -> Result<BTreeMap<K, V>, StoreError> {
    let mut labels = BTreeMap::new();
    for item in row.items(column)? {
        let (key, value) = item.split_once('\u{1e}').ok_or_else(|| row.damage(column))?;
        labels.insert(row.parse(key, column)?, row.parse(value, column)?);
    }
    Ok(labels)
}
