//! Keys: finding them, and their rows.

use std::sync::LazyLock;

use jiff::Timestamp;

use super::db::{Conn, Row};
use super::directory;
use super::error::StoreError;
use super::former_costs;
use super::key_settings;
use super::meters::{Subjects, next_row};
use super::rows::{self, select_key};
use super::secrets::{self, Imported, Kind as SecretKind, NewSecret};
use crate::rules::directory::Kind;
use crate::rules::hashing::{Cost, HashedSecret};
use crate::rules::imported::{Bucket, Import, Origin};
use crate::rules::key::{Key, SecretInfo, Settings};
use crate::rules::limits::Whose;
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

/// What the store knows about a presented public id.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Presented {
    /// The key that the secret belongs to.
    pub key: Key,
    /// The hash that the secret must match.
    pub hash: HashedSecret,
    /// The secret as one of the key's.
    pub secret: SecretInfo,
    /// The rows whose limits the key counts against.
    pub(crate) subjects: Subjects,
}

impl Presented {
    /// Whether the hash should be renewed to this cost: at the next allowed request, the only time when the plain
    /// secret is available.
    pub fn is_old(&self, cost: Cost) -> bool {
        self.hash.needs_renewal(cost) || self.secret.is_to_be_renewed()
    }
}

/// The row of the key with this name, with this id, or with a secret of this public id, in that order.
const NAMED: &str = "coalesce((SELECT id FROM key WHERE name = ?1),
                              (SELECT id FROM key WHERE public_id = ?1),
                              (SELECT key FROM secret WHERE public_id = ?1))";

/// The key with this name, with this id, or with a secret of this public id, in that order.
pub(super) fn find(conn: &Conn, text: &str) -> Result<Option<Key>, StoreError> {
    conn.optional(&select_key("", &format!("WHERE k.id = {NAMED}")), &[text.into()], rows::key)
}

/// The id of the key that [`find`] finds.
pub(super) fn id_of(conn: &Conn, text: &str) -> Result<Option<Id>, StoreError> {
    let sql = format!("SELECT public_id FROM key WHERE id = {NAMED}");
    conn.optional(&sql, &[text.into()], |row| row.parsed(0))
}

/// The key with this name, even if it equals another key's id.
pub(super) fn by_name(conn: &Conn, name: &Name) -> Result<Option<Key>, StoreError> {
    conn.optional(&select_key("", "WHERE k.name = ?1"), &[name.into()], rows::key)
}

/// The key with this id, even if it equals another key's name.
pub(super) fn by_id(conn: &Conn, id: &Id) -> Result<Option<Key>, StoreError> {
    conn.optional(&select_key("", "WHERE k.public_id = ?1"), &[id.into()], rows::key)
}

/// Uses one statement, so that the secret and its key are from the same moment. The key may be damaged.
pub(super) fn presented(conn: &Conn, secret: &Id) -> Result<Option<Presented>, StoreError> {
    conn.optional(&select_presented("s.public_id = ?1"), &[secret.into()], read_presented)
}

/// The imported secrets that a text of this bucket may be. Their keys may be damaged.
pub(super) fn in_bucket(conn: &Conn, bucket: Bucket) -> Result<Vec<Presented>, StoreError> {
    conn.all(&select_presented("s.bucket = ?1 ORDER BY s.id"), &[bucket.number().into()], read_presented)
}

/// The imported secrets of the key with this name whose text is not known yet. The key may be damaged.
pub(super) fn of_unknown_text(conn: &Conn, key: &str) -> Result<Vec<Presented>, StoreError> {
    conn.all(&select_presented("s.bucket = -1 AND k.name = ?1 ORDER BY s.id"), &[key.into()], read_presented)
}

fn select_presented(condition: &str) -> String {
    const MORE: &str =
        ", s.hash, s.created_at, s.expires_at, s.staged, s.retired, k.id, k.owner, k.tenant, s.public_id,
           s.imported, s.bucket";
    select_key(MORE, &format!("JOIN secret s ON s.key = k.id WHERE {condition}"))
}

fn read_presented(row: &Row<'_>) -> Result<Presented, StoreError> {
    let column = |number| rows::COLUMNS + number;
    let hash = HashedSecret::from_stored(row.text(column(0))?.to_owned());
    let is_renewed = row.optional_integer(column(10))? >= Some(0) && !hash.is_fast();
    let origin: Option<Origin> = row.optional_parsed(column(9))?;
    Ok(Presented {
        key: rows::key(row)?,
        hash,
        secret: SecretInfo {
            id: row.parsed(column(8))?,
            created_at: row.time(column(1))?,
            expires_at: row.optional_time(column(2))?,
            staged: row.flag(column(3))?,
            retired: row.flag(column(4))?,
            imported: origin.map(|origin| Import { origin, is_renewed }),
        },
        subjects: Subjects {
            key: row.integer(column(5))?,
            user: row.optional_integer(column(6))?,
            tenant: row.optional_integer(column(7))?,
        },
    })
}

/// The rows whose limits the key counts against.
pub(super) fn subjects(conn: &Conn, key: &Id) -> Result<Option<Subjects>, StoreError> {
    conn.optional("SELECT id, owner, tenant FROM key WHERE public_id = ?1", &[key.into()], |row| {
        Ok(Subjects { key: row.integer(0)?, user: row.optional_integer(1)?, tenant: row.optional_integer(2)? })
    })
}

/// The keys that refer to a group, user, role or tenant.
pub(super) fn referring(conn: &Conn, kind: Kind, name: &Name) -> Result<Vec<Key>, StoreError> {
    let (table, column) = directory::table(kind);
    let condition = format!("WHERE k.{column} = (SELECT id FROM {table} WHERE name = ?1) ORDER BY k.name");
    conn.all(&select_key("", &condition), &[name.into()], rows::key)
}

/// Whether a key or a secret has this id already, or a key has it as its name.
pub(super) fn id_is_taken(conn: &Conn, id: &Id) -> Result<bool, StoreError> {
    conn.alone(
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM key WHERE public_id = ?1 OR name = ?1)
                       OR EXISTS (SELECT 1 FROM secret WHERE public_id = ?1) THEN 1 ELSE 0 END",
        &[id.into()],
        |row| row.flag(0),
    )
}

/// The imported keys with a secret of this hash whose text is not known.
pub(super) fn of_hash(conn: &Conn, hash: &HashedSecret) -> Result<Option<Name>, StoreError> {
    conn.optional(
        "SELECT k.name FROM secret s JOIN key k ON k.id = s.key WHERE s.bucket = -1 AND s.hash = ?1 LIMIT 1",
        &[hash.as_phc().into()],
        |row| row.parsed(0),
    )
}

/// The names of keys with a secret that has the same hash as another key's: both texts are the same. Secrets that have
/// ended at `now` do not count.
pub(super) fn of_same_hash(conn: &Conn, now: Timestamp) -> Result<Vec<(Name, Name)>, StoreError> {
    conn.all(
        "SELECT k.name, other_key.name
           FROM secret s JOIN secret other ON other.bucket = s.bucket AND other.hash = s.hash AND other.id > s.id
           JOIN key k ON k.id = s.key JOIN key other_key ON other_key.id = other.key
          WHERE s.bucket >= 0 AND s.retired = 0 AND (s.expires_at IS NULL OR s.expires_at > ?1)
            AND other.retired = 0 AND (other.expires_at IS NULL OR other.expires_at > ?1)
          ORDER BY k.name, other_key.name LIMIT 1000",
        &[now.into()],
        |row| Ok((row.parsed(0)?, row.parsed(1)?)),
    )
}

/// Whether a key has this scope or level.
pub(super) fn has_word(conn: &Conn, what: &str, word: &str) -> Result<bool, StoreError> {
    let sql = format!("SELECT CASE WHEN EXISTS (SELECT 1 FROM key_{what} WHERE {what} = ?1) THEN 1 ELSE 0 END");
    conn.alone(&sql, &[word.into()], |row| row.flag(0))
}

/// Names of keys, for suggestions; in a large store, not all.
pub(super) fn some_names(conn: &Conn) -> Result<Vec<String>, StoreError> {
    conn.all("SELECT name FROM key ORDER BY name LIMIT 10000", &[], |row| Ok(row.text(0)?.to_owned()))
}

/// The statement that inserts a key.
static INSERTION: LazyLock<String> = LazyLock::new(|| {
    let row = next_row(Whose::Key);
    let columns = [
        ("id", row.as_str()),
        ("public_id", "?1"),
        ("name", "?2"),
        ("created_at", "?3"),
        ("created_by", "?4"),
        ("updated_at", "?3"),
        ("expiry_set_at", "?5"),
        ("revision", "1"),
    ];
    key_settings::insertion(&columns, 5)
});

pub(super) fn insert(
    conn: &Conn,
    new: &NewKey<'_>,
    imported: Option<Imported>,
    now: Timestamp,
    by: Option<&Name>,
) -> Result<(), StoreError> {
    let end_set_at = new.settings.expires_at.map(|_| now);
    let values = [new.id.into(), new.name.into(), now.into(), by.into(), end_set_at.into()];
    let key = key_settings::insert(conn, &INSERTION, &values, new.settings)?;
    if imported.is_none() {
        secrets::withdraw(conn, &[&new.secret.id])?;
    }
    secrets::insert(conn, key, new.secret, SecretKind { staged: false, imported }, now)
}

pub(super) fn update(
    conn: &Conn,
    key: i64,
    name: &Name,
    settings: &Settings,
    now: Timestamp,
) -> Result<(), StoreError> {
    set_expiry(conn, key, settings.expires_at, now)?;
    conn.change_one(
        "UPDATE key SET name = ?2, updated_at = ?3, revision = revision + 1 WHERE id = ?1",
        &[key.into(), name.into(), now.into()],
    )?;
    key_settings::write(conn, key, settings)
}

/// Changes the expiry of the key if it differs, and records when that was.
pub(super) fn set_expiry(conn: &Conn, key: i64, end: Option<Timestamp>, now: Timestamp) -> Result<(), StoreError> {
    conn.execute(
        "UPDATE key SET expires_at = ?2, expiry_set_at = ?3 WHERE id = ?1 AND expires_at IS DISTINCT FROM ?2",
        &[key.into(), end.into(), now.into()],
    )
    .map(drop)
}

/// Enables or disables the key, and changes nothing else.
pub(super) fn switch(conn: &Conn, key: i64, enabled: bool, now: Timestamp) -> Result<(), StoreError> {
    conn.change_one(
        "UPDATE key SET enabled = ?2, updated_at = ?3, revision = revision + 1 WHERE id = ?1",
        &[key.into(), enabled.into(), now.into()],
    )
}

/// Records that something about the key changed.
pub(super) fn touch(conn: &Conn, key: i64, now: Timestamp) -> Result<(), StoreError> {
    conn.change_one("UPDATE key SET updated_at = ?2, revision = revision + 1 WHERE id = ?1", &[key.into(), now.into()])
}

/// The row of the key with this public id.
pub(super) fn row_of(conn: &Conn, key: &Id) -> Result<Option<i64>, StoreError> {
    conn.optional("SELECT id FROM key WHERE public_id = ?1", &[key.into()], |row| row.integer(0))
}

pub(super) fn delete(conn: &Conn, key: i64) -> Result<(), StoreError> {
    conn.change_one("DELETE FROM key WHERE id = ?1", &[key.into()])?;
    former_costs::end(conn)
}
