//! Keys as they come: unseen, one by one, with Ctrl-C as a key.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal gives every byte at once, and shows none, until this is dropped.
#[derive(Debug)]
pub(super) struct RawMode {
    stdin: BorrowedFd<'static>,
    before: Termios,
}

impl RawMode {
    /// Begins. What was typed before is thrown away: it was no answer to what is asked now.
    pub(super) fn begin() -> io::Result<Self> {
        let stdin = rustix::stdio::stdin();
        let before = tcgetattr(stdin)?;
        let mut raw = before.clone();
        raw.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::ICRNL;
        tcsetattr(stdin, OptionalActions::Flush, &raw)?;
        Ok(Self { stdin, before })
    }

    /// The next bytes, as many as are there; none where `milliseconds` pass without any.
    pub(super) fn read<'b>(&self, bytes: &'b mut [u8], milliseconds: Option<u32>) -> io::Result<&'b [u8]> {
        let wait = milliseconds.map(|time| Timespec { tv_sec: 0, tv_nsec: i64::from(time) * 1_000_000 });
        match poll(&mut [PollFd::new(&self.stdin, PollFlags::IN)], wait.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(&[]),
            result => result?,
        };
        match rustix::io::retry_on_intr(|| rustix::io::read(self.stdin, &mut *bytes))? {
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
