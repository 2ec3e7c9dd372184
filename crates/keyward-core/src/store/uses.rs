//! Uses of keys: how often, and when last.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::db::Conn;
use super::error::StoreError;
use crate::rules::token::Id;

/// Uses that are to be counted together.
#[derive(Debug, Clone, Default)]
pub struct Uses(BTreeMap<Id, (u64, Timestamp)>);

impl Uses {
    /// With this many waiting, they are written.
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

    /// Whether enough keys are waiting that they should be written.
    pub fn are_many(&self) -> bool {
        self.0.len() >= Self::MANY
    }
}

/// Counts uses of one key, which may be gone by now.
fn count(conn: &Conn, key: &Id, count: u64, at: Timestamp) -> Result<(), StoreError> {
    conn.execute(
        "INSERT INTO key_use (key, last_used_at, use_count)
         SELECT id, CAST(?2 AS BIGINT), CAST(?3 AS BIGINT) FROM key WHERE public_id = ?1
         ON CONFLICT (key) DO UPDATE
            SET use_count = key_use.use_count + excluded.use_count,
                last_used_at = CASE WHEN excluded.last_used_at > key_use.last_used_at
                                    THEN excluded.last_used_at ELSE key_use.last_used_at END",
        &[key.into(), at.into(), count.into()],
    )
    .map(drop)
}

/// Counts one use.
pub(super) fn record_one(conn: &Conn, key: &Id, now: Timestamp) -> Result<(), StoreError> {
    count(conn, key, 1, now)
}

/// Counts all of them.
pub(super) fn record(conn: &Conn, uses: &Uses) -> Result<(), StoreError> {
    uses.0.iter().try_for_each(|(key, (number, at))| count(conn, key, *number, *at))
}
