//! Rows that were read from the store, so that a key in use is not read again for each request. All readers of a gate
//! share them.
//!
//! They belong to one state of the store ([`State`]), and are forgotten as soon as a reader has seen a later one. If
//! only uses were counted, the recorder adds them here. Nothing is kept for unknown ids: made-up ones would push out
//! those in use.
//!
//! What may break: a row that was read before a change and is kept after it. A reader reads only after it has checked
//! the store, so a row is at least as new as the state that it is kept for. While a recorder writes, no row is kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;

use super::epoch::Written;
use super::hasher::Hasher;
use super::matches::Seal;
use crate::rules::hashing::{Cost, HashError};
use crate::rules::imported::Bucket;
use crate::rules::plain::PlainText;
use crate::rules::token::Id;
use crate::store::{Head, Presented, Uses};

/// How many rows are kept; beyond that, the least recently used are forgotten. A row takes about 1.3 KB.
const MOST: usize = 12_288;

/// Identifies a state of the store among earlier and later ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The number of the file.
    pub(super) file: u64,
    /// How often a reader has found the store changed.
    pub(super) changes: u64,
    /// The head of its history: one of two checks may have seen a change that is not counted yet.
    pub(super) head: Option<Head>,
}

impl State {
    fn is_later_than(self, other: Self) -> bool {
        let order = |state: Self| (state.file, state.changes, state.head.map_or(-1, |head| head.seq));
        order(self) > order(other)
    }
}

/// What the store has about a secret, and what each question needs from it.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) presented: Arc<Presented>,
    /// `None` for a row that no cache knows.
    pub(super) seal: Option<Seal>,
    /// The cost of its hash, if that may be computed.
    pub(super) cost: Option<Cost>,
}

impl Row {
    /// A row for one question.
    pub(super) fn unsealed(presented: Presented) -> Self {
        Self { seal: None, cost: presented.hash.cost(), presented: Arc::new(presented) }
    }

    /// Whether this is the secret: one Argon2id, or next to nothing for an imported SHA-256.
    ///
    /// # Errors
    /// If the hash cannot be checked. A keyward secret never has a SHA-256: somebody else put that into the store.
    pub(super) fn matches(&self, plain: &dyn PlainText, hasher: &mut dyn Hasher) -> Result<bool, HashError> {
        let Presented { hash, secret, .. } = &*self.presented;
        if hash.is_fast() && secret.imported.is_none() {
            return Err(HashError::NotArgon2id);
        }
        hasher.matches(hash, plain)
    }

    /// Whether the hash was made at a cost other than `present`, or by another system.
    pub(super) fn is_old(&self, present: Cost) -> bool {
        self.cost.is_some_and(|own| own != present) || self.presented.secret.is_to_be_renewed()
    }
}

/// Rows by the public ids of their secrets.
pub(super) struct Rows(Mutex<Kept>);

struct Kept {
    state: State,
    /// The number of recorder commits that they include.
    commits: u64,
    rows: LruCache<Id, Row>,
    /// The ids of the secrets in a bucket; empty buckets are not kept.
    buckets: LruCache<Bucket, Arc<[Id]>>,
}

impl Rows {
    pub(super) fn new() -> Self {
        let (rows, buckets) = (LruCache::new(MOST), LruCache::new(MOST));
        Self(Mutex::new(Kept { state: State::default(), commits: 0, rows, buckets }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The row of this secret in this state of the store.
    pub(super) fn get(&self, secret: &Id, state: State) -> Option<Row> {
        self.kept().of(state)?.rows.get(secret).cloned()
    }

    /// The rows of the secrets in this bucket in this state of the store, if all of them are known.
    pub(super) fn in_bucket(&self, bucket: Bucket, state: State) -> Option<Vec<Row>> {
        let mut kept = self.kept();
        let kept = kept.of(state)?;
        let secrets = Arc::clone(kept.buckets.get(&bucket)?);
        secrets.iter().map(|secret| kept.rows.get(secret).cloned()).collect()
    }

    /// The number of recorder commits that the rows include.
    pub(super) fn commits(&self) -> u64 {
        self.kept().commits
    }

    /// Keeps a row read by a reader that had seen this state, if the rows still belong to this state and still include
    /// this many commits.
    pub(super) fn keep(&self, secret: &Id, row: Row, state: State, commits: u64) {
        let mut kept = self.kept();
        if kept.state == state && kept.commits == commits {
            kept.rows.insert(secret.clone(), row);
        }
    }

    /// Keeps which secrets are in a bucket, with their rows, as [`Rows::keep`] does.
    pub(super) fn keep_bucket(&self, bucket: Bucket, rows: &[Row], state: State, commits: u64) {
        let mut kept = self.kept();
        if kept.state != state || kept.commits != commits || rows.is_empty() {
            return;
        }
        let secrets = rows.iter().map(|row| row.presented.secret.id.clone());
        kept.buckets.insert(bucket, secrets.collect());
        for row in rows {
            kept.rows.insert(row.presented.secret.id.clone(), row.clone());
        }
    }

    /// Applies a commit of a recorder.
    pub(super) fn learn(&self, written: &Written) {
        let mut kept = self.kept();
        kept.commits += 1;
        match written {
            Written::Nothing => {}
            Written::Uses(uses) => kept.count(uses),
            Written::Hashes(secrets) => {
                for secret in secrets {
                    kept.rows.remove(secret);
                }
                // One of them may now be found in another bucket.
                kept.buckets.clear();
            }
        }
    }
}

impl Kept {
    /// What is kept for this state of the store. A later state discards what was kept for earlier ones.
    fn of(&mut self, state: State) -> Option<&mut Self> {
        if self.state == state {
            return Some(self);
        }
        if state.is_later_than(self.state) {
            self.state = state;
            self.rows.clear();
            self.buckets.clear();
        }
        None
    }

    /// Adds uses that were written to the store since.
    fn count(&mut self, uses: &Uses) {
        for (_, row) in &mut self.rows {
            let Some((count, last)) = uses.of(&row.presented.key.id) else { continue };
            // An answer may still hold the row: that copy must not change.
            let key = &mut Arc::make_mut(&mut row.presented).key;
            key.use_count += count;
            if key.last_used_at <= Some(last.at) {
                (key.last_used_at, key.last_used_from) = (Some(last.at), last.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::hashing::HashedSecret;
    use crate::rules::key::SecretInfo;
    use crate::rules::key::tests::{at, sample};
    use crate::rules::usage::Call;
    use crate::verifier::matches::Matches;

    fn row(number: u64) -> (Id, Row) {
        let (mut key, id) = (sample(), Id::from_random(number.to_be_bytes()));
        key.id = id.clone();
        let secret = SecretInfo::new(id.clone(), at(0));
        let subjects = crate::store::Subjects { key: 1, user: None, tenant: None };
        let presented = Presented { key, hash: HashedSecret::from_stored(String::new()), secret, subjects };
        let seal = Some(Matches::new([0; 32]).seal(&presented.hash));
        (id, Row { presented: Arc::new(presented), seal, cost: None })
    }

    fn state(seq: i64) -> State {
        State { file: 0, changes: 0, head: Some(Head { seq, hash: [0; 32] }) }
    }

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let rows = Rows::new();
        assert!(rows.get(&row(0).0, state(1)).is_none(), "the rows are of this state from now on");
        let all: Vec<_> = (0..=MOST as u64).map(row).collect();
        for (id, row) in &all[..MOST] {
            rows.keep(id, row.clone(), state(1), 0);
        }
        assert!(rows.get(&all[0].0, state(1)).is_some());
        rows.keep(&all[MOST].0, all[MOST].1.clone(), state(1), 0);
        assert!(rows.get(&all[0].0, state(1)).is_some() && rows.get(&all[1].0, state(1)).is_none());
    }

    #[test]
    fn rows_are_of_one_state() {
        let (rows, (id, row)) = (Rows::new(), row(1));
        rows.keep(&id, row.clone(), state(1), 0);
        assert!(rows.get(&id, state(1)).is_none(), "nobody had seen this state yet");
        rows.keep(&id, row.clone(), state(1), 0);
        assert!(rows.get(&id, state(1)).is_some());
        assert!(rows.get(&id, state(2)).is_none());
        rows.keep(&id, row.clone(), state(1), 0);
        assert!(rows.get(&id, state(2)).is_none(), "it was read before the change");
        assert!(rows.get(&id, state(1)).is_none(), "an earlier state does not come back");
        for later in [State { changes: 1, ..state(1) }, State { file: 1, ..state(1) }] {
            assert!(rows.get(&id, later).is_none());
            rows.keep(&id, row.clone(), later, 0);
            assert!(rows.get(&id, later).is_some());
        }
        assert!(rows.get(&id, state(9)).is_none(), "of another file");
    }

    #[test]
    fn uses_are_added_and_an_answer_keeps_what_it_was_told() {
        let (rows, (busy, one), (idle, other)) = (Rows::new(), row(1), row(2));
        assert!(rows.get(&busy, state(1)).is_none());
        rows.keep(&busy, one.clone(), state(1), rows.commits());
        rows.keep(&idle, other.clone(), state(1), rows.commits());
        let mut uses = Uses::default();
        let from = Some("192.0.2.1".parse().unwrap());
        uses.add(&busy, Call::Allowed, at(7), from);
        uses.add(&busy, Call::Allowed, at(5), None);
        uses.add(&busy, Call::Forbidden, at(9), None);
        uses.add(&idle, Call::Limited, at(9), None);
        let before = rows.commits();
        rows.learn(&Written::Uses(Arc::new(uses)));
        let get = |id: &Id| rows.get(id, state(1)).unwrap();
        let key = &get(&busy).presented.key;
        assert_eq!((key.use_count, key.last_used_at, key.last_used_from), (2, Some(at(7)), from));
        assert_eq!(one.presented.key.use_count, 0);
        assert!(Arc::ptr_eq(&get(&idle).presented, &other.presented));
        rows.keep(&busy, one.clone(), state(1), before);
        assert_eq!(get(&busy).presented.key.use_count, 2, "it was read before the commit");
        rows.learn(&Written::Hashes(vec![busy.clone()]));
        assert!(rows.get(&busy, state(1)).is_none());
    }
}
