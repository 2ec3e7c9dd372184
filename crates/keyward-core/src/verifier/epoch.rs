//! Decides when cached data is out of date.
//!
//! A check of the store costs microseconds and says whether anything was written since, but not what. Most writes
//! during verification are the uses that our own recorder counts, and the readers learn about those in another way. So
//! there are three cases. No write: nothing has changed. The same head of the history, and our recorder has written in
//! between: only uses were counted. Anything else: everything is out of date.
//!
//! What may break: a change that does not move the head of the history (by another tool, or counts from another
//! process), between two checks in which our recorder has written too. The recorder sees it at its next commit, because
//! the version of its own connection changes only for others' writes. Then everything is out of date too.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use crate::rules::token::Id;
use crate::store::{Freshness, Head, Store, StoreError, Uses};

/// How many commits are remembered: a reader that missed more forgets everything it has read.
const TOLD: usize = 16;

/// What one commit of the recorder changed, for readers that hold the rows.
#[derive(Debug, Clone)]
pub(super) enum Written {
    /// Nothing, or it failed.
    Nothing,
    /// Uses were counted.
    Uses(Arc<Uses>),
    /// These secrets have a new hash.
    Hashes(Vec<Id>),
}

/// The commits of one gate's recorders, which they share with the readers.
#[derive(Debug, Default)]
pub(super) struct Commits {
    started: AtomicU64,
    finished: AtomicU64,
    /// How often a recorder saw that others had written as well.
    others: AtomicU64,
    /// How often secrets got a new hash, after which they may be found in another bucket.
    renewals: AtomicU64,
    newest: Mutex<VecDeque<Written>>,
}

impl Commits {
    /// Records that a recorder is about to write. From here on, a new version may be its work.
    pub(super) fn start(&self) {
        self.started.fetch_add(1, SeqCst);
    }

    /// Records that it has written, and whether others had written since its last time.
    pub(super) fn finish(&self, written: Written, saw_others: bool) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        self.renewals.fetch_add(u64::from(matches!(written, Written::Hashes(_))), SeqCst);
        newest.push_back(written);
        if newest.len() > TOLD {
            newest.pop_front();
        }
        self.others.fetch_add(u64::from(saw_others), SeqCst);
        self.finished.fetch_add(1, SeqCst);
    }

    pub(super) fn renewals(&self) -> u64 {
        self.renewals.load(SeqCst)
    }

    pub(super) fn started(&self) -> u64 {
        self.started.load(SeqCst)
    }

    /// What was written after the first `known` commits, up to `finished` of them; `None` if that was too long ago.
    fn between(&self, known: u64, finished: u64) -> Option<Vec<Written>> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let back = |count: u64| {
            let behind = self.finished.load(SeqCst).saturating_sub(count);
            newest.len().checked_sub(usize::try_from(behind).ok()?)
        };
        Some(newest.range(back(known)?..back(finished)?).cloned().collect())
    }
}

/// How much of what a reader has read is out of date, and what to do about it.
#[derive(Debug)]
pub(super) enum Staleness {
    /// Nothing is out of date.
    None,
    /// Only the counts are: add what our recorder wrote.
    Counts(Vec<Written>),
    /// Everything is: forget it.
    All,
}

/// The moment to which a reader's knowledge belongs.
#[derive(Debug, Default)]
pub(super) struct Epoch {
    /// How often the store had been found changed by then.
    sightings: Option<u64>,
    head: Option<Head>,
    finished: u64,
    others: u64,
}

impl Epoch {
    /// Checks the store and whether what was read in this epoch is out of date, then moves to the current epoch.
    ///
    /// # Errors
    /// As [`Store::refresh`]: the next check then reports everything as out of date.
    pub(super) fn look(&mut self, store: &mut Store, commits: &Commits) -> Result<Staleness, StoreError> {
        // In this order: what is written meanwhile is seen again at the next check, not missed.
        let (others, finished) = (commits.others.load(SeqCst), commits.finished.load(SeqCst));
        let before = std::mem::take(&mut self.sightings);
        let freshness = store.refresh()?;
        let sightings = Some(store.sightings());
        let is_same = sightings == before && others == self.others;
        if !is_same {
            let head = store.known_head();
            let is_ours = commits.started() > self.finished && others == self.others && freshness != Freshness::Anew;
            if before.is_none() || !is_ours || head != self.head {
                *self = Self { sightings, head, finished, others };
                return Ok(Staleness::All);
            }
        }
        self.sightings = sightings;
        if finished == self.finished {
            return Ok(Staleness::None);
        }
        let written = commits.between(self.finished, finished);
        self.finished = finished;
        Ok(written.map_or(Staleness::All, Staleness::Counts))
    }

    /// Forgets the moment.
    pub(super) fn reset(&mut self) {
        self.sightings = None;
    }
}
