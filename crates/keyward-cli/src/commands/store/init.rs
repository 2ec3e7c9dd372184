//! `keyward store init`

use clap::Args;

use crate::error::{Error, Exit};
use crate::session::Session;

/// Make the schema and its tables in the database that --store names
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward --store postgres://ann@db.example.org/keys store init")]
pub(super) struct Init {}

impl Init {
    /// Makes the store.
    ///
    /// # Errors
    /// Where it cannot be made, or something is there.
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let store = session.found_store()?;
        session.terminal.note(&format!("made a new store: {}", store.path().display()));
        Ok(Exit::DONE)
    }
}
