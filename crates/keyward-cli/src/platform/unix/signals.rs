//! Handles signals that end or stop the program, on a separate thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGXCPU};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::platform::start_thread;

/// The prompt library mistakes a wait interrupted by SIGTSTP for Ctrl-C, and raises SIGINT.
const ECHO: Duration = Duration::from_millis(150);

/// A signal that ends a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndingSignal {
    /// SIGHUP: the terminal is gone, or a server should read its configuration again.
    HangUp,
    /// Any other.
    Other,
}

/// What the program does on a signal that would end or stop it.
pub trait SignalHandler: Send + 'static {
    /// Called for a signal that ends a program: SIGINT, SIGTERM, SIGHUP, SIGQUIT or SIGXCPU. Returns whether the system
    /// should now take its default action.
    fn end(&mut self, signal: EndingSignal) -> bool;

    /// Called when the program is about to be stopped: SIGTSTP.
    fn stop(&mut self);

    /// Called when the program resumes.
    fn go_on(&mut self);
}

/// From now on, calls the handler on a separate thread for every signal that ends or stops the program. `stops` is set
/// before anything else can notice that the program is being stopped; [`SignalHandler::go_on`] clears it. Signals that
/// the parent process made it ignore stay ignored. If the system provides no thread, signals have their default effect.
pub fn watch_signals(stops: Arc<AtomicBool>, mut handler: impl SignalHandler) {
    let ignored = ignored_signals();
    let is_wanted = |signal: &i32| ignored & (1 << (signal - 1)) == 0;
    let ending = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU].into_iter().filter(is_wanted);
    let (start, given) = mpsc::channel::<Signals>();
    let is_stopping = Arc::clone(&stops);
    let watch = move || {
        let mut resumed: Option<Instant> = None;
        let Ok(mut signals) = given.recv() else { return };
        for signal in signals.forever() {
            if signal == SIGTSTP {
                handler.stop();
                let _ = emulate_default_handler(SIGTSTP);
                handler.go_on();
                resumed = Some(now());
                continue;
            }
            let is_echo = resumed.is_some_and(|at| now().duration_since(at) < ECHO);
            if signal == SIGINT && (is_stopping.load(Ordering::Acquire) || is_echo) {
                continue;
            }
            let kind = if signal == SIGHUP { EndingSignal::HangUp } else { EndingSignal::Other };
            if handler.end(kind) {
                let _ = emulate_default_handler(signal);
            }
        }
    };
    if start_thread(watch).is_err() {
        return;
    }
    let Ok(signals) = Signals::new(ending) else { return };
    // Handlers run in the order of registration. The thread above must not see the signal before the stop is recorded:
    // otherwise it could be recorded after the program resumed, and remain for ever.
    if is_wanted(&SIGTSTP) && signal_hook::flag::register(SIGTSTP, stops).is_ok() {
        let _ = signals.handle().add_signal(SIGTSTP);
    }
    let _ = start.send(signals);
}

#[expect(clippy::disallowed_methods, reason = "two signals that come together, not the time of day")]
fn now() -> Instant {
    Instant::now()
}

/// The signals that the parent process made the program ignore, as `nohup` does with SIGHUP, one bit each. None if the
/// system does not say.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
