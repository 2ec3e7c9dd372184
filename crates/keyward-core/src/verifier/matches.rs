//! Credentials that have matched before, so that the next time costs no Argon2id.
//!
//! What is kept is a keyed hash (BLAKE2s, RFC 7693, under a random key that lives as long as the cache) over the
//! stored hash and the secret: never the secret itself, nothing that could be tried out by who does not have the
//! key, and nothing that would survive a new stored hash. Only that the secret matched is remembered; whether its
//! key may be used is looked up each time.

use std::sync::{Mutex, PoisonError};

use blake2::Blake2sMac256;
use blake2::digest::{FixedOutput as _, KeyInit as _, Mac as _};
use hashlink::LruCache;
use zeroize::Zeroizing;

use crate::rules::hashing::HashedSecret;
use crate::rules::plain::PlainText;

/// How many credentials are remembered; of more, those that were used least recently are forgotten.
const MOST: usize = 16_384;

/// Bytes of the key.
pub const KEY_BYTES: usize = 32;

/// Credentials that have matched; and, of texts that another system made, the hashes that they have not: of several secrets
/// in one bucket, a text is at most one.
pub(super) struct Matches {
    keyed: Blake2sMac256,
    known: Mutex<LruCache<[u8; 32], bool>>,
}

/// A stored hash, taken in under the key of the cache: with the secret behind it, it is the keyed hash of a match.
#[derive(Clone)]
pub(super) struct Seal(Blake2sMac256);

impl Matches {
    /// An empty one, with a key of random bytes.
    pub(super) fn new(key: [u8; KEY_BYTES]) -> Self {
        Self { keyed: Blake2sMac256::new(&(*Zeroizing::new(key)).into()), known: Mutex::new(LruCache::new(MOST)) }
    }

    /// The part of the keyed hash that is the same for all secrets that are tried on one stored hash.
    pub(super) fn seal(&self, hash: &HashedSecret) -> Seal {
        let mut mac = self.keyed.clone();
        mac.update(&(hash.as_phc().len() as u64).to_be_bytes());
        mac.update(hash.as_phc().as_bytes());
        Seal(mac)
    }

    /// Whether `secret` matches the hash under this seal, where that is known.
    pub(super) fn verdict(&self, secret: &dyn PlainText, seal: &Seal) -> Option<bool> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&seal.tag(secret)).copied()
    }

    /// Remembers whether it does.
    pub(super) fn remember(&self, secret: &dyn PlainText, seal: &Seal, matches: bool) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(seal.tag(secret), matches);
    }
}

impl Seal {
    fn tag(&self, secret: &dyn PlainText) -> [u8; 32] {
        self.0.clone().chain_update(secret.expose().as_bytes()).finalize_fixed().into()
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
    use crate::rules::token::{Id, Secret};

    #[test]
    fn what_matched_is_known_with_its_hash_alone() {
        let secret = |byte| Secret::build(&"kw".parse().unwrap(), Id::from_random([0; 8]), &[byte; 32]);
        let hash = |salt| HashedSecret::new(&secret(1), [salt; 16], Cost::FLOOR).unwrap();
        let matches = Matches::new([9; KEY_BYTES]);
        let seal = |salt| matches.seal(&hash(salt));
        assert_eq!(matches.verdict(&secret(1), &seal(1)), None);
        matches.remember(&secret(1), &seal(1), true);
        matches.remember(&secret(3), &seal(1), false);
        assert_eq!(matches.verdict(&secret(1), &seal(1)), Some(true));
        assert_eq!(matches.verdict(&secret(3), &seal(1)), Some(false));
        assert_eq!(matches.verdict(&secret(2), &seal(1)), None, "another secret");
        assert_eq!(matches.verdict(&secret(1), &seal(2)), None, "another hash of the same secret");
        let other = Matches::new([8; KEY_BYTES]).seal(&hash(1));
        assert_eq!(matches.verdict(&secret(1), &other), None, "another key");
    }

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let matches = Matches::new([9; KEY_BYTES]);
        let hash = matches.seal(&HashedSecret::from_stored("made up".to_owned()));
        let secret = |number: usize| {
            Secret::build(&"kw".parse().unwrap(), Id::from_random((number as u64).to_be_bytes()), &[1; 32])
        };
        (0..MOST).for_each(|number| matches.remember(&secret(number), &hash, true));
        assert!(matches.verdict(&secret(0), &hash).is_some());
        matches.remember(&secret(MOST), &hash, true);
        assert!(matches.verdict(&secret(0), &hash).is_some() && matches.verdict(&secret(1), &hash).is_none());
    }
}
