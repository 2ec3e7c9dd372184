//! Who computes hashes.

use crate::rules::hashing::{Cost, HashError, HashedSecret, Memory, spend};
use crate::rules::plain::PlainText;

/// Computes Argon2id, in memory of its own.
pub(super) trait Hasher {
    /// Whether `hash` is the hash of `plain`.
    ///
    /// # Errors
    /// As [`HashedSecret::matches`].
    fn matches(&mut self, hash: &HashedSecret, plain: &dyn PlainText) -> Result<bool, HashError>;

    /// Takes as long, and matches nothing.
    ///
    /// # Errors
    /// As [`HashedSecret::new`].
    fn spend(&mut self, cost: Cost, plain: &dyn PlainText) -> Result<(), HashError>;

    /// Frees the memory until the next hash.
    fn rest(&mut self);
}

/// Computes on the calling thread.
impl Hasher for Memory {
    fn matches(&mut self, hash: &HashedSecret, plain: &dyn PlainText) -> Result<bool, HashError> {
        hash.matches_in(plain, self)
    }

    fn spend(&mut self, cost: Cost, plain: &dyn PlainText) -> Result<(), HashError> {
        spend(plain, cost, self)
    }

    fn rest(&mut self) {
        *self = Self::default();
    }
}
