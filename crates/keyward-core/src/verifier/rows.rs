//! Rows that were read from the store, so that a key in use is not read again for each request.
//!
//! They are forgotten when the store has changed ([`super::epoch`]); where it was only counted, what was counted is
//! added here instead. Of unknown ids nothing is kept: whoever makes them up would push out those that are in use.

use std::sync::Arc;

use hashlink::LruCache;

use super::matches::Seal;
use crate::rules::hashing::Cost;
use crate::rules::token::Id;
use crate::store::{Presented, Uses};

/// How many rows are kept; of more, those that were used least recently are forgotten.
const MOST: usize = 4_096;

/// What the store has about a secret, and what is needed of it at each question.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) presented: Arc<Presented>,
    pub(super) seal: Seal,
    /// What its hash costs, where that is a hash that may be computed.
    pub(super) cost: Option<Cost>,
}

impl Row {
    /// Whether the hash was made at another cost than `present`.
    pub(super) fn has_old_cost(&self, present: Cost) -> bool {
        self.cost.is_some_and(|own| own != present)
    }
}

/// Rows by the public ids of their secrets.
pub(super) struct Rows(LruCache<Id, Row>);

impl Rows {
    pub(super) fn new() -> Self {
        Self(LruCache::new(MOST))
    }

    pub(super) fn get(&mut self, secret: &Id) -> Option<&Row> {
        self.0.get(secret)
    }

    pub(super) fn keep(&mut self, secret: &Id, row: Row) {
        self.0.insert(secret.clone(), row);
    }

    pub(super) fn forget(&mut self, secret: &Id) {
        self.0.remove(secret);
    }

    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }

    /// Adds uses that were written to the store since.
    pub(super) fn count(&mut self, uses: &Uses) {
        for (_, row) in &mut self.0 {
            let Some((count, last)) = uses.of(&row.presented.key.id) else { continue };
            // An answer may still hold the row: it keeps what it was told.
            let key = &mut Arc::make_mut(&mut row.presented).key;
            key.use_count += count;
            key.last_used_at = key.last_used_at.max(Some(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::hashing::HashedSecret;
    use crate::rules::key::SecretInfo;
    use crate::rules::key::tests::{at, sample};
    use crate::verifier::matches::Matches;

    fn row(number: u64) -> (Id, Row) {
        let (mut key, id) = (sample(), Id::from_random(number.to_be_bytes()));
        key.id = id.clone();
        let secret = SecretInfo::new(id.clone(), at(0));
        let presented = Presented { key, hash: HashedSecret::from_stored(String::new()), secret };
        let seal = Matches::new([0; 32]).seal(&presented.hash);
        (id, Row { presented: Arc::new(presented), seal, cost: None })
    }

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let mut rows = Rows::new();
        let all: Vec<_> = (0..=MOST as u64).map(row).collect();
        for (id, row) in &all[..MOST] {
            rows.keep(id, row.clone());
        }
        assert!(rows.get(&all[0].0).is_some());
        rows.keep(&all[MOST].0, all[MOST].1.clone());
        assert!(rows.get(&all[0].0).is_some() && rows.get(&all[1].0).is_none());
    }

    #[test]
    fn uses_are_added_and_an_answer_keeps_what_it_was_told() {
        let (mut rows, (busy, one), (idle, other)) = (Rows::new(), row(1), row(2));
        rows.keep(&busy, one.clone());
        rows.keep(&idle, other.clone());
        let mut uses = Uses::default();
        uses.add(&busy, at(7));
        uses.add(&busy, at(5));
        rows.count(&uses);
        let key = &rows.get(&busy).unwrap().presented.key;
        assert_eq!((key.use_count, key.last_used_at), (2, Some(at(7))));
        assert_eq!(one.presented.key.use_count, 0);
        assert!(Arc::ptr_eq(&rows.get(&idle).unwrap().presented, &other.presented));
    }
}
