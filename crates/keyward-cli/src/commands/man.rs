//! `keyward man`

use std::io::{Seek as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;

use clap::{Args, Command, ValueHint};

use crate::error::{Code, Error, Exit};
use crate::manual::{Page, pages};
use crate::platform;
use crate::session::Session;

/// Show a man page, or write the pages of all commands into a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward man
  keyward man group create
  keyward man serve.toml
  keyward man --dir pages; install -D -t ~/.local/share/man/man1 pages/*.1")]
pub struct Manual {
    /// A command, or a format such as manifest
    #[arg(value_name = "COMMAND", conflicts_with = "folder")]
    command: Vec<String>,
    /// Write all pages into this folder, which is made if it is not there
    #[arg(long = "dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: Option<PathBuf>,
}

impl Manual {
    /// Shows a page, or writes the pages of the command line that `command` defines.
    ///
    /// # Errors
    /// If there is no such page, or the folder cannot be written.
    pub fn run(self, session: &mut Session, command: Command) -> Result<Exit, Error> {
        let pages = pages(command)?;
        let Some(folder) = self.folder else {
            let name = ["keyward".to_owned()].into_iter().chain(self.command).collect::<Vec<_>>().join("-");
            let is_it = |page: &&Page| page.file.rsplit_once('.').is_some_and(|(stem, _)| stem == name);
            let page = pages.iter().find(is_it).ok_or_else(|| {
                Error::new(Code::Usage, format!("there is no page {name}"))
                    .hint("the commands are listed by `keyward --help`, the other topics by `keyward help TOPIC`")
            })?;
            let is_seen = session.terminal.kinds().stdout_is_terminal;
            let text = if is_seen { formatted(&page.text, session.terminal.width()) } else { None };
            session.terminal.print(text.as_ref().unwrap_or(&page.text))?;
            return Ok(Exit::DONE);
        };
        // If it cannot be made, writing the first page reports that.
        let _ = std::fs::create_dir(&folder);
        for page in &pages {
            let path = folder.join(&page.file);
            write(&path, &page.text).map_err(|error| {
                Error::new(Code::OutputFailed, format!("{} cannot be written: {error}", path.display()))
                    .hint("name a folder that you may write, or a new one in such a folder")
            })?;
        }
        session.terminal.note(&format!("wrote {} pages into {}", pages.len(), folder.display()));
        Ok(Exit::DONE)
    }
}

/// The page formatted for a terminal of this width, if there is a program for that.
fn formatted(page: &str, width: Option<u16>) -> Option<String> {
    let mut file = tempfile::tempfile().ok()?;
    file.write_all(page.as_bytes()).ok()?;
    ["man -l -", "mandoc -"].into_iter().find_map(|program| {
        file.rewind().ok()?;
        let mut command = platform::shell(program);
        let width = width.unwrap_or(80).to_string();
        command.env("MANPAGER", "cat").env("MANWIDTH", width).env("MAN_KEEP_FORMATTING", "1");
        let output = command.stdin(file.try_clone().ok()?).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        (output.status.success() && !text.trim().is_empty()).then_some(text)
    })
}

/// A page appears under its name only when complete. A file with that name is replaced, and a link is never followed.
fn write(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(std::path::Path::new("."));
    // The system's message names the temporary file, which helps nobody.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| std::io::Error::from(error.kind()))?;
    file.write_all(text.as_bytes())?;
    platform::publish(file.as_file())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
