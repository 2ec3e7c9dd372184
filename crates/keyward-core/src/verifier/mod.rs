//! Verifying: turns a presented credential into an answer to act on.
//!
//! Three things must never be mixed up: *not genuine or not live* (401), *genuine and not allowed* (403), and *could
//! not be checked*, which is an `Err` and not a decision. Nothing about a key is revealed before its secret has
//! matched, and an unknown id takes as long as a known one.
//!
//! | file | what it is for |
//! |---|---|
//! | [`Verifier`] | one thread, one store, nothing remembered: a command that verifies once |
//! | [`Gate`] | many threads: credentials that matched before are decided at once, others on a bounded pool |
//! | [`Recorder`] | uses, counted in memory and written in groups; hashes, renewed |
//! | `pool`, `hasher`, `idle` | where hashes are computed, and who waits for them |
//! | `matches`, `wrong` | which credentials have matched before, and which have not |
//! | `limits` | what has been used of limits |
//! | `epoch`, `rows`, `reader` | what was read from the store, and when it is old |
//!
//! What may break: a cache that still says yes after a change to no. So a change by another process counts at the next
//! question, whatever is cached here, and if changes cannot be detected, the answer is an error.
//!
//! ```
//! use keyward_core::rules::credential::parse_line;
//! use keyward_core::rules::decision::{Request, Transport};
//! use keyward_core::store::Store;
//! use keyward_core::verifier::{Gate, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("keys.db");
//! # let now = "2026-01-31T12:00:00Z".parse()?;
//! # use keyward_core::rules::{hashing::{Cost, HashedSecret}, key::Settings, names::Prefix, token::{Id, Secret}};
//! # use keyward_core::store::{NewKey, NewSecret, Stamp};
//! # let secret = Secret::build(&Prefix::default(), Id::from_random([1; 8]), &[1; 32]);
//! # let hash = HashedSecret::new(&secret, [1; 16], Cost::FLOOR)?;
//! # let (id, name, settings) = (Id::from_random([2; 8]), "deploy".parse()?, Settings::with_prefix(Prefix::default()));
//! # let first = NewSecret { id: secret.id().clone(), hash };
//! # let new = NewKey { id: &id, name: &name, settings: &settings, secret: &first };
//! # Store::create(&path, now)?.write(Stamp { now, actor: None }, |changes| changes.insert_key(&new))?;
//! # let secret = secret.expose();
//! # let my_random_bytes = [7; 32];
//! let gate = Gate::new(Store::open(&path)?, my_random_bytes, Options::default())?;
//! let mut recorder = gate.recorder(now)?;
//! for _ in 0..3 {
//!     let presented = parse_line(&format!("Bearer {secret}"));
//!     let answer = gate.ask(presented, &Request::over(Transport::Https), now).wait()?;
//!     assert!(answer.decision.is_allowed());
//!     recorder.count(&answer, None, now);
//! }
//! recorder.flush(now)?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod away;
mod claim;
mod connections;
mod epoch;
mod gate;
mod hasher;
mod hashing;
mod idle;
#[cfg(test)]
mod imports_tests;
mod limits;
mod matches;
mod pool;
mod reader;
mod recorder;
mod rows;
mod single;
mod together;
mod wrong;

pub use answer::Answer;
pub use gate::{Gate, Look, Options, Turn, Unproven, Verdict};
pub use hashing::Hashing;
pub use limits::standings;
pub use matches::KEY_BYTES;
pub use recorder::Recorder;
pub use single::Verifier;

use crate::rules::hashing::HashError;
use crate::store::{CompareError, StoreError};

/// Why no decision could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored hash cannot be computed.
    #[error("the stored hash of a secret cannot be checked: {0}")]
    Hash(#[from] HashError),
    /// The queue of credentials waiting to be hashed is full.
    #[error("too many credentials wait to be checked")]
    Overloaded,
    /// The use of a limit cannot be written, so what is left of it is unknown.
    #[error("the limits of the key cannot be checked, because the store cannot be written")]
    NotMetered,
    /// The thread that should compute the hash ended without an answer.
    #[error("the check of a credential was given up")]
    GivenUp,
    /// The system provides no thread for hashing.
    #[error("the system gives no thread to verify on: {0}")]
    NoThread(#[source] std::io::Error),
}

impl From<CompareError> for VerifyError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Store(error) => Self::Store(error),
            CompareError::Hash(error) => Self::Hash(error),
        }
    }
}
