//! The keeper of the clipboard, which the reveal screen and `--copy` start. Not for people.

use clap::Args;

use crate::delivery::hold_clipboard;
use crate::error::{Error, Exit};
use crate::session::Session;

/// Keep the secret on standard input in the clipboard for a while
#[derive(Debug, Args)]
pub struct HoldClipboard {
    /// For how many seconds
    seconds: u64,
}

impl HoldClipboard {
    /// Holds it.
    ///
    /// # Errors
    /// If no clipboard can be reached.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        // The process that started the keeper reads its standard output, and tells the person what is wrong.
        hold_clipboard(session, self.seconds).inspect_err(|error| {
            let _ = session.terminal.print(&format!("{}\n", error.message())).and_then(|()| session.terminal.flush());
        })?;
        Ok(Exit::DONE)
    }
}
