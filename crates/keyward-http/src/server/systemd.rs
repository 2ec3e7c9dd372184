//! What systemd is told (sd_notify(3)). Outside of a service that wants to know, nothing is told to nobody.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells systemd what goes on.
fn tell(states: &[NotifyState<'_>]) {
    // Whether it is heard changes nothing here.
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

/// From here on systemd waits for the end, and for no sign of life: it would begin to watch again with the next one.
/// The end takes this long at most.
pub(super) fn stopping(within: Duration) {
    let micros = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros), NotifyState::Status("ending")]);
}

pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often systemd has to be told that all is well, if it wants to be.
pub(super) fn watchdog() -> Option<Duration> {
    // Twice as often as it asks for, as sd_watchdog_enabled(3) has it.
    sd_notify::watchdog_enabled().map(|within| within / 2)
}
