//! What has been used of a limit, and what is left.

use jiff::Timestamp;

use super::{Length, Limit};
use crate::rules::calendar::Unit;
use crate::rules::rate::Rate;

/// A moment in ticks of 100 nanoseconds since 1970. They are fine enough for 10 million a second, and those of the year
/// 9999 fit into 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub(super) i64);

const TICKS: i64 = 10_000_000;
/// As long as a request may be on its way: ten seconds.
const WAITED: i64 = 10 * TICKS;

impl Moment {
    /// The tick that this time is in.
    pub fn of(time: Timestamp) -> Self {
        Self(time.as_second().saturating_mul(TICKS).saturating_add(i64::from(time.subsec_nanosecond()) / 100))
    }

    /// Its ticks.
    pub fn ticks(self) -> i64 {
        self.0
    }

    /// The time at its beginning.
    pub fn time(self) -> Timestamp {
        let nanos = i32::try_from(self.0.rem_euclid(TICKS) * 100).unwrap_or(0);
        Timestamp::new(self.0.div_euclid(TICKS), nanos).unwrap_or(if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }
}

/// What has been used of a limit: of a rate its theoretical arrival time, in ticks; of a quota the second at which its day
/// or month began, and the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    /// The time.
    pub mark: i64,
    /// The number.
    pub used: u64,
}

impl Default for Meter {
    /// Nothing was ever used.
    fn default() -> Self {
        Self { mark: i64::MIN, used: 0 }
    }
}

/// How much of a limit is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How many may be taken now.
    pub remaining: u64,
    /// Ticks until one may be taken; 0 where one may be taken now.
    pub wait: u64,
    /// When as many as there may ever be are left again.
    pub full_at: Timestamp,
}

impl Standing {
    /// Whole seconds until one may be taken, rounded up: at least 1 where none may be taken now.
    pub fn retry_after(&self) -> u64 {
        self.wait.div_ceil(TICKS.unsigned_abs())
    }
}

impl Limit {
    /// The second at which the day or the month of a quota began: a meter that has another mark is of another one.
    pub fn window(&self, now: Moment) -> Option<i64> {
        self.period.is_quota().then(|| window(self.period.length, now).0)
    }

    /// The meter as it can be by this clock. One that is further ahead than a limit ever gets was written by a clock that
    /// was wrong: it would otherwise stay used up until that time has come.
    #[must_use]
    pub fn mended(&self, meter: Meter, now: Moment) -> Meter {
        match self.period.length {
            // Who asks may have waited since they looked at the clock: others have come after that, and went before.
            Length::Seconds(_) => {
                let most = now.0.saturating_add_unsigned(self.rate().most_ahead());
                if meter.mark > most.saturating_add(WAITED) { Meter { mark: most, ..meter } } else { meter }
            }
            // The next day or month may have begun before the clock went back a little.
            length if meter.mark > window(length, now).1 => Meter::default(),
            _ => meter,
        }
    }

    /// What is left.
    pub fn standing(&self, meter: Meter, now: Moment) -> Standing {
        match self.period.length {
            Length::Seconds(_) => self.of_rate(meter, now),
            Length::Day | Length::Month => {
                let (start, end) = window(self.period.length, now);
                // Of another day or month nothing is known here: whoever keeps the meter looks up what was used in this one.
                // How much of this one was used before the next one began, nobody knows any more.
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

    /// Takes one, where one may be taken.
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

    /// How far ahead of the present the arrival time of a rate is. After a clock has gone back, it is at most as far as it
    /// may be: nobody waits longer than for one.
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
