//! `keyward store`

mod copy;
mod grants;
mod init;
mod migrate;

use clap::{Args, Subcommand};

use crate::error::{Error, Exit};
use crate::session::Session;

/// Make a store in a database, look after it, copy or move one
///
/// The first key makes a store in a file. A store in a database is made only by `keyward store init`, so that a mistyped URL
/// cannot make a second one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward --store postgres://ann@db.example.org/keys store init
  keyward --store keys.db store move --to postgres://ann@db.example.org/keys")]
pub struct Store {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Init),
    Migrate(migrate::Migrate),
    Grants(grants::Grants),
    Copy(copy::Copy),
    Move(copy::Move),
}

impl Store {
    /// Runs the verb.
    ///
    /// # Errors
    /// The error of the verb.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        match self.verb {
            Verb::Init(init::Init {}) => init::Init::run(session),
            Verb::Migrate(migrate::Migrate {}) => migrate::Migrate::run(session),
            Verb::Grants(grants::Grants {}) => grants::Grants::run(session),
            Verb::Copy(verb) => verb.run(session),
            Verb::Move(verb) => verb.run(session),
        }
    }
}
