//! `keyward show`

use clap::Args;

use super::views::key_card;
use crate::error::{Error, Exit};
use crate::session::{Session, no_such_key};
use keyward_core::verifier::standings;

/// Show one key: everything but its secret
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward show deploy
  keyward show --json deploy | jq .expires_at")]
pub struct Show {
    /// The key: its name, its id, or the public id of one of its secrets
    #[arg(value_name = "KEY")]
    key: Option<String>,
}

impl Show {
    /// Shows the key.
    ///
    /// # Errors
    /// Where there is no such key.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let Some(store) = session.store_to_read()? else {
            return Err(no_such_key(None, self.key.as_deref().unwrap_or("(any)")));
        };
        let key = session.find_or_ask(&store, self.key.as_deref(), "Show which key?")?;
        if let Some(damage) = &key.damage {
            session.terminal.say(&format!("warning: the key {} is damaged: {damage}", key.name));
        }
        if session.json() {
            session.terminal.print_json(&key.to_json(session.now()))?;
        } else if session.quiet() {
            session.terminal.print(&format!("{}\n", key.name))?;
        } else {
            let left = standings(&store.view()?, &key, session.now())?;
            let card = key_card(session, &key, &left);
            session.terminal.print(&card)?;
        }
        Ok(Exit::DONE)
    }
}
