//! One limit by its definition, for several gates and a one-shot verifier.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};

use super::{ACTORS, GATES};
use crate::rules::limits::Limit;

const TICKS: i128 = 10_000_000;

/// One limit by its definition.
pub(super) struct Account {
    pub(super) limit: Limit,
    /// What the store knows, and what each gate knows that has taken one before.
    stored: Known,
    pub(super) gates: [Option<Known>; GATES],
    /// What each gate has taken and not written.
    unwritten: [u64; GATES],
    /// The most of that in each day or month.
    most_unwritten: HashMap<String, [u64; GATES]>,
    /// All that were allowed: by which actor, when in ticks, and in which day or month.
    pub(super) log: Vec<(usize, i128, String)>,
}

/// For a quota, the calendar day or month as people write it, and how many were allowed in it. For a rate, the tick at
/// which its bucket will be empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Known {
    window: String,
    used: u64,
    empty_at: i128,
}

fn ticks(now: Timestamp) -> i128 {
    now.as_nanosecond().div_euclid(100)
}

impl Account {
    pub(super) fn new(limit: Limit, keeps: impl Fn(usize) -> bool) -> Self {
        Self {
            limit,
            stored: Known::default(),
            gates: std::array::from_fn(|gate| keeps(gate).then(Known::default)),
            unwritten: [0; GATES],
            most_unwritten: HashMap::new(),
            log: vec![],
        }
    }

    /// `2026-01-31`, `2026-01`, or nothing for a rate.
    fn window(&self, now: Timestamp) -> String {
        let date = now.to_zoned(TimeZone::UTC).date().to_string();
        match self.limit.period().to_string().as_str() {
            "1d" => date,
            "1mo" => date[..7].to_owned(),
            _ => String::new(),
        }
    }

    /// A gate reads from the store only what it does not hold itself.
    fn known(&self, actor: usize, now: Timestamp) -> &Known {
        let own = self.gates.get(actor).and_then(Option::as_ref);
        own.filter(|own| own.window == self.window(now)).unwrap_or(&self.stored)
    }

    /// How long a bucket takes to lose one, rounded up.
    fn interval(&self) -> i128 {
        let period = i128::from(self.limit.period().seconds()) * TICKS;
        period.div_euclid(self.limit.count().into()) + i128::from(period.rem_euclid(self.limit.count().into()) > 0)
    }

    pub(super) fn allows(&self, actor: usize, now: Timestamp) -> bool {
        let known = self.known(actor, now);
        match self.limit.burst() {
            None => known.window != self.window(now) || known.used < self.limit.count(),
            Some(burst) => {
                let level = (known.empty_at - ticks(now)).max(0);
                level + self.interval() <= self.interval() * i128::from(burst)
            }
        }
    }

    pub(super) fn take(&mut self, actor: usize, now: Timestamp) {
        let (window, is_quota) = (self.window(now), self.limit.burst().is_none());
        let mut known = self.known(actor, now).clone();
        if is_quota && known.window != window {
            known = Known { window: window.clone(), ..Known::default() };
        }
        if self.gates.get(actor).and_then(Option::as_ref).is_some_and(|own| own.window != window) {
            self.unwritten[actor] = 0;
        }
        known.used += 1;
        known.empty_at = known.empty_at.max(ticks(now)) + self.interval();
        self.log.push((actor, ticks(now), window.clone()));
        match self.gates.get_mut(actor) {
            Some(gate) => {
                *gate = Some(known);
                self.unwritten[actor] += 1;
                let most = self.most_unwritten.entry(window).or_default();
                most[actor] = most[actor].max(self.unwritten[actor]);
            }
            None => self.stored = known,
        }
    }

    /// A gate writes what it has taken, and learns what others have taken.
    pub(super) fn flush(&mut self, gate: usize) {
        let Some(own) = self.gates[gate].clone().filter(|_| self.unwritten[gate] > 0) else { return };
        let taken = std::mem::take(&mut self.unwritten[gate]);
        if self.limit.burst().is_some() {
            self.stored.empty_at = self.stored.empty_at.max(own.empty_at);
        } else if own.window == self.stored.window {
            self.stored.used += taken;
        } else if own.window > self.stored.window {
            self.stored = own;
        }
        self.gates[gate] = Some(self.stored.clone());
    }

    /// How many were allowed in a day or a month.
    pub(super) fn allowed_in(&self, window: &str) -> u64 {
        self.log.iter().filter(|(.., own)| own == window).count() as u64
    }

    /// In no stretch as long as the period did one process allow more than the count and the burst. In no day or month
    /// did all together allow more than the count plus what each gate took between two writes.
    pub(super) fn check_promise(&self) {
        let Some(burst) = self.limit.burst() else {
            for (.., window) in &self.log {
                let late: u64 = self.most_unwritten.get(window).map_or(0, |all| all.iter().sum());
                assert!(self.allowed_in(window) <= self.limit.count() + late, "{} in {window}", self.limit);
            }
            return;
        };
        let length = i128::from(self.limit.period().seconds()) * TICKS;
        for actor in 0..ACTORS {
            let own: Vec<_> = self.log.iter().filter(|(who, ..)| *who == actor).map(|(_, at, _)| *at).collect();
            for (place, first) in own.iter().enumerate() {
                let within = own[place..].iter().take_while(|at| **at < first + length).count();
                assert!(within as u64 <= self.limit.count() + burst, "{} by {actor}", self.limit);
            }
        }
    }
}
