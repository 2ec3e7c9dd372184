//! The settings of a key: everything about it that a person decides.
//!
//! [`Settings`] has a typed field for each, for the rules that use it. [`Setting`] is the same list as data: what a
//! setting is called, what it is for, and how to reach its value whatever its type. JSON, differences, the history,
//! manifests, the text for an editor and the documentation walk over that list. So a new setting is a field, its
//! default and a row here, and no reader of the list changes.
//!
//! What may break: the names and the order of [`Setting::IN_JSON`] are a contract with other people's programs,
//! and the history keeps the names for ever. A setting is never renamed.

mod field;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use super::address::Cidr;
use super::directory::Kind;
use super::limits::Limits;
use super::names::{Description, LabelKey, LabelValue, Level, Name, Prefix, Scope};

use field::SettingField as _;
pub use field::{OptionalText, SetItem, TextSet};
pub use value::{SettingSlot, SettingValue};

/// Everything that a person decides about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// What the key is for.
    pub description: Option<Description>,
    /// The group it is kept in.
    pub group: Option<Name>,
    /// The user on whose behalf it acts.
    pub owner: Option<Name>,
    /// The role it acts in, never above its owner's.
    pub role: Option<Name>,
    /// The one tenant it works for.
    pub tenant: Option<Name>,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The security levels it holds.
    pub levels: BTreeSet<Level>,
    /// The networks it may be used from; empty for any.
    pub allowed_ips: BTreeSet<Cidr>,
    /// How often it may be used.
    pub limits: Limits,
    /// Labels for people and filters.
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Safe methods only (RFC 9110 section 9.2.1).
    pub read_only: bool,
    /// Refuse plain HTTP.
    pub require_secure: bool,
    /// Off is a temporary stop.
    pub enabled: bool,
    /// When it stops working for good; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// What its secrets start with.
    pub prefix: Prefix,
}

impl Settings {
    /// The default settings of a key, in a store that mints with `prefix`.
    pub fn with_prefix(prefix: Prefix) -> Self {
        Self {
            description: None,
            group: None,
            owner: None,
            role: None,
            tenant: None,
            scopes: BTreeSet::new(),
            levels: BTreeSet::new(),
            allowed_ips: BTreeSet::new(),
            limits: Limits::default(),
            labels: BTreeMap::new(),
            read_only: false,
            require_secure: true,
            enabled: true,
            expires_at: None,
            prefix,
        }
    }

    /// The entries of the directory that it names.
    pub fn references(&self) -> impl Iterator<Item = (Kind, &Name)> {
        let Self { group, owner, role, tenant, .. } = self;
        [(Kind::Group, group), (Kind::User, owner), (Kind::Role, role), (Kind::Tenant, tenant)]
            .into_iter()
            .filter_map(|(kind, name)| Some((kind, name.as_ref()?)))
    }
}

/// One setting: what it is called, what it is for, and where its value is.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Setting {
    /// Its name in JSON and in manifests.
    pub name: &'static str,
    /// What it is for, for someone who sets it.
    pub purpose: &'static str,
    /// What it says about a key, for someone who reads it in JSON.
    pub meaning: &'static str,
    /// The kind of directory entry that its value must name, if any.
    pub refers_to: Option<Kind>,
    access: Access,
}

/// The field of [`Settings`] that holds a setting: as functions, because the types of the fields differ.
#[derive(Clone, Copy)]
struct Access {
    value: fn(&Settings) -> SettingValue<'_>,
    slot: fn(&mut Settings) -> SettingSlot<'_>,
    is_same: fn(&Settings, &Settings) -> bool,
    copy: fn(&Settings, &mut Settings),
    add: fn(&Settings, &mut Settings),
    remove: fn(&Settings, &mut Settings),
}

macro_rules! access {
    ($field:ident) => {
        Access {
            value: |settings| settings.$field.value(),
            slot: |settings| settings.$field.slot(),
            is_same: |one, other| one.$field == other.$field,
            copy: |from, to| to.$field.clone_from(&from.$field),
            add: |from, to| to.$field.add_all(&from.$field),
            remove: |from, to| to.$field.remove_all(&from.$field),
        }
    };
}

#[expect(missing_docs, reason = "each is the field of Settings with the same name, and says what it is for")]
impl Setting {
    pub const DESCRIPTION: Self = Self {
        name: "description",
        purpose: "what the key is for",
        meaning: "what it is for",
        refers_to: None,
        access: access!(description),
    };
    pub const GROUP: Self = Self {
        name: "group",
        purpose: "the group that it is kept in",
        meaning: "the group that it is kept in",
        refers_to: Some(Kind::Group),
        access: access!(group),
    };
    pub const OWNER: Self = Self {
        name: "owner",
        purpose: "the user on whose behalf it acts",
        meaning: "the user on whose behalf it acts",
        refers_to: Some(Kind::User),
        access: access!(owner),
    };
    pub const ROLE: Self = Self {
        name: "role",
        purpose: "the role that it acts in, never above its owner's",
        meaning: "the role that it acts in",
        refers_to: Some(Kind::Role),
        access: access!(role),
    };
    pub const TENANT: Self = Self {
        name: "tenant",
        purpose: "the one tenant that it works for",
        meaning: "the one tenant that it works for",
        refers_to: Some(Kind::Tenant),
        access: access!(tenant),
    };
    pub const SCOPES: Self = Self {
        name: "scopes",
        purpose: "what it may do, such as [\"rest\", \"ui\"]",
        meaning: "what it may do",
        refers_to: None,
        access: access!(scopes),
    };
    pub const LEVELS: Self = Self {
        name: "levels",
        purpose: "security levels, such as [\"Authenticated/Roles/Administrator\"]",
        meaning: "its security levels",
        refers_to: None,
        access: access!(levels),
    };
    pub const ALLOWED_IPS: Self = Self {
        name: "allowed_ips",
        purpose: "networks that it may be used from; none for any",
        meaning: "networks that it may be used from; empty for any",
        refers_to: None,
        access: access!(allowed_ips),
    };
    pub const LIMITS: Self = Self {
        name: "limits",
        purpose: "how often it may be used, such as [\"100/1m:20\", \"10000/1d\"]",
        meaning: "how often it may be used; empty for as often as anybody likes",
        refers_to: None,
        access: access!(limits),
    };
    pub const LABELS: Self = Self {
        name: "labels",
        purpose: "labels, for filtering",
        meaning: "labels, for filtering",
        refers_to: None,
        access: access!(labels),
    };
    pub const READ_ONLY: Self = Self {
        name: "read_only",
        purpose: "true: only GET, HEAD, OPTIONS and TRACE",
        meaning: "only GET, HEAD, OPTIONS and TRACE",
        refers_to: None,
        access: access!(read_only),
    };
    pub const REQUIRE_SECURE: Self = Self {
        name: "require_secure",
        purpose: "true: not over plain http",
        meaning: "not over plain http",
        refers_to: None,
        access: access!(require_secure),
    };
    pub const ENABLED: Self = Self {
        name: "enabled",
        purpose: "false: a temporary stop",
        meaning: "false: a temporary stop",
        refers_to: None,
        access: access!(enabled),
    };
    pub const EXPIRES_AT: Self = Self {
        name: "expires_at",
        purpose: "a date, an RFC 3339 time, a duration such as \"90d\", or \"never\"",
        meaning: "when it ends; null for never",
        refers_to: None,
        access: access!(expires_at),
    };
    /// What the secrets of a key start with. It does not affect secrets already minted, only the next one, so it is a
    /// setting like the others.
    pub const PREFIX: Self = Self {
        name: "prefix",
        purpose: "what the next secret starts with",
        meaning: "what its next secret starts with",
        refers_to: None,
        access: access!(prefix),
    };
}

impl Setting {
    /// All settings, in the order in which manifests, editors and differences show them.
    pub const ALL: [Self; 15] = [
        Self::DESCRIPTION,
        Self::GROUP,
        Self::OWNER,
        Self::ROLE,
        Self::TENANT,
        Self::SCOPES,
        Self::LEVELS,
        Self::ALLOWED_IPS,
        Self::LIMITS,
        Self::LABELS,
        Self::READ_ONLY,
        Self::REQUIRE_SECURE,
        Self::ENABLED,
        Self::EXPIRES_AT,
        Self::PREFIX,
    ];

    /// All settings in three groups, as the JSON of a key orders them: what it may do, before its state; when it
    /// expires, among its times; and its prefix, before its secrets.
    pub const IN_JSON: [&'static [Self]; 3] = [
        &[
            Self::DESCRIPTION,
            Self::GROUP,
            Self::OWNER,
            Self::ROLE,
            Self::TENANT,
            Self::SCOPES,
            Self::LEVELS,
            Self::READ_ONLY,
            Self::REQUIRE_SECURE,
            Self::ALLOWED_IPS,
            Self::LIMITS,
            Self::LABELS,
            Self::ENABLED,
        ],
        &[Self::EXPIRES_AT],
        &[Self::PREFIX],
    ];

    /// The setting with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name == name)
    }

    /// Its value, without a copy.
    pub fn value<'s>(&self, settings: &'s Settings) -> SettingValue<'s> {
        (self.access.value)(settings)
    }

    /// The slot for its value.
    pub fn slot<'s>(&self, settings: &'s mut Settings) -> SettingSlot<'s> {
        (self.access.slot)(settings)
    }

    /// Whether it has the same value in both.
    pub fn is_same(&self, one: &Settings, other: &Settings) -> bool {
        (self.access.is_same)(one, other)
    }

    /// Copies its value from `from` to `to`.
    pub fn copy(&self, from: &Settings, to: &mut Settings) {
        (self.access.copy)(from, to);
    }

    /// Adds its items in `from` to `to`; only lists and labels can be added to.
    pub(super) fn add(&self, from: &Settings, to: &mut Settings) {
        (self.access.add)(from, to);
    }

    /// Removes its items in `from` from `to`; only lists and labels can be removed from. Labels are identified by their
    /// keys.
    pub(super) fn remove(&self, from: &Settings, to: &mut Settings) {
        (self.access.remove)(from, to);
    }
}

/// Settings are identified by their names, which are unique.
impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Setting {}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests;
