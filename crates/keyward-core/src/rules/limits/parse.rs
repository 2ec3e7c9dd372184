//! Limits as people write them: `100/1m`, `100/1m:20`, `10000/1d`.

use std::str::FromStr;

use super::{Length, Limit, Limits, MOST_COUNT, Period, Unit};
use crate::rules::names::InvalidText;

impl FromStr for Period {
    type Err = InvalidText;

    /// `1s` to `1h`, `1d` or `1mo`.
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let wrong = || InvalidText::new(format!("{text:?} is not a period: write 1s to 1h, 1d or 1mo"));
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let number: u16 = canonical(number).ok_or_else(wrong)?;
        let (unit, seconds) = match unit {
            "s" => (Unit::Second, 1),
            "m" => (Unit::Minute, 60),
            "h" => (Unit::Hour, 3_600),
            "d" if number == 1 => return Ok(Self { length: Length::Day, number, unit: Unit::Day }),
            "mo" if number == 1 => return Ok(Self { length: Length::Month, number, unit: Unit::Month }),
            _ => return Err(wrong()),
        };
        let seconds = number.checked_mul(seconds).filter(|seconds| (1..=3_600).contains(seconds)).ok_or_else(wrong)?;
        Ok(Self { length: Length::Seconds(seconds), number, unit })
    }
}

impl FromStr for Limit {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let wrong =
            || InvalidText::new(format!("{text:?} is not a limit: write 100/1m, 100/1m:20, 10000/1d or 50000/1mo"));
        let (count, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (period, burst) = match rest.split_once(':') {
            Some((period, burst)) => (period, Some(burst)),
            None => (rest, None),
        };
        let count = number(count).ok_or_else(wrong)?;
        let burst = burst.map(|burst| number(burst).ok_or_else(wrong)).transpose()?;
        Self::new(count, period.parse()?, burst)
    }
}

impl Limit {
    /// At most `count` in a period, of which `burst` may come at once.
    ///
    /// # Errors
    /// If a number is out of range, or a quota has a burst.
    pub fn new(count: u64, period: Period, burst: Option<u64>) -> Result<Self, InvalidText> {
        let is_in_range = |number: &u64| (1..=MOST_COUNT).contains(number);
        if !is_in_range(&count) || !burst.as_ref().is_none_or(is_in_range) {
            return Err(InvalidText::new("a limit and its burst are numbers from 1 to 1000000000"));
        }
        if period.is_quota() && burst.is_some() {
            return Err(InvalidText::new(format!("a limit for {period} has no burst: write {count}/{period}")));
        }
        // The same limit, however it was written.
        Ok(Self { count, period, burst: burst.filter(|burst| *burst != count) })
    }
}

fn number(text: &str) -> Option<u64> {
    canonical(text)
}

/// A number as it is printed: no sign, no leading zero.
fn canonical<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number: &T| number.to_string() == text)
}

/// Limits separated by blanks, as the store keeps them.
impl FromStr for Limits {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let limits = text.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<Limit>, _>>()?;
        Self::new(limits)
    }
}
