//! Notifies systemd (sd_notify(3)). Outside a service that wants notifications, this does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Sends states to systemd.
fn tell(states: &[NotifyState<'_>]) {
    // Nothing here depends on whether they arrive.
    let _ = sd_notify::notify(states);
}

pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// From here on, systemd waits for the end, which takes at most this long, and expects no more signs of life: another
/// one would restart its watchdog.
pub(super) fn stopping(within: Duration) {
    let micros = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros), NotifyState::Status("ending")]);
}

pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often systemd must get a sign of life, if it wants any.
pub(super) fn watchdog() -> Option<Duration> {
    // Twice as often as required, as sd_watchdog_enabled(3) recommends.
    sd_notify::watchdog_enabled().map(|within| within / 2)
}
