//! Points in time and spans, as people and scripts write them.
//!
//! keyward counts whole seconds in UTC. Nothing here reads a clock: the caller that resolves a [`When`] passes the
//! current time in.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::names::InvalidText;
use super::text::count;

/// A length of time, zero or more, in whole seconds or calendar units: `90d`, `12h`, `2w`, `1d 6h`, `1y 6mo`. Days,
/// months and years follow the calendar, in UTC.
#[derive(Debug, Clone, Copy, Default)]
pub struct Duration(Span);

impl Duration {
    /// `from` plus this duration, or `None` if no such time can be written.
    pub fn after(self, from: Timestamp) -> Option<Timestamp> {
        let later = from.to_zoned(TimeZone::UTC).checked_add(self.0).ok()?;
        Some(whole_seconds(later.timestamp()))
    }

    /// Its length in seconds, counted from `from`.
    pub fn seconds_after(self, from: Timestamp) -> Option<u64> {
        u64::try_from(self.after(from)?.as_second() - from.as_second()).ok()
    }

    /// `from` minus this duration, or `None` if no such time can be written.
    pub fn before(self, from: Timestamp) -> Option<Timestamp> {
        let earlier = from.to_zoned(TimeZone::UTC).checked_sub(self.0).ok()?;
        Some(whole_seconds(earlier.timestamp()))
    }
}

impl Duration {
    /// A number of calendar days.
    pub fn of_days(days: u16) -> Self {
        Self(Span::new().days(i64::from(days)))
    }

    /// Whether it lasts at least this many seconds, measured from 1970-01-01.
    pub fn is_at_least(self, seconds: i64) -> bool {
        let shortest = Timestamp::from_second(0).ok().and_then(|start| self.seconds_after(start));
        shortest.is_none_or(|own| own >= seconds.unsigned_abs())
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

/// Equal if the units are the same: a day is not 24 hours.
impl PartialEq for Duration {
    fn eq(&self, other: &Self) -> bool {
        self.0.fieldwise() == other.0
    }
}

impl Eq for Duration {}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The short form of the words that it is parsed from: 90d, 1d 6h.
        write!(f, "{:#}", self.0)
    }
}

impl FromStr for Duration {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let span: Span = text.parse().map_err(|_| {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            if digits > 0 && digits == text.len() {
                InvalidText::new(format!("{text} of what? Add a unit: {text}d for days, {text}h for hours"))
            } else if digits > 6 {
                InvalidText::new("a duration cannot be so long")
            } else {
                InvalidText::new("not a duration: write it like 90d, 12h, 2w or 1d 6h")
            }
        })?;
        let fraction = span.get_milliseconds() != 0 || span.get_microseconds() != 0 || span.get_nanoseconds() != 0;
        if span.is_negative() {
            Err(InvalidText::new("a duration cannot be negative: write it like 90d, 12h, 2w or 1d 6h"))
        } else if fraction {
            Err(InvalidText::new("a duration has whole seconds"))
        } else {
            Ok(Self(span))
        }
    }
}

/// When something ends: a duration from now, a date, an RFC 3339 time, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It does not end.
    Never,
    /// This long from now.
    In(Duration),
    /// At this time.
    At(Timestamp),
}

impl When {
    /// The time that is meant, as of `now`; `None` for `never`.
    ///
    /// # Errors
    /// If the time lies beyond the year 9999.
    pub fn resolve(self, now: Timestamp) -> Result<Option<Timestamp>, InvalidText> {
        match self {
            Self::Never => Ok(None),
            Self::At(time) => Ok(Some(time)),
            Self::In(duration) => match duration.after(now) {
                Some(time) => Ok(Some(time)),
                None => Err(InvalidText::new("that is after the year 9999: use never")),
            },
        }
    }
}

impl FromStr for When {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Some(time) = parse_time(text) {
            return Ok(Self::At(time));
        }
        match text.parse::<Duration>() {
            Ok(duration) => Ok(Self::In(duration)),
            Err(_) if text.parse::<Date>().is_ok_and(|date| date.year() == 9999) => {
                Err(InvalidText::new("that is later than any time that can be told: use never"))
            }
            Err(error) if error.to_string().starts_with("not a duration") => Err(InvalidText::new(
                "not a time: write a duration (90d, 12h, 1d 6h), a date (2030-01-31, which is its first \
                 moment in UTC), an RFC 3339 time (2030-01-31T12:00:00Z), or never",
            )),
            Err(error) => Err(error),
        }
    }
}

/// A time in the past from which something counts: a duration back from now, a date, or an RFC 3339 time.
#[derive(Debug, Clone, Copy)]
pub enum Since {
    /// This long ago.
    Ago(Duration),
    /// From this time on.
    At(Timestamp),
}

impl Since {
    /// The time that is meant, as of `now`.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(duration) => duration.before(now).unwrap_or(Timestamp::MIN),
            Self::At(time) => time,
        }
    }
}

impl FromStr for Since {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        if let Some(time) = parse_time(text) {
            return Ok(Self::At(time));
        }
        text.parse().map(Self::Ago).map_err(|_| {
            InvalidText::new("not a time: write how long ago (7d, 12h), a date (2026-01-31), or an RFC 3339 time")
        })
    }
}

/// A date (its first moment in UTC) or an RFC 3339 time.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    // jiff accepts more civil dates than RFC 3339; only those of exactly ten characters count.
    if text.len() == 10
        && let Ok(date) = text.parse::<Date>()
    {
        let midnight = date.to_zoned(TimeZone::UTC).ok()?;
        return Some(midnight.timestamp());
    }
    text.parse().ok().map(whole_seconds)
}

/// The system's time. It can hold times that no [`Timestamp`] can: they become the last or the first timestamp, so that
/// everything with an end has ended if the clock is beyond the year 9999.
pub fn from_system(time: SystemTime) -> Timestamp {
    let end = if time < SystemTime::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::try_from(time).unwrap_or(end)
}

/// The time without its fraction of a second.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    // Rounding down to a second that the type can hold cannot fail; if it did, the time would stay as it is.
    let seconds = time.as_nanosecond().div_euclid(1_000_000_000);
    i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(time)
}

/// RFC 3339 in UTC with a `Z` and whole seconds: the form of every time in JSON documents.
pub fn rfc3339(time: Timestamp) -> Rfc3339 {
    Rfc3339(time)
}

/// Displays and serialises in the form of [`rfc3339`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339(Timestamp);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", whole_seconds(self.0))
    }
}

impl serde::Serialize for Rfc3339 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How far `time` lies from `now`, in words: `in 2 weeks`, `3 days ago`, `now`.
pub fn relative(time: Timestamp, now: Timestamp) -> String {
    let seconds = time.as_second() - now.as_second();
    let size = seconds.unsigned_abs();
    // To the nearest unit, so that "in 90 days" still reads the same a minute later.
    let nearest = |unit: u64| (size + unit / 2) / unit;
    let amount = match size {
        0 => return "now".to_owned(),
        1..60 => count(size, "second"),
        60..3_600 => count(nearest(60), "minute"),
        3_600..86_400 => count(nearest(3_600), "hour"),
        86_400..1_209_600 => count(nearest(86_400), "day"),
        1_209_600..5_184_000 => count(nearest(604_800), "week"),
        5_184_000..63_072_000 => count(nearest(2_592_000), "month"),
        _ => count(nearest(31_536_000), "year"),
    };
    if seconds > 0 { format!("in {amount}") } else { format!("{amount} ago") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn times_that_people_write() {
        for (text, means) in [
            ("90d", "2026-05-01T12:00:00Z"),
            ("12h", "2026-02-01T00:00:00Z"),
            ("2w", "2026-02-14T12:00:00Z"),
            ("1d 6h", "2026-02-01T18:00:00Z"),
            ("1mo", "2026-02-28T12:00:00Z"),
            ("1y", "2027-01-31T12:00:00Z"),
            ("30 days", "2026-03-02T12:00:00Z"),
            ("P1D", "2026-02-01T12:00:00Z"),
            ("2027-03-04", "2027-03-04T00:00:00Z"),
            ("2027-03-04T05:06:07Z", "2027-03-04T05:06:07Z"),
            ("2027-03-04T05:06:07.9+01:00", "2027-03-04T04:06:07Z"),
        ] {
            let when: When = text.parse().unwrap();
            let time = when.resolve(now()).unwrap().unwrap();
            assert_eq!(rfc3339(time).to_string(), means, "{text}");
        }
        assert!("never".parse::<When>().unwrap().resolve(now()).unwrap().is_none());
    }

    #[test]
    fn what_is_no_time_is_refused_with_a_hint() {
        for (text, says) in [
            ("90", "Add a unit: 90d"),
            ("-3d", "cannot be negative"),
            ("3d ago", "cannot be negative"),
            ("soon", "not a time"),
            ("", "not a time"),
            ("2027-02-30", "not a time"),
            ("1.5s", "whole seconds"),
            ("99999999d", "cannot be so long"),
            ("9999-12-31", "use never"),
            ("NEVER", "not a time"),
        ] {
            let error = text.parse::<When>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!("9000y".parse::<When>().unwrap().resolve(now()).is_err());
    }

    #[test]
    fn durations_are_shown_as_they_are_read() {
        for text in ["90d", "12h", "2w", "1d 6h", "1y 6mo"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_system_time_that_cannot_be_told_is_the_nearest_that_can() {
        let system = |second: i64| {
            let length = std::time::Duration::from_secs(second.unsigned_abs());
            let epoch = SystemTime::UNIX_EPOCH;
            if second < 0 { epoch.checked_sub(length) } else { epoch.checked_add(length) }
        };
        let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        for (second, told) in [
            (i64::MIN, first),
            (first - 1, first),
            (first, first),
            (-1, -1),
            (0, 0),
            (last, last),
            (last + 1, last),
            (253_402_300_800, last),
            (i64::MAX, last),
        ] {
            assert_eq!(whole_seconds(from_system(system(second).unwrap())).as_second(), told, "{second}");
        }
    }

    proptest! {
        /// Any second that a clock can give, often the ends of the range and their neighbours.
        #[test]
        fn no_clock_makes_a_conversion_fail(
            second in prop_oneof![
                any::<i64>(),
                Timestamp::MIN.as_second() - 10..Timestamp::MIN.as_second() + 1_000_000,
                Timestamp::MAX.as_second() - 1_000_000..Timestamp::MAX.as_second() + 10,
                -1_000_000i64..1_000_000,
            ],
            other in any::<i64>(),
            duration in prop_oneof![Just("0s"), Just("1s"), Just("90d"), Just("1y 6mo"), Just("9999y"), Just("19998y")],
        ) {
            let length = std::time::Duration::from_secs(second.unsigned_abs());
            let epoch = SystemTime::UNIX_EPOCH;
            let system = if second < 0 { epoch.checked_sub(length) } else { epoch.checked_add(length) };
            let now = whole_seconds(from_system(system.unwrap()));
            let other = Timestamp::from_second(other % Timestamp::MAX.as_second()).unwrap();
            prop_assert_eq!(now.as_second(), second.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second()));
            // What is shown can be read back, within the years of RFC 3339.
            let shown = rfc3339(now).to_string();
            prop_assert!(shown.starts_with('-') || parse_time(&shown) == Some(now), "{}", shown);
            relative(now, other);
            relative(other, now);
            let duration: Duration = duration.parse().unwrap();
            prop_assert!(duration.after(now).is_none_or(|after| after >= now));
            prop_assert!(duration.before(now).is_none_or(|before| before <= now));
            duration.seconds_after(now);
            let _ = When::In(duration).resolve(now);
            prop_assert!(Since::Ago(duration).resolve(now) <= now);
        }
    }

    #[test]
    fn relative_times_read_like_speech() {
        for (seconds, words) in [
            (0, "now"),
            (1, "in 1 second"),
            (-59, "59 seconds ago"),
            (3_600, "in 1 hour"),
            (-86_400 * 3, "3 days ago"),
            (86_400 * 14, "in 2 weeks"),
            (86_400 * 90, "in 3 months"),
            (86_400 * 90 - 1, "in 3 months"),
            (-86_400 * 800, "2 years ago"),
        ] {
            let time = Timestamp::from_second(now().as_second() + seconds).unwrap();
            assert_eq!(relative(time, now()), words);
        }
    }
}
