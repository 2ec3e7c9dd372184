//! The modes of the terminal: saved and restored, or raw while keys are read one by one.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{InputModes, LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};

/// The modes of the terminal on standard input, at one moment.
#[derive(Debug, Clone)]
pub struct TerminalModes(Box<Termios>);

impl TerminalModes {
    /// The modes now; `None` if standard input is not a terminal.
    pub fn save() -> Option<Self> {
        tcgetattr(rustix::stdio::stdin()).ok().map(|modes| Self(Box::new(modes)))
    }

    /// Restores them at once. If the terminal is gone, there is nothing to do.
    pub fn restore(&self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Discards what was typed but not read yet.
pub fn forget_typed_ahead() {
    let _ = tcflush(rustix::stdio::stdin(), QueueSelector::IFlush);
}

/// Until this is dropped, the terminal passes on every byte at once, shows none, and Ctrl-C is a key.
#[derive(Debug)]
pub struct RawMode {
    stdin: BorrowedFd<'static>,
    before: Termios,
}

impl RawMode {
    /// Begins. Earlier input is discarded: it was not an answer to the new question.
    ///
    /// # Errors
    /// If standard input is not a terminal.
    pub fn begin() -> io::Result<Self> {
        let stdin = rustix::stdio::stdin();
        let before = tcgetattr(stdin)?;
        let mut raw = before.clone();
        raw.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::ICRNL;
        tcsetattr(stdin, OptionalActions::Flush, &raw)?;
        Ok(Self { stdin, before })
    }

    /// The next available bytes; none if `milliseconds` (less than a second) pass without any.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn read<'b>(&self, bytes: &'b mut [u8], milliseconds: Option<u32>) -> io::Result<&'b [u8]> {
        let wait = milliseconds.map(|time| Timespec { tv_sec: 0, tv_nsec: i64::from(time) * 1_000_000 });
        match poll(&mut [PollFd::new(&self.stdin, PollFlags::IN)], wait.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(&[]),
            result => result?,
        };
        match super::streams::read_stdin(bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(&bytes[..count]),
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Otherwise the shell would run the rest of a paste of several lines.
        let _ = tcsetattr(self.stdin, OptionalActions::Flush, &self.before);
    }
}
