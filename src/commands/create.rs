//! `keyward create`

use clap::Args;

use super::mint::{DeliveryArgs, mint_key};
use super::setting_args::SettingArgs;
use crate::domain::names::Name;
use crate::error::{Error, Exit};
use crate::session::Session;

/// Mint a key and deliver its secret once
///
/// In a terminal the secret is shown on a screen of its own until you say that you have stored it;
/// elsewhere it goes to standard output, alone on its line. If it cannot be delivered, there is no key.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward create deploy --scope rest --expires 90d
  keyward create backup --read-only --allow-ip 10.0.0.0/8 --description 'nightly backup'
  secret=$(keyward create ci --label team=web)")]
pub struct Create {
    /// The name of the new key: letters, digits and . _ - @ /
    name: Name,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    delivery: DeliveryArgs,
}

impl Create {
    /// Mints the key.
    ///
    /// # Errors
    /// What the store or the sink says; then there is no key.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let sink = self.delivery.sink(session)?;
        let patch = self.settings.patch(session.now())?;
        let mut store = session.create_store()?;
        let settings = patch.apply(&session.default_settings(&store)?);
        mint_key(session, &mut store, &self.name, &settings, sink)?;
        Ok(Exit::DONE)
    }
}
