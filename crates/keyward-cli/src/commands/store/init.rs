//! `keyward store init`

use clap::Args;

use crate::error::{Code, Error, Exit};
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
    /// If it cannot be made, or something exists there.
    pub(super) fn run(session: &mut Session) -> Result<Exit, Error> {
        let store = session.found_store().map_err(explained)?;
        session.terminal.note(&format!("made a new store: {}", store.path().display()));
        Ok(Exit::DONE)
    }
}

/// Roles cannot exist for a store that does not.
fn explained(error: Error) -> Error {
    if error.code() != Code::NotPermitted {
        return error;
    }
    Error::new(error.code(), error.message()).hint(
        "nothing was made; sign in as a role that may make a schema (GRANT CREATE ON DATABASE … TO …), or have one made for it: \
         CREATE SCHEMA keyward AUTHORIZATION …",
    )
}
