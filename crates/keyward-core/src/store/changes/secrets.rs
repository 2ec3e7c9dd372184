//! Changes of secrets: announced, staged, promoted, put in the place of another.

use jiff::Timestamp;
use serde_json::json;

use super::{Changes, Subject};
use crate::rules::hashing::HashedSecret;
use crate::rules::key::Key;
use crate::rules::time::rfc3339;
use crate::rules::token::Id;
use crate::store::error::StoreError;
use crate::store::secrets::{self, NewSecret};

/// When the history tells of a secret that is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staging {
    /// At once: a crash may leave it in the place of the old one.
    Told,
    /// When it becomes the current one, when somebody clears up after a crash, or when its key is deleted. Where its
    /// delivery fails, nothing has happened.
    Quiet,
}

impl Changes<'_> {
    /// Puts a new secret in the place of the current one, which works until `grace_end`.
    ///
    /// # Errors
    /// [`StoreError::SecretChanged`] where the current secret is not the one that `key` tells of: the
    /// one that took its place was just delivered to somebody. [`StoreError::Reserved`],
    /// [`StoreError::KeyGone`], [`StoreError::Corrupt`] for a damaged key, or where the store cannot be written.
    pub fn replace_secret(&self, key: &Key, secret: &NewSecret, grace_end: Timestamp) -> Result<Key, StoreError> {
        let present = self.reload(&key.id, &key.name)?;
        if present.current_secret() == Some(&secret.id) {
            // It was staged, and somebody who found it in its place has come first.
            return Ok(present);
        }
        let row = self.row_to_rotate(key, &secret.id)?;
        secrets::replace(self.conn(), row, secret, grace_end, self.now())?;
        self.end_lease(&Subject::Key(key.id.clone()), &secret.id)?;
        self.record("key.rotate", key, json!({"secret": secret.id, "grace_end": rfc3339(grace_end)}))?;
        self.reload(&key.id, &key.name)
    }

    /// Writes down that these secrets are about to be delivered into files, before their keys are made.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn announce(&self, ids: &[&Id]) -> Result<(), StoreError> {
        secrets::announce(self.conn(), ids, self.now())
    }

    /// Takes an announcement back: what was delivered was taken back too.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn withdraw(&self, ids: &[&Id]) -> Result<(), StoreError> {
        secrets::withdraw(self.conn(), ids)
    }

    /// Puts a new secret beside the current one: both work, until [`Changes::replace_secret`] or
    /// [`Changes::promote_secret`] makes the new one the current one.
    ///
    /// # Errors
    /// As [`Changes::replace_secret`].
    pub fn stage_secret(&self, key: &Key, secret: &NewSecret, staging: Staging) -> Result<(), StoreError> {
        let row = self.row_to_rotate(key, &secret.id)?;
        secrets::insert(self.conn(), row, secret, true, self.now())?;
        match staging {
            Staging::Told => self.record("key.stage", key, json!({"secret": secret.id})),
            Staging::Quiet => Ok(()),
        }
    }

    /// Takes a staged secret away again, unless it has become the current one.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn unstage_secret(&self, key: &Key, secret: &Id, staging: Staging) -> Result<(), StoreError> {
        match (secrets::unstage(self.conn(), secret)?, staging) {
            (true, Staging::Told) => self.record("key.unstage", key, json!({"secret": secret})),
            _ => Ok(()),
        }
    }

    /// Makes a staged secret the current one, at once.
    ///
    /// # Errors
    /// As [`Changes::replace_secret`], and [`StoreError::SecretChanged`] where the staged secret is gone.
    pub fn promote_secret(&self, key: &Key, secret: &Id) -> Result<Key, StoreError> {
        let row = self.row_to_rotate(key, secret)?;
        let now = self.now();
        if !secrets::promote(self.conn(), row, secret, now, now)? {
            return Err(StoreError::SecretChanged(key.name.clone()));
        }
        self.end_lease(&Subject::Key(key.id.clone()), secret)?;
        self.record("key.rotate", key, json!({"secret": secret, "grace_end": rfc3339(now)}))?;
        self.reload(&key.id, &key.name)
    }

    /// Puts a hash of other parameters in the place of a secret's old one.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn renew_hash(&self, secret: &Id, hash: &HashedSecret) -> Result<(), StoreError> {
        secrets::renew_hash(self.conn(), secret, hash)
    }

    /// The row of a key whose secret may be replaced with `secret` by the acting user.
    fn row_to_rotate(&self, key: &Key, secret: &Id) -> Result<i64, StoreError> {
        // What was read before the secret was shown may have changed since, the key's role above all.
        let present = self.reload(&key.id, &key.name)?;
        self.check_authority(Some(&present), None)?;
        self.check_whole(&present)?;
        if present.current_secret() != key.current_secret() {
            return Err(StoreError::SecretChanged(key.name.clone()));
        }
        self.check_lease(&Subject::Key(key.id.clone()), Some(secret))?;
        self.row_of(key)
    }
}
