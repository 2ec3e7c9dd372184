//! When is what was read old?
//!
//! A look at the store costs microseconds and says whether anybody has written to it since, but not what. Most of what is written while credentials are verified are the uses that our own recorder counts, and of these
//! the readers are told in another way. So: nobody has written, nothing has changed. The same head of
//! the history, and our recorder has written in between: only uses were counted. Everything else: all is old.
//!
//! What may break: a change that leaves the head of the history as it is (another tool, or the counting of another
//! process) between two looks at which ours has written too. The recorder sees it at its next commit, because its own
//! connection's version tells it only of others, and then all is old as well.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use crate::rules::token::Id;
use crate::store::{Freshness, Head, Store, StoreError, Uses};

/// How many commits are told of: a reader that has not looked for longer forgets all it has read.
const TOLD: usize = 16;

/// What one commit of the recorder changed, for those who have read the rows.
#[derive(Debug, Clone)]
pub(super) enum Written {
    /// Nothing, or it failed.
    Nothing,
    /// Uses were counted.
    Uses(Arc<Uses>),
    /// These secrets have another hash.
    Hashes(Vec<Id>),
}

/// The commits of the recorders of one gate, shared by them and the readers.
#[derive(Debug, Default)]
pub(super) struct Commits {
    started: AtomicU64,
    finished: AtomicU64,
    /// How often a recorder saw that somebody else had written as well.
    others: AtomicU64,
    /// How often secrets have got another hash, and are perhaps found in another way.
    renewals: AtomicU64,
    newest: Mutex<VecDeque<Written>>,
}

impl Commits {
    /// A recorder is about to write. From here on, another version may be its doing.
    pub(super) fn start(&self) {
        self.started.fetch_add(1, SeqCst);
    }

    /// It has written, and whether somebody else had too since its last time.
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

    /// What was written after `known` commits and until there were `finished`; `None` where that was too long ago.
    fn between(&self, known: u64, finished: u64) -> Option<Vec<Written>> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let back = |count: u64| {
            let behind = self.finished.load(SeqCst).saturating_sub(count);
            newest.len().checked_sub(usize::try_from(behind).ok()?)
        };
        Some(newest.range(back(known)?..back(finished)?).cloned().collect())
    }
}

/// How much of what a reader has read is old, and what it does about that.
#[derive(Debug)]
pub(super) enum Staleness {
    /// Nothing is old: go on.
    None,
    /// The counts are: add what our recorder wrote.
    Counts(Vec<Written>),
    /// Everything is: forget it.
    All,
}

/// The moment that a reader's knowledge is of.
#[derive(Debug, Default)]
pub(super) struct Epoch {
    /// How often the store was found changed by then.
    sightings: Option<u64>,
    head: Option<Head>,
    finished: u64,
    others: u64,
}

impl Epoch {
    /// Looks at the store, and whether what was read at this epoch is old; moves on to the present one.
    ///
    /// # Errors
    /// As [`Store::refresh`]: then the next look says that everything is old.
    pub(super) fn look(&mut self, store: &mut Store, commits: &Commits) -> Result<Staleness, StoreError> {
        // In this order: what is written meanwhile is seen at the next look once more, and not missed.
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

    /// Forgets when it was.
    pub(super) fn reset(&mut self) {
        self.sightings = None;
    }
}
