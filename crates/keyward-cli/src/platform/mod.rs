//! What depends on the operating system: private files, links and locks, terminal modes, signals, processes, streams.
//!
//! No other room names an operating system, or uses a crate for only one of them. Each function here says what it
//! promises, and each system keeps the promise in its own folder. Only Unix is supported now. To add another system,
//! add a folder beside it with functions of the same names.
//!
//! This room uses no other room. What may break: a system that offers less than Linux. If only a weaker promise can be
//! kept, the function says so.

use std::io;
use std::thread::{self, JoinHandle};

#[cfg(unix)]
mod unix;
use system::processors::Processor;
#[cfg(unix)]
use unix as system;

pub use system::clipboard::{has_clipboard_without_display, keep_in_clipboard};
pub use system::file_system::{FileSystem, file_system, is_made_up};
pub use system::files::{
    Folder, Identity, OtherUsers, Owner, User, append_file, file_in_memory, give, is_link_error, make_private, mode,
    open_log, open_unlinked, owner, private_folder, publish,
};
pub use system::limits::survive_limits;
pub use system::processes::{
    Process, ending_signal, has_input, keep_memory_private, leave_terminal, shell, shell_with_file, stop_this_process,
    unread,
};
pub use system::signals::{EndingSignal, SignalHandler, watch_signals};
pub use system::streams::{
    StandardStream, controlling_terminal, read_stdin, stderr_for_child, stream_kinds, sync_stdout, write_stderr,
};
pub use system::terminal::{RawMode, TerminalModes, forget_typed_ahead};

/// Starts a thread, if the limits of the process leave room for it.
///
/// # Errors
/// If the system provides none.
pub fn start_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    if keyward_core::has_room_for_a_thread() {
        thread::Builder::new().spawn(f)
    } else {
        Err(io::ErrorKind::OutOfMemory.into())
    }
}

/// The same, on another processor if there are several: Linux may start a thread where its parent runs, and let one of
/// them wait for the other for some milliseconds.
///
/// # Errors
/// As [`start_thread`].
pub fn start_thread_beside<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    let here = Processor::current();
    start_thread(move || {
        here.leave();
        f()
    })
}

/// What the three standard streams are connected to.
#[derive(Debug, Clone, Copy, Default)]
pub struct StreamKinds {
    /// Standard input is a terminal.
    pub stdin_is_terminal: bool,
    /// Standard input is a pipe.
    pub stdin_is_pipe: bool,
    /// Standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// Standard error is closed, or leads nowhere (`/dev/null`).
    pub stderr_is_nowhere: bool,
    /// Standard output was closed when the program was started.
    pub stdout_is_closed: bool,
    /// Standard output is a file on a disk.
    pub stdout_is_file: bool,
    /// The size of standard input in bytes, if it is a file.
    pub stdin_size: Option<u64>,
    /// Columns of the terminal, if there is one.
    pub width: Option<u16>,
    /// Lines of the terminal, if standard output is one.
    pub height: Option<u16>,
}
