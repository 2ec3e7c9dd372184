//! Keys and their secrets: finding, and changing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::directory;
use super::rows::{self, select_key};
use crate::rules::directory::Kind;
use crate::rules::hashing::HashedSecret;
use crate::rules::key::{Key, SecretInfo, Settings};
use crate::rules::names::Name;
use crate::rules::token::Id;

/// A key that is about to exist.
#[derive(Debug)]
pub struct NewKey<'n> {
    /// Its id.
    pub id: &'n Id,
    /// Its name.
    pub name: &'n Name,
    /// Its settings.
    pub settings: &'n Settings,
    /// Its first secret.
    pub secret: &'n NewSecret,
}

/// A secret that is about to exist, as much of it as is stored.
#[derive(Debug)]
pub struct NewSecret {
    /// The public id inside it.
    pub id: Id,
    /// Its hash.
    pub hash: HashedSecret,
}

/// What the store knows about a presented public id.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The key that the secret belongs to.
    pub key: Key,
    /// The hash that the secret must match.
    pub hash: HashedSecret,
    /// The secret itself, as one of the key's.
    pub secret: SecretInfo,
}

/// The key with this name, with this id, or with a secret of this public id, in that order.
pub(super) fn find(conn: &Connection, text: &str) -> rusqlite::Result<Option<Key>> {
    for condition in [
        "WHERE k.name = ?1",
        "WHERE k.public_id = ?1",
        "WHERE k.id = (SELECT s.key FROM secret s WHERE s.public_id = ?1)",
    ] {
        let found = conn.prepare_cached(&select_key("", condition))?.query_row([text], rows::key).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The key with this name, whatever the ids of others are.
pub(super) fn by_name(conn: &Connection, name: &Name) -> rusqlite::Result<Option<Key>> {
    conn.prepare_cached(&select_key("", "WHERE k.name = ?1"))?.query_row([name.as_str()], rows::key).optional()
}

/// The key with this id, whatever the names of others are.
pub(super) fn by_id(conn: &Connection, id: &Id) -> rusqlite::Result<Option<Key>> {
    conn.prepare_cached(&select_key("", "WHERE k.public_id = ?1"))?.query_row([id.as_str()], rows::key).optional()
}

/// One statement, so that the secret and its key are of the same moment.
pub(super) fn presented(conn: &Connection, secret: &Id) -> rusqlite::Result<Option<Presented>> {
    const MORE: &str = ", s.hash, s.created_at, s.expires_at, s.staged";
    conn.prepare_cached(&select_key(MORE, "JOIN secret s ON s.key = k.id WHERE s.public_id = ?1"))?
        .query_row([secret.as_str()], |row| {
            Ok(Presented {
                key: rows::key(row)?,
                hash: HashedSecret::from_stored(row.get(rows::COLUMNS)?),
                secret: SecretInfo {
                    id: secret.clone(),
                    created_at: rows::time(row, rows::COLUMNS + 1)?,
                    expires_at: rows::optional_time(row, rows::COLUMNS + 2)?,
                    staged: row.get(rows::COLUMNS + 3)?,
                },
            })
        })
        .optional()
}

/// The keys that refer to a group, user, role or tenant.
pub(super) fn referring(conn: &Connection, kind: Kind, name: &Name) -> rusqlite::Result<Vec<Key>> {
    let (table, column) = directory::table(kind);
    let condition = format!("WHERE k.{column} = (SELECT id FROM {table} WHERE name = ?1) ORDER BY k.name");
    conn.prepare_cached(&select_key("", &condition))?.query_map([name.as_str()], rows::key)?.collect()
}

/// Whether a key or a secret has this id already, or a key is named like it.
pub(super) fn id_is_taken(conn: &Connection, id: &Id) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM key WHERE public_id = ?1 OR name = ?1)
             OR EXISTS (SELECT 1 FROM secret WHERE public_id = ?1)",
    )?
    .query_row([id.as_str()], |row| row.get(0))
}

/// Names of keys, for suggestions; not all of them in a large store.
pub(super) fn some_names(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    conn.prepare_cached("SELECT name FROM key ORDER BY name LIMIT 10000")?.query_map([], |row| row.get(0))?.collect()
}

pub(super) fn insert(conn: &Connection, new: &NewKey<'_>, now: Timestamp, by: Option<&Name>) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO key (public_id, name, created_at, created_by, updated_at, revision,
                          read_only, require_secure, enabled, prefix)
         VALUES (?1, ?2, ?3, ?4, ?3, 0, 0, 1, 1, '')",
    )?
    .execute((new.id.as_str(), new.name.as_str(), now.as_second(), by.map(Name::as_str)))?;
    let key = conn.last_insert_rowid();
    update(conn, key, new.name, new.settings, now)?;
    conn.prepare_cached("DELETE FROM announced_secret WHERE public_id = ?1")?.execute([new.secret.id.as_str()])?;
    insert_secret(conn, key, new.secret, now)
}

pub(super) fn update(
    conn: &Connection,
    key: i64,
    name: &Name,
    settings: &Settings,
    now: Timestamp,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE key SET name = ?2, description = ?3, key_group = (SELECT id FROM key_group WHERE name = ?4),
                        owner = (SELECT id FROM user WHERE name = ?5), role = (SELECT id FROM role WHERE name = ?6),
                        tenant = (SELECT id FROM tenant WHERE name = ?7), read_only = ?8, require_secure = ?9,
                        enabled = ?10, expires_at = ?11, prefix = ?12, updated_at = ?13, revision = revision + 1,
                        scope_count = ?14, level_count = ?15, address_count = ?16, label_count = ?17
          WHERE id = ?1",
    )?
    .execute(params![
        key,
        name.as_str(),
        settings.description.as_ref().map(AsRef::<str>::as_ref),
        settings.group.as_ref().map(Name::as_str),
        settings.owner.as_ref().map(Name::as_str),
        settings.role.as_ref().map(Name::as_str),
        settings.tenant.as_ref().map(Name::as_str),
        settings.read_only,
        settings.require_secure,
        settings.enabled,
        settings.expires_at.map(Timestamp::as_second),
        settings.prefix.as_str(),
        now.as_second(),
        length(settings.scopes.len()),
        length(settings.levels.len()),
        length(settings.allowed_ips.len()),
        length(settings.labels.len()),
    ])?;
    for table in ["key_scope", "key_level", "key_address", "key_label"] {
        conn.prepare_cached(&format!("DELETE FROM {table} WHERE key = ?1"))?.execute([key])?;
    }
    insert_lists(conn, key, settings)
}

/// A length as the store counts it; it cannot be larger than a memory.
fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn insert_lists(conn: &Connection, key: i64, settings: &Settings) -> rusqlite::Result<()> {
    for scope in &settings.scopes {
        conn.prepare_cached("INSERT INTO key_scope VALUES (?1, ?2)")?.execute((key, scope.as_str()))?;
    }
    for level in &settings.levels {
        conn.prepare_cached("INSERT INTO key_level VALUES (?1, ?2)")?.execute((key, level.as_str()))?;
    }
    for network in &settings.allowed_ips {
        conn.prepare_cached("INSERT INTO key_address VALUES (?1, ?2)")?.execute((key, network.to_string()))?;
    }
    for (label, value) in &settings.labels {
        conn.prepare_cached("INSERT INTO key_label VALUES (?1, ?2, ?3)")?.execute((
            key,
            label.as_str(),
            value.as_str(),
        ))?;
    }
    Ok(())
}

fn insert_secret(conn: &Connection, key: i64, secret: &NewSecret, now: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO secret (public_id, key, hash, created_at) VALUES (?1, ?2, ?3, ?4)")?.execute((
        secret.id.as_str(),
        key,
        secret.hash.as_phc(),
        now.as_second(),
    ))?;
    Ok(())
}

/// Writes down that these secrets are on their way.
pub(super) fn announce(conn: &Connection, secrets: &[&Id], now: Timestamp) -> rusqlite::Result<()> {
    for secret in secrets {
        conn.prepare_cached("INSERT OR IGNORE INTO announced_secret (public_id, at) VALUES (?1, ?2)")?
            .execute((secret.as_str(), now.as_second()))?;
    }
    Ok(())
}

/// Takes an announcement back.
pub(super) fn withdraw(conn: &Connection, secrets: &[&Id]) -> rusqlite::Result<()> {
    for secret in secrets {
        conn.prepare_cached("DELETE FROM announced_secret WHERE public_id = ?1")?.execute([secret.as_str()])?;
    }
    Ok(())
}

/// Whether this secret is of this store and opens nothing: it was announced and never arrived, or the history
/// tells of it and its key is gone.
pub(super) fn is_leftover(conn: &Connection, secret: &Id) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT NOT EXISTS (SELECT 1 FROM secret WHERE public_id = ?1)
            AND (EXISTS (SELECT 1 FROM announced_secret WHERE public_id = ?1)
                 OR EXISTS (SELECT 1 FROM history WHERE secret_id = ?1))",
    )?
    .query_row([secret.as_str()], |row| row.get(0))
}

/// Puts `secret` beside the current one.
pub(super) fn stage_secret(conn: &Connection, key: i64, secret: &NewSecret, now: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO secret (public_id, key, hash, created_at, staged) VALUES (?1, ?2, ?3, ?4, 1)")?
        .execute((secret.id.as_str(), key, secret.hash.as_phc(), now.as_second()))?;
    Ok(())
}

/// Takes a secret away again that was staged, also where another rotation has given it an end in the meantime.
/// Returns whether there was one.
pub(super) fn unstage_secret(conn: &Connection, secret: &Id) -> rusqlite::Result<bool> {
    conn.prepare_cached("DELETE FROM secret WHERE public_id = ?1 AND (staged = 1 OR expires_at IS NOT NULL)")?
        .execute([secret.as_str()])
        .map(|rows| rows > 0)
}

/// Puts `secret`, which may be staged, in the place of the current one. What works until later than
/// `grace_end` stops then.
pub(super) fn replace_secret(
    conn: &Connection,
    key: i64,
    secret: &NewSecret,
    grace_end: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<()> {
    unstage_secret(conn, &secret.id)?;
    retire_secrets(conn, key, grace_end)?;
    insert_secret(conn, key, secret, now)?;
    touch(conn, key, now)
}

/// Makes a staged secret the current one. What works until later than `grace_end` stops then. Returns whether there
/// is such a secret; else the key has none that works without an end.
pub(super) fn promote_secret(
    conn: &Connection,
    key: i64,
    secret: &Id,
    grace_end: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    retire_secrets(conn, key, grace_end)?;
    let promoted = conn
        .prepare_cached("UPDATE secret SET expires_at = NULL WHERE key = ?1 AND public_id = ?2")?
        .execute((key, secret.as_str()))?;
    touch(conn, key, now)?;
    Ok(promoted == 1)
}

/// Switches the key on or off, and touches nothing else.
pub(super) fn switch(conn: &Connection, key: i64, enabled: bool, now: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE key SET enabled = ?2, updated_at = ?3, revision = revision + 1 WHERE id = ?1")?
        .execute((key, enabled, now.as_second()))?;
    Ok(())
}

fn retire_secrets(conn: &Connection, key: i64, end: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE secret SET expires_at = ?2, staged = 0 WHERE key = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
    )?
    .execute((key, end.as_second()))?;
    Ok(())
}

fn touch(conn: &Connection, key: i64, now: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE key SET updated_at = ?2, revision = revision + 1 WHERE id = ?1")?
        .execute((key, now.as_second()))?;
    Ok(())
}

/// The row of the key with this public id.
pub(super) fn row_of(conn: &Connection, key: &Id) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM key WHERE public_id = ?1")?
        .query_row([key.as_str()], |row| row.get(0))
        .optional()
}

pub(super) fn delete(conn: &Connection, key: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM key WHERE id = ?1")?.execute([key])?;
    Ok(())
}

pub(super) fn record_use(conn: &Connection, key: i64, now: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO key_use (key, last_used_at, use_count) VALUES (?1, ?2, 1)
         ON CONFLICT (key) DO UPDATE SET use_count = use_count + 1,
                                         last_used_at = max(last_used_at, excluded.last_used_at)",
    )?
    .execute((key, now.as_second()))?;
    Ok(())
}

/// Uses that are to be counted together.
#[derive(Debug, Clone, Default)]
pub struct Uses(BTreeMap<Id, (u64, Timestamp)>);

impl Uses {
    /// So many are not kept waiting.
    const MANY: usize = 10_000;

    /// One use of this key.
    pub fn add(&mut self, key: &Id, at: Timestamp) {
        match self.0.get_mut(key) {
            Some((count, last)) => {
                *count += 1;
                *last = at.max(*last);
            }
            None => drop(self.0.insert(key.clone(), (1, at))),
        }
    }

    /// How often this key was used, and when last; `None` where it was not.
    pub fn of(&self, key: &Id) -> Option<(u64, Timestamp)> {
        self.0.get(key).copied()
    }

    /// Those of another group too.
    pub fn merge(&mut self, other: Self) {
        for (key, (count, at)) in other.0 {
            let (all, last) = self.0.entry(key).or_insert((0, at));
            *all += count;
            *last = at.max(*last);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there are so many keys that they should be written.
    pub fn are_many(&self) -> bool {
        self.0.len() >= Self::MANY
    }
}

pub(super) fn record_uses(conn: &Connection, uses: &Uses) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO key_use (key, last_used_at, use_count) SELECT id, ?2, ?3 FROM key WHERE public_id = ?1
         ON CONFLICT (key) DO UPDATE SET use_count = use_count + excluded.use_count,
                                         last_used_at = max(last_used_at, excluded.last_used_at)",
    )?;
    for (key, (count, at)) in &uses.0 {
        statement.execute((key.as_str(), at.as_second(), i64::try_from(*count).unwrap_or(i64::MAX)))?;
    }
    Ok(())
}

pub(super) fn renew_hash(conn: &Connection, secret: &Id, hash: &HashedSecret) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE secret SET hash = ?2 WHERE public_id = ?1")?
        .execute((secret.as_str(), hash.as_phc()))?;
    Ok(())
}
