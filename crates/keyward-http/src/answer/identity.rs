//! What a service is told of an allowed key, in headers that are always all there.
//!
//! A header that is missing or empty would let some proxies pass on the client's own of the same name (Caddy did, from
//! 2.10.0 on: GHSA-7r4p-vjf4-gxv4). So each of them has a value, and `-` stands for none.

use std::str::FromStr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use keyward_core::rules::key::Key;
use keyward_core::rules::names::InvalidText;

use crate::policy::Policy;

/// Stands for none.
const NONE: &str = "-";

/// One thing that a service may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The public id of the key, which never changes.
    Id,
    /// Its name.
    Name,
    /// The user it belongs to.
    Owner,
    /// The tenant it works for.
    Tenant,
    /// The groups it is in.
    Group,
    /// The role in which it acts.
    Role,
    /// Its scopes.
    Scopes,
    /// Its levels.
    Levels,
    /// The policy that was asked.
    Policy,
}

impl Identity {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Id,
        Self::Name,
        Self::Owner,
        Self::Tenant,
        Self::Group,
        Self::Role,
        Self::Scopes,
        Self::Levels,
        Self::Policy,
    ];

    /// Those that are told where nothing else is said.
    pub const USUAL: [Self; 7] =
        [Self::Id, Self::Name, Self::Owner, Self::Tenant, Self::Role, Self::Scopes, Self::Policy];

    /// The word for it in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Owner => "owner",
            Self::Tenant => "tenant",
            Self::Group => "group",
            Self::Role => "role",
            Self::Scopes => "scopes",
            Self::Levels => "levels",
            Self::Policy => "policy",
        }
    }

    /// Its header.
    pub fn header(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Id => "x-keyward-id",
            Self::Name => "x-keyward-name",
            Self::Owner => "x-keyward-owner",
            Self::Tenant => "x-keyward-tenant",
            Self::Group => "x-keyward-group",
            Self::Role => "x-keyward-role",
            Self::Scopes => "x-keyward-scopes",
            Self::Levels => "x-keyward-levels",
            Self::Policy => "x-keyward-policy",
        })
    }

    /// Its value; `None` where it cannot be told without reading as something else.
    fn value(self, key: &Key, policy: &Policy) -> Option<HeaderValue> {
        let settings = &key.settings;
        let one = |text: Option<&str>| match text {
            None => Some(HeaderValue::from_static(NONE)),
            Some(NONE | "") => None,
            Some(text) => HeaderValue::from_str(text).ok(),
        };
        match self {
            Self::Id => one(Some(key.id.as_str())),
            Self::Name => one(Some(key.name.as_str())),
            Self::Owner => one(settings.owner.as_ref().map(AsRef::as_ref)),
            Self::Tenant => one(settings.tenant.as_ref().map(AsRef::as_ref)),
            Self::Role => one(key.effective_role().map(|(role, _)| role.as_str())),
            Self::Group => one(settings.group.as_ref().map(AsRef::as_ref)),
            Self::Scopes => list(&settings.scopes),
            Self::Levels => list(&settings.levels),
            Self::Policy => one(Some(policy.name.as_str())),
        }
    }
}

/// Neither scopes nor levels hold a comma.
fn list<'i, T: AsRef<str> + 'i>(items: impl IntoIterator<Item = &'i T>) -> Option<HeaderValue> {
    let text = items.into_iter().map(AsRef::as_ref).collect::<Vec<_>>().join(",");
    match text.as_str() {
        "" => Some(HeaderValue::from_static(NONE)),
        NONE => None,
        text => HeaderValue::from_str(text).ok(),
    }
}

impl FromStr for Identity {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            InvalidText::new(format!("{text:?} is not something that a service can be told of a key: write {all}"))
        })
    }
}

/// Writes what the policy tells. Returns whether all of it could be told.
pub(super) fn write(key: &Key, policy: &Policy, headers: &mut HeaderMap) -> bool {
    policy
        .headers
        .iter()
        .all(|identity| identity.value(key, policy).map(|value| headers.insert(identity.header(), value)).is_some())
}
