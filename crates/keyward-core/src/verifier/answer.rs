//! An answer: the decision, and what it is about.

use std::sync::Arc;

use jiff::Timestamp;

use super::VerifyError;
use crate::rules::credential::Presentation;
use crate::rules::decision::{Decision, Facts, Reason};
use crate::rules::hashing::{Cost, HashError, HashedSecret, SALT_BYTES};
use crate::rules::imported::{Bucket, ImportedText};
use crate::rules::key::Key;
use crate::rules::limits::Reckoning;
use crate::rules::plain::PlainText;
use crate::rules::token::{Id, Secret};
use crate::rules::usage::Call;
use crate::store::{Changes, Presented, Stamp, Store, StoreError, View};

/// An answer: the decision, and what it is about. It shares the row that was read for it, and copies nothing.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// May this credential make this request?
    pub decision: Decision,
    /// How the credential was presented, if there was one.
    pub presentation: Option<Presentation>,
    /// Warnings: they forbid nothing.
    pub warnings: Vec<&'static str>,
    /// What the store had, if the secret matched.
    presented: Option<Arc<Presented>>,
    /// What should be renewed.
    renewal: Option<Renewal>,
    /// The result of the limits.
    reckoning: Option<Box<Reckoning>>,
}

/// A plain secret that was presented.
#[derive(Debug)]
pub(super) enum Plain {
    /// A keyward secret.
    Own(Secret),
    /// One that another system made.
    Imported(ImportedText),
}

impl PlainText for Plain {
    fn expose(&self) -> &str {
        match self {
            Self::Own(secret) => secret.expose(),
            Self::Imported(text) => text.expose(),
        }
    }
}

/// Secrets that are to get a new hash.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) plain: Plain,
    /// The ids of the secret; several if several keys share it.
    pub(super) secrets: Vec<Id>,
    /// The bucket by which it is found from then on, if it was imported.
    pub(super) bucket: Option<Bucket>,
}

/// Secrets with their new hash.
pub(super) struct Renewed {
    secrets: Vec<Id>,
    hash: HashedSecret,
    bucket: Option<Bucket>,
}

impl Renewal {
    /// Whether it still has to be done.
    pub(super) fn is_due(&self, view: &View<'_>, cost: Cost) -> Result<bool, StoreError> {
        let mut found = vec![];
        for secret in &self.secrets {
            match view.presented_or_damaged(secret)? {
                Some(presented) => found.push(presented),
                None => return Ok(false),
            }
        }
        Ok(found.iter().any(|one| one.is_old(cost)) || found.windows(2).any(|pair| pair[0].hash != pair[1].hash))
    }

    /// The new hash.
    pub(super) fn compute(&self, salt: [u8; SALT_BYTES], cost: Cost) -> Result<Renewed, HashError> {
        let Self { plain, secrets, bucket } = self;
        Ok(Renewed { secrets: secrets.clone(), hash: HashedSecret::new(plain, salt, cost)?, bucket: *bucket })
    }
}

impl Renewed {
    /// Writes the new hash to the store.
    pub(super) fn write(&self, changes: &Changes<'_>) -> Result<(), StoreError> {
        self.secrets.iter().try_for_each(|secret| match self.bucket {
            Some(bucket) => changes.renew_imported(secret, &self.hash, bucket),
            None => changes.renew_hash(secret, &self.hash),
        })
    }
}

impl Answer {
    pub(super) fn about(
        decision: Decision,
        presentation: Option<Presentation>,
        in_query: bool,
        presented: Arc<Presented>,
        renewal: Option<Renewal>,
    ) -> Self {
        let presented = Some(presented);
        Self { decision, presentation, warnings: warnings(in_query), presented, renewal, reckoning: None }
    }

    pub(super) fn refusal(reason: Reason, facts: Facts, presentation: Option<Presentation>, in_query: bool) -> Self {
        let decision = Decision::refused(reason, facts);
        Self { decision, presentation, warnings: warnings(in_query), presented: None, renewal: None, reckoning: None }
    }

    /// The result of the limits, if the request counts against any and everything else allows it.
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

    /// The key, if its secret matched.
    pub fn key(&self) -> Option<&Key> {
        self.presented.as_ref().map(|presented| &presented.key)
    }

    /// The key, and the call to count for it. `None` if the secret did not match or no longer works.
    pub fn call(&self) -> Option<(&Key, Call)> {
        Some((self.key()?, Call::of(self.decision.status())?))
    }

    /// The row that the answer is about, if the secret matched: the same one for as long as the store's data is the
    /// same.
    pub fn presented(&self) -> Option<&Arc<Presented>> {
        self.presented.as_ref()
    }

    /// Requests a renewal, although the answer is a refusal.
    pub(super) fn renew_with(&mut self, renewal: Option<Renewal>) {
        self.renewal = renewal;
    }

    /// Whether the hash of the secret was made at a cost other than the store's current one, or by another system.
    pub fn wants_renewal(&self) -> bool {
        self.renewal.is_some()
    }

    /// What should be renewed.
    pub(super) fn renewal(&self) -> Option<&Renewal> {
        self.renewal.as_ref()
    }

    /// Renews the hash of the secret, if that is wanted and has not been done yet, without counting a use.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn renew(&self, store: &mut Store, salt: [u8; SALT_BYTES], now: Timestamp) -> Result<(), VerifyError> {
        let Some(renewal) = &self.renewal else { return Ok(()) };
        let view = store.view()?;
        let cost = view.settings()?.hash_cost;
        if !view.may_renew_hashes()? || !renewal.is_due(&view, cost)? {
            return Ok(());
        }
        drop(view);
        let renewed = renewal.compute(salt, cost)?;
        store.write(Stamp { now, actor: None }, |changes| renewed.write(changes)).map_err(VerifyError::from)
    }

    /// Wipes the secret, which is kept if its hash should be renewed.
    pub fn forget_secret(&mut self) {
        self.renewal = None;
    }
}

/// The warning for a credential in a URL, whatever the decision.
fn warnings(in_query: bool) -> Vec<&'static str> {
    if in_query { vec!["credential_in_query"] } else { vec![] }
}
