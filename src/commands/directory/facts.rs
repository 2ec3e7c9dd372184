//! The flags of settings that only one of the four has.

use std::fmt::Debug;

use clap::Args;

use keyward_core::rules::directory::{Facts, Kind};
use keyward_core::rules::names::Name;

/// The flags that only one of the four has.
pub trait FactArgs: Args + Clone + Debug {
    /// Which of the four.
    const KIND: Kind;
    /// Changes what the flags name.
    fn apply(&self, facts: &mut Facts);
    /// Whether no flag was given.
    fn is_empty(&self) -> bool;
}

/// Groups have no settings of their own.
#[derive(Debug, Clone, Args)]
pub struct GroupArgs {}

/// What only users have.
#[derive(Debug, Clone, Args)]
pub struct UserArgs {
    /// The most that the user may do; without a role, they manage no keys
    #[arg(long, value_name = "ROLE")]
    role: Option<Name>,
    /// The tenant of the user, and of the keys that they make
    #[arg(long, value_name = "TENANT")]
    tenant: Option<Name>,
}

/// What only roles have.
#[derive(Debug, Clone, Args)]
pub struct RoleArgs {
    /// Its place among the roles: higher ranks may do more [default for a new one: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
    rank: Option<i64>,
    /// Let users in this role manage keys of its rank and below
    #[arg(long, conflicts_with = "no_manages_keys")]
    manages_keys: bool,
    /// Do not let users in this role manage keys (the default for a new one)
    #[arg(long)]
    no_manages_keys: bool,
}

/// Tenants have only their switch.
#[derive(Debug, Clone, Args)]
pub struct TenantArgs {}

impl FactArgs for GroupArgs {
    const KIND: Kind = Kind::Group;

    fn apply(&self, _: &mut Facts) {}

    fn is_empty(&self) -> bool {
        true
    }
}

impl FactArgs for UserArgs {
    const KIND: Kind = Kind::User;

    fn apply(&self, facts: &mut Facts) {
        if let Facts::User { role, tenant, .. } = facts {
            *role = self.role.clone().or(role.take());
            *tenant = self.tenant.clone().or(tenant.take());
        }
    }

    fn is_empty(&self) -> bool {
        self.role.is_none() && self.tenant.is_none()
    }
}

impl FactArgs for RoleArgs {
    const KIND: Kind = Kind::Role;

    fn apply(&self, facts: &mut Facts) {
        if let Facts::Role { rank, manages_keys } = facts {
            *rank = self.rank.unwrap_or(*rank);
            *manages_keys = self.manages_keys || *manages_keys && !self.no_manages_keys;
        }
    }

    fn is_empty(&self) -> bool {
        self.rank.is_none() && !self.manages_keys && !self.no_manages_keys
    }
}

impl FactArgs for TenantArgs {
    const KIND: Kind = Kind::Tenant;

    fn apply(&self, _: &mut Facts) {}

    fn is_empty(&self) -> bool {
        true
    }
}
