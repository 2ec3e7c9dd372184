//! What an acting user may do.
//!
//! Acting as a user guards against mistakes; the permissions of the store's file are the security boundary. Without an
//! acting user, it is the owner of the store, who may do everything. The rules for users:
//!
//! - They exist and are enabled.
//! - They manage keys only if their role does, and only keys whose role ranks at or below theirs,
//!   before the change and after it. A key without a role ranks below every role.
//! - They change users, roles, tenants and the settings of the store only in the highest role, and cannot make a role
//!   that ranks above it.
//!
//! Reading is not managing: listing, showing and verifying need no permission.

use super::directory::{Facts, Kind};
use super::names::Name;

/// A role, with what matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActingRole {
    /// Its name.
    pub name: Name,
    /// Its rank.
    pub rank: i64,
    /// Whether it manages keys.
    pub manages_keys: bool,
}

/// An acting user, as the directory knows them at the moment of the change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Actor {
    /// Their name.
    pub name: Name,
    /// Whether they may act at all.
    pub enabled: bool,
    /// Their role.
    pub role: Option<ActingRole>,
    /// Their tenant.
    pub tenant: Option<Name>,
    /// The highest rank of all roles.
    pub highest_rank: i64,
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authority {
    /// The owner of the store.
    Unlimited,
    /// A name that is not in the directory.
    Unknown(Name),
    /// A user.
    User(Actor),
}

/// Why an acting user may not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The user does not exist, is disabled, or has a role that does not allow it, or none.
    #[error("{0}")]
    NotPermitted(String),
    /// It ranks above the user's own role.
    #[error("{what} ranks above {user}'s own role {role}")]
    Ceiling {
        /// The acting user.
        user: Name,
        /// Their role.
        role: Name,
        /// What ranks above it.
        what: String,
    },
}

impl Authority {
    /// Who acts, if they may act at all.
    fn actor(&self) -> Result<Option<&Actor>, Denied> {
        match self {
            Self::Unlimited => Ok(None),
            Self::Unknown(name) => Err(Denied::NotPermitted(format!("there is no user {name} to act as"))),
            Self::User(actor) if actor.enabled => Ok(Some(actor)),
            Self::User(actor) => Err(Denied::NotPermitted(format!("the user {} is disabled", actor.name))),
        }
    }

    /// May they manage keys?
    ///
    /// # Errors
    /// [`Denied::NotPermitted`].
    pub fn manage_keys(&self) -> Result<(), Denied> {
        self.key_manager().map(drop)
    }

    /// May they manage a key that acts in a role of this rank? `what` names the key in the message.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn manage_key(&self, rank: Option<i64>, what: impl FnOnce() -> String) -> Result<(), Denied> {
        match (self.key_manager()?, rank) {
            (Some((actor, role)), Some(rank)) if rank > role.rank => {
                Err(Denied::Ceiling { user: actor.name.clone(), role: role.name.clone(), what: what() })
            }
            _ => Ok(()),
        }
    }

    /// May they change entries of this kind?
    ///
    /// # Errors
    /// [`Denied`].
    pub fn manage(&self, kind: Kind) -> Result<(), Denied> {
        if kind == Kind::Group { self.manage_keys() } else { self.govern(kind.as_str()) }
    }

    /// May they change what affects everybody: users, roles, tenants, settings?
    ///
    /// # Errors
    /// [`Denied`].
    pub fn govern(&self, what: &str) -> Result<(), Denied> {
        let Some(actor) = self.actor()? else { return Ok(()) };
        match &actor.role {
            Some(role) if role.rank >= actor.highest_rank => Ok(()),
            _ => Err(Denied::NotPermitted(format!(
                "only the highest role may change a {what}, and {} acts in {}",
                actor.name,
                actor.role.as_ref().map_or("no role", |role| role.name.as_str())
            ))),
        }
    }

    /// May they make an entry with these facts?
    ///
    /// # Errors
    /// [`Denied`], above all for a role that would rank above their own.
    pub fn write(&self, facts: &Facts) -> Result<(), Denied> {
        self.manage(facts.kind())?;
        match (self, facts) {
            (Self::User(Actor { name, role: Some(own), .. }), Facts::Role { rank, .. }) if *rank > own.rank => {
                let what = format!("a role of rank {rank}");
                Err(Denied::Ceiling { user: name.clone(), role: own.name.clone(), what })
            }
            _ => Ok(()),
        }
    }

    /// The acting user and their role, if the role manages keys; `None` for the owner of the store.
    fn key_manager(&self) -> Result<Option<(&Actor, &ActingRole)>, Denied> {
        let Some(actor) = self.actor()? else { return Ok(None) };
        match &actor.role {
            Some(role) if role.manages_keys => Ok(Some((actor, role))),
            Some(role) => Err(Denied::NotPermitted(format!(
                "the user {} acts as {}, which does not manage keys",
                actor.name, role.name
            ))),
            None => Err(Denied::NotPermitted(format!("the user {} has no role, and so manages no keys", actor.name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(rank: Option<i64>, manages_keys: bool, enabled: bool) -> Authority {
        let role = rank.map(|rank| ActingRole { name: format!("r{rank}").parse().unwrap(), rank, manages_keys });
        Authority::User(Actor { name: "ann".parse().unwrap(), enabled, role, tenant: None, highest_rank: 30 })
    }

    fn code(result: Result<(), Denied>) -> &'static str {
        match result {
            Ok(()) => "ok",
            Err(Denied::NotPermitted(_)) => "not_permitted",
            Err(Denied::Ceiling { .. }) => "role_ceiling",
        }
    }

    #[test]
    fn keys_directory_and_roles() {
        let unknown = Authority::Unknown("bob".parse().unwrap());
        for (who, authority, keys) in [
            // A key without a role, at rank 10, 20 and 30; a group; a tenant; a role of rank 20 and 40.
            ("nobody", Authority::Unlimited, "ok ok ok ok ok ok ok ok"),
            (
                "unknown",
                unknown,
                "not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted",
            ),
            (
                "disabled",
                user(Some(30), true, false),
                "not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted",
            ),
            (
                "no role",
                user(None, true, true),
                "not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted",
            ),
            (
                "viewer",
                user(Some(10), false, true),
                "not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted not_permitted",
            ),
            (
                "editor",
                user(Some(20), true, true),
                "ok ok ok role_ceiling ok not_permitted not_permitted not_permitted",
            ),
            ("admin", user(Some(30), true, true), "ok ok ok ok ok ok ok role_ceiling"),
            (
                "high, but no manager",
                user(Some(30), false, true),
                "not_permitted not_permitted not_permitted not_permitted not_permitted ok ok role_ceiling",
            ),
        ] {
            let key = |rank| code(authority.manage_key(rank, String::new));
            let role = |rank| code(authority.write(&Facts::Role { rank, manages_keys: true }));
            let answers = [
                key(None),
                key(Some(10)),
                key(Some(20)),
                key(Some(30)),
                code(authority.manage(Kind::Group)),
                code(authority.manage(Kind::Tenant)),
                role(20),
                role(40),
            ];
            assert_eq!(answers.join(" "), keys, "{who}");
        }
    }
}
