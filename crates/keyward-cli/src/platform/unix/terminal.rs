//! The modes of the terminal: saved and put back, or raw for as long as keys are read one by one.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{InputModes, LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};

/// The modes of the terminal that standard input is, at one moment.
#[derive(Debug, Clone)]
pub struct TerminalModes(Box<Termios>);

impl TerminalModes {
    /// The modes now; `None` where standard input is not a terminal.
    pub fn save() -> Option<Self> {
        tcgetattr(rustix::stdio::stdin()).ok().map(|modes| Self(Box::new(modes)))
    }

    /// Puts them back at once. Nothing can be done where the terminal is gone.
    pub fn restore(&self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Forgets what was typed and not read yet.
pub fn forget_typed_ahead() {
    let _ = tcflush(rustix::stdio::stdin(), QueueSelector::IFlush);
}

/// The terminal gives every byte at once, shows none, and Ctrl-C is a key, until this is dropped.
#[derive(Debug)]
pub struct RawMode {
    stdin: BorrowedFd<'static>,
    before: Termios,
}

impl RawMode {
    /// Begins. What was typed before is thrown away: it was no answer to what is asked now.
    ///
    /// # Errors
    /// Where standard input is not a terminal.
    pub fn begin() -> io::Result<Self> {
        let stdin = rustix::stdio::stdin();
        let before = tcgetattr(stdin)?;
        let mut raw = before.clone();
        raw.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::ICRNL;
        tcsetattr(stdin, OptionalActions::Flush, &raw)?;
        Ok(Self { stdin, before })
    }

    /// The next bytes, as many as are there; none where `milliseconds` (less than a second) pass without any.
    ///
    /// # Errors
    /// Where the terminal is gone.
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
        // The rest of a paste of several lines would be run by the shell.
        let _ = tcsetattr(self.stdin, OptionalActions::Flush, &self.before);
    }
}
