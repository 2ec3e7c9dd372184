//! The real world: the clock, the generator, the streams and the environment of this process.
//! Everything else is in the library.

#![forbid(unsafe_code)]
// The effects that clippy.toml forbids everywhere else are allowed here.
#![allow(clippy::disallowed_methods, reason = "the real world comes in here, and nowhere else")]

use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use keyward_cli::error::{Error, Exit};
use keyward_cli::platform::{self, EndingSignal, SignalHandler, StandardStream};
use keyward_cli::terminal::{Interruption, Interrupts, TerminalState};
use keyward_cli::world::World;
use keyward_core::rules::time::from_system;
use rand::TryRng as _;
use rand::rngs::SysRng;

fn main() -> ExitCode {
    platform::keep_memory_private();
    let is_bug = Arc::new(AtomicBool::new(false));
    platform::survive_limits(Exit::UNUSABLE.0, Exit::BUG.0, &is_bug);
    let interrupts = Arc::new(Interrupts::default());
    let json = std::env::args_os().any(|arg| arg == "--json");
    let handler = OnSignal { interrupts: Arc::clone(&interrupts), json, suspended: None };
    let stops = interrupts.stops();
    interrupts.watch_with(move || platform::watch_signals(stops, handler));
    let world = World {
        args: std::env::args_os().collect(),
        environment: Box::new(|name| std::env::var_os(name)),
        clock: Arc::new(|| from_system(SystemTime::now())),
        is_host_clock: true,
        random: Box::new(|bytes| SysRng.try_fill_bytes(bytes).map_err(anyhow::Error::new)),
        data_folder: directories::ProjectDirs::from("", "", "keyward").map(|folders| folders.data_dir().to_owned()),
        program: std::env::current_exe().ok(),
        stdin: Box::new(StandardStream::stdin()),
        stdout: Box::new(StandardStream::stdout()),
        stderr: Box::new(std::io::stderr()),
        streams: platform::stream_kinds(),
        interrupts,
    };
    // A panic is a bug in keyward, and is reported like every other error.
    std::panic::set_hook(Box::new(move |panic| {
        is_bug.store(true, Ordering::Relaxed);
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let _ = std::io::stderr().write_all(Error::panic(&place).report(json).as_bytes());
    }));
    let exit = std::panic::catch_unwind(AssertUnwindSafe(|| keyward_cli::run(world)));
    ExitCode::from(exit.unwrap_or(Exit::BUG).0)
}

/// Ends the program on a signal after restoring the terminal, and restores it while the program is stopped.
struct OnSignal {
    interrupts: Arc<Interrupts>,
    json: bool,
    suspended: Option<TerminalState>,
}

impl SignalHandler for OnSignal {
    fn end(&mut self, signal: EndingSignal) -> bool {
        match self.interrupts.fire(signal) {
            Interruption::Idle => true,
            Interruption::Restored(error) => {
                self.interrupts.come_to_the_end();
                let _ = std::io::stderr().write_all(error.report(self.json).as_bytes());
                std::process::exit(i32::from(error.exit().0));
            }
            Interruption::Answered => {
                while matches!(self.interrupts.fire(signal), Interruption::Answered) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                true
            }
            Interruption::Over => false,
        }
    }

    fn stop(&mut self) {
        self.suspended = self.interrupts.suspend();
    }

    fn go_on(&mut self) {
        self.interrupts.resume(self.suspended.take().as_ref());
    }
}
