//! The real world: the clock, the generator, the streams and the environment of this process.
//! Everything else is in the library.

// This is the one place where the effects are allowed that clippy.toml forbids everywhere else.
#![allow(clippy::disallowed_methods, reason = "the real world comes in here, and nowhere else")]

use std::io::{IsTerminal as _, Read, Write};
use std::os::fd::BorrowedFd;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;

use keyward::error::{Error, Exit};
use keyward::terminal::{Fired, Interrupts};
use keyward::world::{StreamKinds, World};
use rand::TryRng as _;
use rand::rngs::SysRng;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};

fn main() -> ExitCode {
    keep_memory_private();
    let interrupts = Arc::new(Interrupts::default());
    let streams = streams();
    let json = std::env::args_os().any(|arg| arg == "--json");
    let watched = Arc::clone(&interrupts);
    interrupts.watch_with(move || watch_signals(watched, json));
    let world = World {
        args: std::env::args_os().collect(),
        environment: Box::new(|name| std::env::var_os(name)),
        clock: Arc::new(jiff::Timestamp::now),
        random: Box::new(|bytes| SysRng.try_fill_bytes(bytes).map_err(anyhow::Error::new)),
        data_folder: directories::ProjectDirs::from("", "", "keyward").map(|folders| folders.data_dir().to_owned()),
        program: std::env::current_exe().ok(),
        stdin: Box::new(Stream(rustix::stdio::stdin())),
        stdout: Box::new(Stream(rustix::stdio::stdout())),
        stderr: Box::new(std::io::stderr()),
        streams,
        interrupts,
    };
    // A panic is a bug in keyward, and says so in the way of every other error.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let error = Error::from(anyhow::anyhow!("a panic at {place}"));
        let _ = std::io::stderr().write_all(error.render().as_bytes());
    }));
    let exit = std::panic::catch_unwind(AssertUnwindSafe(|| keyward::run(world)));
    ExitCode::from(exit.unwrap_or(Exit::BUG).0)
}

/// No core dump of this process is written, whatever the limits are, and other processes of the same user
/// cannot look into its memory. Where the system knows no such thing, at least the limit of core dumps is zero.
fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    #[cfg(not(target_os = "linux"))]
    let _ = rustix::process::setrlimit(
        rustix::process::Resource::Core,
        rustix::process::Rlimit { current: Some(0), maximum: Some(0) },
    );
}

/// A standard stream, past the buffers of the standard library, which keep what went through them.
struct Stream(BorrowedFd<'static>);

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::read(self.0, &mut *bytes))?)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::write(self.0, bytes))?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn streams() -> StreamKinds {
    let stdout = std::io::stdout();
    StreamKinds {
        stdin_is_terminal: std::io::stdin().is_terminal(),
        stdout_is_terminal: stdout.is_terminal(),
        stderr_is_terminal: std::io::stderr().is_terminal(),
        stdout_is_closed: is_stand_in(&stdout),
        stdout_is_file: rustix::fs::fstat(&stdout)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile),
        stdin_size: rustix::fs::fstat(rustix::stdio::stdin())
            .ok()
            .filter(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile)
            .and_then(|stat| u64::try_from(stat.st_size).ok()),
        width: rustix::termios::tcgetwinsize(&stdout)
            .or_else(|_| rustix::termios::tcgetwinsize(rustix::stdio::stderr()))
            .ok()
            .map(|size| size.ws_col)
            .filter(|&columns| columns > 0),
    }
}

/// Whether this is what Rust puts in the place of a closed standard stream: `/dev/null`, opened for
/// reading and writing. A shell's own `>/dev/null` is open for writing alone, and is a decision.
fn is_stand_in(stdout: &std::io::Stdout) -> bool {
    let is_null = match (rustix::fs::fstat(stdout), rustix::fs::stat("/dev/null")) {
        (Ok(own), Ok(null)) => own.st_rdev == null.st_rdev && own.st_mode == null.st_mode,
        _ => return true,
    };
    is_null && rustix::fs::fcntl_getfl(stdout).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::RDWR))
}

/// The signals that whoever started the program has it ignore, as `nohup` does with SIGHUP, a bit each. Where the
/// system does not tell, none.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Ends the program on SIGINT, SIGTERM, SIGHUP and SIGQUIT, after the terminal was put back; stops it on
/// SIGTSTP with the terminal put back for as long. Where the system gives no thread for that, signals do what they do
/// to every program.
fn watch_signals(interrupts: Arc<Interrupts>, json: bool) {
    let ignored = ignored_signals();
    let is_wanted = |signal: &i32| ignored & (1 << (signal - 1)) == 0;
    let ending = [SIGINT, SIGTERM, SIGHUP, SIGQUIT].into_iter().filter(is_wanted);
    let stops = interrupts.stops();
    let (start, given) = std::sync::mpsc::channel::<signal_hook::iterator::Signals>();
    let watch = move || {
        /// The library behind the questions takes a wait that SIGTSTP has ended for Ctrl-C, and raises SIGINT.
        const ECHO: std::time::Duration = std::time::Duration::from_millis(150);
        let mut resumed: Option<std::time::Instant> = None;
        let Ok(mut signals) = given.recv() else { return };
        for signal in signals.forever() {
            if signal == SIGTSTP {
                let suspended = interrupts.suspend();
                let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
                interrupts.resume(suspended.as_ref());
                resumed = Some(std::time::Instant::now());
                continue;
            }
            let is_stopping = interrupts.stops().load(std::sync::atomic::Ordering::Acquire);
            if signal == SIGINT && (is_stopping || resumed.is_some_and(|at| at.elapsed() < ECHO)) {
                continue;
            }
            match interrupts.fire() {
                Fired::Idle => {
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
                Fired::Restored(error) => {
                    interrupts.come_to_the_end();
                    let _ = std::io::stderr().write_all(error.report(json).as_bytes());
                    std::process::exit(i32::from(error.exit().0));
                }
                Fired::Answered => {
                    while matches!(interrupts.fire(), Fired::Answered) {
                        std::thread::sleep(std::time::Duration::from_millis(5));
                    }
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
                Fired::Over => {}
            }
        }
    };
    if std::thread::Builder::new().spawn(watch).is_err() {
        return;
    }
    let Ok(signals) = signal_hook::iterator::Signals::new(ending) else { return };
    // What is registered first is done first. The thread above must not learn of the signal before it is written down
    // that the program stops: it would be written down after the program went on, and be so for ever.
    if is_wanted(&SIGTSTP) && signal_hook::flag::register(SIGTSTP, stops).is_ok() {
        let _ = signals.handle().add_signal(SIGTSTP);
    }
    let _ = start.send(signals);
}
