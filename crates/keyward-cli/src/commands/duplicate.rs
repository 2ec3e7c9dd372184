//! `keyward duplicate`

use clap::Args;

use super::form;
use super::mint::{Creation, DeliveryArgs, mint_key};
use super::setting_args::SettingArgs;
use super::views::offer_group;
use crate::delivery::Patience;
use crate::error::{Error, Exit};
use crate::session::Session;
use keyward_core::rules::names::Name;

/// Mint a new key with the settings of another
///
/// The copy has the same settings, except for those that you name, and an expiry within the store's
/// max-lifetime. Its secret is new, and delivered as by `create`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward duplicate deploy deploy-staging
  keyward duplicate deploy deploy-readonly --read-only --expires 30d")]
pub struct Duplicate {
    /// The key to copy: its name, its id, or the public id of one of its secrets
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// Name of the new key
    #[arg(value_name = "NEW_NAME")]
    new_name: Option<Name>,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    delivery: DeliveryArgs,
}

impl Duplicate {
    /// Mints the key.
    ///
    /// # Errors
    /// Errors of the store or the sink; then there is no new key.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let sink = self.delivery.sink(session)?;
        let patch = self.settings.patch(session.now())?;
        let mut store = session.store_to_change()?;
        if self.new_name.is_none() {
            session.check_can_ask("NEW_NAME")?;
        }
        let key = session.find_or_ask(&store, self.key.as_deref(), "Duplicate which key?")?;
        let new_name = match &self.new_name {
            Some(name) => name.clone(),
            None => form::new_name(session, &store)?,
        };
        let (name, source, patience) = (&new_name, Some(&key), Patience::Short);
        let (end, settings) = (self.settings.end(), patch.apply(&key.settings));
        offer_group(session, &mut store, settings.group.as_ref())?;
        mint_key(session, &mut store, Creation { name, settings: &settings, end, source, sink: &sink, patience })?;
        Ok(Exit::DONE)
    }
}
