//! `keyward edit`

use clap::Args;
use serde::Serialize;

use super::setting_args::{ChangeArgs, SettingArgs};
use super::views::changes;
use crate::delivery::Outcome;
use crate::domain::key::KeyJson;
use crate::domain::names::Name;
use crate::domain::patch::SettingsPatch;
use crate::error::{Code, Error, Exit};
use crate::session::Session;

/// Change the settings of a key
///
/// Naming a list (--scope, --level, --allow-ip, --label) replaces it; --add-… and --remove-… change
/// it. The secret stays the same.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward edit deploy --add-scope ui --expires 90d
  keyward edit deploy --name deploy-prod --clear description,allow-ip")]
pub struct Edit {
    /// The key: its name, its id, or the public id of one of its secrets
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// Another name for it
    #[arg(long, value_name = "NEW")]
    name: Option<Name>,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    changes: ChangeArgs,
}

#[derive(Serialize)]
struct Document<'d> {
    key: KeyJson<'d>,
    outcome: Outcome,
}

impl Edit {
    /// Makes the change.
    ///
    /// # Errors
    /// What the store says; then nothing was changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let mut patch = self.settings.patch(session.now())?;
        self.changes.extend(&mut patch)?;
        let clears_prefix = self.changes.clears_prefix();
        if self.name.is_none() && !clears_prefix && patch == SettingsPatch::default() {
            return Err(Error::new(Code::Usage, "no change was named")
                .hint("for example: keyward edit KEY --name NEW, --expires 90d, --add-scope SCOPE")
                .hint("all that can be changed: keyward help edit"));
        }
        let mut store = session.change_store()?;
        if clears_prefix {
            patch.prefix = Some(store.settings()?.prefix);
        }
        let text = match self.key {
            Some(text) => text,
            None => session.find_or_ask(&store, None, "Edit which key?")?.id.to_string(),
        };
        // The key is read inside the transaction, so nobody's change in the meantime is lost.
        let edited = store.write(session.stamp(), |tx| {
            let Some(key) = tx.find(&text)? else { return Ok(None) };
            let name = self.name.as_ref().unwrap_or(&key.name);
            let edited = tx.update_key(&key, name, &patch.apply(&key.settings))?;
            Ok::<_, Error>(Some((key, edited)))
        })?;
        let (before, after) = edited.ok_or_else(|| session.no_such_key(Some(&store), &text))?;
        let outcome = if before == after { Outcome::Unchanged } else { Outcome::Updated };
        if session.json() {
            session.print_json(&Document { key: after.to_json(session.now()), outcome })?;
        } else if outcome == Outcome::Unchanged {
            session.terminal.note(&format!("the key {} is as it was: nothing differs", after.name));
        } else {
            session.terminal.note(&format!("changed the key {}\n{}", before.name, changes(&before, &after)));
        }
        Ok(Exit::DONE)
    }
}
