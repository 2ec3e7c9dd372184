//! `keyward backup`

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde_json::json;

use crate::error::{Code, Error, Exit};
use crate::session::Session;
use crate::text::{count, shell_word};
use keyward_core::store::BackupError;

/// Copy the store into a file, while others use it
///
/// The copy is a snapshot of one moment, has mode 0600, and is checked before it gets its name. `keyward restore` puts it
/// in the place of the store, and keeps revoked what was revoked since. A copy by hand over the store brings revoked
/// keys back to life.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward backup /var/backups/keyward-$(date +%F).db
  keyward --store /var/backups/keyward-2026-11-22.db list  # it is a store")]
pub struct Backup {
    /// The new file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

impl Backup {
    /// Makes the copy.
    ///
    /// # Errors
    /// If the store cannot be read, or the file cannot be written. Then no file is left behind.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        if self.file.as_os_str() == "-" {
            return Err(Error::new(Code::Usage, "a backup cannot go to standard output")
                .hint("name a file; for a file called -, write ./-"));
        }
        let store = session.existing_store()?;
        let shown = self.file.display().to_string();
        let working = session.terminal.working("copying the store");
        let copied = store.backup(&self.file);
        drop(working);
        let copied = copied.map_err(|error| {
            let message = format!("{error}; no backup was made");
            match error {
                BackupError::Store(error) => error.into(),
                BackupError::Exists(_) => Error::new(Code::OutputFailed, message)
                    .hint("nothing is replaced: name another file, or remove that one"),
                BackupError::Io { .. } => Error::new(Code::OutputFailed, message)
                    .hint("name a file in a folder that you may write, with room"),
                _ => Error::new(Code::StoreCorrupt, message)
                    .hint("look at the store with `keyward doctor`, and keep the backups that you have"),
            }
        })?;
        if session.json() {
            let document = json!({"file": shown, "keys": copied.keys, "events": copied.events, "bytes": copied.bytes});
            session.terminal.print_json(&document)?;
        }
        let (keys, file) = (count(copied.keys, "key"), shell_word(&shown));
        session.terminal.note(&format!("backed up {keys} into {file}, and checked the copy"));
        Ok(Exit::DONE)
    }
}
