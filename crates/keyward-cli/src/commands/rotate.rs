//! `keyward rotate`

use clap::Args;

use super::expiry::tell_cuts;
use super::mint::{DeliveryArgs, Rotation, rotate_key};
use crate::delivery::Patience;
use crate::error::{Error, Exit};
use crate::session::Session;
use keyward_core::rules::key::{SecretInfo, SecretState};
use keyward_core::rules::time::{Duration, rfc3339};

/// Replace a key's secret
///
/// The key keeps its name, its id and its settings. The old secret works until the grace period
/// ends, by default at once; secrets before it end then at the latest, and none outlives the key. Without
/// a grace period it is over for good, also where a clock goes back. The key keeps its expiry, or gets the
/// latest one that max-lifetime allows. If the new secret cannot be delivered, the old one stays as it was.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward rotate deploy --grace 24h      give clients a day to change over
  keyward rotate deploy                  the old secret leaked: stop it now")]
pub struct Rotate {
    /// The key: its name, its id, or the public id of one of its secrets
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// How long the old secret keeps working
    #[arg(long, value_name = "DURATION", default_value = "0s", allow_hyphen_values = true)]
    grace: Duration,
    #[command(flatten)]
    delivery: DeliveryArgs,
}

impl Rotate {
    /// Rotates the key.
    ///
    /// # Errors
    /// What the store or the sink says; then the old secret is as it was.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let sink = self.delivery.sink(session)?;
        let mut store = session.store_to_change()?;
        let key = session.find_or_ask(&store, self.key.as_deref(), "Rotate which key?")?;
        let old = key.current_secret().cloned();
        let with = Rotation { prefix: &key.settings.prefix, grace: self.grace, sink: &sink, patience: Patience::Short };
        let (key, warnings) = rotate_key(session, &mut store, &key, with, &|_| Ok(key.clone()))?;
        let old = key.secrets.iter().find(|secret| Some(&secret.id) == old.as_ref());
        let old = match old.and_then(|secret| secret.expires_at.filter(|_| works(secret, session))) {
            Some(end) => format!("the old secret works until {}", rfc3339(end)),
            None => "the old secret no longer works".to_owned(),
        };
        session.terminal.note(&format!("rotated the key {}; {old}", key.name));
        tell_cuts(session, &store, &key, self.grace, &warnings)?;
        if key.is_expired(session.now()) {
            let name = &key.name;
            session.terminal.warn(&format!("{name} has expired, so the new secret works once you give it another end: keyward edit {name} --expires WHEN"));
        }
        Ok(Exit::DONE)
    }
}

fn works(secret: &SecretInfo, session: &Session) -> bool {
    secret.state(session.now()) == SecretState::Grace
}
