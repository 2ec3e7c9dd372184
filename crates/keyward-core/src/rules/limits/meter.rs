//! What has been used of a limit, and what is left.

use jiff::Timestamp;

use super::{Length, Limit};
use crate::rules::calendar::Unit;
use crate::rules::rate::Rate;

/// A moment in ticks of 100 nanoseconds since 1970. This is fine enough for 10 million a second, and the year 9999
/// still fits into 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub(super) i64);

const TICKS: i64 = 10_000_000;
/// The longest that a request may be in flight: ten seconds.
const WAITED: i64 = 10 * TICKS;

impl Moment {
    /// The tick that contains this time.
    pub fn of(time: Timestamp) -> Self {
        Self(time.as_second().saturating_mul(TICKS).saturating_add(i64::from(time.subsec_nanosecond()) / 100))
    }

    /// Its ticks.
    pub fn ticks(self) -> i64 {
        self.0
    }

    /// The time at its start.
    pub fn time(self) -> Timestamp {
        let nanos = i32::try_from(self.0.rem_euclid(TICKS) * 100).unwrap_or(0);
        Timestamp::new(self.0.div_euclid(TICKS), nanos).unwrap_or(if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }
}

/// What has been used of a limit: for a rate, its theoretical arrival time in ticks; for a quota, the second at which
/// its day or month began, and the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    /// The time.
    pub mark: i64,
    /// The number.
    pub used: u64,
}

impl Default for Meter {
    /// Nothing used yet.
    fn default() -> Self {
        Self { mark: i64::MIN, used: 0 }
    }
}

/// How much of a limit is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How many requests may pass now.
    pub remaining: u64,
    /// Ticks until one may pass; 0 if one may pass now.
    pub wait: u64,
    /// When the limit is fully available again.
    pub full_at: Timestamp,
}

impl Standing {
    /// Whole seconds until one may pass, rounded up: at least 1 if none may pass now.
    pub fn retry_after(&self) -> u64 {
        self.wait.div_ceil(TICKS.unsigned_abs())
    }
}

impl Limit {
    /// The second at which the current day or month of a quota began: a meter with another mark belongs to another one.
    pub fn window(&self, now: Moment) -> Option<i64> {
        self.period.is_quota().then(|| window(self.period.length, now).0)
    }

    /// The meter, corrected for this clock. One that is further ahead than a limit can get was written by a wrong
    /// clock: it would otherwise stay used up until that time.
    #[must_use]
    pub fn mended(&self, meter: Meter, now: Moment) -> Meter {
        match self.period.length {
            // The caller may have waited after reading the clock: others may have read it later and gone first.
            Length::Seconds(_) => {
                let most = now.0.saturating_add_unsigned(self.rate().most_ahead());
                if meter.mark > most.saturating_add(WAITED) { Meter { mark: most, ..meter } } else { meter }
            }
            // The next day or month may have begun before the clock went back a little.
            length if meter.mark > window(length, now).1 => Meter::default(),
            _ => meter,
        }
    }

    /// How much is left.
    pub fn standing(&self, meter: Meter, now: Moment) -> Standing {
        match self.period.length {
            Length::Seconds(_) => self.of_rate(meter, now),
            Length::Day | Length::Month => {
                let (start, end) = window(self.period.length, now);
                // The meter says nothing about another day or month: its keeper looks up what was used in this one. If
                // the mark is that of the next one, the use of this one is no longer known, and it counts as used up.
                let used = match meter.mark {
                    mark if mark == start => meter.used,
                    mark if mark == end => self.count,
                    _ => 0,
                };
                let remaining = self.count.saturating_sub(used);
                let until = end.saturating_mul(TICKS).saturating_sub(now.0).max(1).unsigned_abs();
                let full_at = if used == 0 { now.time() } else { Moment(end.saturating_mul(TICKS)).time() };
                Standing { remaining, wait: if remaining == 0 { until } else { 0 }, full_at }
            }
        }
    }

    fn of_rate(&self, meter: Meter, now: Moment) -> Standing {
        let (rate, ahead) = (self.rate(), self.ahead(meter, now));
        let remaining = rate.remaining(ahead);
        let wait = rate.take(ahead, 0).err().unwrap_or(0);
        let full_at = Moment(now.0.saturating_add_unsigned(ahead)).time();
        Standing { remaining, wait, full_at }
    }

    /// Takes one, if one may be taken.
    #[must_use]
    pub fn take(&self, meter: Meter, now: Moment) -> Meter {
        match self.period.length {
            Length::Seconds(_) => {
                let ahead = self.ahead(meter, now);
                let next = self.rate().take(ahead, 0).unwrap_or(ahead);
                Meter { mark: now.0.saturating_add_unsigned(next), used: 0 }
            }
            length => {
                let (start, _) = window(length, now);
                let used = if meter.mark == start { meter.used } else { 0 };
                Meter { mark: start, used: used.saturating_add(1) }
            }
        }
    }

    fn rate(&self) -> Rate {
        let ticks = self.period.seconds().saturating_mul(TICKS.unsigned_abs());
        Rate::new(self.count, ticks, self.burst().unwrap_or(self.count))
    }

    /// How far the arrival time of a rate is ahead of now. After a clock has gone back, this is capped at the most that
    /// is allowed, so that no caller waits longer than for one.
    fn ahead(&self, meter: Meter, now: Moment) -> u64 {
        let ahead = u64::try_from(meter.mark.saturating_sub(now.0)).unwrap_or(0);
        ahead.min(self.rate().most_ahead())
    }
}

/// The seconds at which a day or a month begins and ends, in UTC.
fn window(length: Length, now: Moment) -> (i64, i64) {
    let unit = if length == Length::Day { Unit::Day } else { Unit::Month };
    unit.around(now.0.div_euclid(TICKS))
}
