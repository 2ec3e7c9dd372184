//! Keys whose secrets another system made.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;

use super::{Changes, Subject, as_json, leases};
use crate::rules::fingerprint::sha256;
use crate::rules::hashing::{HashError, HashedSecret, Memory};
use crate::rules::imported::{ImportedText, LookupKey};
use crate::rules::key::Settings;
use crate::rules::names::Name;
use crate::rules::patch::differences;
use crate::rules::plain::PlainText;
use crate::rules::token::Secret;
use crate::store::error::StoreError;
use crate::store::history::Appending;
use crate::store::keys::{self, NewKey, Presented};
use crate::store::secrets::Imported;
use crate::store::settings::{self, Imports, StoreSettings};
use crate::store::view::View;

/// What is known about a secret that will be imported.
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

/// Why it is unknown whether the store already has a secret.
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
    /// The name of a key that already has this secret, as far as that can be known: two hashes with different salts cannot
    /// be compared. Takes one Argon2id for each other secret in the bucket of a text, of which there are few. `key` makes
    /// the buckets of this store; `None` if it has none.
    ///
    /// # Errors
    /// If the store cannot be read, or a hash cannot be computed.
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
        // A text in keyward's own form is always looked up by its id first.
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

    /// The imported secret with this text, among those found by a bucket and those of the key with this name. Takes one
    /// Argon2id for each secret in the bucket and each of that key, of which there are few.
    ///
    /// # Errors
    /// If the store cannot be read, a hash cannot be computed, or the key is damaged.
    pub fn imported(
        &self,
        text: &dyn PlainText,
        name: Option<&Name>,
        memory: &mut Memory,
    ) -> Result<Option<Presented>, CompareError> {
        let Imports::Some { key, .. } = self.settings()?.imports else { return Ok(None) };
        let key = key.ok_or_else(|| self.no_lookup_key())?;
        let mut all = self.in_bucket(key.bucket(&sha256(text.expose())))?;
        if let Some(name) = name {
            all.extend(self.of_unknown_text(name.as_str())?);
        }
        for found in all {
            if found.hash.matches_in(text, memory)? {
                self.check_whole(&found.key)?;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Pairs of keys with the same secret at `now`, which opens neither. A pair is known once somebody has presented the
    /// secret. At most a thousand pairs.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn keys_with_same_secret(&self, now: Timestamp) -> Result<Vec<(Name, Name)>, StoreError> {
        keys::of_same_hash(self.conn(), now)
    }
}

impl<'c> Changes<'c> {
    /// Begins to import keys. A store without a key for buckets takes the one that is offered.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub fn import(&self, offered: &LookupKey) -> Result<Importing<'_, 'c>, StoreError> {
        let settings = self.settings()?;
        let key = match &settings.imports {
            Imports::Some { key: Some(key), .. } => key.clone(),
            Imports::Some { key: None, .. } => return Err(self.no_lookup_key()),
            Imports::None => settings::lookup_key(self.conn(), offered)?,
        };
        let has_leases = leases::are_there(self.conn())?;
        let history = Appending::begin(self.conn())?;
        Ok(Importing { changes: self, settings, key, has_leases, history, known: BTreeSet::new() })
    }
}

/// Keys that are being imported in one transaction. What was looked up for one key is known for the next.
pub struct Importing<'a, 'c> {
    changes: &'a Changes<'c>,
    settings: StoreSettings,
    key: LookupKey,
    has_leases: bool,
    history: Appending,
    /// The groups, users, roles and tenants that were found.
    known: BTreeSet<(&'static str, Name)>,
}

impl std::fmt::Debug for Importing<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Importing")
    }
}

impl Importing<'_, '_> {
    /// The settings of the store.
    pub fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// The key that makes the buckets of the store.
    pub fn key(&self) -> &LookupKey {
        &self.key
    }

    /// Makes a key whose secret another system made. It does not check whether another key has the same secret: see
    /// [`View::key_with_secret`].
    ///
    /// # Errors
    /// As [`Changes::insert_key`]. After a refusal, other keys can still be made.
    pub fn add(&mut self, new: &NewKey<'_>, imported: Imported) -> Result<(), StoreError> {
        let changes = self.changes;
        changes.check_authority(None, Some(new.settings))?;
        Changes::check_new_name(new.name)?;
        changes.check_new_words(new.settings)?;
        changes.check_name_is_free(new.name, None)?;
        if self.has_leases {
            changes.check_lease(&Subject::Name(new.name.clone()), None)?;
        }
        self.check_references(new.settings)?;
        self.settings.check_end(new.settings.expires_at, changes.now())?;
        keys::insert(changes.conn(), new, Some(imported), changes.now(), changes.stamp.actor)?;
        let defaults = Settings::with_prefix(new.settings.prefix.clone());
        let detail = json!({
            "settings": as_json(differences(&defaults, new.settings)),
            "secret": new.secret.id,
            "imported": imported.origin.as_str(),
        });
        let event = changes.event("key.import", "key", Some(new.id), new.name.as_str(), detail);
        self.history.add(changes.conn(), &event)
    }

    fn check_references(&mut self, settings: &Settings) -> Result<(), StoreError> {
        for (kind, name) in settings.references() {
            let reference = (kind.as_str(), name.clone());
            if !self.known.contains(&reference) {
                self.changes.check_exists(kind, Some(name))?;
                self.known.insert(reference);
            }
        }
        Ok(())
    }

    /// Writes the new end of the history. Without this call, the transaction must not be committed.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn end(self) -> Result<(), StoreError> {
        self.history.end(self.changes.conn())
    }
}
