//! How often keys were used: calls, by what came of them.

use serde::Serialize;

/// What came of a request that was made with a genuine secret of a key that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// It was allowed (200).
    Allowed,
    /// The key may not do this (403).
    Forbidden,
    /// A limit was used up (429).
    Limited,
}

impl Call {
    /// What came of a decision with this HTTP status; `None` where no key was used: with 401, and where nothing could be
    /// checked.
    pub fn of(status: u16) -> Option<Self> {
        match status {
            200 => Some(Self::Allowed),
            403 => Some(Self::Forbidden),
            429 => Some(Self::Limited),
            _ => None,
        }
    }
}

/// So many calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Calls {
    /// Those that were allowed.
    pub allowed: u64,
    /// Those that the key may not make.
    pub forbidden: u64,
    /// Those that a limit refused.
    pub limited: u64,
}

impl Calls {
    /// One more.
    pub fn add(&mut self, call: Call) {
        let number = match call {
            Call::Allowed => &mut self.allowed,
            Call::Forbidden => &mut self.forbidden,
            Call::Limited => &mut self.limited,
        };
        *number = number.saturating_add(1);
    }

    /// Those of another number too.
    pub fn merge(&mut self, other: Self) {
        self.allowed = self.allowed.saturating_add(other.allowed);
        self.forbidden = self.forbidden.saturating_add(other.forbidden);
        self.limited = self.limited.saturating_add(other.limited);
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.allowed.saturating_add(self.forbidden).saturating_add(self.limited)
    }
}
