//! Leases on names and keys for which a secret is about to be minted.
//!
//! A secret leaves this program before its key exists, and nothing holds the store's lock meanwhile. If two processes
//! want to mint for the same name or key, the second must be refused before its secret goes anywhere, so the first
//! takes a lease. A lease is held by the public id of the secret on its way. It expires by itself, and at once if the
//! system reports that its process has ended, so that a killed process does not block others for long. It is a
//! courtesy, not a lock: a commit after the end of its lease succeeds if nothing else prevents it. Taking a lease adds
//! no row to the history and does not move its head.

use jiff::{SignedDuration, Timestamp};

use super::Changes;
use crate::platform::process;
use crate::rules::names::Name;
use crate::rules::token::Id;
use crate::store::db::Conn;
use crate::store::error::StoreError;

/// What a lease is taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The name that a key is about to get.
    Name(Name),
    /// The key, by its own id, that is about to get a secret.
    Key(Id),
}

impl Subject {
    fn in_the_table(&self) -> String {
        match self {
            Self::Name(name) => format!("name:{name}"),
            Self::Key(id) => format!("key:{id}"),
        }
    }
}

impl Changes<'_> {
    /// Takes a lease on each subject for its secret until `until`, at most a quarter of an hour ahead; renews the lease
    /// if that secret already holds one. An expired lease does not count.
    ///
    /// # Errors
    /// [`StoreError::Reserved`] if another secret holds one, or if the store cannot be written.
    pub fn reserve(&self, leases: &[(Subject, &Id)], until: Timestamp) -> Result<(), StoreError> {
        let now = self.now();
        forget_ended(self.conn(), now)?;
        forget_batches(self.conn(), now)?;
        let own = process::own_name();
        for (subject, secret) in leases {
            self.forget_abandoned(subject)?;
            if !take(self.conn(), subject, secret, &own, now, until)? {
                return Err(self.reserved(subject)?);
            }
        }
        Ok(())
    }

    /// Extends the leases that these secrets hold. An expired lease cannot be renewed.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn renew(&self, secrets: &[&Id], until: Timestamp) -> Result<(), StoreError> {
        secrets.iter().try_for_each(|&secret| {
            let sql = "UPDATE reservation SET until = ?2 WHERE secret = ?1";
            self.conn().execute(sql, &[secret.into(), until.into()]).map(drop)
        })
    }

    /// Whether a process is about to mint for the subject.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn is_reserved(&self, subject: &Subject) -> Result<bool, StoreError> {
        self.forget_abandoned(subject)?;
        Ok(holder(self.conn(), subject, self.now())?.is_some())
    }

    /// Releases all leases that these secrets hold.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn release(&self, secrets: &[&Id]) -> Result<(), StoreError> {
        secrets.iter().try_for_each(|&secret| {
            self.conn().execute("DELETE FROM reservation WHERE secret = ?1", &[secret.into()]).map(drop)
        })
    }

    /// Checks that no secret except `secret` holds a lease on the subject.
    pub(super) fn check_lease(&self, subject: &Subject, secret: Option<&Id>) -> Result<(), StoreError> {
        self.forget_abandoned(subject)?;
        let holder = holder(self.conn(), subject, self.now())?;
        match holder {
            Some(holder) if secret.is_none_or(|own| own.as_str() != holder) => Err(self.reserved(subject)?),
            _ => Ok(()),
        }
    }

    /// Ends the lease for what was just written.
    pub(super) fn end_lease(&self, subject: &Subject, secret: &Id) -> Result<(), StoreError> {
        let sql = "DELETE FROM reservation WHERE subject = ?1 AND secret = ?2";
        self.conn().execute(sql, &[subject.in_the_table().as_str().into(), secret.into()]).map(drop)
    }

    /// Deletes the lease of a process that has ended.
    fn forget_abandoned(&self, subject: &Subject) -> Result<(), StoreError> {
        match process_of(self.conn(), subject)? {
            Some(process) if process::has_ended(&process) => forget(self.conn(), subject),
            _ => Ok(()),
        }
    }

    fn reserved(&self, subject: &Subject) -> Result<StoreError, StoreError> {
        Ok(match subject {
            Subject::Name(name) => StoreError::Reserved { kind: "name", name: name.to_string() },
            Subject::Key(id) => {
                let name = self.key(id)?.map_or_else(|| id.to_string(), |key| key.name.to_string());
                StoreError::Reserved { kind: "key", name }
            }
        })
    }
}

/// No lease ends later than this. One that seems to was taken before the clock went back: it does not count until its
/// process renews it by the same clock.
fn too_late(now: Timestamp) -> Timestamp {
    now.checked_add(SignedDuration::from_mins(16)).unwrap_or(Timestamp::MAX)
}

/// Returns whether the lease was taken or renewed.
fn take(
    conn: &Conn,
    subject: &Subject,
    secret: &Id,
    holder: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let taken = conn.execute(
        "INSERT INTO reservation (subject, secret, holder, until) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (subject) DO UPDATE
            SET secret = excluded.secret, holder = excluded.holder, until = excluded.until
          WHERE reservation.until <= ?5 OR reservation.until > ?6 OR reservation.secret = excluded.secret",
        &[
            subject.in_the_table().as_str().into(),
            secret.into(),
            holder.into(),
            until.into(),
            now.into(),
            too_late(now).into(),
        ],
    )?;
    Ok(taken == 1)
}

/// The secret that holds a lease on the subject.
fn holder(conn: &Conn, subject: &Subject, now: Timestamp) -> Result<Option<String>, StoreError> {
    conn.optional(
        "SELECT secret FROM reservation WHERE subject = ?1 AND until > ?2 AND until <= ?3",
        &[subject.in_the_table().as_str().into(), now.into(), too_late(now).into()],
        |row| Ok(row.text(0)?.to_owned()),
    )
}

/// The process that took the lease on the subject.
fn process_of(conn: &Conn, subject: &Subject) -> Result<Option<String>, StoreError> {
    conn.optional(
        "SELECT holder FROM reservation WHERE subject = ?1",
        &[subject.in_the_table().as_str().into()],
        |row| Ok(row.text(0)?.to_owned()),
    )
}

fn forget(conn: &Conn, subject: &Subject) -> Result<(), StoreError> {
    conn.execute("DELETE FROM reservation WHERE subject = ?1", &[subject.in_the_table().as_str().into()]).map(drop)
}

/// Deletes the batches of hosts that have counted nothing for a day. Roles that only verify may not delete.
fn forget_batches(conn: &Conn, now: Timestamp) -> Result<(), StoreError> {
    let Some(before) = now.checked_sub(SignedDuration::from_hours(24)).ok().filter(|_| conn.dialect().is_server())
    else {
        return Ok(());
    };
    conn.execute("DELETE FROM use_batch WHERE at < ?1", &[before.into()]).map(drop)
}

/// Whether anybody holds a lease.
pub(super) fn are_there(conn: &Conn) -> Result<bool, StoreError> {
    conn.alone("SELECT CAST(EXISTS (SELECT 1 FROM reservation) AS INTEGER)", &[], |row| row.flag(0))
}

fn forget_ended(conn: &Conn, now: Timestamp) -> Result<(), StoreError> {
    conn.execute("DELETE FROM reservation WHERE until <= ?1", &[now.into()]).map(drop)
}
