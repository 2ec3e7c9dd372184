//! Counting without the lock of the store, on a server.
//!
//! Any number of hosts count uses at the same time, and none of them waits for changes of keys. All lock rows in the
//! same order, so no two wait for each other. If a change deletes keys in another order, the counting side gives way
//! after a moment and starts again.
//!
//! What may break: a COMMIT without an answer. So each batch is stored with its number. It is sent again unchanged, and
//! counted once.

use std::hash::{BuildHasher as _, RandomState};
use std::thread;
use std::time::Duration;

use super::changes::Changes;
use super::error::StoreError;
use super::{Stamp, Store};

/// The most attempts. Each waits at most 300 ms for a row.
const ATTEMPTS: u32 = 40;
/// The longest random pause after an attempt, in microseconds, so that those that collided do not collide again.
const PAUSE: u64 = 20_000;

/// The batches of one counting host, identified by a random name.
#[derive(Debug)]
pub(crate) struct Batches {
    host: String,
    /// The number of the next one.
    next: i64,
}

impl Default for Batches {
    fn default() -> Self {
        // It need not be secret, only unique.
        Self { host: format!("{:016x}{:016x}", chance(), chance()), next: 1 }
    }
}

/// The result of a batch whose COMMIT had no answer. It counts only if the batch was made.
pub(crate) type Kept<T> = Option<T>;

/// A random number.
fn chance() -> u64 {
    RandomState::new().hash_one(0)
}

impl Store {
    /// As [`Store::write_lightly`], for what several hosts may count at the same time: uses and limits. On a server it
    /// does not take the store's lock, and `f` is called again after a collision.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(crate) fn count<T>(
        &mut self,
        stamp: Stamp<'_>,
        f: impl Fn(&Changes<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if !self.is_on_server() {
            return self.write_lightly(stamp, f);
        }
        self.again_where_it_met_others(|store| {
            let changes = store.begin_to_count(stamp)?;
            let value = f(&changes)?;
            changes.commit()?;
            Ok(value)
        })
    }

    /// As [`Store::count`], but a batch without an answer may be sent again: it is counted once.
    ///
    /// # Errors
    /// As [`Store::write`]. After [`StoreError::Unheard`], the same batch must be sent again, with what was kept of it,
    /// before another one.
    pub(crate) fn count_batch<T>(
        &mut self,
        stamp: Stamp<'_>,
        batches: &mut Batches,
        kept: &mut Kept<T>,
        f: impl Fn(&Changes<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if !self.is_on_server() {
            return self.write_lightly(stamp, f);
        }
        let value = self.again_where_it_met_others(|store| {
            let changes = store.begin_to_count(stamp)?;
            if !changes.begin_batch(&batches.host, batches.next)? {
                return kept.take().ok_or_else(|| StoreError::Bug("another one counts under the same name".into()));
            }
            let value = f(&changes)?;
            match changes.commit() {
                Ok(()) => Ok(value),
                Err(error) => {
                    if matches!(error, StoreError::Unheard(_)) {
                        *kept = Some(value);
                    }
                    Err(error)
                }
            }
        })?;
        batches.next += 1;
        Ok(value)
    }

    fn begin_to_count<'s>(&'s mut self, stamp: Stamp<'s>) -> Result<Changes<'s>, StoreError> {
        self.conn.begin_to_count()?;
        self.meet()?;
        Ok(Changes::begun(&self.conn, stamp))
    }

    fn again_where_it_met_others<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 1..ATTEMPTS {
            match attempt(self) {
                Err(_) if self.conn.was_conflict() => {
                    thread::sleep(Duration::from_micros(chance() % PAUSE));
                }
                done => return done,
            }
        }
        attempt(self)
    }
}

impl Changes<'_> {
    /// Whether the batch has not been counted yet. Waits for one that is in progress.
    fn begin_batch(&self, host: &str, number: i64) -> Result<bool, StoreError> {
        let begun = self.conn().execute(
            "INSERT INTO use_batch (host, seq, at) VALUES (?1, ?2, ?3)
             ON CONFLICT (host) DO UPDATE SET seq = excluded.seq, at = excluded.at
              WHERE use_batch.seq < excluded.seq",
            &[host.into(), number.into(), self.now().into()],
        )?;
        Ok(begun == 1)
    }
}
