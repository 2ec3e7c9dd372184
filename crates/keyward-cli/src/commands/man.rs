//! `keyward man`

use std::path::PathBuf;

use clap::{Args, Command};

use crate::error::{Code, Error, Exit};
use crate::manual::pages;
use crate::session::Session;

/// Print the man page, or write the pages of all commands into a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward man | man -l -
  keyward man pages; cp pages/*.1 ~/.local/share/man/man1; cp pages/*.5 ~/.local/share/man/man5; cp pages/*.7 ~/.local/share/man/man7")]
pub struct Manual {
    /// The folder, which must exist
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Manual {
    /// Prints or writes the pages of the command line that `command` defines.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn run(self, session: &mut Session, command: Command) -> Result<Exit, Error> {
        let pages = pages(command)?;
        let Some(folder) = self.folder else {
            session.terminal.print(pages.first().map_or("", |page| &page.text))?;
            return Ok(Exit::DONE);
        };
        for page in &pages {
            let path = folder.join(&page.file);
            write(&path, &page.text).map_err(|error| {
                Error::new(Code::OutputFailed, format!("{} cannot be written: {error}", path.display()))
                    .hint("name a folder that is there and that you may write")
            })?;
        }
        session.terminal.note(&format!("wrote {} pages into {}", pages.len(), folder.display()));
        Ok(Exit::DONE)
    }
}

/// A page appears under its name complete. A file of that name is replaced, a link never followed.
fn write(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(std::path::Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    crate::platform::publish(file.as_file())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
