//! Reading the history: events by filter, and deleted keys.

use jiff::Timestamp;
use serde_json::Value;

use super::{Event, Stored};
use crate::rules::names::Name;
use crate::rules::token::Id;
use crate::store::conditions::{Bound, Conditions};
use crate::store::db::Conn;
use crate::store::error::StoreError;

/// Which events are selected.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Events of this key.
    pub key: Option<Id>,
    /// Events of all keys that this text names or once named: see [`crate::store::View::keys_ever_named`].
    pub named: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// What this user did; with `owner`, what was done without an acting user.
    pub by: Option<Name>,
    /// This action, such as `key.create`, or either of its parts.
    pub action: Option<String>,
    /// How many to return: the newest.
    pub limit: Option<u64>,
}

impl EventFilter {
    /// The statement that selects these events.
    fn statement(&self) -> (String, Conditions<'_>) {
        let mut all = Conditions::default();
        let second = |time: Timestamp| Bound::Integer(time.as_second());
        if let Some(key) = &self.key {
            all.and("subject_kind = 'key' AND subject_id = ?", vec![Bound::Text(key.as_str())]);
        }
        if let Some(text) = &self.named {
            let condition = format!("subject_kind = 'key' AND subject_id IN ({})", ids_of("?"));
            all.and(&condition, vec![Bound::Text(text); PLACES]);
        }
        if let Some(since) = self.since {
            all.and("at >= ?", vec![second(since)]);
        }
        if let Some(until) = self.until {
            all.and("at < ?", vec![second(until)]);
        }
        if let Some(by) = &self.by {
            all.and("coalesce(actor, 'owner') = ?", vec![Bound::Text(by.as_str())]);
        }
        if let Some(action) = &self.action {
            // The action itself, its subject, or its verb.
            let texts = [action, action, action].map(|action| Bound::Text(action));
            all.and("(action = ? OR subject_kind = ? OR action = subject_kind || '.' || ?)", texts.into());
        }
        let columns = "seq, at, actor, action, subject_kind, subject_id, subject_name, detail";
        let select = format!("SELECT {columns} FROM history {}", all.sql());
        match self.limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)) {
            None => (format!("{select} ORDER BY seq"), all),
            Some(limit) => {
                let most = all.bind(Bound::Integer(limit));
                (format!("SELECT * FROM ({select} ORDER BY seq DESC LIMIT {most}) AS newest ORDER BY seq"), all)
            }
        }
    }
}

/// Passes each selected event to `f`, the oldest first.
pub(in crate::store) fn each<E: From<StoreError>>(
    conn: &Conn,
    filter: &EventFilter,
    mut f: impl FnMut(Event) -> Result<(), E>,
) -> Result<(), E> {
    let (statement, conditions) = filter.statement();
    conn.each(&statement, &conditions.values(), |row| {
        let stored = Stored::read(row)?;
        f(Event {
            seq: stored.seq,
            at: row.time(1)?,
            actor: row.optional_parsed(2)?,
            action: stored.action.to_owned(),
            subject_kind: stored.subject_kind.to_owned(),
            subject_id: row.optional_parsed(5)?,
            subject_name: stored.subject_name.to_owned(),
            detail: serde_json::from_str(stored.detail).unwrap_or(Value::Null),
        })
    })
}

/// Whether there is such an event.
pub(in crate::store) fn is_told(conn: &Conn, filter: &EventFilter) -> Result<bool, StoreError> {
    let (statement, conditions) = filter.statement();
    conn.optional(&statement, &conditions.values(), |_| Ok(())).map(|found| found.is_some())
}

/// A key that exists or existed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PastKey {
    /// Its id.
    pub id: Id,
    /// Its name, or the last one that it had.
    pub name: Name,
    /// Whether it was deleted.
    pub is_gone: bool,
    /// Whether the text is the public id of one of its secrets.
    pub by_secret: bool,
}

/// How often the text occurs in [`ids_of`].
const PLACES: usize = 6;

/// A statement for the ids of all keys that a text names or once named, as a name, as an id or as the public id of a
/// secret. The history knows every name except a key's current one, and every secret except a staged one.
fn ids_of(text: &str) -> String {
    format!(
        "SELECT subject_id FROM history WHERE subject_kind = 'key' AND subject_name = {text}
         UNION SELECT subject_id FROM history WHERE subject_kind = 'key' AND subject_id = {text}
         UNION SELECT subject_id FROM history WHERE secret_id = {text}
         UNION SELECT public_id FROM key WHERE name = {text}
         UNION SELECT public_id FROM key WHERE public_id = {text}
         UNION SELECT k.public_id FROM secret s JOIN key k ON k.id = s.key WHERE s.public_id = {text}"
    )
}

/// The keys that a text names or once named, the oldest first.
pub(in crate::store) fn keys_ever_named(conn: &Conn, text: &str) -> Result<Vec<PastKey>, StoreError> {
    let sql = format!(
        "SELECT ids.subject_id, k.name,
                (SELECT h.subject_name FROM history h WHERE h.subject_kind = 'key' AND h.subject_id = ids.subject_id
                  ORDER BY h.seq DESC LIMIT 1),
                (SELECT min(h.seq) FROM history h WHERE h.subject_kind = 'key' AND h.subject_id = ids.subject_id),
                CASE WHEN EXISTS (SELECT 1 FROM history h WHERE h.secret_id = ?1 AND h.subject_id = ids.subject_id)
                       OR EXISTS (SELECT 1 FROM secret s WHERE s.public_id = ?1 AND s.key = k.id) THEN 1 ELSE 0 END
           FROM ({}) AS ids LEFT JOIN key k ON k.public_id = ids.subject_id
          WHERE ids.subject_id IS NOT NULL ORDER BY 4",
        ids_of("?1")
    );
    conn.all(&sql, &[text.into()], |row| {
        let present: Option<Name> = row.optional_parsed(1)?;
        let is_gone = present.is_none();
        let name = present.map_or_else(|| row.parsed(2), Ok)?;
        Ok(PastKey { id: row.parsed(0)?, name, is_gone, by_secret: row.flag(4)? })
    })
}

/// The last name of the key that had a secret with this public id.
pub(in crate::store) fn key_that_had(conn: &Conn, secret: &Id) -> Result<Option<Name>, StoreError> {
    conn.optional(
        "SELECT subject_name FROM history
          WHERE seq = (SELECT max(seq) FROM history
                        WHERE subject_kind = 'key'
                          AND subject_id = (SELECT subject_id FROM history
                                             WHERE secret_id = ?1 AND subject_kind = 'key' LIMIT 1))",
        &[secret.as_str().into()],
        |row| row.parsed(0),
    )
}

/// The id of the key that last had this name, or that has this id: for deleted keys.
pub(in crate::store) fn last_key_named(conn: &Conn, name: &str) -> Result<Option<Id>, StoreError> {
    conn.optional(
        "SELECT subject_id FROM history
          WHERE seq = (SELECT max(seq) FROM (SELECT max(seq) AS seq FROM history
                                              WHERE subject_kind = 'key' AND subject_name = ?1
                                              UNION ALL
                                             SELECT max(seq) FROM history
                                              WHERE subject_kind = 'key' AND subject_id = ?1) AS newest)",
        &[name.into()],
        |row| row.optional_parsed(0),
    )
    .map(Option::flatten)
}
