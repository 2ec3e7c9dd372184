//! The one path of a verification: parse, look up, hash, decide, record.
//!
//! The command line is its first user; a service that embeds keyward is meant to be the next:
//!
//! ```no_run
//! use keyward_core::rules::credential::parse_line;
//! use keyward_core::rules::decision::Request;
//! use keyward_core::store::Store;
//! use keyward_core::verifier::Verifier;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = "2026-01-31T12:00:00Z".parse()?;
//! let mut verifier = Verifier::new(Store::open("keys.db".as_ref())?)?;
//! let answer = verifier.verify(parse_line("Bearer kw_…"), &Request::default(), now)?;
//! if answer.decision.is_allowed() {
//!     verifier.record(&answer, || my_random_bytes(), now)?;
//! }
//! # fn my_random_bytes() -> Result<[u8; 16], keyward_core::verifier::VerifyError> { unimplemented!() }
//! # Ok(())
//! # }
//! ```
//!
//! Three things must never be mixed up: *not genuine or not live* (401), *genuine and not allowed*
//! (403), and *could not be checked*, which is an `Err` and no decision at all. Nothing about a key
//! is revealed before its secret has matched, and an unknown id costs one Argon2id like a known one.

mod matches;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
pub use matches::{KEY_BYTES, Matches};

use crate::rules::credential::{Credential, CredentialError, Presentation};
use crate::rules::decision::{Decision, Reason, Request, decide};
use crate::rules::hashing::{Cost, HashError, HashedSecret, Memory, SALT_BYTES, spend};
use crate::rules::key::Key;
use crate::rules::token::{Id, Secret, TokenError};
use crate::store::{Presented, Stamp, Store, StoreError, StoreSettings};

/// Why no decision could be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored hash cannot be computed.
    #[error("the stored hash of a secret cannot be checked: {0}")]
    Hash(#[from] HashError),
}

/// An answer: the decision, and what it is about.
#[derive(Debug)]
pub struct Answer {
    /// May this credential make this request?
    pub decision: Decision,
    /// How the credential was presented, where there was one.
    pub presentation: Option<Presentation>,
    /// The key, where its secret matched.
    pub key: Option<Key>,
    /// Things worth telling that forbid nothing.
    pub warnings: Vec<&'static str>,
    /// The secret whose hash should be renewed.
    renewal: Option<Secret>,
}

impl Answer {
    /// Whether the hash of the secret was made at another cost than the store's present one.
    pub fn wants_renewal(&self) -> bool {
        self.renewal.is_some()
    }

    /// Renews the hash of the secret, if that is wanted and nobody has done so by now, without counting a use.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn renew(&self, store: &mut Store, salt: [u8; SALT_BYTES], now: Timestamp) -> Result<(), VerifyError> {
        let Some(secret) = &self.renewal else { return Ok(()) };
        let cost = store.settings()?.hash_cost;
        if store.presented(secret.id())?.is_none_or(|present| !present.hash.needs_renewal(cost)) {
            return Ok(());
        }
        let (id, hash) = renewed(secret, salt, cost)?;
        store.write(Stamp { now, actor: None }, |changes| changes.renew_hash(&id, &hash)).map_err(VerifyError::from)
    }

    /// Wipes the secret, which is kept where its hash is to be renewed by [`Verifier::record`].
    pub fn forget_secret(&mut self) {
        self.renewal = None;
    }
}

/// Verifies credentials against a store.
#[derive(Debug)]
pub struct Verifier {
    store: Store,
    settings: RefCell<StoreSettings>,
    memory: RefCell<Memory>,
    matches: Option<Arc<Matches>>,
    rows: RefCell<Rows>,
}

/// What was read from the store, for as long as nobody changes it.
#[derive(Debug, Default)]
struct Rows {
    version: Option<i64>,
    found: HashMap<Id, Option<Arc<Presented>>>,
}

/// How many keys are kept in mind.
const MOST_ROWS: usize = 4_096;

impl Verifier {
    /// A verifier for this store.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn new(store: Store) -> Result<Self, StoreError> {
        let settings = RefCell::new(store.settings()?);
        Ok(Self { store, settings, memory: RefCell::default(), matches: None, rows: RefCell::default() })
    }

    /// A verifier for many credentials: one that has matched before costs no second Argon2id, and a key is read
    /// again only when somebody has changed the store.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn with_matches(store: Store, matches: Arc<Matches>) -> Result<Self, StoreError> {
        Ok(Self { matches: Some(matches), ..Self::new(store)? })
    }

    /// The same, with memory for its hashes that was asked for before.
    #[must_use]
    pub fn with_memory(self, memory: Memory) -> Self {
        Self { memory: RefCell::new(memory), ..self }
    }

    /// The memory of its hashes, to be wiped while something else is done.
    pub fn take_memory(&self) -> Memory {
        self.memory.take()
    }

    /// The store behind it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Decides whether the credential may make `request` at `now`. Nothing is written.
    ///
    /// # Errors
    /// Where it could not be checked. That is no refusal, and no permission either.
    pub fn verify(
        &self,
        credential: Result<Credential, CredentialError>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Answer, VerifyError> {
        let (credential, secret) = match examine(credential) {
            Ok(genuine_looking) => genuine_looking,
            Err(answer) => return Ok(*answer),
        };
        let presentation = Some(credential.presentation);
        self.look_for_changes()?;
        let warnings = warnings(credential.in_query);
        if credential.in_query && !self.settings.borrow().query_credentials {
            let decision = Decision::refused(
                Reason::NoCredential,
                "a credential stood in the query of a URL, where this store accepts none",
                "send it in a header, such as Authorization: Bearer SECRET, and rotate the key: logs keep URLs",
            );
            return Ok(Answer { decision, presentation, key: None, warnings, renewal: None });
        }
        let found = self.presented(secret.id())?;
        let name = credential.name.as_ref().map(|name| name.as_str());
        let Some(presented) = self.genuine(found, &secret, name)? else {
            return Ok(Answer { decision: not_genuine(), presentation, key: None, warnings, renewal: None });
        };
        let decision = decide(&presented.key, &presented.secret, request, now);
        let renewal =
            (decision.is_allowed() && presented.hash.needs_renewal(self.settings.borrow().hash_cost)).then_some(secret);
        let key = Arc::try_unwrap(presented).map_or_else(|shared| shared.key.clone(), |presented| presented.key);
        Ok(Answer { decision, presentation, key: Some(key), warnings, renewal })
    }

    /// Forgets what was read from the store, if somebody has changed it since. A verifier for one credential
    /// reads everything once, and has nothing to forget.
    fn look_for_changes(&self) -> Result<(), StoreError> {
        if self.matches.is_none() {
            return Ok(());
        }
        let version = Some(self.store.version()?);
        let mut rows = self.rows.borrow_mut();
        if rows.version != version || rows.found.len() >= MOST_ROWS {
            *rows = Rows { version, found: HashMap::new() };
            self.settings.replace(self.store.settings()?);
        }
        Ok(())
    }

    fn presented(&self, secret: &Id) -> Result<Option<Arc<Presented>>, StoreError> {
        if self.matches.is_none() {
            return Ok(self.store.presented(secret)?.map(Arc::new));
        }
        if let Some(found) = self.rows.borrow().found.get(secret) {
            return Ok(found.clone());
        }
        let found = self.store.presented(secret)?.map(Arc::new);
        self.rows.borrow_mut().found.insert(secret.clone(), found.clone());
        Ok(found)
    }

    /// Counts the request of an allowed answer, and renews the hash of its secret if that was made
    /// at another cost than the store's present one. Only for that, `salt` is asked for random bytes.
    ///
    /// # Errors
    /// Where the store cannot be written, or `salt` fails.
    pub fn record<E>(
        &mut self,
        answer: &Answer,
        salt: impl FnOnce() -> Result<[u8; SALT_BYTES], E>,
        now: Timestamp,
    ) -> Result<(), E>
    where
        E: From<VerifyError>,
    {
        let Some(key) = answer.key.as_ref().filter(|_| answer.decision.is_allowed()) else { return Ok(()) };
        let renewed = match &answer.renewal {
            Some(secret) => {
                Some(renewed(secret, salt()?, self.settings.borrow().hash_cost).map_err(VerifyError::from)?)
            }
            None => None,
        };
        self.store
            .write(Stamp { now, actor: None }, |changes| {
                if let Some((id, hash)) = &renewed {
                    changes.renew_hash(id, hash)?;
                }
                changes.record_use(key)
            })
            .map_err(|error: StoreError| VerifyError::from(error).into())
    }

    /// The key, if the secret and the name are right. Takes one Argon2id in each case, unless the secret is one
    /// that has matched before.
    fn genuine(
        &self,
        found: Option<Arc<Presented>>,
        secret: &Secret,
        name: Option<&str>,
    ) -> Result<Option<Arc<Presented>>, HashError> {
        let Some(presented) = found else {
            self.spend_all_but(None, secret)?;
            return Ok(None);
        };
        let is_known = self.matches.as_ref().is_some_and(|matches| matches.knows(secret, &presented.hash));
        let computed =
            if is_known { Ok(true) } else { presented.hash.matches_in(secret, &mut self.memory.borrow_mut()) };
        let matches = match computed {
            Ok(matches) => matches,
            Err(error) => {
                // A damaged hash takes as long as any other.
                self.spend_all_but(None, secret)?;
                return Err(error);
            }
        };
        if let Some(known) = self.matches.as_ref().filter(|_| matches && !is_known) {
            known.remember(secret, &presented.hash);
        }
        let is_named = name.is_none_or(|name| name == presented.key.name.as_str());
        if matches && is_named {
            return Ok(Some(presented));
        }
        self.spend_all_but(presented.hash.cost(), secret)?;
        Ok(None)
    }

    /// Costs what every hash that there may be costs, but for the one that was computed: a verification that fails
    /// takes the same time, whichever hash it met, and whether it met any.
    fn spend_all_but(&self, done: Option<Cost>, secret: &Secret) -> Result<(), HashError> {
        let memory = &mut *self.memory.borrow_mut();
        let settings = self.settings.borrow();
        let all = settings.former_costs.iter().copied().chain([settings.hash_cost]);
        for cost in all.filter(|cost| Some(*cost) != done) {
            spend(secret, cost, memory)?;
        }
        Ok(())
    }
}

fn renewed(secret: &Secret, salt: [u8; SALT_BYTES], cost: Cost) -> Result<(Id, HashedSecret), HashError> {
    Ok((secret.id().clone(), HashedSecret::new(secret, salt, cost)?))
}

/// What a credential in a URL is worth telling about, whatever comes of it.
fn warnings(in_query: bool) -> Vec<&'static str> {
    if in_query { vec!["credential_in_query"] } else { vec![] }
}

/// What can be said without a look at the store: a credential that may be genuine, or a refusal.
fn examine(credential: Result<Credential, CredentialError>) -> Result<(Credential, Secret), Box<Answer>> {
    let refuse = |presentation, in_query, reason, detail: String, remedy: &str| {
        let decision = Decision::refused(reason, detail, remedy);
        Box::new(Answer { decision, presentation, key: None, warnings: warnings(in_query), renewal: None })
    };
    let credential = credential.map_err(|error| {
        let (reason, remedy) = match &error {
            CredentialError::Missing(_) => {
                (Reason::NoCredential, "send the secret, for example as Authorization: Bearer SECRET")
            }
            CredentialError::Ambiguous => (Reason::AmbiguousCredential, "send one credential"),
            CredentialError::Malformed(_) => {
                (Reason::Malformed, "send it in one of the forms that `keyward help verify` tells of")
            }
        };
        refuse(None, false, reason, error.to_string(), remedy)
    })?;
    match Secret::parse(credential.expose()) {
        Ok(secret) => Ok((credential, secret)),
        Err(error) => {
            let remedy = match error {
                TokenError::Spaces => {
                    "send it without the white space, or in a header that `keyward help verify` names"
                }
                TokenError::Form => "send the secret as it was shown when the key was made",
                TokenError::Checksum => "copy the secret again from where it is kept",
            };
            Err(refuse(
                Some(credential.presentation),
                credential.in_query,
                Reason::Malformed,
                error.to_string(),
                remedy,
            ))
        }
    }
}

fn not_genuine() -> Decision {
    Decision::refused(
        Reason::NotGenuine,
        "this is not the secret of any key, or it came with the wrong name",
        "look for the key with `keyward list`; a lost secret is replaced with `keyward rotate KEY`",
    )
}
