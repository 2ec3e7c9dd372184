//! `keyward store`

use clap::{Args, Subcommand};

use crate::error::{Error, Exit};
use crate::session::Session;

/// Make a store in a database
///
/// The first key makes a store in a file. A store in a database is made only by this command, so that a mistyped URL
/// cannot make a second one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward --store postgres://ann@db.example.org/keys store init")]
pub struct Store {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the schema and its tables in the database that --store names
    Init,
}

impl Store {
    /// Makes the store.
    ///
    /// # Errors
    /// Where it cannot be made, or something is there.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let Verb::Init = self.verb;
        let store = session.found_store()?;
        session.terminal.note(&format!("made a new store: {}", store.path().display()));
        Ok(Exit::DONE)
    }
}
