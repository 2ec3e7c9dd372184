//! The history: what was done, by whom, when, as a chain of hashes.
//!
//! A row is written in the transaction of the change that it tells, so neither exists without the
//! other. Each row's hash covers the row and the hash before it, and the end of the chain is kept
//! apart, so a row that was changed, removed, inserted or moved does not go unnoticed. What a chain
//! cannot prove: that nobody who may write the file replaced the whole of it by another chain.

use jiff::Timestamp;
use rusqlite::types;
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::rows;
use crate::rules::names::Name;
use crate::rules::token::Id;

/// The hash before the first row.
const START: [u8; 32] = [0; 32];

/// One thing that was done.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the chain, from 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who, if they said so.
    pub actor: Option<Name>,
    /// What, for example `key.create`.
    pub action: String,
    /// `key`, for now.
    pub subject_kind: String,
    /// The id of the key, which outlives its name.
    pub subject_id: Option<Id>,
    /// The name that it had then.
    pub subject_name: String,
    /// What changed, as the JSON fields of the settings.
    pub detail: Value,
}

/// What `history --check` found.
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

/// The newest row of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub seq: i64,
    /// Its hash, which covers all rows before it.
    pub hash: [u8; 32],
}

/// What is to be written down.
pub(super) struct Entry<'e> {
    pub at: Timestamp,
    pub actor: Option<&'e Name>,
    pub action: &'e str,
    pub subject_kind: &'e str,
    pub subject_id: Option<&'e Id>,
    pub subject_name: &'e str,
    pub detail: Value,
}

pub(super) fn append(conn: &Connection, entry: &Entry<'_>) -> rusqlite::Result<()> {
    let (last, before) = head(conn)?.map_or((0, START), |head| (head.seq, head.hash));
    let row = Stored {
        seq: last.checked_add(1).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, last))?,
        at: entry.at.as_second(),
        actor: entry.actor.map(Name::to_string),
        action: entry.action.to_owned(),
        subject_kind: entry.subject_kind.to_owned(),
        subject_id: entry.subject_id.map(Id::to_string),
        subject_name: entry.subject_name.to_owned(),
        detail: entry.detail.to_string(),
    };
    let hash = row.hash(&before);
    conn.prepare_cached(
        "INSERT INTO history (seq, at, actor, action, subject_kind, subject_id, subject_name, detail, hash, secret_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute((
        row.seq,
        row.at,
        row.actor,
        row.action,
        row.subject_kind,
        row.subject_id,
        row.subject_name,
        row.detail,
        &hash[..],
        entry.detail.get("secret").and_then(Value::as_str),
    ))?;
    conn.prepare_cached(
        "INSERT INTO history_head (one, seq, hash) VALUES (1, ?1, ?2)
         ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
    )?
    .execute((row.seq, &hash[..]))?;
    Ok(())
}

/// The newest row.
pub(super) fn head(conn: &Connection) -> rusqlite::Result<Option<Head>> {
    conn.prepare_cached("SELECT seq, hash FROM history_head")?
        .query_row([], |row| Ok(Head { seq: row.get(0)?, hash: row.get(1)? }))
        .optional()
}

/// The number of the newest row; 0 where there is none.
pub(super) fn last(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT coalesce(max(seq), 0) FROM history_head")?.query_row([], |row| row.get(0))
}

/// How many rows there are.
pub(super) fn count(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row("SELECT count(*) FROM history", [], |row| rows::count(row, 0))
}

/// Walks the whole chain.
pub(super) fn check(conn: &Connection, mut step: impl FnMut(u64)) -> rusqlite::Result<ChainCheck> {
    let mut statement = conn.prepare(
        "SELECT seq, at, actor, action, subject_kind, subject_id, subject_name, detail, hash, secret_id
           FROM history ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    let (mut last, mut before) = (0_i64, START);
    while let Some(row) = rows.next()? {
        let stored = Stored::read(row)?;
        if last.checked_add(1) != Some(stored.seq) {
            return Ok(ChainCheck::Broken { seq: last.saturating_add(1), what: "the row is missing" });
        }
        let hash = stored.hash(&before);
        if row.get_ref(8)?.as_blob()? != hash {
            return Ok(ChainCheck::Broken { seq: stored.seq, what: "the row, or one before it, was changed" });
        }
        if secret_in(&stored.detail).as_deref() != row.get_ref(9)?.as_str_or_null()? {
            return Ok(ChainCheck::Broken { seq: stored.seq, what: "the row, or one before it, was changed" });
        }
        (last, before) = (stored.seq, hash);
        step(u64::try_from(last).unwrap_or(0));
    }
    let head: Option<(i64, [u8; 32])> =
        conn.query_row("SELECT seq, hash FROM history_head", [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if head.unwrap_or((0, START)) == (last, before) {
        Ok(ChainCheck::Intact { rows: u64::try_from(last).unwrap_or(0) })
    } else {
        Ok(ChainCheck::Broken { seq: last.saturating_add(1), what: "rows at the end are missing" })
    }
}

/// The public id of the secret that a detail tells of. It stands in a column of its own too, which no hash covers.
fn secret_in(detail: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Detail {
        secret: Option<String>,
    }
    // Most details tell of no secret, and need not be parsed.
    let tells = detail.contains("\"secret\"");
    tells.then(|| serde_json::from_str::<Detail>(detail).ok()?.secret).flatten()
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Those of this key.
    pub key: Option<Id>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// What this user did, or with `owner`, what was done by nobody who was named.
    pub by: Option<Name>,
    /// This action, such as `key.create`, or either of its parts.
    pub action: Option<String>,
    /// The newest so many.
    pub limit: Option<u64>,
}

impl EventFilter {
    /// The statement that selects these events, and its values.
    fn statement(&self) -> (String, Vec<types::Value>) {
        let (mut conditions, mut values) = (vec!["1"], vec![]);
        let mut add = |condition, value: Option<types::Value>| {
            if let Some(value) = value {
                conditions.push(condition);
                values.push(value);
            }
        };
        let text = |text: &str| types::Value::Text(text.to_owned());
        let second = |time: Timestamp| types::Value::Integer(time.as_second());
        add("subject_kind = 'key' AND subject_id = ?", self.key.as_ref().map(|id| text(id.as_str())));
        add("at >= ?", self.since.map(second));
        add("at < ?", self.until.map(second));
        add("coalesce(actor, 'owner') = ?", self.by.as_ref().map(|by| text(by.as_str())));
        // The action itself, or what it is about, or what was done.
        add("? IN (action, subject_kind, substr(action, instr(action, '.') + 1))", self.action.as_deref().map(text));
        let columns = "seq, at, actor, action, subject_kind, subject_id, subject_name, detail";
        let select = format!("SELECT {columns} FROM history WHERE {}", conditions.join(" AND "));
        match self.limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)) {
            None => (format!("{select} ORDER BY seq"), values),
            Some(limit) => {
                values.push(types::Value::Integer(limit));
                (format!("SELECT * FROM ({select} ORDER BY seq DESC LIMIT ?) ORDER BY seq"), values)
            }
        }
    }
}

/// The events that are wanted, the oldest first.
pub(super) fn each<E>(
    conn: &Connection,
    filter: &EventFilter,
    mut f: impl FnMut(Event) -> Result<(), E>,
) -> rusqlite::Result<Result<(), E>> {
    let (statement, values) = filter.statement();
    let mut statement = conn.prepare(&statement)?;
    let mut found = statement.query(rusqlite::params_from_iter(values))?;
    while let Some(row) = found.next()? {
        let stored = Stored::read(row)?;
        let event = Event {
            seq: stored.seq,
            at: rows::time(row, 1)?,
            actor: rows::optional(row, 2)?,
            action: stored.action,
            subject_kind: stored.subject_kind,
            subject_id: rows::optional(row, 5)?,
            subject_name: stored.subject_name,
            detail: serde_json::from_str(&stored.detail).unwrap_or(Value::Null),
        };
        if let Err(error) = f(event) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// The id of the key that last had this name, or that has this id: for a key that is gone.
pub(super) fn last_key_named(conn: &Connection, name: &str) -> rusqlite::Result<Option<Id>> {
    conn.query_row(
        "SELECT subject_id FROM history
          WHERE seq = (SELECT max(seq) FROM (SELECT max(seq) AS seq FROM history
                                              WHERE subject_kind = 'key' AND subject_name = ?1
                                              UNION ALL
                                             SELECT max(seq) FROM history
                                              WHERE subject_kind = 'key' AND subject_id = ?1))",
        [name],
        |row| rows::optional(row, 0),
    )
    .optional()
    .map(Option::flatten)
}

/// A row as it stands in the table.
struct Stored {
    seq: i64,
    at: i64,
    actor: Option<String>,
    action: String,
    subject_kind: String,
    subject_id: Option<String>,
    subject_name: String,
    detail: String,
}

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            at: row.get(1)?,
            actor: row.get(2)?,
            action: row.get(3)?,
            subject_kind: row.get(4)?,
            subject_id: row.get(5)?,
            subject_name: row.get(6)?,
            detail: row.get(7)?,
        })
    }

    /// SHA-256 over the hash before and all columns. Each column is preceded by whether it is there
    /// and by its length in bytes, so no two different rows are hashed as the same bytes.
    fn hash(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut hasher = Sha256::new_with_prefix(before);
        hasher.update(self.seq.to_be_bytes());
        hasher.update(self.at.to_be_bytes());
        for column in [
            self.actor.as_deref(),
            Some(&self.action),
            Some(&self.subject_kind),
            self.subject_id.as_deref(),
            Some(&self.subject_name),
            Some(&self.detail),
        ] {
            hasher.update([u8::from(column.is_some())]);
            let text = column.unwrap_or_default();
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
        hasher.finalize().into()
    }
}
