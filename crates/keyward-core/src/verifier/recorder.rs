//! Counts uses, and renews hashes.
//!
//! Uses are summed in memory and written in groups, one transaction a group, off the path of the questions. What could
//! not be written is kept and comes along the next time; only the end of the process before that loses it, and a power
//! cut within seconds after, because nobody waits for the disk. The readers
//! of the same gate learn what was written from here, and keep what they have read.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::connections::{Connections, Slot};
use super::epoch::Written;
use super::limits::Meters;
use super::{Answer, VerifyError};
use crate::rules::hashing::SALT_BYTES;
use crate::rules::limits::Moment;
use crate::store::{Stamp, Store, StoreError, Uses};

/// Rows of usage that are forgotten at each writing at most: it takes a few milliseconds, and is more in an hour than
/// most stores have keys.
const PRUNED: u32 = 2_000;

/// Counts the uses of one gate, and writes them.
pub struct Recorder {
    connections: Arc<Connections>,
    slot: Arc<Slot>,
    uses: Uses,
    /// How often the own connection had found the store changed by others.
    sightings: u64,
    can_write: bool,
    flushed_at: Timestamp,
    has_failed: bool,
}

impl Recorder {
    pub(super) fn new(connections: &Arc<Connections>, now: Timestamp) -> Result<Self, StoreError> {
        let (connections, slot) = (Arc::clone(connections), connections.slot()?);
        let can_write = connections.write(&slot, |store| Ok::<_, StoreError>(!store.is_read_only()))?;
        let uses = Uses::default();
        Ok(Self { connections, slot, uses, sightings: 0, can_write, flushed_at: now, has_failed: false })
    }

    /// Takes in one call of the key that the answer is about, if it is about one. It came from this address.
    pub fn count(&mut self, answer: &Answer, from: Option<IpAddr>, now: Timestamp) {
        if let Some((key, call)) = answer.call() {
            self.uses.add(&key.id, call, now, from);
        }
    }

    /// Takes in uses that were summed elsewhere.
    pub fn add(&mut self, uses: Uses) {
        self.uses.merge(uses);
    }

    /// Whether the system lets the store be written at all.
    pub fn can_write(&self) -> bool {
        self.can_write
    }

    /// Whether there is something that has not been written.
    pub fn is_behind(&self) -> bool {
        !self.uses.is_empty() || self.connections.meters.is_behind()
    }

    /// Whether it is time to write: once in each second of `now`, and at once where very many keys wait for it. A
    /// writing that failed is tried again in the next second.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.is_behind() && (now.as_second() != self.flushed_at.as_second() || self.uses.are_many() && !self.has_failed)
    }

    /// Writes what was counted.
    ///
    /// # Errors
    /// Where the store cannot be written. Then nothing is lost: it is kept for the next time.
    pub fn flush(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let meters = self.connections.meters.unwritten();
        if self.uses.is_empty() && meters.is_empty() {
            return Ok(());
        }
        self.flushed_at = now;
        let uses = Arc::new(std::mem::take(&mut self.uses));
        let stamp = Stamp { now, actor: None };
        // What is told here may be the second, and what was taken is of a moment within it.
        let latest = Moment::of(now.saturating_add(SignedDuration::from_secs(1)).unwrap_or(now));
        let connections = Arc::clone(&self.connections);
        let result = self.writing(
            |store| {
                store.write_lightly(stamp, |changes| {
                    changes.record_uses(&uses)?;
                    changes.prune_usage(&changes.settings()?, PRUNED)?;
                    // The rows of another file are those of others.
                    if connections.file() == meters.file { Meters::write(changes, &meters, latest) } else { Ok(vec![]) }
                })
            },
            |_| Written::Uses(Arc::clone(&uses)),
        );
        self.has_failed = result.is_err();
        match result {
            Ok(stored) => {
                self.connections.meters.written(&meters, stored);
                Ok(())
            }
            Err(error) => {
                self.connections.meters.failed();
                self.uses.merge(Arc::unwrap_or_clone(uses));
                Err(error)
            }
        }
    }

    /// Renews the hash of the secret of an answer that wants it, unless somebody has done so by now. Takes an Argon2id.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn renew(&mut self, answer: &Answer, salt: [u8; SALT_BYTES], now: Timestamp) -> Result<(), VerifyError> {
        let Some(secret) = answer.renewal() else { return Ok(()) };
        self.writing(|store| answer.renew(store, salt, now), |()| Written::Hash(secret.id().clone()))
    }

    fn writing<T, E: From<StoreError>>(
        &mut self,
        write: impl FnOnce(&mut Store) -> Result<T, E>,
        tell: impl FnOnce(&T) -> Written,
    ) -> Result<T, E> {
        let commits = &self.connections.commits;
        commits.start();
        // Where the store could not be looked at, others may have written.
        let mut sightings = u64::MAX;
        let result = self.connections.write(&self.slot, |store| {
            store.check_writable()?;
            let result = write(store);
            // What oneself has written is not found.
            if store.refresh().is_ok() {
                sightings = store.sightings();
            }
            result
        });
        let saw_others = sightings != self.sightings;
        self.sightings = sightings;
        let written = result.as_ref().map_or(Written::Nothing, tell);
        self.connections.finish(written, saw_others);
        result
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recorder({})", self.connections.path.display())
    }
}
