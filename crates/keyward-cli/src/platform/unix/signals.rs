//! The signals that end or stop the program, on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGXCPU};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::platform::start_thread;

/// The library behind the questions takes a wait that SIGTSTP has ended for Ctrl-C, and raises SIGINT.
const ECHO: Duration = Duration::from_millis(150);

/// A signal that ends a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndingSignal {
    /// SIGHUP: the terminal is gone, or a server is to read its configuration again.
    HangUp,
    /// Any other.
    Other,
}

/// What the program does when a signal comes that would end or stop it.
pub trait SignalHandler: Send + 'static {
    /// One came that ends a program: SIGINT, SIGTERM, SIGHUP, SIGQUIT or SIGXCPU. Returns whether the system should do now
    /// what it does to every program.
    fn end(&mut self, signal: EndingSignal) -> bool;

    /// The program is about to be stopped: SIGTSTP.
    fn stop(&mut self);

    /// The program goes on.
    fn go_on(&mut self);
}

/// Has the handler called, on a thread of its own, for every signal that ends or stops the program, from now on.
/// `stops` is set before anything else can notice that the program is being stopped; [`SignalHandler::go_on`] takes it
/// back. Signals that whoever started the program has it ignore stay ignored. Where the system gives no thread,
/// signals do what they do to every program.
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
    // What is registered first is done first. The thread above must not learn of the signal before it is written down
    // that the program stops: it would be written down after the program went on, and be so for ever.
    if is_wanted(&SIGTSTP) && signal_hook::flag::register(SIGTSTP, stops).is_ok() {
        let _ = signals.handle().add_signal(SIGTSTP);
    }
    let _ = start.send(signals);
}

#[expect(clippy::disallowed_methods, reason = "two signals that come together, not the time of day")]
fn now() -> Instant {
    Instant::now()
}

/// The signals that whoever started the program has it ignore, as `nohup` does with SIGHUP, a bit each. Where the
/// system does not tell, none.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
