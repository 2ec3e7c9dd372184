//! How often keys were used: calls, by their result.

use serde::Serialize;

/// The result of a request made with a genuine secret of a working key.
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
    /// The result of a decision with this HTTP status; `None` if no key was used: for 401, and if nothing could be
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

/// Numbers of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Calls {
    /// Calls that were allowed.
    pub allowed: u64,
    /// Calls that the key may not make.
    pub forbidden: u64,
    /// Calls that a limit refused.
    pub limited: u64,
}

impl Calls {
    /// Counts one more call.
    pub fn add(&mut self, call: Call) {
        let number = match call {
            Call::Allowed => &mut self.allowed,
            Call::Forbidden => &mut self.forbidden,
            Call::Limited => &mut self.limited,
        };
        *number = number.saturating_add(1);
    }

    /// Adds the numbers of `other`.
    pub fn merge(&mut self, other: Self) {
        self.allowed = self.allowed.saturating_add(other.allowed);
        self.forbidden = self.forbidden.saturating_add(other.forbidden);
        self.limited = self.limited.saturating_add(other.limited);
    }

    /// The total.
    pub fn all(&self) -> u64 {
        self.allowed.saturating_add(self.forbidden).saturating_add(self.limited)
    }
}
