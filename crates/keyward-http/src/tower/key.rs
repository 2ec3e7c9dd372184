//! What a service is told about the key of a request.

use std::fmt;
use std::sync::Arc;

use keyward_core::rules::key::Key;
use keyward_core::rules::names::Name;
use keyward_core::rules::token::Id;
use keyward_core::store::Presented;

/// The key of an allowed request, as of the moment of the decision. Clones share it.
#[derive(Clone)]
pub struct VerifiedKey(Arc<Presented>);

impl VerifiedKey {
    pub(super) fn new(presented: Arc<Presented>) -> Self {
        Self(presented)
    }

    /// Its public id, which never changes.
    pub fn id(&self) -> &Id {
        &self.key().id
    }

    /// Its name, which an administrator may change.
    pub fn name(&self) -> &Name {
        &self.key().name
    }

    /// The user it belongs to.
    pub fn owner(&self) -> Option<&Name> {
        self.key().settings.owner.as_ref()
    }

    /// The one tenant it works for; without one, it works for all.
    pub fn tenant(&self) -> Option<&Name> {
        self.key().settings.tenant.as_ref()
    }

    /// The group it is in.
    pub fn group(&self) -> Option<&Name> {
        self.key().settings.group.as_ref()
    }

    /// The role in which it acts: its own, or its owner's if that ranks lower.
    pub fn role(&self) -> Option<&Name> {
        self.key().effective_role().map(|(role, _)| role)
    }

    /// Its scopes, in alphabetical order.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.key().settings.scopes.iter().map(AsRef::as_ref)
    }

    /// Whether it has this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|own| own == scope)
    }

    /// Everything that the store says about it.
    pub fn key(&self) -> &Key {
        &self.0.key
    }
}

impl fmt::Debug for VerifiedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The row holds the hash of the secret, which must not get into a log.
        f.debug_struct("VerifiedKey").field("id", self.id()).field("name", self.name()).finish_non_exhaustive()
    }
}
