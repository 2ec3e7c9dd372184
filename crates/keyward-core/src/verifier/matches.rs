//! Credentials that have matched before, so that the next time costs no Argon2id.
//!
//! What is kept is a keyed hash (BLAKE2s, RFC 7693, under a random key that lives as long as the cache) over the
//! stored hash and the secret: never the secret itself, nothing that could be tried out by who does not have the
//! key, and nothing that would survive a new stored hash. Only that the secret matched is remembered; whether its
//! key may be used is looked up each time.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use blake2::Blake2sMac256;
use blake2::digest::{FixedOutput as _, KeyInit as _, Mac as _};
use lru::LruCache;
use zeroize::Zeroizing;

use crate::rules::hashing::HashedSecret;
use crate::rules::token::Secret;

/// How many credentials are remembered; of more, those that were used least recently are forgotten.
const MOST: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// Bytes of the key.
pub const KEY_BYTES: usize = 32;

/// Credentials that have matched. Several verifiers may share it.
pub struct Matches {
    key: Zeroizing<[u8; KEY_BYTES]>,
    known: Mutex<LruCache<[u8; 32], ()>>,
}

impl Matches {
    /// An empty one, with a key of random bytes.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        Self { key: Zeroizing::new(key), known: Mutex::new(LruCache::new(MOST)) }
    }

    /// Whether `secret` has matched `hash` before.
    pub(super) fn knows(&self, secret: &Secret, hash: &HashedSecret) -> bool {
        let Some(tag) = self.tag(secret, hash) else { return false };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&tag).is_some()
    }

    /// Remembers that it has.
    pub(super) fn remember(&self, secret: &Secret, hash: &HashedSecret) {
        if let Some(tag) = self.tag(secret, hash) {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).put(tag, ());
        }
    }

    fn tag(&self, secret: &Secret, hash: &HashedSecret) -> Option<[u8; 32]> {
        // A key of this length is always taken; without a tag, nothing is remembered.
        let mut mac = Blake2sMac256::new_from_slice(&*self.key).ok()?;
        mac.update(&(hash.as_phc().len() as u64).to_be_bytes());
        mac.update(hash.as_phc().as_bytes());
        mac.update(secret.expose().as_bytes());
        Some(mac.finalize_fixed().into())
    }
}

impl std::fmt::Debug for Matches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Matches(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::hashing::Cost;
    use crate::rules::token::Id;

    #[test]
    fn what_matched_is_known_with_its_hash_alone() {
        let secret = |byte| Secret::build(&"kw".parse().unwrap(), Id::from_random([0; 8]), &[byte; 32]);
        let hash = |salt| HashedSecret::new(&secret(1), [salt; 16], Cost::FLOOR).unwrap();
        let matches = Matches::new([9; KEY_BYTES]);
        assert!(!matches.knows(&secret(1), &hash(1)));
        matches.remember(&secret(1), &hash(1));
        assert!(matches.knows(&secret(1), &hash(1)));
        assert!(!matches.knows(&secret(2), &hash(1)), "another secret");
        assert!(!matches.knows(&secret(1), &hash(2)), "another hash of the same secret");
    }

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let matches = Matches::new([9; KEY_BYTES]);
        let hash = HashedSecret::from_stored("made up".to_owned());
        let secret = |number: usize| {
            Secret::build(&"kw".parse().unwrap(), Id::from_random((number as u64).to_be_bytes()), &[1; 32])
        };
        (0..MOST.get()).for_each(|number| matches.remember(&secret(number), &hash));
        assert!(matches.knows(&secret(0), &hash));
        matches.remember(&secret(MOST.get()), &hash);
        assert!(matches.knows(&secret(0), &hash) && !matches.knows(&secret(1), &hash));
    }
}
