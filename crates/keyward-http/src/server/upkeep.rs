//! What is done from time to time: the store is looked at, keys are counted, and systemd is told that all is well.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use keyward_core::rules::key::State;
use keyward_core::store::{Filter, StoreError};

use super::shared::{KeyCounts, Shared};
use super::systemd;

/// How often keys are counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// What is done from time to time.
pub(super) struct Upkeep {
    second: tokio::time::Interval,
    watchdog: Option<Duration>,
    passed: u64,
    beats: Vec<u64>,
}

impl Upkeep {
    pub(super) fn new() -> Self {
        Self {
            second: tokio::time::interval(Duration::from_secs(1)),
            watchdog: systemd::watchdog(),
            passed: 0,
            beats: vec![],
        }
    }

    pub(super) async fn next(&mut self) {
        self.second.tick().await;
    }

    /// What is done while it drains, until nobody asks for it any more. systemd has stopped to watch then.
    pub(super) async fn go_on(&mut self, shared: &Arc<Shared>) {
        self.watchdog = None;
        loop {
            self.next().await;
            self.work(shared);
        }
    }

    pub(super) fn work(&mut self, shared: &Arc<Shared>) {
        if self.passed.is_multiple_of(COUNT_EVERY.as_secs()) {
            let shared = Arc::clone(shared);
            // It takes as long as there are keys, and nobody waits for it.
            let _ = std::thread::Builder::new().name("keyward-keys".to_owned()).spawn(move || count_keys(&shared));
        }
        self.passed += 1;
        let _ = shared.look_at_store();
        if let Some(error) = shared.guard.counts().take_failure() {
            tell_of_failure(shared, &error);
        }
        if let Some(every) = self.watchdog {
            // Only if every loop turns.
            let beats: Vec<_> = shared.beats.iter().map(|beat| beat.load(Ordering::Relaxed)).collect();
            if self.passed.is_multiple_of(every.as_secs().max(1)) {
                if self.beats.is_empty() || self.beats.iter().zip(&beats).all(|(before, now)| before != now) {
                    systemd::alive();
                }
                self.beats = beats;
            }
        }
    }
}

/// Counts keys by their states.
fn count_keys(shared: &Shared) {
    const DAY: i64 = 24 * 60 * 60;
    let now = keyward_core::rules::time::whole_seconds(shared.guard.clock().now());
    let count = || {
        let turn = shared.guard.gate().turn().ok()?;
        let view = turn.view().ok()?;
        let mut counts = KeyCounts::default();
        for state in State::ALL {
            let filter = Filter { state: Some(state), ..Filter::default() };
            counts.states.push((state.as_str(), view.count_keys(&filter, now, u64::MAX >> 1).ok()?));
        }
        for (name, days) in [("7d", 7), ("30d", 30)] {
            let by = now.as_second().saturating_add(days * DAY);
            let expires_by = jiff::Timestamp::from_second(by).ok();
            let filter = Filter { state: Some(State::Active), expires_by, ..Filter::default() };
            counts.expiring.push((name, view.count_keys(&filter, now, u64::MAX >> 1).ok()?));
        }
        Some(counts)
    };
    if let Some(counts) = count() {
        *shared.keys.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

/// Tells the log what could not be written.
pub(super) fn tell_of_failure(shared: &Shared, error: &StoreError) {
    let unrecorded = shared.guard.counts().writing().unrecorded;
    let code = shared.api.code_of(error);
    let fields = [("code", code.into()), ("message", error.to_string().into()), ("unrecorded_uses", unrecorded.into())];
    shared.log.event("error", "flush_error", &fields);
}
