//! All limits that a request counts against, looked at together: either it counts against each of them, or against none.

use super::{Limit, Meter, Moment, Standing};

/// Whose a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// That of the key.
    Key,
    /// That of its owner, which all of their keys share.
    User,
    /// That of its tenant, which all of its keys share.
    Tenant,
    /// That of the policy that was asked, for each key that has none of its own.
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
    /// Whose it is.
    pub whose: Whose,
    /// The limit.
    pub limit: Limit,
    /// What has been used.
    pub meter: Meter,
}

/// What came of looking at all limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reckoning {
    /// Whether one more may pass.
    pub is_allowed: bool,
    /// The moment that it is of.
    pub at: Moment,
    /// Each limit with what is left of it: after this request where it may pass.
    pub standings: Vec<(Whose, Limit, Standing)>,
}

impl Reckoning {
    /// Looks at all of `accounts`, and takes one from each where none refuses. Where one does, nothing is taken.
    pub fn take(accounts: &mut [Account], now: Moment) -> Self {
        let is_allowed = accounts.iter().all(|account| account.limit.standing(account.meter, now).remaining > 0);
        if is_allowed {
            for account in &mut *accounts {
                account.meter = account.limit.take(account.meter, now);
            }
        }
        Self { is_allowed, ..Self::look(accounts, now) }
    }

    /// Looks at all of `accounts`, and takes nothing.
    pub fn look(accounts: &[Account], now: Moment) -> Self {
        let standing = |account: &Account| (account.whose, account.limit, account.limit.standing(account.meter, now));
        let standings: Vec<_> = accounts.iter().map(standing).collect();
        Self { is_allowed: standings.iter().all(|(.., standing)| standing.remaining > 0), at: now, standings }
    }

    /// The limit that is nearest to its end, among the rates or among the quotas: the one that has to be waited for the
    /// longest, else the one of which the least is left.
    pub fn nearest(&self, is_quota: bool) -> Option<&(Whose, Limit, Standing)> {
        let of_kind = self.standings.iter().filter(|(_, limit, _)| limit.period().is_quota() == is_quota);
        of_kind.min_by_key(|(_, _, standing)| (std::cmp::Reverse(standing.wait), standing.remaining))
    }

    /// Whole seconds until all of a limit is left again, rounded up.
    pub fn full_in(&self, standing: &Standing) -> u64 {
        let ticks = Moment::of(standing.full_at).ticks().saturating_sub(self.at.ticks());
        u64::try_from(ticks).unwrap_or(0).div_ceil(10_000_000)
    }

    /// Whole seconds until the request may pass.
    pub fn retry_after(&self) -> u64 {
        self.standings.iter().map(|(.., standing)| standing.retry_after()).max().unwrap_or(0)
    }
}
