//! `keyward store grants`

use clap::Args;

use crate::error::{Error, Exit};
use crate::session::Session;
use keyward_core::store::grants;

/// Print the SQL that makes two roles for a store in a database
///
/// keyward_admin manages keys, and can add to the history but not change it. keyward_verify only verifies: it reads keys and
/// counts their uses, and can neither lock the store nor read its history. Give one of the two to each role that signs
/// in.
///
/// It prints and runs nothing: the owner of the tables runs the SQL. That can be done again and again, and should be after
/// `keyward store migrate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward store grants > grants.sql; psql -h db.example.org keys < grants.sql")]
pub(super) struct Grants {}

impl Grants {
    /// Prints it, without asking a server.
    ///
    /// # Errors
    /// If the store is in a file, or stdout cannot be written.
    pub(super) fn run(session: &mut Session) -> Result<Exit, Error> {
        let (url, _) =
            session.server("a store in a file has no roles: who may use it is a matter of its permissions")?;
        session.terminal.print(&grants(&url))?;
        Ok(Exit::DONE)
    }
}
