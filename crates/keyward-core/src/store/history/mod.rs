//! The history: what was done, by whom, when, as a chain of hashes.
//!
//! A row is written in the transaction of the change that it records, so neither exists without the other. Each row's
//! hash covers the row and the hash before it, and the end of the chain is stored separately, so changed, removed,
//! inserted or moved rows are noticed. Not detected: replacement of the whole chain by someone who can write the file.

mod events;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub use events::{EventFilter, PastKey};
pub(super) use events::{each, is_told, key_that_had, keys_ever_named, last_key_named};

use super::db::{Conn, End, Row};
use super::error::StoreError;
use crate::rules::names::Name;
use crate::rules::token::Id;

/// The hash before the first row.
const START: [u8; 32] = [0; 32];

/// The end of an empty history.
pub(super) const EMPTY: Head = Head { seq: 0, hash: START };

/// One recorded action.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// Its place in the chain, starting at 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who, if known.
    pub actor: Option<Name>,
    /// What, for example `key.create`.
    pub action: String,
    /// The kind of its subject, with which the action begins: `key`, `group`, …, `settings` or `store`.
    pub subject_kind: String,
    /// The id of a key, which outlives its name; `None` for other subjects.
    pub subject_id: Option<Id>,
    /// The name of the subject at that time.
    pub subject_name: String,
    /// What changed, as the JSON fields of the settings.
    pub detail: Value,
}

/// The result of a check of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainCheck {
    /// All rows are as they were written.
    Intact {
        /// How many there are.
        rows: u64,
    },
    /// Something was changed, removed, inserted or moved.
    Broken {
        /// The first row that does not follow from the one before.
        seq: i64,
        /// What is wrong there.
        what: &'static str,
    },
}

/// All actions that the history records.
pub const ACTIONS: [&str; 28] = [
    "key.create",
    "key.import",
    "key.edit",
    "key.enable",
    "key.disable",
    "key.rotate",
    "key.stage",
    "key.unstage",
    "key.delete",
    "group.create",
    "group.edit",
    "group.delete",
    "user.create",
    "user.edit",
    "user.enable",
    "user.disable",
    "user.delete",
    "role.create",
    "role.edit",
    "role.delete",
    "tenant.create",
    "tenant.edit",
    "tenant.enable",
    "tenant.disable",
    "tenant.delete",
    "settings.edit",
    "store.restore",
    "store.move",
];

/// An event to be written.
pub(super) struct NewEvent<'e> {
    pub at: Timestamp,
    pub actor: Option<&'e Name>,
    pub action: &'e str,
    pub subject_kind: &'e str,
    pub subject_id: Option<&'e Id>,
    pub subject_name: &'e str,
    pub detail: Value,
}

/// The end of the chain: while it stays the same, nothing that the history records was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// The number of the newest row; 0 if there is none.
    pub seq: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// The identity of a store: a random number; a restored backup gets a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreId(String);

/// As hexadecimal digits.
impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of the store, and the end of its history. `None` if someone removed that, which a check of the history
/// reports.
pub(super) fn identity(conn: &Conn) -> Result<Option<(StoreId, Head)>, StoreError> {
    if let Some(End { store_id, seq, hash, .. }) = conn.held() {
        return Ok(Some((StoreId(store_id), Head { seq, hash })));
    }
    conn.optional("SELECT store_id, seq, hash FROM history_head", &[], identity_in)
}

/// The same, from a row that begins with `store_id, seq, hash`.
pub(super) fn identity_in(row: &Row<'_>) -> Result<(StoreId, Head), StoreError> {
    Ok((StoreId(row.text(0)?.to_owned()), Head { seq: row.integer(1)?, hash: row.hash(2)? }))
}

pub(super) fn head(conn: &Conn) -> Result<Head, StoreError> {
    Ok(identity(conn)?.map_or(EMPTY, |(_, head)| head))
}

/// Whether the history has this end now, or had it once.
pub(super) fn has_been_at(conn: &Conn, end: &Head) -> Result<bool, StoreError> {
    if *end == EMPTY {
        return Ok(true);
    }
    let found = conn.optional("SELECT hash FROM history WHERE seq = ?1", &[end.seq.into()], |row| row.hash(0))?;
    Ok(found == Some(end.hash))
}

/// Whether the history can be read: on a server, a role that only verifies may not. Trying it would end the
/// transaction.
pub(super) fn may_be_read(conn: &Conn) -> Result<bool, StoreError> {
    if !conn.dialect().is_server() {
        return Ok(true);
    }
    let sql = "SELECT CAST(CASE WHEN has_table_privilege('history', 'SELECT') THEN 1 ELSE 0 END AS BIGINT)";
    conn.alone(sql, &[], |row| row.flag(0))
}

pub(super) fn append(conn: &Conn, entry: &NewEvent<'_>) -> Result<(), StoreError> {
    let mut appending = Appending::begin(conn)?;
    appending.add(conn, entry)?;
    appending.end(conn)
}

/// Events that are written one after the other. The store knows of them when [`Appending::end`] has told their end.
pub(super) struct Appending(Head);

impl Appending {
    pub(super) fn begin(conn: &Conn) -> Result<Self, StoreError> {
        head(conn).map(Self)
    }

    pub(super) fn add(&mut self, conn: &Conn, entry: &NewEvent<'_>) -> Result<(), StoreError> {
        debug_assert!(ACTIONS.contains(&entry.action), "{} is not on the list of actions", entry.action);
        let Head { seq: last, hash: before } = self.0;
        let no_number =
            || StoreError::Corrupt { path: conn.place().to_owned(), detail: "the history is full".to_owned() };
        let row = Stored {
            seq: last.checked_add(1).ok_or_else(no_number)?,
            at: entry.at.as_second(),
            actor: entry.actor.map(Name::as_str),
            action: entry.action,
            subject_kind: entry.subject_kind,
            subject_id: entry.subject_id.map(Id::as_str),
            subject_name: entry.subject_name,
            detail: &entry.detail.to_string(),
        };
        let hash = row.hash(&before);
        conn.change_one(
            "INSERT INTO history (seq, at, actor, action, subject_kind, subject_id, subject_name, detail, hash, secret_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            &[
                row.seq.into(),
                row.at.into(),
                row.actor.into(),
                row.action.into(),
                row.subject_kind.into(),
                row.subject_id.into(),
                row.subject_name.into(),
                row.detail.into(),
                (&hash).into(),
                entry.detail.get("secret").and_then(Value::as_str).into(),
            ],
        )?;
        self.0 = Head { seq: row.seq, hash };
        Ok(())
    }

    pub(super) fn end(self, conn: &Conn) -> Result<(), StoreError> {
        let Head { seq, hash } = self.0;
        conn.change_one("UPDATE history_head SET seq = ?1, hash = ?2", &[seq.into(), (&hash).into()])?;
        conn.extend(seq, &hash);
        Ok(())
    }
}

/// How many rows there are.
pub(super) fn count(conn: &Conn) -> Result<u64, StoreError> {
    conn.alone("SELECT count(*) FROM history", &[], |row| row.count(0))
}

/// Walks the whole chain.
pub(super) fn check(conn: &Conn, mut step: impl FnMut(u64)) -> Result<ChainCheck, StoreError> {
    let mut end = EMPTY;
    let walked = conn.each(
        "SELECT seq, at, actor, action, subject_kind, subject_id, subject_name, detail, hash, secret_id
           FROM history ORDER BY seq",
        &[],
        |row| {
            end = follows(&end, row)?;
            step(u64::try_from(end.seq).unwrap_or(0));
            Ok(())
        },
    );
    match walked {
        Ok(()) => {}
        Err(Stop::Broken { seq, what }) => return Ok(ChainCheck::Broken { seq, what }),
        Err(Stop::Failed(error)) => return Err(error),
    }
    if head(conn)? == end {
        Ok(ChainCheck::Intact { rows: u64::try_from(end.seq).unwrap_or(0) })
    } else {
        Ok(ChainCheck::Broken { seq: end.seq.saturating_add(1), what: "rows at the end are missing" })
    }
}

/// Why a walk along the chain stops.
pub(super) enum Stop {
    Broken { seq: i64, what: &'static str },
    Failed(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// The end of the chain with this row.
pub(super) fn follows(end: &Head, row: &Row<'_>) -> Result<Head, Stop> {
    let stored = Stored::read(row)?;
    let seq = stored.seq;
    if end.seq.checked_add(1) != Some(seq) {
        return Err(Stop::Broken { seq: end.seq.saturating_add(1), what: "the row is missing" });
    }
    let hash = stored.hash(&end.hash);
    let is_as_written = row.hash(8).is_ok_and(|found| found == hash);
    if !is_as_written || secret_in(stored.detail).as_deref() != row.optional_text(9)? {
        return Err(Stop::Broken { seq, what: "the row, or one before it, was changed" });
    }
    Ok(Head { seq, hash })
}

/// The public id of the secret in a detail. It also has its own column, which no hash covers.
pub(super) fn secret_in(detail: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Detail {
        secret: Option<String>,
    }
    // Most details name no secret and need not be parsed.
    let tells = detail.contains("\"secret\"");
    tells.then(|| serde_json::from_str::<Detail>(detail).ok()?.secret).flatten()
}

/// A row of the table.
struct Stored<'r> {
    seq: i64,
    at: i64,
    actor: Option<&'r str>,
    action: &'r str,
    subject_kind: &'r str,
    subject_id: Option<&'r str>,
    subject_name: &'r str,
    detail: &'r str,
}

impl<'r> Stored<'r> {
    fn read(row: &'r Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.integer(0)?,
            at: row.integer(1)?,
            actor: row.optional_text(2)?,
            action: row.text(3)?,
            subject_kind: row.text(4)?,
            subject_id: row.optional_text(5)?,
            subject_name: row.text(6)?,
            detail: row.text(7)?,
        })
    }

    /// SHA-256 over the previous hash and all columns. Each column is preceded by a presence flag and its length in
    /// bytes, so different rows never give the same bytes.
    fn hash(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut hasher = Sha256::new_with_prefix(before);
        hasher.update(self.seq.to_be_bytes());
        hasher.update(self.at.to_be_bytes());
        for column in [
            self.actor,
            Some(self.action),
            Some(self.subject_kind),
            self.subject_id,
            Some(self.subject_name),
            Some(self.detail),
        ] {
            hasher.update([u8::from(column.is_some())]);
            let text = column.unwrap_or_default();
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
        hasher.finalize().into()
    }
}
