//! What a credential claims, and the proof of it: the rules of who is genuine, for one thread and for many.
//!
//! What may break here is time: a verification that fails must take as long whichever secret it met, and whether it
//! met any. So a claim that is not genuine costs one Argon2id of every cost that the store's hashes have.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::Answer;
use crate::rules::credential::{Credential, CredentialError, Presentation};
use crate::rules::decision::{Facts, Reason, Request, decide};
use crate::rules::hashing::{Cost, HashError, Memory, spend};
use crate::rules::token::Secret;
use crate::store::{Presented, StoreError, StoreSettings};

/// A credential that has the form of one of ours.
pub(super) struct Claim {
    pub(super) secret: Secret,
    name: Option<Zeroizing<String>>,
    presentation: Presentation,
    in_query: bool,
}

/// What an Argon2id says about a claim.
pub(super) struct Proof {
    /// Whether the secret is the one whose hash is stored.
    pub(super) matches: bool,
    /// Whether the name is right as well.
    pub(super) is_genuine: bool,
}

impl Claim {
    /// What can be said without a look at the store: a claim, or a refusal.
    pub(super) fn of(credential: Result<Credential, CredentialError>) -> Result<Self, Box<Answer>> {
        let refuse = |reason, facts, presentation, in_query| {
            Err(Box::new(Answer::refusal(reason, facts, presentation, in_query)))
        };
        let mut credential = match credential {
            Ok(credential) => credential,
            Err(error) => {
                let reason = match &error {
                    CredentialError::Missing(_) | CredentialError::NotAccepted(_) => Reason::NoCredential,
                    CredentialError::Ambiguous { .. } => Reason::AmbiguousCredential,
                    CredentialError::ManyLines | CredentialError::Malformed(_) => Reason::Malformed,
                };
                return refuse(reason, Facts::Credential(error), None, false);
            }
        };
        let (presentation, in_query, name) = (credential.presentation, credential.in_query, credential.name.take());
        match Secret::from_text(credential.into_text()) {
            Ok(secret) => Ok(Self { secret, name, presentation, in_query }),
            Err(error) => refuse(Reason::Malformed, Facts::Token(error), Some(presentation), in_query),
        }
    }

    /// The refusal of what stood in the query of a URL, where the store accepts none.
    pub(super) fn check_place(&self, settings: &StoreSettings) -> Result<(), Box<Answer>> {
        if self.in_query && !settings.query_credentials {
            let answer = Answer::refusal(Reason::NoCredential, Facts::InQuery, Some(self.presentation), self.in_query);
            return Err(Box::new(answer));
        }
        Ok(())
    }

    /// The name that came along.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_ref().map(|name| name.as_str())
    }

    /// Whether the name, where one came along, is that of the key.
    pub(super) fn is_named(&self, presented: &Presented) -> bool {
        self.name.as_ref().is_none_or(|name| name.as_str() == presented.key.name.as_str())
    }

    /// Whether the claim is genuine: one Argon2id where it is, and one of every cost where it is not.
    pub(super) fn prove(
        &self,
        presented: Option<&Presented>,
        settings: &StoreSettings,
        memory: &mut Memory,
    ) -> Result<Proof, HashError> {
        let Some(presented) = presented else {
            self.spend_all_but(None, settings, memory)?;
            return Ok(Proof { matches: false, is_genuine: false });
        };
        let matches = match presented.hash.matches_in(&self.secret, memory) {
            Ok(matches) => matches,
            Err(error) => {
                // A damaged hash takes as long as any other.
                self.spend_all_but(None, settings, memory)?;
                return Err(error);
            }
        };
        let is_genuine = matches && self.is_named(presented);
        if !is_genuine {
            self.spend_all_but(presented.hash.cost(), settings, memory)?;
        }
        Ok(Proof { matches, is_genuine })
    }

    /// Costs what every hash that there may be costs, but for the one that was computed.
    fn spend_all_but(
        &self,
        done: Option<Cost>,
        settings: &StoreSettings,
        memory: &mut Memory,
    ) -> Result<(), HashError> {
        let all = settings.former_costs.iter().copied().chain([settings.hash_cost]);
        for cost in all.filter(|cost| Some(*cost) != done) {
            spend(&self.secret, cost, memory)?;
        }
        Ok(())
    }

    /// The answer to a genuine claim on a key of the store at `path`. `has_old_cost` says whether the hash was made at
    /// another cost than it would now.
    ///
    /// # Errors
    /// Where the key is damaged. Only here: nothing about a key is told before its secret has matched.
    pub(super) fn decide(
        self,
        path: &Path,
        presented: Arc<Presented>,
        has_old_cost: bool,
        request: &Request,
        now: Timestamp,
    ) -> Result<Answer, StoreError> {
        StoreError::check_whole(path, &presented.key)?;
        let decision = decide(&presented.key, &presented.secret, request, now);
        let renewal = (has_old_cost && decision.is_allowed()).then_some(self.secret);
        Ok(Answer::about(decision, self.presentation, self.in_query, presented, renewal))
    }

    /// The answer to one that is not.
    pub(super) fn refuse(&self) -> Answer {
        Answer::refusal(Reason::NotGenuine, Facts::None, Some(self.presentation), self.in_query)
    }
}
