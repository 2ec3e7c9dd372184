//! Whose a secret is that was found, and whether it works.

use std::collections::BTreeMap;

use keyward_core::rules::hashing::Memory;
use keyward_core::rules::key::{Key, SecretState, State};
use keyward_core::rules::names::Name;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::Store;
use keyward_core::verifier::VerifyError;

use crate::error::Error;
use crate::session::Session;

/// What the store knows of a secret.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The key, also one that was deleted; `None` where it is of another store.
    pub(super) name: Option<Name>,
    /// The state of the key, or `retired` where the secret is over, or `deleted`.
    pub(super) state: Option<&'static str>,
    /// Whether it is the secret of the key, and not only a text with its id; `None` where that cannot be told.
    pub(super) genuine: Option<bool>,
    /// The key, where what was found opens something.
    pub(super) live: Option<Box<Key>>,
}

/// Looks secrets up, each text once.
#[derive(Default)]
pub(super) struct Lookup {
    memory: Memory,
    /// Whether the store tells of keys that are gone: a role of a database that only verifies may not read that.
    tells_history: Option<bool>,
    /// The last text with each id of this store, and what is known of it.
    seen: BTreeMap<Id, (Secret, Known)>,
}

impl Lookup {
    /// What the store knows of a secret. Costs one Argon2id where it has its id.
    ///
    /// # Errors
    /// Where the store cannot be read, or the key is damaged.
    pub(super) fn look(&mut self, session: &Session, store: &Store, secret: Secret) -> Result<Known, Error> {
        if let Some((before, known)) = self.seen.get(secret.id()) {
            if before.expose() == secret.expose() {
                return Ok(known.clone());
            }
            // Of all texts with an id, one is genuine.
            if known.genuine == Some(true) {
                return Ok(Known { genuine: Some(false), live: None, ..known.clone() });
            }
        }
        let view = store.view()?;
        let Some(found) = view.presented(secret.id())? else {
            let tells_history = match self.tells_history {
                Some(known) => known,
                None => *self.tells_history.insert(view.tells_history()?),
            };
            if !tells_history {
                return Ok(Known::default());
            }
            let former =
                view.keys_ever_named(secret.id().as_str())?.into_iter().find(|key| key.by_secret && key.is_gone);
            let name = former.map(|key| key.name);
            let state = name.as_ref().map(|_| "deleted");
            return Ok(Known { name, state, ..Known::default() });
        };
        drop(view);
        let genuine = found.hash.matches_in(&secret, &mut self.memory).map_err(VerifyError::from)?;
        let is_over = found.secret.state(session.now()) == SecretState::Retired;
        let state = found.key.state(session.now());
        let is_live = genuine && !is_over && state == State::Active;
        let known = Known {
            name: Some(found.key.name.clone()),
            state: Some(if is_over && genuine { "retired" } else { state.as_str() }),
            genuine: Some(genuine),
            live: is_live.then(|| Box::new(found.key)),
        };
        self.seen.insert(secret.id().clone(), (secret, known.clone()));
        Ok(known)
    }
}
