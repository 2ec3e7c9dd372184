//! The generic cell rate algorithm (ITU-T I.371): a count in a period, and a burst at once.
//!
//! It keeps one time for each limited thing: the theoretical arrival time, when the limit is fully available again.
//! There are no windows, so no edge at which twice as many would pass.

/// At most a count in a period, and at most a burst at once. Times are in any unit, from any origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How far each one moves the time.
    interval: u64,
    /// How far the time may be ahead of now.
    ahead: u64,
}

impl Rate {
    /// `count` in `period` units of time, `burst` of them at once. Zero counts as one.
    ///
    /// ```
    /// use keyward_core::rules::rate::Rate;
    ///
    /// let rate = Rate::new(2, 1_000, 2);
    /// let first = rate.take(0, 5_000).unwrap();
    /// let second = rate.take(first, 5_000).unwrap();
    /// assert_eq!(rate.take(second, 5_000), Err(500));
    /// assert!(rate.take(second, 5_500).is_ok());
    /// ```
    pub const fn new(count: u64, period: u64, burst: u64) -> Self {
        // Rounded up, so that the rate never exceeds the limit.
        let interval = period.div_ceil(if count == 0 { 1 } else { count });
        let interval = if interval == 0 { 1 } else { interval };
        Self { interval, ahead: interval.saturating_mul(if burst == 0 { 1 } else { burst }) }
    }

    /// Takes one at `now`, given the stored `time`. Returns the time to store.
    ///
    /// # Errors
    /// The wait until one may be taken. Nothing is taken then.
    pub const fn take(self, time: u64, now: u64) -> Result<u64, u64> {
        let start = if time > now { time } else { now };
        let next = start.saturating_add(self.interval);
        match next.checked_sub(now.saturating_add(self.ahead)) {
            None | Some(0) => Ok(next),
            Some(wait) => Err(wait),
        }
    }
}

impl Rate {
    /// How many may be taken at 0, given the stored `time`.
    pub const fn remaining(self, time: u64) -> u64 {
        self.ahead.saturating_sub(time) / self.interval
    }

    /// The furthest that the time can be ahead of now.
    pub const fn most_ahead(self) -> u64 {
        self.ahead
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// No stretch of time lets through more than the burst plus the rate's share, and a caller who waits as long as
        /// told passes.
        #[test]
        fn no_more_passes_than_may(
            count in 1u64..50,
            burst in 1u64..50,
            gaps in prop::collection::vec(0u64..2_000, 1..300),
        ) {
            let (rate, interval) = (Rate::new(count, 10_000, burst), 10_000_u64.div_ceil(count));
            let (mut time, mut now, mut passed) = (0, 1_000_000, vec![]);
            for gap in gaps {
                now += gap;
                match rate.take(time, now) {
                    Ok(next) => {
                        time = next;
                        passed.push(now);
                    }
                    Err(wait) => {
                        prop_assert!(wait > 0 && wait <= interval);
                        prop_assert!(rate.take(time, now + wait).is_ok());
                        prop_assert!(rate.take(time, now + wait - 1).is_err());
                    }
                }
            }
            for (place, first) in passed.iter().enumerate() {
                for (more, last) in passed[place..].iter().enumerate() {
                    prop_assert!(more as u64 <= burst + (last - first) / interval);
                }
            }
        }
    }
}
