//! The directory: the groups, users, roles and tenants that keys refer to.
//!
//! The four share most things (a unique name, a description, the keys that refer to them), so they are one type,
//! [`Entry`]. What only one of them has is in [`Facts`].

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::difference::Difference;
use super::limits::Limits;
use super::names::{Description, Name};
use super::time::rfc3339;

/// Which of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A set of keys that belong together.
    Group,
    /// A person or program on whose behalf keys act.
    User,
    /// The most that keys and users may do, as a rank.
    Role,
    /// A customer whose data a service keeps apart from others'.
    Tenant,
}

impl Kind {
    /// The word for this kind, in commands, JSON and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::User => "user",
            Self::Role => "role",
            Self::Tenant => "tenant",
        }
    }
}

/// What only one of the four has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facts {
    /// Nothing.
    Group,
    /// A user's role and tenant, both optional, and whether they may act and their keys work.
    User {
        /// What they may do at most.
        role: Option<Name>,
        /// Whose data they see.
        tenant: Option<Name>,
        /// Off stops all of their keys at once.
        enabled: bool,
        /// How often all of their keys together may be used.
        limits: Limits,
    },
    /// A role's place in the ranking.
    Role {
        /// The higher, the more it may do.
        rank: i64,
        /// Whether users with this role may manage keys.
        manages_keys: bool,
    },
    /// Whether a tenant's keys work.
    Tenant {
        /// Off stops all of its keys at once.
        enabled: bool,
        /// How often all of its keys together may be used.
        limits: Limits,
    },
}

impl Facts {
    /// The facts of a new entry for which none were given.
    pub fn default_of(kind: Kind) -> Self {
        match kind {
            Kind::Group => Self::Group,
            Kind::User => Self::User { role: None, tenant: None, enabled: true, limits: Limits::default() },
            Kind::Role => Self::Role { rank: 0, manages_keys: false },
            Kind::Tenant => Self::Tenant { enabled: true, limits: Limits::default() },
        }
    }

    /// The kind that these facts are for.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Group => Kind::Group,
            Self::User { .. } => Kind::User,
            Self::Role { .. } => Kind::Role,
            Self::Tenant { .. } => Kind::Tenant,
        }
    }

    /// Switches a user or a tenant on or off. Groups and roles have no such switch.
    pub fn set_enabled(&mut self, on: bool) {
        match self {
            Self::User { enabled, .. } | Self::Tenant { enabled, .. } => *enabled = on,
            Self::Group | Self::Role { .. } => {}
        }
    }

    /// The facts as JSON fields.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Group => vec![],
            Self::User { role, tenant, enabled, limits } => vec![
                ("role", json!(role)),
                ("tenant", json!(tenant)),
                ("enabled", json!(enabled)),
                ("limits", json!(limits)),
            ],
            Self::Role { rank, manages_keys } => {
                vec![("rank", json!(rank)), ("manages_keys", json!(manages_keys))]
            }
            Self::Tenant { enabled, limits } => vec![("enabled", json!(enabled)), ("limits", json!(limits))],
        }
    }
}

/// What a person decides about a group, user, role or tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its name, unique among those of its kind.
    pub name: Name,
    /// What it is for.
    pub description: Option<Description>,
    /// What only its kind has.
    pub facts: Facts,
}

impl Draft {
    /// Everything as JSON fields, by their names.
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let common = [("name", json!(self.name)), ("description", json!(self.description))];
        common.into_iter().chain(self.facts.fields()).collect()
    }

    /// Everything to report about a new entry: every field that is not absent.
    pub fn as_new(&self) -> Vec<Difference> {
        let fields =
            self.fields().into_iter().filter(|(field, new)| *field != "name" && !new.is_null() && *new != json!([]));
        fields.map(|(field, new)| Difference { field: field.to_owned(), old: Value::Null, new }).collect()
    }

    /// The differences of a new entry from the defaults.
    pub fn differences_from_default(&self) -> Vec<Difference> {
        let facts = Facts::default_of(self.facts.kind());
        Self { name: self.name.clone(), description: None, facts }.differences(self)
    }

    /// What differs between this and `new`.
    pub fn differences(&self, new: &Self) -> Vec<Difference> {
        self.fields()
            .into_iter()
            .zip(new.fields())
            .filter(|((_, old), (_, new))| old != new)
            .map(|((field, old), (_, new))| Difference { field: field.to_owned(), old, new })
            .collect()
    }
}

/// A group, user, role or tenant, as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// What a person decided.
    pub draft: Draft,
    /// How many keys refer to it.
    pub keys: u64,
    /// How many users refer to it; only roles and tenants have users.
    pub users: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What the store has lost of it, if anything. Such an entry must not be used.
    pub damage: Option<String>,
}

impl Entry {
    /// The entry as the object that JSON documents show.
    pub fn to_json(&self) -> Value {
        let mut fields: Map<String, Value> =
            self.draft.fields().into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
        fields.insert("keys".to_owned(), json!(self.keys));
        if matches!(self.draft.facts.kind(), Kind::Role | Kind::Tenant) {
            fields.insert("users".to_owned(), json!(self.users));
        }
        fields.insert("created_at".to_owned(), json!(rfc3339(self.created_at)));
        fields.insert("updated_at".to_owned(), json!(rfc3339(self.updated_at)));
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(role: Option<&str>, enabled: bool) -> Draft {
        Draft {
            name: "ann".parse().unwrap(),
            description: None,
            facts: Facts::User {
                role: role.map(|role| role.parse().unwrap()),
                tenant: None,
                enabled,
                limits: Limits::default(),
            },
        }
    }

    #[test]
    fn differences_name_the_fields_of_the_kind() {
        assert!(user(None, true).differences(&user(None, true)).is_empty());
        let found = user(None, true).differences(&user(Some("admin"), false));
        let found: Vec<_> = found.iter().map(|d| format!("{}: {} -> {}", d.field, d.old, d.new)).collect();
        assert_eq!(found, ["role: null -> \"admin\"", "enabled: true -> false"]);
    }

    #[test]
    fn only_users_and_tenants_have_a_switch() {
        for (mut facts, switched) in [
            (Facts::Group, Facts::Group),
            (
                Facts::Tenant { enabled: true, limits: Limits::default() },
                Facts::Tenant { enabled: false, limits: Limits::default() },
            ),
            (Facts::Role { rank: 1, manages_keys: true }, Facts::Role { rank: 1, manages_keys: true }),
        ] {
            facts.set_enabled(false);
            assert_eq!(facts, switched);
        }
    }
}
