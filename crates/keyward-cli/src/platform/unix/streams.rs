//! The standard streams, bypassing the buffers of the standard library, which keep copies.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Stdio;

use rustix::fs::FileType;
use rustix::io::retry_on_intr;
use rustix::termios::{isatty, tcgetwinsize};

use crate::platform::StreamKinds;

/// A standard stream without a buffer.
#[derive(Debug)]
pub struct StandardStream(BorrowedFd<'static>);

impl StandardStream {
    /// Standard input.
    pub fn stdin() -> Self {
        Self(rustix::stdio::stdin())
    }

    /// Standard output.
    pub fn stdout() -> Self {
        Self(rustix::stdio::stdout())
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Self(rustix::stdio::stderr())
    }
}

impl Read for StandardStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| rustix::io::read(self.0, &mut *bytes))?)
    }
}

impl Write for StandardStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| rustix::io::write(self.0, bytes))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads available bytes from standard input, as many as fit; 0 at its end. Unread bytes stay there for others.
///
/// # Errors
/// If the system refuses.
pub fn read_stdin(bytes: &mut [u8]) -> io::Result<usize> {
    StandardStream::stdin().read(bytes)
}

/// Writes to standard error at once, bypassing all buffers and locks: the holder of a lock may be waiting.
pub fn write_stderr(bytes: &[u8]) {
    let _ = rustix::io::write(rustix::stdio::stderr(), bytes);
}

/// Syncs standard output, which is a file, to the disk.
///
/// # Errors
/// If the system refuses.
pub fn sync_stdout() -> io::Result<()> {
    Ok(rustix::fs::fsync(rustix::stdio::stdout())?)
}

/// A duplicate of standard error, to use as another stream of a child process.
///
/// # Errors
/// If too many files are open.
pub fn stderr_for_child() -> io::Result<Stdio> {
    Ok(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?.into())
}

/// The terminal in front of the person, for writing, whatever the standard streams are.
///
/// # Errors
/// If the program has no terminal.
pub fn controlling_terminal() -> io::Result<File> {
    File::options().write(true).open("/dev/tty")
}

/// What the standard streams are connected to.
pub fn stream_kinds() -> StreamKinds {
    let [stdin, stdout, stderr] = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let size = tcgetwinsize(stdout);
    let null = rustix::fs::stat("/dev/null");
    StreamKinds {
        stdin_is_terminal: isatty(stdin),
        stdin_is_pipe: rustix::fs::fstat(stdin)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo),
        stdout_is_terminal: isatty(stdout),
        stderr_is_terminal: isatty(stderr),
        stderr_is_nowhere: is_nowhere(stderr, &null),
        stdout_is_closed: is_nowhere(stdout, &null) && is_stand_in(stdout),
        stdout_is_file: file_size(stdout).is_some(),
        stdin_size: file_size(stdin),
        height: size.as_ref().ok().map(|size| size.ws_row).filter(|&rows| rows > 0),
        width: size.or_else(|_| tcgetwinsize(stderr)).ok().map(|size| size.ws_col).filter(|&columns| columns > 0),
    }
}

/// The size of a stream, if it is a file on a disk.
fn file_size(stream: impl AsFd) -> Option<u64> {
    let stat = rustix::fs::fstat(stream).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    u64::try_from(stat.st_size).ok().filter(|_| is_file)
}

/// Whether what is written there is gone: it is `/dev/null`, or nothing at all.
fn is_nowhere(stream: BorrowedFd<'_>, null: &rustix::io::Result<rustix::fs::Stat>) -> bool {
    match (rustix::fs::fstat(stream), null) {
        (Ok(own), Ok(null)) => own.st_rdev == null.st_rdev && own.st_mode == null.st_mode,
        _ => true,
    }
}

/// Whether a `/dev/null` is what Rust substitutes for a closed standard stream: it is open for reading and writing. A
/// shell's `>/dev/null` is open only for writing, and is deliberate.
fn is_stand_in(stdout: BorrowedFd<'_>) -> bool {
    rustix::fs::fcntl_getfl(stdout).map_or(true, |flags| flags.contains(rustix::fs::OFlags::RDWR))
}
