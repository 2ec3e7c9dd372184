//! Changes of keys, except their secrets.

use serde_json::json;

use super::{Changes, Subject, as_json, verb};
use crate::rules::key::{Key, Settings};
use crate::rules::limits::{Meter, Whose};
use crate::rules::names::Name;
use crate::rules::patch::{Difference, differences};
use crate::rules::time::rfc3339;
use crate::store::error::StoreError;
use crate::store::keys::{self, NewKey};
use crate::store::meters::{self, MeterId};
use crate::store::secrets;
use crate::store::settings::StoreSettings;
use crate::store::uses::{self, Uses};

impl Changes<'_> {
    /// Makes a key.
    ///
    /// # Errors
    /// [`StoreError::Denied`], [`StoreError::NameTaken`], [`StoreError::Reserved`], [`StoreError::ReservedWord`],
    /// [`StoreError::NoSuch`]; also if the store cannot be written.
    pub fn insert_key(&self, new: &NewKey<'_>) -> Result<Key, StoreError> {
        self.check_authority(None, Some(new.settings))?;
        Self::check_new_name(new.name)?;
        self.check_new_words(new.settings)?;
        self.check_name_is_free(new.name, None)?;
        let lease = Subject::Name(new.name.clone());
        self.check_lease(&lease, Some(&new.secret.id))?;
        self.check_references(new.settings)?;
        self.settings()?.check_end(new.settings.expires_at, self.now())?;
        keys::insert(self.conn(), new, None, self.now(), self.stamp.actor)?;
        self.end_lease(&lease, &new.secret.id)?;
        let key = self.reload(new.id, new.name)?;
        let defaults = Settings::with_prefix(new.settings.prefix.clone());
        let detail = json!({"settings": as_json(differences(&defaults, new.settings)), "secret": new.secret.id});
        self.record("key.create", &key, detail)?;
        Ok(key)
    }

    /// Gives a key another name and other settings. Nothing is written if nothing differs.
    ///
    /// # Errors
    /// As [`Changes::insert_key`], [`StoreError::KeyGone`], and [`StoreError::Corrupt`] for a damaged key.
    pub fn update_key(&self, key: &Key, name: &Name, settings: &Settings) -> Result<Key, StoreError> {
        self.check_authority(Some(key), Some(settings))?;
        self.check_whole(key)?;
        if *name == key.name && *settings == key.settings {
            return Ok(key.clone());
        }
        self.check_name_is_free(name, Some(key))?;
        self.check_new_words(settings)?;
        if *name != key.name {
            Self::check_new_name(name)?;
            self.check_lease(&Subject::Name(name.clone()), None)?;
        }
        self.check_references(settings)?;
        if settings.expires_at != key.settings.expires_at {
            let checked = self.settings()?.check_end(settings.expires_at, key.minted_at());
            checked.map_err(|error| error.about(&key.name))?;
        }
        let row = self.row_of(key)?;
        keys::update(self.conn(), row, name, settings, self.now())?;
        let mut changed = differences(&key.settings, settings);
        if *name != key.name {
            changed.push(Difference { field: "name".to_owned(), old: json!(key.name), new: json!(name) });
        }
        let action = format!("key.{}", verb(&changed));
        self.record(&action, key, json!({"settings": as_json(changed)}))?;
        self.reload(&key.id, name)
    }

    /// Enables or disables a key, and changes nothing else. A damaged key can be disabled: whatever is missing, that
    /// only takes something away. Nothing is written if nothing differs.
    ///
    /// # Errors
    /// [`StoreError::Denied`], [`StoreError::KeyGone`], [`StoreError::Corrupt`] if a damaged key would be enabled, or
    /// if the store cannot be written.
    pub fn switch_key(&self, key: &Key, enabled: bool) -> Result<Key, StoreError> {
        self.check_authority(Some(key), None)?;
        if enabled {
            self.check_whole(key)?;
        }
        if key.settings.enabled == enabled {
            return Ok(key.clone());
        }
        let row = self.row_of(key)?;
        keys::switch(self.conn(), row, enabled, self.now())?;
        let changed = vec![Difference { field: "enabled".to_owned(), old: json!(!enabled), new: json!(enabled) }];
        self.record(&format!("key.{}", verb(&changed)), key, json!({"settings": as_json(changed)}))?;
        self.reload(&key.id, &key.name)
    }

    /// Checks that `key` is unchanged since it was read, and that the acting user may manage it: for callers that
    /// derive something from it.
    ///
    /// # Errors
    /// [`StoreError::Denied`], [`StoreError::KeyChanged`], [`StoreError::KeyGone`], [`StoreError::Corrupt`] for a
    /// damaged key, or if the store cannot be read.
    pub fn check_source(&self, key: &Key) -> Result<(), StoreError> {
        let present = self.reload(&key.id, &key.name)?;
        self.check_authority(Some(&present), None)?;
        self.check_whole(&present)?;
        if present.revision == key.revision { Ok(()) } else { Err(StoreError::KeyChanged(key.name.clone())) }
    }

    /// Deletes a key with its secrets and its use record.
    ///
    /// # Errors
    /// [`StoreError::KeyGone`]; also if the store cannot be written.
    pub fn delete_key(&self, key: &Key) -> Result<(), StoreError> {
        self.remove(&self.reload(&key.id, &key.name)?)
    }

    /// What has been used of each of these limits. No other process changes it until the transaction ends.
    pub(crate) fn meters(&self, ids: &[&MeterId]) -> Result<Vec<Meter>, StoreError> {
        meters::load_to_change(self.conn(), ids)
    }

    /// Writes what has been used of limits.
    pub(crate) fn save_meters(&self, meters: &[(&MeterId, Meter)]) -> Result<(), StoreError> {
        meters::save(self.conn(), meters)
    }

    /// Counts several uses. Uses of deleted keys are not counted.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn record_uses(&self, all: &Uses) -> Result<(), StoreError> {
        uses::record(self.conn(), all)
    }

    /// Deletes usage older than `settings` allow, at most `most` rows at a time, so that recording a use stays fast.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn prune_usage(&self, settings: &StoreSettings, most: u32) -> Result<(), StoreError> {
        settings.usage_since(self.now()).map_or(Ok(()), |first| uses::prune(self.conn(), first, most))
    }

    /// Deletes a key that was read in this transaction.
    pub(super) fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.check_authority(Some(key), None)?;
        let row = self.row_of(key)?;
        // A secret that turns up later must lead to its key, whatever happened to that.
        for secret in secrets::untold(self.conn(), row)? {
            self.record("key.stage", key, json!({"secret": secret}))?;
        }
        keys::delete(self.conn(), row)?;
        meters::forget(self.conn(), Whose::Key, row)?;
        self.record(
            "key.delete",
            key,
            json!({"use_count": key.use_count, "last_used_at": key.last_used_at.map(rfc3339)}),
        )
    }
}
