//! Hours, days and months of the calendar, in UTC.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::names::InvalidText;

/// Seconds in an hour.
pub const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A part of the calendar; when one ends, the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
}

impl Unit {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The start of the unit that contains this second, and the start of the next, in seconds since 1970.
    pub fn around(self, second: i64) -> (i64, i64) {
        let day = second.div_euclid(DAY).saturating_mul(DAY);
        match self {
            Self::Hour => {
                let hour = second.div_euclid(HOUR).saturating_mul(HOUR);
                (hour, hour.saturating_add(HOUR))
            }
            Self::Day => (day, day.saturating_add(DAY)),
            Self::Month => {
                let bound = if second < 0 { Timestamp::MIN } else { Timestamp::MAX };
                let date = TimeZone::UTC.to_datetime(Timestamp::from_second(second).unwrap_or(bound)).date();
                let start = second_of(date.first_of_month()).unwrap_or(day);
                let next = date.first_of_month().checked_add(Span::new().months(1)).ok();
                // The last representable month has no next one.
                let end = next.and_then(second_of);
                (start, end.unwrap_or_else(|| start.saturating_add(i64::from(date.days_in_month()) * DAY)))
            }
        }
    }
}

fn second_of(date: Date) -> Option<i64> {
    date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_second())
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Unit {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let found = Self::ALL.into_iter().find(|unit| unit.as_str() == text);
        found.ok_or_else(|| InvalidText::new("say hour, day or month"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn a_second_is_in_the_hour_the_day_and_the_month_of_the_calendar() {
        for (at, unit, start, end) in [
            ("2026-02-28T23:59:59Z", Unit::Hour, "2026-02-28T23:00:00Z", "2026-03-01T00:00:00Z"),
            ("2026-02-28T23:00:00Z", Unit::Hour, "2026-02-28T23:00:00Z", "2026-03-01T00:00:00Z"),
            ("2026-02-28T23:59:59Z", Unit::Day, "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2026-02-28T23:59:59Z", Unit::Month, "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2024-02-29T00:00:00Z", Unit::Month, "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("2026-12-31T12:00:00Z", Unit::Month, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("1969-12-31T23:30:00Z", Unit::Hour, "1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z"),
            ("1969-12-31T23:30:00Z", Unit::Month, "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(unit.around(second(at)), (second(start), second(end)), "{at} {unit}");
        }
    }

    #[test]
    fn the_last_month_ends_although_there_is_no_next_one() {
        let (start, end) = Unit::Month.around(second("9999-12-30T00:00:00Z"));
        assert_eq!((start, end - start), (second("9999-12-01T00:00:00Z"), 31 * DAY));
        for unit in Unit::ALL {
            // A store may hold any number.
            for second in [i64::MIN, i64::MAX] {
                let (start, end) = unit.around(second);
                assert!(start <= end, "{unit} {second}");
            }
        }
    }
}
