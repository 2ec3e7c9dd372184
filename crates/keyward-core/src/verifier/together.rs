//! Questions about a credential whose hash is being computed wait for that one hash. After a restart, a busy key would
//! otherwise fill the queue and keep every other key out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Identifies a credential.
pub(super) type Tag = [u8; 32];

/// Questions that wait for the hash of another one, by their credentials.
pub(super) struct Together<Q>(Mutex<HashMap<Tag, Vec<Q>>>);

impl<Q> Default for Together<Q> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q> Together<Q> {
    fn waiting(&self) -> MutexGuard<'_, HashMap<Tag, Vec<Q>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the question if it is the first about its credential: its caller has the hash computed. Questions that
    /// come until the lead ends share its result.
    pub(super) fn begin(self: &Arc<Self>, tag: Tag, question: Q) -> Option<(Lead<Q>, Q)> {
        let mut waiting = self.waiting();
        if let Some(others) = waiting.get_mut(&tag) {
            others.push(question);
            return None;
        }
        waiting.insert(tag, vec![]);
        Some((Lead { together: Arc::clone(self), tag, is_over: false }, question))
    }
}

/// Its holder has the hash computed for all. When it is dropped in any way, the next question becomes the first.
pub(super) struct Lead<Q> {
    together: Arc<Together<Q>>,
    tag: Tag,
    is_over: bool,
}

impl<Q> Lead<Q> {
    /// The questions that came in the meantime.
    pub(super) fn end(mut self) -> Vec<Q> {
        // Another question may lead from here on.
        self.is_over = true;
        self.together.waiting().remove(&self.tag).unwrap_or_default()
    }
}

impl<Q> Drop for Lead<Q> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // Waiting questions are given up after the lock is released: a caller may ask again at once.
        let given_up = self.together.waiting().remove(&self.tag);
        drop(given_up);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_leads_until_it_has_ended() {
        let together = Arc::<Together<u8>>::default();
        let (lead, first) = together.begin([1; 32], 1).unwrap();
        assert_eq!(first, 1);
        assert!(together.begin([1; 32], 2).is_none() && together.begin([1; 32], 3).is_none());
        let (other, _) = together.begin([2; 32], 4).unwrap();
        assert_eq!(lead.end(), [2, 3]);
        assert!(together.begin([1; 32], 5).is_some(), "dropped at once");
        assert!(together.begin([1; 32], 6).is_some());
        drop(other);
        assert!(together.begin([2; 32], 7).is_some());
    }
}
