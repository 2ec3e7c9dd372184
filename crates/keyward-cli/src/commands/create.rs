//! `keyward create`

use clap::Args;

use super::ensure::ensure;
use super::form;
use super::mint::{Creation, DeliveryArgs, mint_key};
use super::setting_args::SettingArgs;
use super::views::{field_in_words, in_words, offer_group};
use crate::delivery::Patience;
use crate::error::{Error, Exit};
use crate::session::{Enter, Session};
use keyward_core::rules::key::Settings;
use keyward_core::rules::names::{Name, Prefix};
use keyward_core::rules::patch::differences;

/// Mint a key and deliver its secret once
///
/// In a terminal the secret is shown on a screen of its own until you say that you have stored it;
/// elsewhere it goes to standard output, on a line of its own. If it cannot be delivered, no key is made.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward create  # asks one question at a time
  keyward create deploy --scope rest --expires 90d
  keyward create backup --read-only --allow-ip 10.0.0.0/8 --description nightly
  secret=$(keyward create ci --label team=web)
  keyward create deploy --ensure --scope rest --secret-file /run/secrets/deploy
  keyward create deploy --secret-to 'gh secret set DEPLOY_KEY'")]
pub struct Create {
    /// Name of the new key: letters, digits and . _ - @ /; omit it in a terminal to be asked
    name: Option<Name>,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// Make the key if it does not exist; otherwise change the named settings that differ
    ///
    /// A key that exists gets no new secret. Where the secret goes to a file or a dotenv file, keyward checks that
    /// the file holds a working secret of this key. A duration in --expires that the key was given already changes
    /// nothing; another one counts from when the key was made.
    #[arg(long, requires = "name", help_heading = "Provisioning")]
    ensure: bool,
    /// With --ensure: rotate the key if the file holds no working secret of it
    #[arg(long, requires = "ensure", help_heading = "Provisioning")]
    rotate_if_missing: bool,
}

impl Create {
    /// Mints the key.
    ///
    /// # Errors
    /// If the store or the sink fails. No key is made then.
    pub fn run(mut self, session: &mut Session) -> Result<Exit, Error> {
        if let Some(name) = self.name.as_ref().filter(|_| self.ensure) {
            ensure(session, name, &self.settings, &self.delivery, self.rotate_if_missing)?;
            return Ok(Exit::DONE);
        }
        let sink = self.delivery.sink(session)?;
        let name = match self.name.take() {
            Some(name) => name,
            None => self.ask(session)?,
        };
        let patch = self.settings.patch(session.now())?;
        let mut store = session.store_to_make()?;
        let settings = patch.apply(&session.default_settings(&store)?);
        offer_group(session, &mut store, settings.group.as_ref())?;
        let (end, patience) = (self.settings.end(), Patience::Short);
        let creation = Creation { name: &name, settings: &settings, end, source: None, sink: &sink, patience };
        mint_key(session, &mut store, creation)?;
        Ok(Exit::DONE)
    }

    /// Asks for everything that was not given, and shows all of it before anything is made.
    fn ask(&mut self, session: &mut Session) -> Result<Name, Error> {
        session.check_can_ask("NAME")?;
        let store = session.store_to_plan()?;
        if let Some(store) = &store {
            session.check_key_manager(store)?;
        }
        let name = form::fill(session, store.as_ref(), &mut self.settings)?;
        session.look_at_the_clock();
        let defaults = Settings::with_prefix(Prefix::default());
        let start = store.as_ref().map_or_else(|| Ok(defaults.clone()), |store| session.default_settings(store))?;
        let settings = self.settings.patch(session.now())?.apply(&start);
        session.terminal.say(&format!("\n{name}"));
        for setting in differences(&defaults, &settings) {
            session.terminal.say(&format!("  {}: {}", field_in_words(&setting.field), in_words(&setting.new)));
        }
        session.confirm("Mint this key?", Enter::MeansYes)?;
        Ok(name)
    }
}
