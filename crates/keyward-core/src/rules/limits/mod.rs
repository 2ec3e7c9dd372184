//! How often something may be done: at most N times in a period.
//!
//! | period | what holds |
//! |---|---|
//! | `1s` to `1h` | a rate: `N` in a period on average, `BURST` at once ([`super::rate`]); no window has an edge |
//! | `1d`, `1mo` | a quota: `N` in a day or a month of the calendar, in UTC |
//!
//! What has been used is a [`Meter`]: two numbers, whatever the limit is. Nothing here stores one, and nothing reads a
//! clock. What may break is a clock that goes backwards: even then, no caller waits longer than a period, and none gets
//! more than the limit by the clock in use. If the clock goes back into the previous day or month, nothing is left of
//! that one. If it was further ahead than a limit can get, that use is forgotten.

mod meter;
mod parse;
mod reckoning;

use std::fmt;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::names::InvalidText;

pub use meter::{Meter, Moment, Standing};
pub use reckoning::{Account, Reckoning, Whose};

/// The greatest count and the greatest burst.
pub const MOST_COUNT: u64 = 1_000_000_000;
/// The most limits that one thing may have.
pub const MOST_LIMITS: usize = 8;

/// The time in which the count of a limit may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    length: Length,
    /// The number as written: `60s` and `1m` are the same length.
    number: u16,
    unit: Unit,
}

/// How long a period is; shorter periods compare as less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Length {
    /// A number of seconds, at most an hour.
    Seconds(u16),
    /// A day of the calendar, in UTC.
    Day,
    /// A month of the calendar, in UTC.
    Month,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Month,
}

impl Period {
    /// How long it is.
    pub fn length(self) -> Length {
        self.length
    }

    /// Whether a limit with this period is a quota, not a rate.
    pub fn is_quota(self) -> bool {
        matches!(self.length, Length::Day | Length::Month)
    }

    /// Its length in seconds; for a month, the longest month.
    pub fn seconds(self) -> u64 {
        match self.length {
            Length::Seconds(seconds) => seconds.into(),
            Length::Day => 86_400,
            Length::Month => 31 * 86_400,
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => "s",
            Unit::Minute => "m",
            Unit::Hour => "h",
            Unit::Day => "d",
            Unit::Month => "mo",
        };
        write!(f, "{}{unit}", self.number)
    }
}

/// At most N times in a period.
///
/// ```
/// use keyward_core::rules::limits::Limit;
///
/// let limit: Limit = "100/1m:20".parse().unwrap();
/// assert_eq!((limit.count(), limit.burst(), limit.period().to_string().as_str()), (100, Some(20), "1m"));
/// assert_eq!("100/1m".parse::<Limit>().unwrap().burst(), Some(100));
/// assert_eq!("10000/1d".parse::<Limit>().unwrap().burst(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    count: u64,
    period: Period,
    /// Only if it differs from the count.
    burst: Option<u64>,
}

impl Limit {
    /// How many may pass in a period.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The period.
    pub fn period(&self) -> Period {
        self.period
    }

    /// How many may pass at once: the count, unless another number was given. A quota has none.
    pub fn burst(&self) -> Option<u64> {
        if self.period.is_quota() { None } else { Some(self.burst.unwrap_or(self.count)) }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.period)?;
        match self.burst {
            Some(burst) if burst != self.count => write!(f, ":{burst}"),
            _ => Ok(()),
        }
    }
}

/// `{"count","period","burst"}`: the period as a text, the burst a number for periods of up to an hour, and null for a
/// day or a month.
impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut limit = serializer.serialize_struct("Limit", 3)?;
        limit.serialize_field("count", &self.count)?;
        limit.serialize_field("period", &format_args!("{}", self.period))?;
        limit.serialize_field("burst", &self.burst())?;
        limit.end()
    }
}

/// The limits of one thing: at most one per period, the shortest period first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits(Vec<Limit>);

impl Limits {
    /// Collects limits.
    ///
    /// # Errors
    /// If two have the same period, or there are too many.
    pub fn new(limits: impl IntoIterator<Item = Limit>) -> Result<Self, InvalidText> {
        let mut all = Self::default();
        for limit in limits {
            if let Some(other) = all.of(limit.period.length) {
                let message = format!("{other} and {limit} are limits of the same period; give one of them");
                return Err(InvalidText::new(message));
            }
            all.set(limit)?;
        }
        Ok(all)
    }

    /// Replaces the limit with the same period, or adds this one to the others.
    ///
    /// # Errors
    /// If there would be too many.
    pub fn set(&mut self, limit: Limit) -> Result<(), InvalidText> {
        let before = self.clone();
        self.put(limit);
        self.check().inspect_err(|_| *self = before)
    }

    /// The same without a check of the number: call [`Limits::check`] after the last one.
    pub fn put(&mut self, limit: Limit) {
        self.remove(limit.period);
        self.0.push(limit);
        self.0.sort_by_key(|limit| limit.period.length);
    }

    /// Checks that there are not too many.
    ///
    /// # Errors
    /// If there are too many.
    pub fn check(&self) -> Result<(), InvalidText> {
        if self.0.len() <= MOST_LIMITS {
            return Ok(());
        }
        Err(InvalidText::new(format!("there may be {MOST_LIMITS} limits, and no more")))
    }

    /// Removes the limit with this period. Returns whether there was one.
    pub fn remove(&mut self, period: Period) -> bool {
        let before = self.0.len();
        self.0.retain(|limit| limit.period.length != period.length);
        self.0.len() < before
    }

    /// The limit with a period of this length.
    pub fn of(&self, length: Length) -> Option<&Limit> {
        self.0.iter().find(|limit| limit.period.length == length)
    }

    /// Whether these limits let nothing through that the others would refuse.
    pub fn is_as_strict_as(&self, others: &Self) -> bool {
        others.0.iter().all(|other| {
            self.of(other.period.length).is_some_and(|own| own.count <= other.count && own.burst() <= other.burst())
        })
    }

    /// All of them, the shortest period first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Limit> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Separated by blanks.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, limit) in self.0.iter().enumerate() {
            write!(f, "{}{limit}", if number == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
