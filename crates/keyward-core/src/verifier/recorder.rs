//! Counts uses, and renews hashes.
//!
//! Uses are summed in memory and written in groups, one transaction a group, off the path of the questions. What could
//! not be written is kept and comes along the next time; only the end of the process before that loses it. The readers
//! of the same gate learn what was written from here, and keep what they have read.

use std::sync::Arc;

use jiff::Timestamp;

use super::epoch::{Commits, Written};
use super::{Answer, VerifyError};
use crate::rules::hashing::SALT_BYTES;
use crate::store::{Stamp, Store, StoreError, Uses};

/// Counts the uses of one gate, and writes them.
#[derive(Debug)]
pub struct Recorder {
    store: Store,
    commits: Arc<Commits>,
    uses: Uses,
    /// That of the own connection: another one only where others have written.
    version: i64,
    flushed_at: Timestamp,
    has_failed: bool,
}

impl Recorder {
    pub(super) fn new(store: Store, commits: Arc<Commits>, now: Timestamp) -> Result<Self, StoreError> {
        let version = store.version()?;
        Ok(Self { store, commits, uses: Uses::default(), version, flushed_at: now, has_failed: false })
    }

    /// Takes in one use, if the answer is a yes.
    pub fn count(&mut self, answer: &Answer, now: Timestamp) {
        if let Some(key) = answer.key().filter(|_| answer.decision.is_allowed()) {
            self.uses.add(&key.id, now);
        }
    }

    /// Takes in uses that were summed elsewhere.
    pub fn add(&mut self, uses: Uses) {
        self.uses.merge(uses);
    }

    /// Whether the system lets the store be written at all.
    pub fn can_write(&self) -> bool {
        !self.store.is_read_only()
    }

    /// Whether there is something that has not been written.
    pub fn is_behind(&self) -> bool {
        !self.uses.is_empty()
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
        if self.uses.is_empty() {
            return Ok(());
        }
        self.flushed_at = now;
        let uses = Arc::new(std::mem::take(&mut self.uses));
        let stamp = Stamp { now, actor: None };
        let result = self.store.check_writable().and_then(|()| {
            self.writing(
                |store| store.write(stamp, |changes| changes.record_uses(&uses)),
                |()| Written::Uses(Arc::clone(&uses)),
            )
        });
        self.has_failed = result.is_err();
        if result.is_err() {
            self.uses.merge(Arc::unwrap_or_clone(uses));
        }
        result
    }

    /// Renews the hash of the secret of an answer that wants it, unless somebody has done so by now. Takes an Argon2id.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn renew(&mut self, answer: &Answer, salt: [u8; SALT_BYTES], now: Timestamp) -> Result<(), VerifyError> {
        let Some(secret) = answer.renewal() else { return Ok(()) };
        self.store.check_writable()?;
        self.writing(|store| answer.renew(store, salt, now), |()| Written::Hash(secret.id().clone()))
    }

    fn writing<T, E: From<StoreError>>(
        &mut self,
        write: impl FnOnce(&mut Store) -> Result<T, E>,
        tell: impl FnOnce(&T) -> Written,
    ) -> Result<T, E> {
        self.commits.start();
        let result = write(&mut self.store);
        // A commit of one's own does not change the version that one sees.
        let version = self.store.version();
        let saw_others = version.as_ref().ok() != Some(&self.version);
        self.version = version.unwrap_or(i64::MIN);
        self.commits.finish(result.as_ref().map_or(Written::Nothing, tell), saw_others);
        result
    }
}
