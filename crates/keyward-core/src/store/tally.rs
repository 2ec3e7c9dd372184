//! Counts keys by state, a part at a time. Counting all keys of a large store in one view would keep the log from being
//! cleared while others write, and would make everybody wait when another store replaces this one.

use jiff::Timestamp;

use super::db::Conn;
use super::error::StoreError;
use crate::rules::key::State;

/// What was counted so far. Each part shows its own moment: changes in between may be missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    now: Timestamp,
    /// The last row that was counted.
    last: i64,
    states: [u64; State::ALL.len()],
    /// Times, each with the number of active keys that expire by then.
    ends: Vec<(Timestamp, u64)>,
}

impl Tally {
    /// An empty tally. States are as of `now`; active keys are also counted by which of `ends` they expire before.
    pub fn new(now: Timestamp, ends: impl IntoIterator<Item = Timestamp>) -> Self {
        let ends = ends.into_iter().map(|end| (end, 0)).collect();
        Self { now, last: i64::MIN, states: [0; State::ALL.len()], ends }
    }

    /// The number of keys in each state, in the order of [`State::ALL`].
    pub fn states(&self) -> impl Iterator<Item = (State, u64)> {
        State::ALL.into_iter().zip(self.states)
    }

    /// The number of active keys that expire by each of the times, in order.
    pub fn expiring(&self) -> impl Iterator<Item = u64> {
        self.ends.iter().map(|(_, count)| *count)
    }

    /// Counts up to `most` further keys. Returns whether there may be more.
    pub(super) fn count(&mut self, conn: &Conn, most: u32) -> Result<bool, StoreError> {
        let mut number = 0;
        let after = self.last;
        conn.each(
            "SELECT k.id, k.enabled, k.expires_at, coalesce(o.enabled, 1), coalesce(t.enabled, 1)
               FROM key k LEFT JOIN \"user\" o ON o.id = k.owner LEFT JOIN tenant t ON t.id = k.tenant
              WHERE k.id > ?1 ORDER BY k.id LIMIT ?2",
            &[after.into(), i64::from(most).into()],
            |row| {
                number += 1;
                self.last = row.integer(0)?;
                let end = row.optional_time(2)?;
                let is_expired = end.is_some_and(|end| end <= self.now);
                let is_suspended = !row.flag(3)? || !row.flag(4)?;
                let state = State::of(row.flag(1)?, is_expired, is_suspended);
                self.states[state as usize] += 1;
                if state == State::Active {
                    for (by, count) in &mut self.ends {
                        *count += u64::from(end.is_some_and(|end| end <= *by));
                    }
                }
                Ok::<_, StoreError>(())
            },
        )?;
        Ok(number == most)
    }
}
