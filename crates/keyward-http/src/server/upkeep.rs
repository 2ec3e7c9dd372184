//! Periodic work: checking the store, counting keys, and telling systemd that all is well.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use keyward_core::store::{StoreError, Tally};

use super::shared::{KeyCounts, Shared};
use super::systemd;

/// How often keys are counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(60);
/// How many of them are counted at a time.
const PART: u32 = 1_000;

/// Periodic work.
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

    /// The work while the server drains, until it is dropped. systemd no longer watches then.
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
            // It takes time for many keys, and nothing waits for it.
            let _ = std::thread::Builder::new().name("keyward-keys".to_owned()).spawn(move || count_keys(&shared));
        }
        self.passed += 1;
        let _ = shared.look_at_store();
        if let Some(error) = shared.guard.counts().take_failure() {
            tell_of_failure(shared, &error);
        }
        if let Some(every) = self.watchdog {
            // Only if every loop is turning.
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

/// Counts keys by state, a part at a time: nothing waits for it, and it pins nothing in the store.
fn count_keys(shared: &Shared) {
    const DAY: i64 = 24 * 60 * 60;
    let now = keyward_core::rules::time::whole_seconds(shared.guard.clock().now());
    let within = [("7d", 7), ("30d", 30)];
    let by = |days: i64| jiff::Timestamp::from_second(now.as_second().saturating_add(days * DAY)).unwrap_or(now);
    let mut tally = Tally::new(now, within.map(|(_, days)| by(days)));
    let mut count = || {
        let turn = shared.guard.gate().turn().ok()?;
        turn.view().ok()?.tally(&mut tally, PART).ok()
    };
    loop {
        let started = shared.guard.clock().steady();
        match count() {
            // If counting fails, the last known counts are the best there are.
            None => return,
            Some(false) => break,
            Some(true) if shared.is_draining.load(Ordering::Relaxed) => return,
            // Leaves half of one processor's time to others.
            Some(true) => std::thread::sleep(shared.guard.clock().steady().saturating_sub(started)),
        }
    }
    let counts = KeyCounts {
        states: tally.states().map(|(state, count)| (state.as_str(), count)).collect(),
        expiring: within.iter().map(|(name, _)| *name).zip(tally.expiring()).collect(),
    };
    *shared.keys.lock().unwrap_or_else(PoisonError::into_inner) = counts;
}

/// Logs what could not be written.
pub(super) fn tell_of_failure(shared: &Shared, error: &StoreError) {
    let unrecorded = shared.guard.counts().writing().unrecorded;
    let code = shared.api.code_of(error);
    let fields = [("code", code.into()), ("message", error.to_string().into()), ("unrecorded_uses", unrecorded.into())];
    shared.log.event("error", "flush_error", &fields);
}
