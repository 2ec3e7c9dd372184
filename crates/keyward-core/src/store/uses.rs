//! Uses of keys, written down: how often, when last, from where, and how many calls of each kind in which hour.
//!
//! A key has one row with its total, and one row an hour in which it was used. They are written in groups, so a key that
//! is used a thousand times a second costs what one does that is used once. A server gets many rows with each statement,
//! because each costs a way over the network.

mod many;

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

use super::db::Conn;
use super::error::StoreError;
use crate::rules::calendar::Unit;
use crate::rules::token::Id;
use crate::rules::usage::{Call, Calls};

/// Uses that are to be counted together.
#[derive(Debug, Clone, Default)]
pub struct Uses(BTreeMap<Id, Used>);

/// When a request was last allowed, and from which address it came, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub from: Option<IpAddr>,
}

/// The calls of one key.
#[derive(Debug, Clone, Default)]
struct Used {
    /// By the second at which the hour began; nearly always there is only one.
    hours: Vec<(i64, Calls)>,
    last: Option<LastUse>,
}

impl Used {
    fn add(&mut self, hour: i64, calls: Calls) {
        match self.hours.iter_mut().find(|(other, _)| *other == hour) {
            Some((_, before)) => before.merge(calls),
            None => self.hours.push((hour, calls)),
        }
    }

    fn used(&mut self, last: LastUse) {
        if self.last.is_none_or(|before| before.at <= last.at) {
            self.last = Some(last);
        }
    }
}

impl Uses {
    /// With this many keys waiting, they are written.
    const MANY: usize = 10_000;

    /// One call with this key, from this address.
    pub fn add(&mut self, key: &Id, call: Call, at: Timestamp, from: Option<IpAddr>) {
        let mut calls = Calls::default();
        calls.add(call);
        let used = match self.0.get_mut(key) {
            Some(used) => used,
            None => self.0.entry(key.clone()).or_default(),
        };
        used.add(Unit::Hour.around(at.as_second()).0, calls);
        if call == Call::Allowed {
            used.used(LastUse { at, from });
        }
    }

    /// How often this key was allowed something, and when last; `None` where it was not.
    pub fn of(&self, key: &Id) -> Option<(u64, LastUse)> {
        let used = self.0.get(key)?;
        Some((used.hours.iter().map(|(_, calls)| calls.allowed).sum(), used.last?))
    }

    /// Those of another group too.
    pub fn merge(&mut self, other: Self) {
        for (key, other) in other.0 {
            let used = self.0.entry(key).or_default();
            for (hour, calls) in other.hours {
                used.add(hour, calls);
            }
            if let Some(last) = other.last {
                used.used(last);
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether enough keys are waiting that they should be written.
    pub fn are_many(&self) -> bool {
        self.0.len() >= Self::MANY
    }
}

/// What becomes of a row of `key_use` that is there.
const USED_AGAIN: &str = "ON CONFLICT (key) DO UPDATE
    SET use_count = key_use.use_count + excluded.use_count,
        last_used_from = CASE WHEN excluded.last_used_at >= key_use.last_used_at
                              THEN excluded.last_used_from ELSE key_use.last_used_from END,
        last_used_at = CASE WHEN excluded.last_used_at > key_use.last_used_at
                            THEN excluded.last_used_at ELSE key_use.last_used_at END";
/// What becomes of a row of `usage` that is there.
const CALLED_AGAIN: &str = "ON CONFLICT (key, hour) DO UPDATE
    SET allowed = usage.allowed + excluded.allowed,
        forbidden = usage.forbidden + excluded.forbidden,
        limited = usage.limited + excluded.limited";

/// Counts all of them. Those of keys that are gone by now are not counted.
pub(super) fn record(conn: &Conn, uses: &Uses) -> Result<(), StoreError> {
    if conn.dialect().is_server() {
        return many::record(conn, uses);
    }
    for (key, used) in &uses.0 {
        if let Some((count, last)) = uses.of(key) {
            conn.execute(
                &format!(
                    "INSERT INTO key_use (key, last_used_at, use_count, last_used_from)
                     SELECT id, ?2, ?3, ?4 FROM key WHERE public_id = ?1 {USED_AGAIN}"
                ),
                &[key.into(), last.at.into(), count.into(), from(last).as_deref().into()],
            )?;
        }
        for (hour, calls) in &used.hours {
            let Calls { allowed, forbidden, limited } = *calls;
            conn.execute(
                &format!(
                    "INSERT INTO usage (key, hour, allowed, forbidden, limited)
                     SELECT id, ?2, ?3, ?4, ?5 FROM key WHERE public_id = ?1 {CALLED_AGAIN}"
                ),
                &[key.into(), (*hour).into(), allowed.into(), forbidden.into(), limited.into()],
            )?;
        }
    }
    Ok(())
}

fn from(last: LastUse) -> Option<String> {
    last.from.map(|address| address.to_canonical().to_string())
}

/// Deletes the oldest rows of hours that began before `before`, at most `most` of them. Rows that another process is
/// deleting are skipped.
pub(super) fn prune(conn: &Conn, before: Timestamp, most: u32) -> Result<(), StoreError> {
    conn.execute(
        &format!(
            "DELETE FROM usage WHERE (key, hour) IN
                (SELECT key, hour FROM usage WHERE hour < ?1 ORDER BY hour LIMIT CAST(?2 AS BIGINT){})",
            conn.dialect().locking_free_ones()
        ),
        &[before.into(), u64::from(most).into()],
    )
    .map(drop)
}
