//! Keys whose secrets another system made.

use serde_json::json;

use super::{Changes, Subject, as_json};
use crate::rules::hashing::{HashError, HashedSecret, Memory};
use crate::rules::imported::{ImportedText, LookupKey};
use crate::rules::key::Settings;
use crate::rules::names::Name;
use crate::rules::patch::differences;
use crate::rules::plain::PlainText as _;
use crate::rules::token::Secret;
use crate::store::error::StoreError;
use crate::store::keys::{self, NewKey};
use crate::store::secrets::Imported;
use crate::store::settings::{self, StoreSettings};
use crate::store::view::View;

/// What is known of a secret that is about to be imported.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum KnownSecret<'k> {
    /// Its text.
    Text(&'k ImportedText),
    /// The SHA-256 of its text.
    Sha256(&'k [u8; 32]),
    /// An Argon2id of its text.
    Hash(&'k HashedSecret),
}

/// Why it could not be found out whether a secret is there already.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A hash could not be computed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl View<'_> {
    /// The name of a key that has this secret already, as far as that can be known: two hashes with different salts say
    /// nothing of each other. Takes an Argon2id for each other secret in the bucket of a text, which are few. `key` is
    /// what the buckets of this store are made with; `None` where there are none.
    ///
    /// # Errors
    /// Where the store cannot be read, or a hash not be computed.
    pub fn key_with_secret(
        &self,
        known: KnownSecret<'_>,
        key: Option<&LookupKey>,
        memory: &mut Memory,
    ) -> Result<Option<Name>, CompareError> {
        let (text, sha256) = match known {
            KnownSecret::Text(text) => (Some(text), text.sha256()),
            KnownSecret::Sha256(sha256) => (None, *sha256),
            KnownSecret::Hash(hash) => return Ok(keys::of_hash(self.conn(), hash)?),
        };
        // A text of our own form is looked up by its id first, whatever else there is.
        if let Some(Ok(own)) = text.map(|text| Secret::parse(text.expose()))
            && let Some(found) = self.presented_or_damaged(own.id())?
        {
            return Ok(Some(found.key.name));
        }
        let Some(key) = key else { return Ok(None) };
        for found in self.in_bucket(key.bucket(&sha256))? {
            let is_same = match (found.hash.as_sha256(), text) {
                (Some(other), _) => other == sha256,
                (None, Some(text)) => found.hash.matches_in(text, memory)?,
                (None, None) => false,
            };
            if is_same {
                return Ok(Some(found.key.name));
            }
        }
        Ok(None)
    }

    /// Pairs of keys that have the same secret: whoever presents it is neither. It is known of those with which somebody
    /// tried. A thousand pairs at most.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn keys_with_same_secret(&self) -> Result<Vec<(Name, Name)>, StoreError> {
        keys::of_same_hash(self.conn())
    }
}

impl Changes<'_> {
    /// What the buckets of this store are made with. A store that has nothing for that takes the key that is offered.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn lookup_key(&self, new: &LookupKey) -> Result<LookupKey, StoreError> {
        settings::lookup_key(self.conn(), new)
    }

    /// Makes a key whose secret another system made. Whether another key has it already is for [`View::key_with_secret`]
    /// to tell. `store` are the settings of this store.
    ///
    /// # Errors
    /// As [`Changes::insert_key`].
    pub fn import_key(&self, new: &NewKey<'_>, imported: Imported, store: &StoreSettings) -> Result<(), StoreError> {
        self.check_authority(None, Some(new.settings))?;
        Self::check_new_name(new.name)?;
        self.check_new_words(new.settings)?;
        if keys::names_something(self.conn(), new.name)? {
            return Err(StoreError::NameTaken { kind: "key", name: new.name.clone() });
        }
        self.check_lease(&Subject::Name(new.name.clone()), None)?;
        self.check_references(new.settings)?;
        store.check_end(new.settings.expires_at, self.now())?;
        keys::insert(self.conn(), new, Some(imported), self.now(), self.stamp.actor)?;
        let defaults = Settings::with_prefix(new.settings.prefix.clone());
        let detail = json!({
            "settings": as_json(differences(&defaults, new.settings)),
            "secret": new.secret.id,
            "imported": imported.origin.as_str(),
        });
        self.append("key.import", "key", Some(new.id), new.name.as_str(), detail)
    }
}
