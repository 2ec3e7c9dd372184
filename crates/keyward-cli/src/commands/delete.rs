//! `keyward delete`

use clap::Args;

use super::views::{find_all_to_change, last_use, print_outcomes};
use crate::delivery::Effect;
use crate::error::{Code, Error, Exit};
use crate::session::{Enter, Session};
use crate::text::count;
use keyward_core::rules::key::Key;
use keyward_core::store::Filter;

/// A key that was used within this many seconds is in use: seven days.
const RECENT: i64 = 7 * 86_400;

/// Delete keys permanently
///
/// The next request with one of them is refused. A deleted key cannot be brought back, its name is
/// free again, and its history stays. To stop a key temporarily, disable it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward delete old-deploy
  keyward delete --yes ci-1 ci-2")]
pub struct Delete {
    /// The keys: names, ids, or public ids of their secrets
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

impl Delete {
    /// Deletes them all, or none.
    ///
    /// # Errors
    /// An error of the store, or if the person declines; then nothing was deleted.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        if self.keys.is_empty() {
            session.check_can_ask("KEY")?;
        }
        if !self.yes && !session.terminal.can_ask() {
            return Err(Error::new(Code::ConfirmationRequired, "refusing to delete without confirmation")
                .hint("add --yes if you mean it; to stop a key temporarily: keyward disable KEY"));
        }
        let mut store = session.store_to_change()?;
        let keys = match &self.keys[..] {
            [] => session.choose_keys(&store, "Delete which keys?", &Filter::default(), true)?,
            named => find_all_to_change(&store, named)?,
        };
        if !self.yes {
            // First check whether they can be deleted at all, before asking the person.
            store.rehearse(session.stamp(), |changes| keys.iter().try_for_each(|key| changes.delete_key(key)))?;
            confirm(session, &keys)?;
        }
        session.write(&mut store, |changes| keys.iter().try_for_each(|key| changes.delete_key(key)))?;
        let outcomes: Vec<_> = keys.into_iter().map(|key| (key, Effect::Deleted)).collect();
        print_outcomes(session, &outcomes, "deleted")?;
        Ok(Exit::DONE)
    }
}

/// Shows what will break. The person must type the name of a recently used key; for others, a yes is enough.
fn confirm(session: &mut Session, keys: &[Key]) -> Result<(), Error> {
    let now = session.now();
    if let Some(path) = session.store_path() {
        let store = format!("in the store {}:", path.display());
        session.terminal.say(&store);
    }
    for key in keys {
        let owner = key.settings.owner.as_ref().map(|owner| format!(", owned by {owner}")).unwrap_or_default();
        session.terminal.say(&format!("{}: {}{owner}", key.name, last_use(key, now)));
    }
    let is_recent = |key: &&Key| key.last_used_at.is_some_and(|time| now.as_second() - time.as_second() < RECENT);
    let (recent, others): (Vec<&Key>, Vec<&Key>) = keys.iter().partition(is_recent);
    for key in recent {
        let question = format!("{} was {}. Type its name to delete it permanently", key.name, last_use(key, now));
        session.confirm_name(&question, key.name.as_str())?;
    }
    match &others[..] {
        [] => Ok(()),
        [key] => session.confirm(&format!("Delete the key {} permanently?", key.name), Enter::MeansNo),
        keys => {
            session.confirm(&format!("Delete these {} permanently?", count(keys.len() as u64, "key")), Enter::MeansNo)
        }
    }
}
