//! Policies: what one endpoint requires of a key.
//!
//! A policy is named only in the path that the proxy sets: nothing that a client can write decides which policy
//! applies. Most services need one or a few of them. If one endpoint has to choose by host and path, there are routes
//! ([`Routes`]).

mod identity;
mod name;
mod route;
mod tenant;

use keyward_core::rules::credential::{Accepted, Presentation};
use keyward_core::rules::decision::{Request, WantedRole};
use keyward_core::rules::http::{Method, Transport};
use keyward_core::rules::limits::Limits;
use keyward_core::rules::names::{InvalidText, Level, Name, Scope};
use keyward_core::store::StoreError;
use keyward_core::verifier::Turn;

pub use identity::Identity;
pub use name::PolicyName;
pub use route::{Route, Routes};
pub use tenant::TenantFrom;

use crate::facts::Facts;

/// What a key needs, and what its holder and the service are told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Its name, in paths, logs and metrics.
    pub name: PolicyName,
    /// Scopes that are required, all of them.
    pub scopes: Vec<Scope>,
    /// Levels that are required, all of them.
    pub levels: Vec<Level>,
    /// The lowest role that is required.
    pub role: Option<Name>,
    /// The tenant whose data is requested.
    pub tenant: Option<TenantFrom>,
    /// The allowed methods; if empty, all of them.
    pub methods: Vec<Method>,
    /// How often a key without limits of its own may be used here.
    pub limits: Limits,
    /// Whether every request must come over a secure connection, whatever its key requires.
    pub requires_secure: bool,
    /// The accepted presentations.
    pub accept: Accepted,
    /// Whether refusals say that Basic is accepted (RFC 7617).
    pub offers_basic: bool,
    /// Whether refusals say why.
    pub explains: bool,
    /// What the service is told about an allowed key.
    pub headers: Vec<Identity>,
}

impl Policy {
    /// A policy that requires nothing in particular: any working key is allowed.
    pub fn new(name: PolicyName) -> Self {
        Self {
            name,
            scopes: vec![],
            levels: vec![],
            role: None,
            tenant: None,
            methods: vec![],
            limits: Limits::default(),
            requires_secure: false,
            accept: Presentation::ALL.into_iter().filter(|presentation| !presentation.is_query()).collect(),
            offers_basic: false,
            explains: true,
            headers: Identity::USUAL.to_vec(),
        }
    }

    /// Requires one more scope.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scopes.push(scope);
        self
    }

    /// Accepts only these presentations of a credential.
    pub fn accept_only(&mut self, presentations: &[Presentation]) {
        self.accept = presentations.iter().copied().collect();
        self.offers_basic = presentations.contains(&Presentation::Basic);
    }

    /// The request to decide about, from these `facts`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn request(&self, turn: &mut Turn, facts: &Facts<'_>) -> Result<Request, StoreError> {
        let mut request = Request::over(facts.transport.unwrap_or(Transport::Http));
        request.method.clone_from(&facts.method);
        request.ip = facts.client;
        request.ip_from.clone_from(&facts.client_from);
        request.transport_from.clone_from(&facts.transport_from);
        self.ask(turn, &mut request)?;
        request.tenant = self.tenant.as_ref().and_then(|tenant| tenant.of(facts.host));
        Ok(request)
    }

    /// Adds what this policy requires to what a request already requires.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn ask(&self, turn: &mut Turn, request: &mut Request) -> Result<(), StoreError> {
        request
            .scopes
            .extend(self.scopes.iter().filter(|scope| !request.scopes.contains(scope)).cloned().collect::<Vec<_>>());
        request
            .levels
            .extend(self.levels.iter().filter(|level| !request.levels.contains(level)).cloned().collect::<Vec<_>>());
        request.methods.clone_from(&self.methods);
        request.requires_secure = self.requires_secure;
        if !self.limits.is_empty() {
            request.limits.clone_from(&self.limits);
            request.policy = Some(self.name.shared());
        }
        if let Some(name) = &self.role {
            let own = WantedRole { name: name.clone(), rank: turn.rank_of(name)? };
            // Of two roles the higher one is required; one that does not exist is higher than any.
            let is_higher = |asked: &WantedRole| match (asked.rank, own.rank) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(asked), Some(own)) => asked >= own,
            };
            if !request.role.as_ref().is_some_and(is_higher) {
                request.role = Some(own);
            }
        }
        Ok(())
    }
}

impl Default for Policy {
    /// The policy `default`, which requires nothing in particular.
    fn default() -> Self {
        Self::new(PolicyName::default())
    }
}

/// All policies of a guard, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies(Vec<std::sync::Arc<Policy>>);

impl Policies {
    /// Adds one.
    ///
    /// # Errors
    /// If one has this name already.
    pub fn add(&mut self, policy: Policy) -> Result<(), InvalidText> {
        if self.find(policy.name.as_str()).is_some() {
            return Err(InvalidText::new(format!("there are two policies {}", policy.name)));
        }
        self.0.push(std::sync::Arc::new(policy));
        Ok(())
    }

    /// The policy with exactly this name.
    pub fn find(&self, name: &str) -> Option<&std::sync::Arc<Policy>> {
        self.0.iter().find(|policy| policy.name.as_str() == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &std::sync::Arc<Policy>> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
