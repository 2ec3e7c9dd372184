//! Suppresses equal lines when there are too many: they are counted instead of written.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Mutex, PoisonError};

/// How many equal lines are written in a second.
const MOST: u64 = 100;
/// How many kinds of lines are distinguished within a second. Any beyond that count as one kind.
const KINDS: usize = 1_024;

/// Counts the lines of the current second.
#[derive(Default)]
pub(super) struct Suppression(Mutex<Second>);

#[derive(Default)]
struct Second {
    number: i64,
    seen: HashMap<u64, u64>,
    /// How many lines of each kind were not written in an earlier second and are still to be reported.
    owed: HashMap<u64, u64>,
}

/// What happens to a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is written, with the number of equal lines that were not.
    Written(u64),
    /// It is only counted.
    Counted,
}

impl Suppression {
    /// Decides about a line of this kind.
    pub(super) fn fate(&self, second: i64, kind: impl Hash) -> Fate {
        let mut hasher = DefaultHasher::new();
        kind.hash(&mut hasher);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        if state.number != second {
            state.number = second;
            for (kind, count) in state.seen.drain().filter(|(_, count)| *count > MOST) {
                // Some kinds may never occur again.
                let is_known = state.owed.len() < KINDS || state.owed.contains_key(&kind);
                *state.owed.entry(if is_known { kind } else { 0 }).or_default() += count - MOST;
            }
        }
        let kind =
            if state.seen.len() >= KINDS && !state.seen.contains_key(&hasher.finish()) { 0 } else { hasher.finish() };
        let count = state.seen.entry(kind).or_default();
        *count += 1;
        if *count > MOST { Fate::Counted } else { Fate::Written(state.owed.remove(&kind).unwrap_or(0)) }
    }

    /// How many lines were neither written nor reported yet.
    pub(super) fn untold(&self) -> u64 {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now: u64 = state.seen.values().map(|count| count.saturating_sub(MOST)).sum();
        now + state.owed.values().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_does_not_grow_without_end() {
        let lines = Suppression::default();
        let all = 3 * KINDS;
        for kind in 0..all {
            for _ in 0..=MOST {
                lines.fate(i64::try_from(kind).unwrap(), kind);
            }
        }
        assert_eq!(lines.untold(), all as u64);
        assert!(lines.0.lock().unwrap().owed.len() <= KINDS + 1);
    }

    #[test]
    fn what_is_too_much_is_counted_and_told_with_the_next_line() {
        let lines = Suppression::default();
        for _ in 0..MOST {
            assert_eq!(lines.fate(1, "a"), Fate::Written(0));
        }
        assert_eq!(lines.fate(1, "a"), Fate::Counted);
        assert_eq!(lines.fate(1, "a"), Fate::Counted);
        assert_eq!(lines.fate(1, "b"), Fate::Written(0));
        assert_eq!(lines.untold(), 2);
        assert_eq!(lines.fate(2, "b"), Fate::Written(0));
        assert_eq!(lines.fate(5, "a"), Fate::Written(2));
        assert_eq!(lines.fate(5, "a"), Fate::Written(0));
        assert_eq!(lines.untold(), 0);
    }
}
