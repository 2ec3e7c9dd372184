//! Which key a found secret belongs to, and whether it works.

use std::collections::{BTreeMap, HashMap, HashSet};

use keyward_core::rules::hashing::Memory;
use keyward_core::rules::key::{Key, SecretState, State};
use keyward_core::rules::names::Name;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::Store;
use keyward_core::verifier::VerifyError;

use crate::error::Error;
use crate::session::Session;

/// What the store knows about a secret.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The key, even a deleted one; `None` if the secret belongs to another store.
    pub(super) name: Option<Name>,
    /// The state of the key, or `retired` if the secret has ended, or `deleted`.
    pub(super) state: Option<&'static str>,
    /// Whether it is the key's secret, not only a text with its id; `None` if that is unknown.
    pub(super) genuine: Option<bool>,
    /// The key, if the found secret opens something, and the id under which the key has this secret.
    pub(super) live: Option<Box<(Key, Id)>>,
}

/// Looks secrets up, each text once.
#[derive(Default)]
pub(super) struct Lookup {
    memory: Memory,
    /// Whether the store reveals deleted keys: a database role that only verifies may not read them.
    tells_history: Option<bool>,
    /// The genuine secrets that were found, with what is known of them. Only one text with an id is genuine.
    genuine: BTreeMap<Id, (Secret, Known)>,
    /// Texts with the id of a secret that do not match it, with what is known of them. There may be many.
    forged: HashMap<Id, (HashSet<String>, Known)>,
}

impl Lookup {
    /// What the store knows about a secret. Computes one Argon2id hash if the store has its id, until the genuine one
    /// was found.
    ///
    /// # Errors
    /// If the store cannot be read, or the key is damaged.
    pub(super) fn look(&mut self, session: &Session, store: &Store, secret: Secret) -> Result<Known, Error> {
        if let Some((text, known)) = self.genuine.get(secret.id()) {
            let is_it = text.expose() == secret.expose();
            let forged = || Known { genuine: Some(false), live: None, ..known.clone() };
            return Ok(if is_it { known.clone() } else { forged() });
        }
        if let Some((texts, known)) = self.forged.get(secret.id())
            && texts.contains(secret.expose())
        {
            return Ok(known.clone());
        }
        let view = store.view()?;
        let found = match view.presented(secret.id())? {
            // It may have been imported from another store.
            None => {
                let found = view.imported(&secret, None, &mut self.memory).map_err(VerifyError::from)?;
                found.map(|found| (found, Some(true)))
            }
            found => found.map(|found| (found, None)),
        };
        let Some((found, genuine)) = found else {
            let tells_history = match self.tells_history {
                Some(known) => known,
                None => *self.tells_history.insert(view.tells_history()?),
            };
            let name = if tells_history { view.key_that_had(secret.id())? } else { None };
            let state = name.as_ref().map(|_| "deleted");
            return Ok(Known { name, state, ..Known::default() });
        };
        drop(view);
        let genuine = match genuine {
            Some(genuine) => genuine,
            None => found.hash.matches_in(&secret, &mut self.memory).map_err(VerifyError::from)?,
        };
        let is_over = found.secret.state(session.now()) == SecretState::Retired;
        let state = found.key.state(session.now());
        let is_live = genuine && !is_over && state == State::Active;
        let known = Known {
            name: Some(found.key.name.clone()),
            state: Some(if is_over && genuine { "retired" } else { state.as_str() }),
            genuine: Some(genuine),
            live: is_live.then(|| Box::new((found.key, found.secret.id))),
        };
        let id = secret.id().clone();
        if genuine {
            self.forged.remove(&id);
            self.genuine.insert(id, (secret, known.clone()));
        } else {
            let (texts, _) = self.forged.entry(id).or_insert_with(|| (HashSet::new(), known.clone()));
            texts.insert(secret.expose().to_owned());
        }
        Ok(known)
    }
}
