//! Writes uses of keys: how often, when last, from where, and how many calls of each kind in each hour.
//!
//! A key has one row with its total, and one row for each hour in which it was used. They are written in groups, so a
//! key used a thousand times a second costs no more than one used once. A server gets many rows with each statement,
//! because each statement costs a network round trip.

mod many;

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

use super::db::Conn;
use super::error::StoreError;
use crate::rules::calendar::Unit;
use crate::rules::token::Id;
use crate::rules::usage::{Call, Calls};

/// Uses to be counted together.
#[derive(Debug, Clone, Default)]
pub struct Uses(BTreeMap<Id, Used>);

/// When a request was last allowed, and from which address, if known.
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
    /// By the second at which the hour began; there is nearly always only one.
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
    /// When this many keys are waiting, they are written.
    const MANY: usize = 10_000;

    /// Counts one call with this key, from this address.
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

    /// How often a request with this key was allowed, and when last; `None` if none was.
    pub fn of(&self, key: &Id) -> Option<(u64, LastUse)> {
        let used = self.0.get(key)?;
        Some((used.hours.iter().map(|(_, calls)| calls.allowed).sum(), used.last?))
    }

    /// Adds the uses of another group.
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

    /// Whether so many keys are waiting that they should be written.
    pub fn are_many(&self) -> bool {
        self.0.len() >= Self::MANY
    }
}

/// What happens to an existing row of `key_use`.
const USED_AGAIN: &str = "ON CONFLICT (key) DO UPDATE
    SET use_count = key_use.use_count + excluded.use_count,
        last_used_from = CASE WHEN excluded.last_used_at >= key_use.last_used_at
                              THEN excluded.last_used_from ELSE key_use.last_used_from END,
        last_used_at = CASE WHEN excluded.last_used_at > key_use.last_used_at
                            THEN excluded.last_used_at ELSE key_use.last_used_at END";
/// What happens to an existing row of `usage`.
const CALLED_AGAIN: &str = "ON CONFLICT (key, hour) DO UPDATE
    SET allowed = usage.allowed + excluded.allowed,
        forbidden = usage.forbidden + excluded.forbidden,
        limited = usage.limited + excluded.limited";

/// Counts all of them. Uses of deleted keys are not counted.
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

/// Deletes the oldest hourly rows from before `before`, at most `most` of them. Rows that another process is deleting
/// are skipped.
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
