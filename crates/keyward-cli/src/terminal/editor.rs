//! The person's editor.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::Section;
use crate::error::{Code, Error};
use crate::platform;

/// A text in a file that only its owner can read, while it is edited.
#[derive(Debug)]
pub struct Scratch(NamedTempFile);

impl Scratch {
    /// Puts `text` into a new file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(text: &str) -> Result<Self, Error> {
        let mut file =
            tempfile::Builder::new().prefix("keyward-").suffix(".toml").tempfile().map_err(|error| lost(&error))?;
        file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(|error| lost(&error))?;
        Ok(Self(file))
    }

    /// Opens it in `editor`, a command with its arguments in shell syntax, and returns the text in the file after the
    /// editor has ended.
    ///
    /// # Errors
    /// [`Code::Cancelled`] if the editor cannot be started, or ends with an error.
    pub fn edit(&self, section: Section, editor: &str) -> Result<String, Error> {
        // What is typed now is for the editor, including Ctrl-C.
        let editing = section.lend();
        // Standard output is for the output of the command; the person looks at the terminal.
        let screen = platform::stderr_for_child().map_err(|error| lost(&error))?;
        let status = platform::shell_with_file(editor, self.0.path()).stdout(screen).status();
        drop(editing);
        let refused = |what: String| {
            Error::new(Code::Cancelled, format!("the editor {editor:?} {what}; nothing was changed"))
                .hint("name another one in VISUAL or EDITOR, or change settings with flags: keyward help edit")
        };
        match status {
            Ok(status) if status.success() => {}
            // The exit status of a shell for a command that it does not find (POSIX, "Shell Command Language", 2.8.2).
            Ok(status) if status.code() == Some(127) => return Err(refused("could not be started".to_owned())),
            Ok(status) => return Err(refused(format!("ended with an error ({status})"))),
            Err(error) => return Err(refused(format!("could not be started: {error}"))),
        }
        std::fs::read_to_string(self.0.path()).map_err(|error| lost(&error))
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Keeps the file, and returns its path.
    pub fn keep(self) -> Option<PathBuf> {
        self.0.keep().ok().map(|(_, path)| path)
    }
}

fn lost(error: &std::io::Error) -> Error {
    Error::new(
        Code::OutputFailed,
        format!("the text to edit could not be kept in a file: {error}; nothing was changed"),
    )
    .hint("look at the folder for temporary files, or change settings with flags: keyward help edit")
}
