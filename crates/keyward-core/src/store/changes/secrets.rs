//! Changes of secrets: they are announced, staged, promoted, or replaced.

use jiff::Timestamp;
use serde_json::json;

use super::{Changes, Subject, as_json};
use crate::rules::hashing::HashedSecret;
use crate::rules::imported::Bucket;
use crate::rules::key::Key;
use crate::rules::patch::Difference;
use crate::rules::setting::Setting;
use crate::rules::time::rfc3339;
use crate::rules::token::Id;
use crate::store::error::StoreError;
use crate::store::keys;
use crate::store::secrets::{self, Kind, NewSecret};

/// When the history records a staged secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staging {
    /// At once: a crash may leave it where the old one was.
    Told,
    /// When it becomes the current one, when a crash is cleaned up, or when its key is deleted. If its delivery fails,
    /// nothing is recorded.
    Quiet,
}

/// The end of a key before and after a rotation.
#[derive(Clone, Copy)]
struct CutExpiry {
    old: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl Changes<'_> {
    /// Replaces the current secret, which works until `grace_end`, but not longer than the key: without a grace period
    /// it ends at once, whatever the clock says. The key keeps its end, as far as the store allows that for a secret
    /// minted now.
    ///
    /// # Errors
    /// [`StoreError::SecretChanged`] if the current secret is not the one in `key`: another process has just delivered
    /// its replacement. [`StoreError::Reserved`], [`StoreError::KeyGone`], [`StoreError::Corrupt`] for a damaged key,
    /// or if the store cannot be written.
    pub fn replace_secret(&self, key: &Key, secret: &NewSecret, grace_end: Timestamp) -> Result<Key, StoreError> {
        let present = self.reload(&key.id, &key.name)?;
        if present.current_secret() == Some(&secret.id) {
            // It was staged, and another process has found it in its place and promoted it.
            return Ok(present);
        }
        let row = self.row_to_rotate(key, &secret.id)?;
        let now = self.now();
        let cut = self.cut_expiry(row, &present, now)?;
        let grace_end = cut.end.map_or(grace_end, |end| grace_end.min(end)).max(now);
        secrets::replace(self.conn(), row, secret, grace_end, now)?;
        self.end_lease(&Subject::Key(key.id.clone()), &secret.id)?;
        self.record_rotation(key, &secret.id, grace_end, cut)?;
        self.reload(&key.id, &key.name)
    }

    /// Shortens the life of a key to what the store allows for a secret minted at `minted_at`.
    fn cut_expiry(&self, row: i64, key: &Key, minted_at: Timestamp) -> Result<CutExpiry, StoreError> {
        let old = key.settings.expires_at;
        let end = self.settings()?.cut_end(old, minted_at);
        keys::set_expiry(self.conn(), row, end, self.now())?;
        Ok(CutExpiry { old, end })
    }

    fn record_rotation(
        &self,
        key: &Key,
        secret: &Id,
        grace_end: Timestamp,
        CutExpiry { old, end }: CutExpiry,
    ) -> Result<(), StoreError> {
        let mut detail = json!({"secret": secret, "grace_end": rfc3339(grace_end)});
        if old != end {
            let (field, old, new) =
                (Setting::EXPIRES_AT.name.to_owned(), json!(old.map(rfc3339)), json!(end.map(rfc3339)));
            detail["settings"] = as_json(vec![Difference { field, old, new }]).into();
        }
        self.record("key.rotate", key, detail)
    }

    /// Records that these secrets are about to be delivered into files, before their keys are made.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn announce(&self, ids: &[&Id]) -> Result<(), StoreError> {
        secrets::announce(self.conn(), ids, self.now())
    }

    /// Withdraws an announcement: the delivery was undone too.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn withdraw(&self, ids: &[&Id]) -> Result<(), StoreError> {
        secrets::withdraw(self.conn(), ids)
    }

    /// Adds a new secret beside the current one: both work until [`Changes::replace_secret`] or
    /// [`Changes::promote_secret`] makes the new one the current one.
    ///
    /// # Errors
    /// As [`Changes::replace_secret`].
    pub fn stage_secret(&self, key: &Key, secret: &NewSecret, staging: Staging) -> Result<(), StoreError> {
        let row = self.row_to_rotate(key, &secret.id)?;
        let kind = Kind { staged: true, imported: None };
        secrets::insert(self.conn(), row, secret, kind, self.now())?;
        match staging {
            Staging::Told => self.record("key.stage", key, json!({"secret": secret.id})),
            Staging::Quiet => Ok(()),
        }
    }

    /// Records a quietly staged secret that remains. Nothing is recorded for a deleted one.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn tell_staged(&self, key: &Key, secret: &Id) -> Result<(), StoreError> {
        let present = self.key(&key.id)?;
        match present.filter(|present| present.secrets.iter().any(|own| own.id == *secret && own.staged)) {
            Some(present) => self.record("key.stage", &present, json!({"secret": secret})),
            None => Ok(()),
        }
    }

    /// Removes a staged secret again, unless it has become the current one.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn unstage_secret(&self, key: &Key, secret: &Id, staging: Staging) -> Result<(), StoreError> {
        match (secrets::unstage(self.conn(), secret)?, staging) {
            (true, Staging::Told) => self.record("key.unstage", key, json!({"secret": secret})),
            _ => Ok(()),
        }
    }

    /// Makes a staged secret the current one at once.
    ///
    /// # Errors
    /// As [`Changes::replace_secret`], and [`StoreError::SecretChanged`] if the staged secret is gone.
    pub fn promote_secret(&self, key: &Key, secret: &Id) -> Result<Key, StoreError> {
        let row = self.row_to_rotate(key, secret)?;
        let now = self.now();
        if !secrets::promote(self.conn(), row, secret, now)? {
            return Err(StoreError::SecretChanged(key.name.clone()));
        }
        let present = self.reload(&key.id, &key.name)?;
        let cut = self.cut_expiry(row, &present, present.minted_at())?;
        self.end_lease(&Subject::Key(key.id.clone()), secret)?;
        self.record_rotation(key, secret, now, cut)?;
        self.reload(&key.id, &key.name)
    }

    /// Replaces the hash of a secret with one of other parameters.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn renew_hash(&self, secret: &Id, hash: &HashedSecret) -> Result<(), StoreError> {
        secrets::renew_hash(self.conn(), secret, hash)
    }

    /// Replaces the imported form of a secret with an Argon2id hash, to be found by the bucket of its text.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn renew_imported(&self, secret: &Id, hash: &HashedSecret, bucket: Bucket) -> Result<(), StoreError> {
        secrets::renew_imported(self.conn(), secret, hash, bucket)
    }

    /// The row of a key whose secret may be replaced with `secret` by the acting user.
    fn row_to_rotate(&self, key: &Key, secret: &Id) -> Result<i64, StoreError> {
        // The key may have changed since it was read, above all its role.
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
