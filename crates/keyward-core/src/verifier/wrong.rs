//! Credentials that turned out to be wrong, so that the same one again needs no Argon2id hash.
//!
//! What is kept is a keyed hash (BLAKE2s, RFC 7693, under a random key) over the secret, the name that came with it,
//! and the moment that it belongs to: what was wrong before a change is unknown after it.
//!
//! What may break: a client that tries the same wrong secret twice gets the second answer sooner. That reveals only
//! what it already knows.

use std::sync::{Mutex, PoisonError};

use blake2::Blake2sMac256;
use blake2::digest::{FixedOutput as _, KeyInit as _, Mac as _};
use hashlink::LruCache;
use zeroize::Zeroizing;

use super::claim::Claim;
use super::matches::KEY_BYTES;
use super::rows::State;

/// How many credentials are remembered; beyond that, the least recently presented are forgotten.
const MOST: usize = 16_384;

/// The moment at which something was wrong: a state of the store, and the number of renewed hashes by then, because a
/// renewal may change how a secret is found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moment {
    pub(super) state: State,
    pub(super) renewals: u64,
}

/// Credentials that were not genuine.
pub(super) struct Wrong {
    keyed: Blake2sMac256,
    known: Mutex<LruCache<[u8; 32], ()>>,
}

impl Wrong {
    /// An empty cache, with a key of random bytes.
    pub(super) fn new(key: [u8; KEY_BYTES]) -> Self {
        // Under the same key, a match begins with eight bytes of a length, which never equal these.
        let mut keyed = Blake2sMac256::new(&(*Zeroizing::new(key)).into());
        keyed.update(&u64::MAX.to_be_bytes());
        Self { keyed, known: Mutex::new(LruCache::new(MOST)) }
    }

    /// Whether the claim turned out to be wrong at this moment.
    pub(super) fn knows(&self, claim: &Claim, moment: Moment) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&self.tag(claim, moment)).is_some()
    }

    /// Remembers that it was wrong.
    pub(super) fn remember(&self, claim: &Claim, moment: Moment) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(self.tag(claim, moment), ());
    }

    /// Identifies a claim, at any moment.
    pub(super) fn tag_of(&self, claim: &Claim) -> [u8; 32] {
        self.tag(claim, Moment::default())
    }

    fn tag(&self, claim: &Claim, Moment { state, renewals }: Moment) -> [u8; 32] {
        let mut mac =
            self.keyed.clone().chain_update(state.changes.to_be_bytes()).chain_update(state.file.to_be_bytes());
        mac.update(&renewals.to_be_bytes());
        if let Some(head) = state.head {
            mac.update(&head.seq.to_be_bytes());
            mac.update(&head.hash);
        }
        for reading in claim.readings() {
            for text in [reading.plain.expose(), reading.name.unwrap_or_default()] {
                mac.update(&(text.len() as u64).to_be_bytes());
                mac.update(text.as_bytes());
            }
            mac.update(&[reading.is_user.into()]);
        }
        mac.finalize_fixed().into()
    }
}
