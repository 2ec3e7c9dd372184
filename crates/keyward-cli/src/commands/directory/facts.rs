//! The flags of settings that only one of the four has.

use std::fmt::Debug;

use clap::Args;

use crate::commands::setting_args::cannot_stand_together;
use crate::error::{Code, Error};
use keyward_core::rules::directory::{Facts, Kind};
use keyward_core::rules::limits::{Limit, Limits, Period};
use keyward_core::rules::names::Name;

/// The flags that only one of the four has.
pub trait FactArgs: Args + Clone + Debug {
    /// The kind.
    const KIND: Kind;
    /// Changes what the flags name.
    ///
    /// # Errors
    /// If flags contradict each other, or there would be too many limits.
    fn apply(&self, facts: &mut Facts) -> Result<(), Error>;
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
    #[command(flatten)]
    limits: LimitArgs,
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

/// What only tenants have.
#[derive(Debug, Clone, Args)]
pub struct TenantArgs {
    #[command(flatten)]
    limits: LimitArgs,
}

/// What all keys of a user or a tenant share.
#[derive(Debug, Clone, Args)]
pub(super) struct LimitArgs {
    /// How often all of its keys together may be used: 100/1m, 100/1m:20, 10000/1d; repeat it, or separate with commas
    #[arg(long, value_name = "N/PERIOD[:BURST]", value_delimiter = ',', conflicts_with_all = ["add_limit", "remove_limit"])]
    limit: Vec<Limit>,
    /// Set the limit of a period, in the place of the one that it has
    #[arg(long, value_name = "N/PERIOD[:BURST]", value_delimiter = ',')]
    add_limit: Vec<Limit>,
    /// Take the limit of a period away
    #[arg(long, value_name = "PERIOD", value_delimiter = ',')]
    remove_limit: Vec<Period>,
}

impl LimitArgs {
    fn apply(&self, limits: &mut Limits) -> Result<(), Error> {
        if !self.limit.is_empty() {
            *limits = Limits::new(self.limit.iter().copied()).map_err(|error| cannot_stand_together(&error))?;
        }
        for period in &self.remove_limit {
            if self.add_limit.iter().any(|limit| limit.period().length() == period.length()) {
                let message = format!("--add-limit and --remove-limit name the same period {period}");
                return Err(Error::new(Code::Usage, message).hint("keep one of them"));
            }
            limits.remove(*period);
        }
        for limit in &self.add_limit {
            limits.put(*limit);
        }
        limits.check().map_err(|error| cannot_stand_together(&error))
    }

    fn is_empty(&self) -> bool {
        self.limit.is_empty() && self.add_limit.is_empty() && self.remove_limit.is_empty()
    }
}

impl FactArgs for GroupArgs {
    const KIND: Kind = Kind::Group;

    fn apply(&self, _: &mut Facts) -> Result<(), Error> {
        Ok(())
    }

    fn is_empty(&self) -> bool {
        true
    }
}

impl FactArgs for UserArgs {
    const KIND: Kind = Kind::User;

    fn apply(&self, facts: &mut Facts) -> Result<(), Error> {
        if let Facts::User { role, tenant, limits, .. } = facts {
            *role = self.role.clone().or(role.take());
            *tenant = self.tenant.clone().or(tenant.take());
            self.limits.apply(limits)?;
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.role.is_none() && self.tenant.is_none() && self.limits.is_empty()
    }
}

impl FactArgs for RoleArgs {
    const KIND: Kind = Kind::Role;

    fn apply(&self, facts: &mut Facts) -> Result<(), Error> {
        if let Facts::Role { rank, manages_keys } = facts {
            *rank = self.rank.unwrap_or(*rank);
            *manages_keys = self.manages_keys || *manages_keys && !self.no_manages_keys;
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.rank.is_none() && !self.manages_keys && !self.no_manages_keys
    }
}

impl FactArgs for TenantArgs {
    const KIND: Kind = Kind::Tenant;

    fn apply(&self, facts: &mut Facts) -> Result<(), Error> {
        match facts {
            Facts::Tenant { limits, .. } => self.limits.apply(limits),
            _ => Ok(()),
        }
    }

    fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }
}
