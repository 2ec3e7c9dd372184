//! Whose a secret is that was found, and whether it works.

use std::collections::{BTreeMap, HashMap, HashSet};

use keyward_core::rules::hashing::Memory;
use keyward_core::rules::imported::ImportedText;
use keyward_core::rules::key::{Key, SecretState, State};
use keyward_core::rules::names::Name;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::{Presented, Store, View};
use keyward_core::verifier::VerifyError;
use zeroize::Zeroizing;

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
    /// The key, where what was found opens something, and the id under which it has this secret.
    pub(super) live: Option<Box<(Key, Id)>>,
}

/// Looks secrets up, each text once.
#[derive(Default)]
pub(super) struct Lookup {
    memory: Memory,
    /// Whether the store tells of keys that are gone: a role of a database that only verifies may not read that.
    tells_history: Option<bool>,
    /// The genuine secrets that were found, and what is known of them. Of all texts with an id, one is genuine.
    genuine: BTreeMap<Id, (Secret, Known)>,
    /// Texts with the id of a secret that do not match it, and what is known of those. They may be many.
    forged: HashMap<Id, (HashSet<String>, Known)>,
}

impl Lookup {
    /// What the store knows of a secret. Costs one Argon2id where it has its id, until the genuine one was found.
    ///
    /// # Errors
    /// Where the store cannot be read, or the key is damaged.
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
            None => imported(&view, &secret, &mut self.memory)?.map(|found| (found, Some(true))),
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

/// The imported secret that this one is.
fn imported(view: &View<'_>, secret: &Secret, memory: &mut Memory) -> Result<Option<Presented>, Error> {
    let Ok(text) = ImportedText::new(Zeroizing::new(secret.expose().to_owned())) else { return Ok(None) };
    Ok(view.imported(&text, None, memory).map_err(VerifyError::from)?)
}
