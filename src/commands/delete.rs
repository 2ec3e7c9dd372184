//! `keyward delete`

use clap::Args;

use super::views::{find_all, last_use, print_outcomes};
use crate::delivery::Outcome;
use crate::domain::text::count;
use crate::error::{Code, Error, Exit};
use crate::session::Session;

/// Stop keys for good
///
/// The next request with one of them is refused. A deleted key cannot be brought back, its name is
/// free again, and its history stays. To stop a key for a while, disable it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward delete old-deploy
  keyward delete --yes ci-1 ci-2")]
pub struct Delete {
    /// The keys: names, ids, or public ids of their secrets
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Delete {
    /// Deletes them all, or none.
    ///
    /// # Errors
    /// What the store or the person says; then nothing was deleted.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        if !self.yes && !session.terminal.can_ask() {
            return Err(Error::new(Code::ConfirmationRequired, "deleting cannot be undone, and nobody can confirm it")
                .hint("add --yes if you mean it; to stop a key for a while: keyward disable KEY"));
        }
        let mut store = session.change_store()?;
        let keys = find_all(session, &store, &self.keys)?;
        if !self.yes {
            for key in &keys {
                let last_use = last_use(key, session.now());
                session.terminal.tell(&format!("{}: {last_use}", key.name));
            }
            let what = match &keys[..] {
                [key] => format!("Delete the key {} for good?", key.name),
                keys => format!("Delete these {} for good?", count(keys.len() as u64, "key")),
            };
            session.confirm(&what)?;
        }
        store.write(session.stamp(), |changes| keys.iter().try_for_each(|key| changes.delete_key(key)))?;
        let outcomes: Vec<_> = keys.into_iter().map(|key| (key, Outcome::Deleted)).collect();
        print_outcomes(session, &outcomes, "deleted")?;
        Ok(Exit::DONE)
    }
}
