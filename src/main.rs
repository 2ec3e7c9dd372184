//! The real world: the clock, the generator, the streams and the environment of this process.
//! Everything else is in the library.

// This is the one place where the effects are allowed that clippy.toml forbids everywhere else.
#![allow(clippy::disallowed_methods, reason = "the real world comes in here, and nowhere else")]

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use keyward::terminal::{Fired, Interrupts};
use keyward::world::{StreamKinds, World};
use rand::TryRng as _;
use rand::rngs::SysRng;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

fn main() -> ExitCode {
    let interrupts = Arc::new(Interrupts::default());
    let streams = streams();
    if streams.stdin_is_terminal {
        watch_signals(Arc::clone(&interrupts));
    }
    let exit = keyward::run(World {
        args: std::env::args_os().collect(),
        environment: Box::new(|name| std::env::var_os(name)),
        clock: Box::new(jiff::Timestamp::now),
        random: Box::new(|bytes| SysRng.try_fill_bytes(bytes).map_err(anyhow::Error::new)),
        data_folder: directories::ProjectDirs::from("", "", "keyward").map(|folders| folders.data_dir().to_owned()),
        program: std::env::current_exe().ok(),
        stdin: Box::new(std::io::stdin()),
        stdout: Box::new(std::io::BufWriter::new(std::io::stdout())),
        stderr: Box::new(std::io::stderr()),
        streams,
        interrupts,
    });
    ExitCode::from(exit.0)
}

fn streams() -> StreamKinds {
    let stdout = std::io::stdout();
    StreamKinds {
        stdin_is_terminal: std::io::stdin().is_terminal(),
        stdout_is_terminal: stdout.is_terminal(),
        stderr_is_terminal: std::io::stderr().is_terminal(),
        stdout_is_closed: is_stand_in(&stdout),
        width: rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col).filter(|&columns| columns > 0),
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

/// Ends the program on SIGINT, SIGTERM and SIGHUP, after the terminal was put back.
fn watch_signals(interrupts: Arc<Interrupts>) {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    std::thread::spawn(move || {
        for signal in signals.forever() {
            match interrupts.fire() {
                Fired::Idle => {
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
                Fired::Restored(error) => {
                    let _ = std::io::Write::write_all(&mut std::io::stderr(), error.render().as_bytes());
                    std::process::exit(i32::from(error.exit().0));
                }
                Fired::Over => {}
            }
        }
    });
}
