//! `keyward enable`, `keyward disable`

use clap::Args;

use super::views::{find_all_to_change, print_outcomes};
use crate::delivery::Effect;
use crate::error::{Error, Exit};
use crate::session::Session;
use keyward_core::rules::key::{Key, State};
use keyward_core::store::{Filter, StoreError};

/// Enable disabled keys
#[derive(Debug, Args)]
#[command(after_help = "Example:
  keyward enable deploy backup")]
pub struct Enable {
    /// The keys: names, ids, or public ids of their secrets; omit them in a terminal to choose
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
}

/// Disable keys until you enable them
#[derive(Debug, Args)]
#[command(after_help = "Example:
  keyward disable deploy  # undo: keyward enable deploy")]
pub struct Disable {
    /// The keys: names, ids, or public ids of their secrets; omit them in a terminal to choose
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
}

impl Enable {
    /// Enables them all, or none.
    ///
    /// # Errors
    /// An error of the store; then nothing was changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        set_enabled(session, &self.keys, true)
    }
}

impl Disable {
    /// Disables them all, or none.
    ///
    /// # Errors
    /// An error of the store; then nothing was changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        set_enabled(session, &self.keys, false)
    }
}

fn set_enabled(session: &mut Session, keys: &[String], enabled: bool) -> Result<Exit, Error> {
    let mut store = session.store_to_change()?;
    let keys = match keys {
        [] => {
            let question = if enabled { "Enable which keys?" } else { "Disable which keys?" };
            session.choose_keys(&store, question, &Filter { enabled: Some(!enabled), ..Filter::default() }, true)?
        }
        named => find_all_to_change(&store, named)?,
    };
    let outcomes = session.write(&mut store, |changes| {
        let change = |key: &Key| {
            let present = changes.key(&key.id)?.ok_or_else(|| StoreError::KeyGone(key.name.clone()))?;
            let changed = changes.switch_key(&present, enabled)?;
            let outcome = if changed == present { Effect::Unchanged } else { Effect::Updated };
            Ok::<_, Error>((changed, outcome))
        };
        keys.iter().map(change).collect::<Result<Vec<_>, _>>()
    })?;
    print_outcomes(session, &outcomes, if enabled { "enabled" } else { "disabled" })?;
    for (key, _) in &outcomes {
        let why = match key.state(session.now()) {
            State::Expired => "it has expired; give it a new expiry with: keyward edit",
            State::Suspended => "its owner or its tenant is disabled; see: keyward show",
            State::Active | State::Disabled => continue,
        };
        session.terminal.note(&format!("{} still does not work: {why} {}", key.name, key.name));
    }
    Ok(Exit::DONE)
}
