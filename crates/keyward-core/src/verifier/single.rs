//! One verification after another, on one thread: `verify` does it once. Nothing is remembered in between.

use std::cell::RefCell;

use jiff::Timestamp;

use super::answer::Renewed;
use super::claim::Claim;
use super::{Answer, VerifyError, limits};
use crate::rules::credential::Credentials;
use crate::rules::decision::Request;
use crate::rules::hashing::{Memory, SALT_BYTES};
use crate::rules::key::Key;
use crate::rules::limits::Moment;
use crate::rules::time::whole_seconds;
use crate::rules::usage::Call;
use crate::store::{Changes, Stamp, Store, StoreError, StoreSettings, Uses};

/// Verifies credentials against a store, on one thread.
///
/// ```
/// use keyward_core::rules::credential::parse_line;
/// use keyward_core::rules::decision::{Request, Transport};
/// use keyward_core::store::Store;
/// use keyward_core::verifier::Verifier;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("keys.db");
/// # let now = "2026-01-31T12:00:00Z".parse()?;
/// # use keyward_core::rules::{hashing::{Cost, HashedSecret}, key::Settings, names::Prefix, token::{Id, Secret}};
/// # use keyward_core::store::{NewKey, NewSecret, Stamp};
/// # let secret = Secret::build(&Prefix::default(), Id::from_random([1; 8]), &[1; 32]);
/// # let hash = HashedSecret::new(&secret, [1; 16], Cost::FLOOR)?;
/// # let (id, name, settings) = (Id::from_random([2; 8]), "deploy".parse()?, Settings::with_prefix(Prefix::default()));
/// # let first = NewSecret { id: secret.id().clone(), hash };
/// # let new = NewKey { id: &id, name: &name, settings: &settings, secret: &first };
/// # Store::create(&path, now)?.write(Stamp { now, actor: None }, |changes| changes.insert_key(&new))?;
/// # let secret = secret.expose();
/// let verifier = Verifier::new(Store::open(&path)?)?;
/// let presented = parse_line(&format!("Authorization: Bearer {secret}"));
/// let answer = verifier.verify(presented, &Request::over(Transport::Https), now)?;
/// assert!(answer.decision.is_allowed());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Verifier {
    store: Store,
    settings: StoreSettings,
    memory: RefCell<Memory>,
}

impl Verifier {
    /// A verifier for this store, with the current settings of the store.
    ///
    /// # Errors
    /// If the store cannot be read, or was moved to another place.
    pub fn new(store: Store) -> Result<Self, StoreError> {
        store.check_here()?;
        let settings = store.view()?.settings()?;
        Ok(Self { settings, store, memory: RefCell::default() })
    }

    /// The same, with memory for its hashes that was allocated before.
    #[must_use]
    pub fn with_memory(self, memory: Memory) -> Self {
        Self { memory: RefCell::new(memory), ..self }
    }

    /// The store behind it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Decides whether the credential may make `request` at `now`. Nothing is written.
    ///
    /// # Errors
    /// If it could not be checked, which means neither yes nor no.
    pub fn verify(&self, credentials: Credentials, request: &Request, now: Timestamp) -> Result<Answer, VerifyError> {
        let claim = match Claim::of(credentials, &self.settings) {
            Ok(claim) => claim,
            Err(refusal) => return Ok(*refusal),
        };
        let found = claim.find(&self.settings.imports, &mut self.store.view()?)?;
        let judgement = claim.prove(&found, &self.settings, now, &mut *self.memory.borrow_mut(), &mut |_, _, _| ())?;
        Ok(claim.rule(found, judgement, (self.store.path(), &self.settings), request, now)?)
    }

    /// Whether an allowed request counts against any limit: then [`Verifier::admit`] decides.
    pub fn is_limited(&self, answer: &Answer, request: &Request) -> bool {
        limits::limited(answer, request).is_some()
    }

    /// Adds to the answer what is left of the limits at `now`, and takes nothing.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn reckon(&self, answer: &mut Answer, request: &Request, now: Timestamp) -> Result<(), VerifyError> {
        let Some(presented) = limits::limited(answer, request) else { return Ok(()) };
        let reckoning = limits::look(&self.store.view()?, &limits::of(presented, request), Moment::of(now))?;
        answer.reckon(reckoning);
        Ok(())
    }

    /// Takes one of each limit of an allowed request at `now`, and counts it as [`Verifier::record`] does, in one
    /// transaction: any number of processes together stay within the limits. If one of them is used up, the answer
    /// becomes a refusal, and nothing is taken.
    ///
    /// # Errors
    /// If the store cannot be written: then the limits could not be checked.
    pub fn admit(
        &mut self,
        answer: &mut Answer,
        request: &Request,
        salt: impl FnOnce() -> Option<[u8; SALT_BYTES]>,
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let Some(presented) = answer.presented().filter(|_| answer.decision.is_allowed()).cloned() else {
            return Ok(());
        };
        let limits = limits::of(&presented, request);
        let renewed = self.renewed(answer, salt)?;
        self.store.leave_log();
        let stamp = Stamp { now: whole_seconds(now), actor: None };
        let (settings, is_at_once) = (&self.settings, !self.store.is_on_server());
        let reckoning = self.store.count(stamp, |changes| {
            let reckoning = limits::take(changes, &limits, Moment::of(now))?;
            let (call, renewed) =
                if reckoning.is_allowed { (Call::Allowed, renewed.as_ref()) } else { (Call::Limited, None) };
            count(changes, settings, (&presented.key, call), request, renewed.filter(|_| is_at_once))?;
            Ok(reckoning)
        })?;
        if reckoning.is_allowed {
            self.renew_later(renewed, stamp);
        }
        answer.reckon(reckoning);
        Ok(())
    }

    /// The renewed hash of the secret, if the answer wants one.
    fn renewed(
        &self,
        answer: &Answer,
        salt: impl FnOnce() -> Option<[u8; SALT_BYTES]>,
    ) -> Result<Option<Renewed>, VerifyError> {
        let Some(renewal) = answer.renewal() else { return Ok(None) };
        let view = self.store.view()?;
        if !view.may_renew_hashes()? || !renewal.is_due(&view, self.settings.hash_cost)? {
            return Ok(None);
        }
        salt().map(|salt| Ok(renewal.compute(salt, self.settings.hash_cost)?)).transpose()
    }

    /// Counts a request made with a key. If the request was allowed, also renews a hash whose cost is not the store's
    /// current one. Only then is `salt` asked for random bytes; without any, the renewal waits for the next time.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn record(
        &mut self,
        answer: &Answer,
        request: &Request,
        salt: impl FnOnce() -> Option<[u8; SALT_BYTES]>,
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let renewed = self.renewed(answer, salt)?;
        let Some(call) = answer.call() else {
            return renewed.map_or(Ok(()), |renewed| {
                Ok(self.store.write(Stamp { now, actor: None }, |changes| renewed.write(changes))?)
            });
        };
        // Losing a use in a power cut is better than making every request wait for the disk.
        self.store.leave_log();
        let (settings, is_at_once) = (&self.settings, !self.store.is_on_server());
        let stamp = Stamp { now, actor: None };
        self.store
            .count(stamp, |changes| count(changes, settings, call, request, renewed.as_ref().filter(|_| is_at_once)))?;
        self.renew_later(renewed, stamp);
        Ok(())
    }

    /// Writes the renewed hash of a secret to a store on a server: that needs the lock, and counting does not. If it
    /// fails, it is renewed another time.
    fn renew_later(&mut self, renewed: Option<Renewed>, stamp: Stamp<'_>) {
        if let Some(renewed) = renewed.filter(|_| self.store.is_on_server()) {
            let _ = self.store.write(stamp, |changes| renewed.write(changes));
        }
    }
}

/// The most usage rows deleted with each request: more than one request adds.
const PRUNED: u32 = 50;

/// Counts a request, and writes the renewed hash of its secret, if there is one.
fn count(
    changes: &Changes<'_>,
    settings: &StoreSettings,
    (key, call): (&Key, Call),
    request: &Request,
    renewed: Option<&Renewed>,
) -> Result<(), StoreError> {
    if let Some(renewed) = renewed {
        renewed.write(changes)?;
    }
    let mut uses = Uses::default();
    uses.add(&key.id, call, changes.now(), request.ip);
    changes.record_uses(&uses)?;
    changes.prune_usage(settings, PRUNED)
}
