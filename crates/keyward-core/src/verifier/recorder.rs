//! Counts uses, and renews hashes.
//!
//! Uses are summed in memory and written in groups, one transaction per group, outside the path of questions. Uses that
//! could not be written are kept for the next time. They are lost only if the process ends before that, or in a power
//! cut seconds after the write, which does not wait for the disk. The readers of the same gate learn from the recorder
//! what was written, and keep what they have read.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::connections::{Connections, Slot};
use super::epoch::Written;
use super::limits::{Meters, Unwritten};
use super::{Answer, VerifyError};
use crate::rules::hashing::SALT_BYTES;
use crate::rules::limits::{Meter, Moment};
use crate::store::{Batches, Kept, MeterId, Stamp, Store, StoreError, Uses};

/// The most usage rows deleted at each write: this takes a few milliseconds, and in an hour covers more rows than most
/// stores have keys.
const PRUNED: u32 = 2_000;

/// Counts the uses of one gate, and writes them.
pub struct Recorder {
    connections: Arc<Connections>,
    slot: Arc<Slot>,
    uses: Uses,
    /// How often its own connection had found the store changed by others.
    sightings: u64,
    can_write: bool,
    flushed_at: Timestamp,
    has_failed: bool,
    batches: Batches,
    /// What was last sent to a server without an answer whether it was counted.
    unheard: Option<Part>,
}

/// What is written at once.
struct Part {
    uses: Arc<Uses>,
    meters: Unwritten,
    /// Whether it was sent without an answer.
    is_unheard: bool,
    /// What the meters would hold afterwards.
    stored: Kept<Vec<(MeterId, Meter)>>,
}

impl Recorder {
    pub(super) fn new(connections: &Arc<Connections>, now: Timestamp) -> Result<Self, StoreError> {
        let (connections, slot) = (Arc::clone(connections), connections.slot()?);
        let can_write = connections.write(&slot, |store| Ok::<_, StoreError>(!store.is_read_only()))?;
        Ok(Self {
            connections,
            slot,
            uses: Uses::default(),
            sightings: 0,
            can_write,
            flushed_at: now,
            has_failed: false,
            batches: Batches::default(),
            unheard: None,
        })
    }

    /// Counts one call of the key that the answer is about, if any, from this address.
    pub fn count(&mut self, answer: &Answer, from: Option<IpAddr>, now: Timestamp) {
        if let Some((key, call)) = answer.call() {
            self.uses.add(&key.id, call, now, from);
        }
    }

    /// Adds uses that were summed elsewhere.
    pub fn add(&mut self, uses: Uses) {
        self.uses.merge(uses);
    }

    /// Whether the system allows writing the store at all.
    pub fn can_write(&self) -> bool {
        self.can_write
    }

    /// Whether anything is not written yet.
    pub fn is_behind(&self) -> bool {
        !self.uses.is_empty() || self.unheard.is_some() || self.connections.meters.is_behind()
    }

    /// Whether it is time to write: once in each second of `now`, ten times if the store is on a server, and at once if
    /// very many keys are waiting. A failed write is tried again the next time.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let every = i64::try_from(self.connections.writes_every().as_millis()).unwrap_or(1_000);
        let turn = |time: Timestamp| time.as_millisecond().div_euclid(every);
        self.is_behind() && (turn(now) != turn(self.flushed_at) || self.uses.are_many() && !self.has_failed)
    }

    /// Writes what was counted.
    ///
    /// # Errors
    /// If the store cannot be written. Nothing is lost then: the counts are kept for the next time.
    pub fn flush(&mut self, now: Timestamp) -> Result<(), StoreError> {
        // What was sent without an answer goes first, unchanged.
        if let Some(part) = self.unheard.take() {
            self.write_part(part, now)?;
        }
        let meters = self.connections.meters.unwritten();
        if self.uses.is_empty() && meters.is_empty() {
            return Ok(());
        }
        let uses = Arc::new(std::mem::take(&mut self.uses));
        self.write_part(Part { uses, meters, is_unheard: false, stored: None }, now)
    }

    fn write_part(&mut self, mut part: Part, now: Timestamp) -> Result<(), StoreError> {
        self.flushed_at = now;
        let stamp = Stamp { now, actor: None };
        // `now` may be a whole second, and what was taken belongs to a moment within it.
        let latest = Moment::of(now.saturating_add(SignedDuration::from_secs(1)).unwrap_or(now));
        let Part { uses, meters, stored, .. } = &mut part;
        let connections = Arc::clone(&self.connections);
        let mut batches = std::mem::take(&mut self.batches);
        let result = self.writing(
            |store| {
                store.count_batch(stamp, &mut batches, stored, |changes| {
                    changes.record_uses(uses)?;
                    changes.prune_usage(&changes.settings()?, PRUNED)?;
                    // Rows of another file belong to other meters.
                    if connections.file() == meters.file { Meters::write(changes, meters, latest) } else { Ok(vec![]) }
                })
            },
            |_| Written::Uses(Arc::clone(uses)),
        );
        self.batches = batches;
        self.has_failed = result.is_err();
        match result {
            Ok(stored) => {
                self.connections.meters.written(meters, stored);
                Ok(())
            }
            Err(error) => {
                self.connections.meters.failed();
                // Until it is known whether it was counted, it is neither counted again with others nor forgotten.
                if part.is_unheard || matches!(error, StoreError::Unheard(_)) {
                    self.unheard = Some(Part { is_unheard: true, ..part });
                } else {
                    self.uses.merge(Arc::unwrap_or_clone(part.uses));
                }
                Err(error)
            }
        }
    }

    /// Renews the hash of the secret if the answer wants that and it has not been done yet. Computes one Argon2id hash.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn renew(&mut self, answer: &Answer, salt: [u8; SALT_BYTES], now: Timestamp) -> Result<(), VerifyError> {
        let Some(renewal) = answer.renewal() else { return Ok(()) };
        self.writing(|store| answer.renew(store, salt, now), |()| Written::Hashes(renewal.secrets.clone()))
    }

    fn writing<T, E: From<StoreError>>(
        &mut self,
        write: impl FnOnce(&mut Store) -> Result<T, E>,
        tell: impl FnOnce(&T) -> Written,
    ) -> Result<T, E> {
        let commits = &self.connections.commits;
        commits.start();
        // If the store could not be checked, others may have written.
        let mut sightings = u64::MAX;
        let result = self.connections.write(&self.slot, |store| {
            store.check_writable()?;
            let result = write(store);
            // Its own writes do not count as changes.
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
