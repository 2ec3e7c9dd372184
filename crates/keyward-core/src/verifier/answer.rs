//! An answer: the decision, and what it is about.

use std::sync::Arc;

use jiff::Timestamp;

use super::VerifyError;
use crate::rules::credential::Presentation;
use crate::rules::decision::{Decision, Facts, Reason};
use crate::rules::hashing::{Cost, HashError, HashedSecret, SALT_BYTES};
use crate::rules::key::Key;
use crate::rules::limits::Reckoning;
use crate::rules::token::{Id, Secret};
use crate::rules::usage::Call;
use crate::store::{Presented, Stamp, Store};

/// An answer: the decision, and what it is about. It lends the row that was read for it, and copies nothing.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// May this credential make this request?
    pub decision: Decision,
    /// How the credential was presented, where there was one.
    pub presentation: Option<Presentation>,
    /// Things worth telling that forbid nothing.
    pub warnings: Vec<&'static str>,
    /// What the store had, where the secret matched.
    presented: Option<Arc<Presented>>,
    /// The secret whose hash should be renewed.
    renewal: Option<Secret>,
    /// What came of the limits.
    reckoning: Option<Box<Reckoning>>,
}

impl Answer {
    pub(super) fn about(
        decision: Decision,
        presentation: Presentation,
        in_query: bool,
        presented: Arc<Presented>,
        renewal: Option<Secret>,
    ) -> Self {
        let (presentation, presented) = (Some(presentation), Some(presented));
        Self { decision, presentation, warnings: warnings(in_query), presented, renewal, reckoning: None }
    }

    pub(super) fn refusal(reason: Reason, facts: Facts, presentation: Option<Presentation>, in_query: bool) -> Self {
        let decision = Decision::refused(reason, facts);
        Self { decision, presentation, warnings: warnings(in_query), presented: None, renewal: None, reckoning: None }
    }

    /// What came of the limits, where it counts against any and everything else allows it.
    pub fn reckoning(&self) -> Option<&Reckoning> {
        self.reckoning.as_deref()
    }

    pub(super) fn reckon(&mut self, reckoning: Reckoning) {
        self.decision.reckon(&reckoning);
        if !self.decision.is_allowed() {
            self.renewal = None;
        }
        self.reckoning = Some(Box::new(reckoning));
    }

    /// The key, where its secret matched.
    pub fn key(&self) -> Option<&Key> {
        self.presented.as_ref().map(|presented| &presented.key)
    }

    /// The key, and what is to be counted of it. Nothing is, where the secret did not match or does not work any more.
    pub fn call(&self) -> Option<(&Key, Call)> {
        Some((self.key()?, Call::of(self.decision.status())?))
    }

    /// The row that the answer is about, where the secret matched: the same one for as long as the store says the same.
    pub fn presented(&self) -> Option<&Arc<Presented>> {
        self.presented.as_ref()
    }

    /// Whether the hash of the secret was made at another cost than the store's present one.
    pub fn wants_renewal(&self) -> bool {
        self.renewal.is_some()
    }

    /// The secret whose hash is to be renewed.
    pub(super) fn renewal(&self) -> Option<&Secret> {
        self.renewal.as_ref()
    }

    /// Renews the hash of the secret, if that is wanted and nobody has done so by now, without counting a use.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn renew(&self, store: &mut Store, salt: [u8; SALT_BYTES], now: Timestamp) -> Result<(), VerifyError> {
        let Some(secret) = &self.renewal else { return Ok(()) };
        let view = store.view()?;
        let cost = view.settings()?.hash_cost;
        if !view.may_renew_hashes()?
            || view.presented(secret.id())?.is_none_or(|present| !present.hash.needs_renewal(cost))
        {
            return Ok(());
        }
        drop(view);
        let (id, hash) = renewed(secret, salt, cost)?;
        store.write(Stamp { now, actor: None }, |changes| changes.renew_hash(&id, &hash)).map_err(VerifyError::from)
    }

    /// Wipes the secret, which is kept where its hash is to be renewed.
    pub fn forget_secret(&mut self) {
        self.renewal = None;
    }
}

/// The id of the secret, and its hash at this cost.
pub(super) fn renewed(secret: &Secret, salt: [u8; SALT_BYTES], cost: Cost) -> Result<(Id, HashedSecret), HashError> {
    Ok((secret.id().clone(), HashedSecret::new(secret, salt, cost)?))
}

/// What a credential in a URL is worth telling about, whatever comes of it.
fn warnings(in_query: bool) -> Vec<&'static str> {
    if in_query { vec!["credential_in_query"] } else { vec![] }
}
