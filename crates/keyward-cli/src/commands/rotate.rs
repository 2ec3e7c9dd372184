//! `keyward rotate`

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::expiry::tell_cuts;
use super::mint::{DeliveryArgs, Rotation, Together, rotate_keys};
use super::secrets_dir::{file_name, make_folder};
use super::views::find_all_to_change;
use crate::delivery::{Changed, Existing, Patience, Place, Sink};
use crate::error::{Code, Error, Exit};
use crate::session::Session;
use keyward_core::rules::key::{Key, SecretInfo, SecretState};
use keyward_core::rules::time::{Duration, rfc3339};
use keyward_core::rules::token::Id;
use keyward_core::store::{Filter, Store};

/// Replace the secrets of keys
///
/// A key keeps its name, its id and its settings. The old secret works until the grace period
/// ends, by default at once; secrets before it end then at the latest, and none outlives the key. Without
/// a grace period it is over for good, also where a clock goes back. The key keeps its expiry, or gets the
/// latest one that max-lifetime allows. If the new secret cannot be delivered, the old one stays as it was.
///
/// Of several keys, all are rotated or none. Their secrets are printed a line each: the name, a tab, the secret.
/// With --json they stand in an array, and with --secrets-dir each goes into a file of its own. Other places take
/// one secret.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward rotate deploy --grace 24h  # give clients a day to change over
  keyward rotate deploy  # the old secret leaked: stop it now
  keyward rotate ci-1 ci-2 --secrets-dir secrets --grace 1h")]
pub struct Rotate {
    /// The keys: names, ids, or public ids of their secrets; omit them in a terminal to choose
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// How long the old secret keeps working
    #[arg(long, value_name = "DURATION", default_value = "0s", allow_hyphen_values = true)]
    grace: Duration,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// Write each secret into a file of this folder, named after its key
    ///
    /// A / in the name becomes %2F, and the file has mode 0600. One that holds a secret of the key is replaced; one that holds anything else is left
    /// alone, and no key is rotated.
    #[arg(long, value_name = "DIR", group = "sink", value_hint = ValueHint::DirPath, help_heading = "Delivery")]
    secrets_dir: Option<PathBuf>,
}

impl Rotate {
    /// Rotates the keys.
    ///
    /// # Errors
    /// Errors of the store or a sink; then the old secrets are unchanged.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let is_list = self.keys.len() > 1;
        if is_list && self.delivery.names_a_place() {
            return Err(Error::new(Code::Usage, "the secrets of several keys cannot go to the same place")
                .hint("write each into a file of its own: --secrets-dir DIR; or rotate one key at a time"));
        }
        let sink = if self.secrets_dir.is_none() { Some(self.delivery.sink(session)?) } else { None };
        let mut store = session.store_to_change()?;
        let keys = match &self.keys[..] {
            [] => {
                session.choose_keys(&store, "Rotate which keys?", &Filter::default(), !self.delivery.names_a_place())?
            }
            named => find_all_to_change(&store, named)?,
        };
        let in_array = is_list || keys.len() > 1;
        let sinks = match (&self.secrets_dir, sink) {
            (Some(folder), _) => in_files(session, &store, folder, &keys)?,
            (None, Some(sink)) => {
                let sink = if in_array { sink.of_several() } else { sink };
                keys.iter().map(|_| sink.clone()).collect()
            }
            (None, None) => vec![],
        };
        let rotations: Vec<_> =
            keys.iter().zip(&sinks).map(|(key, sink)| Rotation { key, prefix: &key.settings.prefix, sink }).collect();
        let together = Together { grace: self.grace, patience: Patience::Short, in_array };
        let rotated = rotate_keys(session, &mut store, &rotations, together, &|_, key| Ok(key.clone()))?;
        for (before, changed) in keys.iter().zip(&rotated) {
            tell(session, &store, before, changed, self.grace)?;
        }
        Ok(Exit::DONE)
    }
}

/// A file for each key in this folder, which is made if it does not exist.
fn in_files(session: &Session, store: &Store, folder: &Path, keys: &[Key]) -> Result<Vec<Sink>, Error> {
    make_folder(folder)?;
    let in_file = |key: &Key| {
        let path = folder.join(file_name(&key.name));
        let proof = Place::File { path: path.clone(), existing: Existing::Refuse }.proof()?;
        let is_own = |id: &Id| Ok(key.secrets.iter().any(|own| own.id == *id) || store.view()?.is_leftover(id)?);
        let existing = proof.map_or(Ok(Existing::Refuse), |proof| proof.existing(is_own))?;
        if existing == Existing::Refuse {
            let message = format!("{} holds something else than a secret of {}", path.display(), key.name);
            return Err(Error::new(Code::NotDelivered, format!("{message}; nothing was changed"))
                .hint("move it away, or name another folder"));
        }
        let place = Place::File { path, existing };
        place.check(session)?;
        Ok(Sink::Place(place))
    };
    keys.iter().map(in_file).collect()
}

fn tell(session: &mut Session, store: &Store, before: &Key, changed: &Changed, grace: Duration) -> Result<(), Error> {
    let Changed { key, warnings } = changed;
    let old = before.current_secret();
    let old = key.secrets.iter().find(|secret| Some(&secret.id) == old);
    let old = match old.and_then(|secret| secret.expires_at.filter(|_| works(secret, session))) {
        Some(end) => format!("the old secret works until {}", rfc3339(end)),
        None => "the old secret no longer works".to_owned(),
    };
    session.terminal.note(&format!("rotated the key {}; {old}", key.name));
    tell_cuts(session, store, key, grace, warnings)?;
    if key.is_expired(session.now()) {
        let name = &key.name;
        session.terminal.warn(&format!("{name} has expired, so the new secret works once you give it another end: keyward edit {name} --expires WHEN"));
    }
    Ok(())
}

fn works(secret: &SecretInfo, session: &Session) -> bool {
    secret.state(session.now()) == SecretState::Grace
}
