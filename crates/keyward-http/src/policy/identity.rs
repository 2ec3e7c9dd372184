//! What a service may be told about an allowed key.

use std::str::FromStr;

use http::header::HeaderName;
use keyward_core::rules::names::InvalidText;

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
    /// The group it is in.
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

    /// The ones that are sent by default.
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
