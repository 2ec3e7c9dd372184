//! Credentials that have matched before, so that the next time needs no Argon2id hash.
//!
//! What is kept is a keyed hash (BLAKE2s, RFC 7693, under a random key that lives as long as the cache) over the stored
//! hash and the secret: never the secret itself, nothing that guesses could be tested against without the key, and
//! nothing that stays valid after a new stored hash. Only the fact that the secret matched is remembered; whether its
//! key may be used is looked up each time.

use std::sync::{Mutex, PoisonError};

use blake2::Blake2sMac256;
use blake2::digest::{FixedOutput as _, KeyInit as _, Mac as _};
use hashlink::LruCache;
use zeroize::Zeroizing;

use crate::rules::hashing::HashedSecret;
use crate::rules::plain::PlainText;

/// How many credentials are remembered; beyond that, the least recently used are forgotten.
const MOST: usize = 16_384;

/// Bytes of the key.
pub const KEY_BYTES: usize = 32;

/// Credentials that have matched and, for texts from other systems, hashes that they did not match: a text matches at
/// most one of several secrets in a bucket.
pub(super) struct Matches {
    keyed: Blake2sMac256,
    known: Mutex<LruCache<[u8; 32], bool>>,
}

/// The keyed state after absorbing a stored hash: adding the secret gives the keyed hash of a match.
#[derive(Clone)]
pub(super) struct Seal(Blake2sMac256);

impl Matches {
    /// An empty cache, with a key of random bytes.
    pub(super) fn new(key: [u8; KEY_BYTES]) -> Self {
        Self { keyed: Blake2sMac256::new(&(*Zeroizing::new(key)).into()), known: Mutex::new(LruCache::new(MOST)) }
    }

    /// The part of the keyed hash shared by all secrets that are tried against one stored hash.
    pub(super) fn seal(&self, hash: &HashedSecret) -> Seal {
        let mut mac = self.keyed.clone();
        mac.update(&(hash.as_phc().len() as u64).to_be_bytes());
        mac.update(hash.as_phc().as_bytes());
        Seal(mac)
    }

    /// Whether `secret` matches the hash under this seal, if that is known.
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
