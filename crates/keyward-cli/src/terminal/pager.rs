//! Shows output that is longer than the screen in the person's pager.
//!
//! The output of a command is kept until the command has ended, so that no store transaction waits for a reader. Output
//! that does not fit on the screen is kept in an unnamed file, which no one else can read.

use std::fs::File;
use std::io::{self, Seek as _, Write};

use super::Section;
use crate::platform;

/// The default pager: it ends by itself if everything fits, shows colours, and leaves the text on the screen.
pub const USUAL_PAGER: &str = "less -FRX";

/// What was printed so far.
#[derive(Debug)]
pub(super) struct Pages {
    /// The pager, in shell syntax.
    command: String,
    /// How many lines a screen has.
    rows: usize,
    lines: usize,
    /// The text, if it fits on the screen.
    text: Vec<u8>,
    /// A file with all of it, if it does not.
    file: Option<File>,
    /// Notes to show at the end.
    notes: Vec<String>,
}

impl Pages {
    pub(super) fn new(command: String, rows: u16) -> Self {
        Self { command, rows: rows.into(), lines: 0, text: vec![], file: None, notes: vec![] }
    }

    /// Adds output. If there is no room for all of it, none of it is added.
    pub(super) fn take(&mut self, text: &[u8]) -> io::Result<()> {
        self.lines += text.split(|&byte| byte == b'\n').count() - 1;
        let file = match &mut self.file {
            // The prompt of the shell needs a line too.
            None if self.lines < self.rows => {
                self.text.extend_from_slice(text);
                return Ok(());
            }
            None => {
                let mut file = tempfile::tempfile()?;
                file.write_all(&self.text)?;
                self.text = vec![];
                self.file.insert(file)
            }
            Some(file) => file,
        };
        let end = file.stream_position()?;
        file.write_all(text).inspect_err(|_| {
            let _ = file.set_len(end);
        })
    }

    /// Keeps a note for the end.
    pub(super) fn tell(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Whether a pager is needed.
    pub(super) fn is_long(&self) -> bool {
        self.file.is_some()
    }

    /// Shows everything: in the pager, if a section is given for that, or else directly on `stdout`. Returns the notes.
    pub(super) fn show(self, stdout: &mut dyn Write, section: Option<Section>) -> (io::Result<()>, Vec<String>) {
        let shown = match self.file {
            None => stdout.write_all(&self.text),
            Some(file) => show_file(file, &self.command, stdout, section),
        };
        (shown.and_then(|()| stdout.flush()), self.notes)
    }
}

fn show_file(mut file: File, command: &str, stdout: &mut dyn Write, section: Option<Section>) -> io::Result<()> {
    file.rewind()?;
    if let Some(section) = section {
        // What is typed now is for the pager, including Ctrl-C.
        let reading = section.lend();
        let mut pager = platform::shell(command);
        // A pager could start other programs with the rights of keyward's user (less(1), "SECURITY").
        pager.env("LESSSECURE", "1").stdin(file.try_clone()?);
        let status = pager.status();
        drop(reading);
        // The exit statuses of a shell for a command that it cannot start (POSIX, "Shell Command Language", 2.8.2).
        if status.is_ok_and(|status| !matches!(status.code(), Some(126 | 127))) {
            return Ok(());
        }
        file.rewind()?;
    }
    io::copy(&mut file, stdout).map(drop)
}
