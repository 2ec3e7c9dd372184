//! The secrets of keys: staged, current, replaced, and those that are on their way.

use jiff::Timestamp;

use super::db::Conn;
use super::error::StoreError;
use super::former_costs;
use super::keys;
use crate::rules::hashing::HashedSecret;
use crate::rules::imported::{Bucket, Origin};
use crate::rules::token::Id;

/// The stored part of a secret that is about to exist.
#[derive(Debug)]
pub struct NewSecret {
    /// The public id inside it.
    pub id: Id,
    /// Its hash.
    pub hash: HashedSecret,
}

/// The origin of a secret from another system, and how to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// The form in which it came.
    pub origin: Origin,
    /// The bucket of its text; `None` while the text is unknown.
    pub bucket: Option<Bucket>,
}

/// Stored instead of a bucket while the text is unknown.
const UNKNOWN: i64 = -1;

/// The kind of secret to insert.
#[derive(Clone, Copy, Default)]
pub(super) struct Kind {
    /// Beside the current one.
    pub(super) staged: bool,
    pub(super) imported: Option<Imported>,
}

/// Adds a secret to a key's others: as the current one, or staged.
pub(super) fn insert(conn: &Conn, key: i64, secret: &NewSecret, kind: Kind, now: Timestamp) -> Result<(), StoreError> {
    let origin = kind.imported.map(|imported| imported.origin.as_str());
    let bucket = kind.imported.map(|imported| imported.bucket.map_or(UNKNOWN, Bucket::number));
    conn.change_one(
        "INSERT INTO secret (public_id, key, hash, created_at, staged, imported, bucket)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        &[
            (&secret.id).into(),
            key.into(),
            secret.hash.as_phc().into(),
            now.into(),
            kind.staged.into(),
            origin.into(),
            bucket.into(),
        ],
    )?;
    former_costs::meet(conn, &secret.id, &secret.hash)
}

/// Removes a staged secret again, even if another rotation has given it an end in the meantime. Returns whether there
/// was one.
pub(super) fn unstage(conn: &Conn, secret: &Id) -> Result<bool, StoreError> {
    let sql = "DELETE FROM secret WHERE public_id = ?1 AND (staged = 1 OR expires_at IS NOT NULL)";
    let was_there = conn.execute(sql, &[secret.into()])? > 0;
    if was_there {
        former_costs::end(conn)?;
    }
    Ok(was_there)
}

/// Makes `secret`, which may be staged, the current one. Others stop working at `grace_end` or earlier; without a grace
/// period they end at once, whatever the clock says.
pub(super) fn replace(
    conn: &Conn,
    key: i64,
    secret: &NewSecret,
    grace_end: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    unstage(conn, &secret.id)?;
    retire(conn, key, grace_end, now)?;
    insert(conn, key, secret, Kind::default(), now)?;
    keys::touch(conn, key, now)
}

/// Makes a staged secret the current one; all others end at once, whatever the clock says. Returns whether there is
/// such a secret; if not, the key has none that works.
pub(super) fn promote(conn: &Conn, key: i64, secret: &Id, now: Timestamp) -> Result<bool, StoreError> {
    retire(conn, key, now, now)?;
    let promoted = conn.execute(
        "UPDATE secret SET expires_at = NULL, retired = 0 WHERE key = ?1 AND public_id = ?2",
        &[key.into(), secret.into()],
    )?;
    keys::touch(conn, key, now)?;
    Ok(promoted == 1)
}

/// Gives all secrets of a key an end. Those that have ended or end now are marked as retired, whatever the clock says.
fn retire(conn: &Conn, key: i64, end: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    conn.execute(
        "UPDATE secret SET expires_at = CASE WHEN expires_at < ?2 THEN expires_at ELSE ?2 END, staged = 0,
                           retired = CASE WHEN expires_at <= ?3 THEN 1 ELSE ?4 END
          WHERE key = ?1 AND retired = 0",
        &[key.into(), end.into(), now.into(), (end <= now).into()],
    )?;
    let sql = "SELECT count(*) FROM secret WHERE key = ?1 AND retired = 0 AND (expires_at IS NULL OR expires_at > ?2)";
    match conn.alone(sql, &[key.into(), end.into()], |row| row.integer(0))? {
        0 => Ok(()),
        _ => Err(conn.ineffective("the end of a secret was not stored")),
    }
}

/// Whether hashes may be renewed.
pub(super) fn may_renew_hashes(conn: &Conn) -> Result<bool, StoreError> {
    if !conn.dialect().is_server() {
        return Ok(true);
    }
    let sql = "SELECT CAST(CASE WHEN has_table_privilege('secret', 'UPDATE') THEN 1 ELSE 0 END AS BIGINT)";
    conn.alone(sql, &[], |row| Ok(row.integer(0)? == 1))
}

pub(super) fn renew_hash(conn: &Conn, secret: &Id, hash: &HashedSecret) -> Result<(), StoreError> {
    let sql = "UPDATE secret SET hash = ?2 WHERE public_id = ?1";
    if conn.execute(sql, &[secret.into(), hash.as_phc().into()])? > 0 {
        former_costs::meet(conn, secret, hash)?;
    }
    former_costs::end(conn)
}

/// Replaces the imported form of a secret with an Argon2id hash, to be found by its bucket.
pub(super) fn renew_imported(conn: &Conn, secret: &Id, hash: &HashedSecret, bucket: Bucket) -> Result<(), StoreError> {
    let sql = "UPDATE secret SET bucket = ?2 WHERE public_id = ?1 AND imported IS NOT NULL";
    conn.execute(sql, &[secret.into(), bucket.number().into()])?;
    renew_hash(conn, secret, hash)
}

/// The secrets of a key that the history does not record: they were staged, and the rotation was interrupted.
pub(super) fn untold(conn: &Conn, key: i64) -> Result<Vec<Id>, StoreError> {
    conn.all(
        "SELECT public_id FROM secret s
          WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM history h WHERE h.secret_id = s.public_id) ORDER BY id",
        &[key.into()],
        |row| row.parsed(0),
    )
}

/// Records that these secrets are on their way.
pub(super) fn announce(conn: &Conn, secrets: &[&Id], now: Timestamp) -> Result<(), StoreError> {
    for &secret in secrets {
        conn.execute(
            "INSERT INTO announced_secret (public_id, at) VALUES (?1, ?2) ON CONFLICT (public_id) DO NOTHING",
            &[secret.into(), now.into()],
        )?;
    }
    Ok(())
}

/// Withdraws an announcement.
pub(super) fn withdraw(conn: &Conn, secrets: &[&Id]) -> Result<(), StoreError> {
    for &secret in secrets {
        conn.execute("DELETE FROM announced_secret WHERE public_id = ?1", &[secret.into()])?;
    }
    Ok(())
}

/// Whether this secret belongs to this store and opens nothing: it was announced and never arrived, or the history
/// records it and its key was deleted.
pub(super) fn is_leftover(conn: &Conn, secret: &Id) -> Result<bool, StoreError> {
    conn.alone(
        "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM secret WHERE public_id = ?1)
                      AND (EXISTS (SELECT 1 FROM announced_secret WHERE public_id = ?1)
                           OR EXISTS (SELECT 1 FROM history WHERE secret_id = ?1)) THEN 1 ELSE 0 END",
        &[secret.into()],
        |row| row.flag(0),
    )
}
