//! The decision: may this key make this request?
//!
//! [`decide`] looks at a key whose secret has already matched, and checks everything that could forbid the request. It
//! does not stop at the first failure: every failing check is named. A restriction that cannot be checked, because the
//! request does not say what is needed, fails.
//!
//! A decision is data: a [`Reason`], an [`Outcome`] and [`Facts`] for each check, but no sentences. The caller words
//! the answer from the check, the key and the request. An allowed request allocates nothing here.

mod checks;
mod reason;
mod request;

use std::net::IpAddr;

use jiff::Timestamp;

pub use reason::{Outcome, Reason};
pub use request::{Method, Request, Transport, WantedRole};

use super::address::Cidr;
use super::credential::CredentialError;
use super::key::{Key, SecretInfo};
use super::limits::{Limit, Reckoning, Standing, Whose};
use super::names::{Level, Scope};
use super::token::TokenError;

/// What a check found, in addition to its reason, its outcome, the key and the request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Facts {
    /// Nothing more.
    None,
    /// The request does not say what the check needs.
    Unknown,
    /// The key would allow it, but the caller does not ([`Request::methods`], [`Request::requires_secure`]).
    NotAllowedHere,
    /// The secret is from a rotation that has not ended.
    Staged,
    /// When the secret or the key stops working, or stopped.
    Ends(Timestamp),
    /// How the request came.
    Transport(Transport),
    /// The network of the key that the caller's address is in.
    Network(Cidr),
    /// The caller's address, which is in none of the key's networks.
    Address(IpAddr),
    /// The limit closest to being used up, whose it is, and what is left of it. Boxed, because each check has room for its
    /// facts, and most keys have no limit.
    Limit(Box<(Whose, Limit, Standing)>),
    /// Scopes that the key lacks.
    MissingScopes(Vec<Scope>),
    /// Levels that the key does not hold.
    MissingLevels(Vec<Level>),
    /// The store has no role with the name in the request.
    NoSuchRole,
    /// The key's own role would be high enough, but its owner's is not.
    OwnerTooLow,
    /// No single credential could be read.
    Credential(Box<CredentialError>),
    /// The credential is not a keyward secret.
    Token(TokenError),
    /// The credential was in the query of a URL, where the store accepts none.
    InQuery,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// What its failure is called.
    pub reason: Reason,
    /// Its result.
    pub outcome: Outcome,
    /// What it found.
    pub facts: Facts,
}

/// The number of checks of a genuine credential.
const CHECKS: usize = 15;

/// The results of all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The checks that were made, then unused room: an array, because every request makes one.
    checks: [Check; CHECKS],
    made: usize,
}

impl Decision {
    /// A refusal before any secret has matched: one failing check that says nothing about any key.
    pub fn refused(reason: Reason, facts: Facts) -> Self {
        let mut checks = [(); CHECKS].map(|()| Check { reason, outcome: Outcome::Fail, facts: Facts::None });
        checks[0].facts = facts;
        Self { checks, made: 1 }
    }

    /// Adds the result of the key's limits. Call it only if everything else allows the request.
    pub fn reckon(&mut self, reckoning: &Reckoning) {
        for check in &mut self.checks[..self.made] {
            let is_quota = match check.reason {
                Reason::RateLimited => false,
                Reason::QuotaExceeded => true,
                _ => continue,
            };
            if let Some(nearest @ (_, _, standing)) = reckoning.nearest(is_quota) {
                let is_used_up = !reckoning.is_allowed && standing.remaining == 0;
                check.outcome = if is_used_up { Outcome::Fail } else { Outcome::Pass };
                check.facts = Facts::Limit(Box::new(*nearest));
            }
        }
    }

    /// The checks that were made, in order.
    pub fn checks(&self) -> &[Check] {
        &self.checks[..self.made]
    }

    /// The checks that failed, in order.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks().iter().filter(|check| check.outcome == Outcome::Fail)
    }

    /// The first reason to refuse, or `None` if the request is allowed.
    pub fn reason(&self) -> Option<Reason> {
        self.failures().map(|check| check.reason).next()
    }

    /// Whether the request is allowed.
    pub fn is_allowed(&self) -> bool {
        self.reason().is_none()
    }

    /// The HTTP status: 200, or the status of the first failing check.
    pub fn status(&self) -> u16 {
        self.reason().map_or(200, Reason::status)
    }
}

/// Decides about a request made with a genuine secret of `key`.
///
/// `presented` is that secret.
pub fn decide(key: &Key, presented: &SecretInfo, request: &Request, now: Timestamp) -> Decision {
    let checks = [
        checks::genuine(),
        checks::secret(presented, now),
        checks::enabled(key),
        checks::expiry(key, now),
        checks::owner(key),
        checks::tenant_enabled(key),
        checks::transport(key, request),
        checks::address(key, request),
        checks::tenant(key, request),
        checks::method(key, request),
        checks::scopes(key, request),
        checks::levels(key, request),
        checks::role(key, request),
        checks::not_limited(Reason::RateLimited),
        checks::not_limited(Reason::QuotaExceeded),
    ];
    Decision { made: checks.len(), checks }
}

#[cfg(test)]
pub(crate) mod tests;
