//! `keyward show`

use clap::Args;

use super::views::{find_all, key_card};
use crate::error::{Error, Exit};
use crate::session::{Session, no_such_key};
use keyward_core::store::Filter;
use keyward_core::verifier::standings;

/// Show keys: everything but their secrets
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward show deploy
  keyward show deploy backup
  keyward show --json deploy | jq .expires_at")]
pub struct Show {
    /// The keys: names, ids, or public ids of their secrets; omit them in a terminal to choose one
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
}

impl Show {
    /// Shows the keys.
    ///
    /// # Errors
    /// If one of them does not exist.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let Some(store) = session.store_to_read()? else {
            return Err(no_such_key(None, self.keys.first().map_or("(any)", String::as_str)));
        };
        let keys = match &self.keys[..] {
            [] => session.choose_keys(&store, "Show which keys?", &Filter::default(), true)?,
            named => find_all(&store, named)?,
        };
        for key in &keys {
            if let Some(damage) = &key.damage {
                session.terminal.say(&format!("warning: the key {} is damaged: {damage}", key.name));
            }
        }
        if session.json() {
            let documents: Vec<_> = keys.iter().map(|key| key.to_json(session.now())).collect();
            session.terminal.print_documents(&documents, self.keys.len() > 1)?;
        } else if session.quiet() {
            keys.iter().try_for_each(|key| session.terminal.print(&format!("{}\n", key.name)))?;
        } else {
            let view = store.view()?;
            for (place, key) in keys.iter().enumerate() {
                let left = standings(&view, key, session.now())?;
                let card = key_card(session, key, &left);
                session.terminal.print(if place > 0 { "\n" } else { "" })?;
                session.terminal.print(&card)?;
            }
        }
        Ok(Exit::DONE)
    }
}
