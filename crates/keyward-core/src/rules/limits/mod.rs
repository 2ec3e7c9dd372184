//! How often something may be done: so many in a period, at most.
//!
//! | period | what holds |
//! |---|---|
//! | `1s` to `1h` | a rate: `N` in a period on the average, `BURST` at once ([`super::rate`]); no window has an edge |
//! | `1d`, `1mo` | a quota: `N` in a day or a month of the calendar, in UTC |
//!
//! What has been used is a [`Meter`]: two numbers, whatever the limit is. Nothing here keeps one, and nothing reads a
//! clock. What may break is a clock that goes backwards: then nobody waits longer than a period, and nobody gets more
//! than the limit by the clock that is used. Where it goes back into the day or month before, nothing is left of that one;
//! where it was further ahead than a limit ever gets, that is forgotten.

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
/// As many limits as one thing may have.
pub const MOST_LIMITS: usize = 8;

/// In which time the count of a limit may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    length: Length,
    /// As it was written: `60s` and `1m` are the same length.
    number: u16,
    unit: Unit,
}

/// How long a period is; the shorter one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Length {
    /// So many seconds, an hour at most.
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

    /// Whether a limit of it is a quota, and not a rate.
    pub fn is_quota(self) -> bool {
        matches!(self.length, Length::Day | Length::Month)
    }

    /// The seconds of it; of a month the longest.
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

/// So many in a period, at most.
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
    /// Where it is another number than the count.
    burst: Option<u64>,
}

impl Limit {
    /// How many there may be in a period.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// In which time.
    pub fn period(&self) -> Period {
        self.period
    }

    /// How many may come at once: as many as in a period, unless another number was given. A quota has none.
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

/// `{"count","period","burst"}`: the period as a text, the burst a number up to an hour, and null for a day and a month.
impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut limit = serializer.serialize_struct("Limit", 3)?;
        limit.serialize_field("count", &self.count)?;
        limit.serialize_field("period", &format_args!("{}", self.period))?;
        limit.serialize_field("burst", &self.burst())?;
        limit.end()
    }
}

/// The limits of one thing: one a period at most, the shortest period first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits(Vec<Limit>);

impl Limits {
    /// These.
    ///
    /// # Errors
    /// Where two have the same period, or there are too many.
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

    /// Puts a limit in the place of that of the same period, or beside the others.
    ///
    /// # Errors
    /// Where there would be too many.
    pub fn set(&mut self, limit: Limit) -> Result<(), InvalidText> {
        let before = self.clone();
        self.put(limit);
        self.check().inspect_err(|_| *self = before)
    }

    /// The same, however many there are then: whoever puts several checks them at the end.
    pub fn put(&mut self, limit: Limit) {
        self.remove(limit.period);
        self.0.push(limit);
        self.0.sort_by_key(|limit| limit.period.length);
    }

    /// Whether there are as many as there may be.
    ///
    /// # Errors
    /// Where there are too many.
    pub fn check(&self) -> Result<(), InvalidText> {
        if self.0.len() <= MOST_LIMITS {
            return Ok(());
        }
        Err(InvalidText::new(format!("there may be {MOST_LIMITS} limits, and no more")))
    }

    /// Takes away the limit of a period. Returns whether there was one.
    pub fn remove(&mut self, period: Period) -> bool {
        let before = self.0.len();
        self.0.retain(|limit| limit.period.length != period.length);
        self.0.len() < before
    }

    /// The limit of a period of this length.
    pub fn of(&self, length: Length) -> Option<&Limit> {
        self.0.iter().find(|limit| limit.period.length == length)
    }

    /// Whether nothing passes these that would not pass the others.
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

/// With blanks in between.
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
