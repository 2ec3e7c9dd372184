//! `keyward store migrate`

use clap::Args;

use crate::error::{Code, Error, Exit};
use crate::session::Session;
use keyward_core::store::{Migrated, Store, StoreError};

/// Bring a store in a database to the schema of this keyward
///
/// Run it once, as the role that owns the tables, after keyward was updated on one of the hosts; before that or afterwards,
/// the others can be updated one by one. Others may use the store meanwhile. No other command changes the schema of a
/// store in a database.
///
/// A store in a file needs none of this: the next command that changes it brings it up to date.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward --store postgres://ann@db.example.org/keys store migrate")]
pub(super) struct Migrate {}

impl Migrate {
    /// Upgrades it.
    ///
    /// # Errors
    /// If it cannot be changed; it is unchanged then.
    pub(super) fn run(session: &mut Session) -> Result<Exit, Error> {
        let (url, surroundings) =
            session.server("a store in a file is brought up to date by the next command that changes it")?;
        let Migrated { from, to, .. } = Store::migrate(url, surroundings).map_err(explained)?;
        let said = if from == to {
            format!("the store has schema {to}: nothing to do")
        } else {
            format!(
                "brought the store from schema {from} to schema {to}; if it has tables that are new, give the roles their rights: \
                 keyward store grants"
            )
        };
        session.terminal.note(&said);
        Ok(Exit::DONE)
    }
}

/// This right cannot be granted: only the owner can alter tables.
fn explained(error: StoreError) -> Error {
    let message = error.to_string();
    match error {
        StoreError::Forbidden { .. } => Error::new(Code::NotPermitted, message)
            .hint("nothing was changed; sign in as the role that owns the tables: --store postgres://OWNER@HOST/DB"),
        StoreError::Locked(_) => Error::new(Code::StoreLocked, message).hint(
            "nothing was changed; a long transaction keeps a table in use, see SELECT pid, query FROM pg_stat_activity WHERE \
             state <> 'idle'; try again when it has ended",
        ),
        StoreError::Unheard(_) => Error::new(Code::UnknownOutcome, message).hint("run it again: it says what is left to do"),
        error => error.into(),
    }
}
