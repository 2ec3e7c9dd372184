//! All limits that a request counts against, checked together: it counts against each of them or against none.

use super::{Limit, Meter, Moment, Standing};

/// What a limit belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// The key.
    Key,
    /// The key's owner; all of their keys share the limit.
    User,
    /// The key's tenant; all of its keys share the limit.
    Tenant,
    /// The policy of the request, for each key that has no limits of its own.
    Policy,
}

impl Whose {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Tenant => "tenant",
            Self::Policy => "policy",
        }
    }
}

/// One limit, and what has been used of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// What the limit belongs to.
    pub whose: Whose,
    /// The limit.
    pub limit: Limit,
    /// What has been used.
    pub meter: Meter,
}

/// The result of checking all limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reckoning {
    /// Whether one more may pass.
    pub is_allowed: bool,
    /// The moment of the check.
    pub at: Moment,
    /// Each limit with what is left of it: after this request, if it may pass.
    pub standings: Vec<(Whose, Limit, Standing)>,
}

impl Reckoning {
    /// Checks all of `accounts`, and takes one from each if none refuses. If one does, nothing is taken.
    pub fn take(accounts: &mut [Account], now: Moment) -> Self {
        let is_allowed = accounts.iter().all(|account| account.limit.standing(account.meter, now).remaining > 0);
        if is_allowed {
            for account in &mut *accounts {
                account.meter = account.limit.take(account.meter, now);
            }
        }
        Self { is_allowed, ..Self::look(accounts, now) }
    }

    /// Checks all of `accounts`, and takes nothing.
    pub fn look(accounts: &[Account], now: Moment) -> Self {
        let standing = |account: &Account| (account.whose, account.limit, account.limit.standing(account.meter, now));
        let standings: Vec<_> = accounts.iter().map(standing).collect();
        Self { is_allowed: standings.iter().all(|(.., standing)| standing.remaining > 0), at: now, standings }
    }

    /// The limit closest to being used up, among the rates or among the quotas: the one with the longest wait, else the
    /// one with the least left.
    pub fn nearest(&self, is_quota: bool) -> Option<&(Whose, Limit, Standing)> {
        let of_kind = self.standings.iter().filter(|(_, limit, _)| limit.period().is_quota() == is_quota);
        of_kind.min_by_key(|(_, _, standing)| (std::cmp::Reverse(standing.wait), standing.remaining))
    }

    /// Whole seconds until a limit is fully available again, rounded up.
    pub fn full_in(&self, standing: &Standing) -> u64 {
        let ticks = Moment::of(standing.full_at).ticks().saturating_sub(self.at.ticks());
        u64::try_from(ticks).unwrap_or(0).div_ceil(10_000_000)
    }

    /// Whole seconds until the request may pass.
    pub fn retry_after(&self) -> u64 {
        self.standings.iter().map(|(.., standing)| standing.retry_after()).max().unwrap_or(0)
    }
}
