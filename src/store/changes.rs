//! What can be changed: each change with its row in the history, all in one transaction.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction};
use serde_json::{Value, json};

use super::error::StoreError;
use super::keys::{self, NewKey, NewSecret};
use super::settings::{self, StoreSettings};
use super::{Stamp, history};
use crate::domain::hashing::HashedSecret;
use crate::domain::key::{Key, Settings};
use crate::domain::names::Name;
use crate::domain::patch::differences;
use crate::domain::time::rfc3339;
use crate::domain::token::Id;

/// A transaction: changes to keys, each with its row in the history.
#[derive(Debug)]
pub struct Changes<'c> {
    tx: Transaction<'c>,
    path: &'c Path,
    stamp: Stamp<'c>,
}

impl<'c> Changes<'c> {
    pub(super) fn new(tx: Transaction<'c>, path: &'c Path, stamp: Stamp<'c>) -> Self {
        Self { tx, path, stamp }
    }

    pub(super) fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().map_err(|error| StoreError::from_sqlite(self.path, error))
    }

    /// When these changes are made.
    pub fn now(&self) -> Timestamp {
        self.stamp.now
    }

    /// As [`Store::find`], inside the transaction.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn find(&self, text: &str) -> Result<Option<Key>, StoreError> {
        self.run(|conn| keys::find(conn, text))
    }

    /// The key with this id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn key(&self, id: &Id) -> Result<Option<Key>, StoreError> {
        self.run(|conn| keys::by_id(conn, id))
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], [`StoreError::NoSuch`], or where the store cannot be written.
    pub fn insert_key(&self, new: &NewKey<'_>) -> Result<Key, StoreError> {
        self.check_name_is_free(new.name, None)?;
        self.check_references(new.settings)?;
        self.run(|conn| keys::insert(conn, new, self.stamp.now, self.stamp.actor))?;
        let key = self.reload(new.id, new.name)?;
        let defaults = Settings::with_prefix(new.settings.prefix.clone());
        let detail = json!({"settings": differences_json(&defaults, new.settings), "secret": new.secret.id});
        self.tell("key.create", &key, detail)?;
        Ok(key)
    }

    /// Gives a key another name and other settings. Nothing is written where nothing differs.
    ///
    /// # Errors
    /// As [`Changes::insert_key`], and [`StoreError::KeyGone`].
    pub fn update_key(&self, key: &Key, name: &Name, settings: &Settings) -> Result<Key, StoreError> {
        if *name == key.name && *settings == key.settings {
            return Ok(key.clone());
        }
        self.check_name_is_free(name, Some(key))?;
        self.check_references(settings)?;
        let row = self.row_of(key)?;
        self.run(|conn| keys::update(conn, row, name, settings, self.stamp.now))?;
        let mut changed = differences_json(&key.settings, settings);
        if *name != key.name {
            changed.insert("name".to_owned(), json!({"old": key.name, "new": name}));
        }
        let action = match changed.get("enabled") {
            Some(change) if changed.len() == 1 => {
                if change["new"] == true {
                    "key.enable"
                } else {
                    "key.disable"
                }
            }
            _ => "key.edit",
        };
        self.tell(action, key, json!({"settings": changed}))?;
        self.reload(&key.id, name)
    }

    /// Puts a new secret in the place of the current one, which works until `grace_end`.
    ///
    /// # Errors
    /// [`StoreError::SecretChanged`] where the current secret is not the one that `key` tells of: the
    /// one that took its place was just delivered to somebody. [`StoreError::KeyGone`], or where the
    /// store cannot be written.
    pub fn replace_secret(&self, key: &Key, secret: &NewSecret, grace_end: Timestamp) -> Result<Key, StoreError> {
        let row = self.row_of(key)?;
        if self.reload(&key.id, &key.name)?.current_secret() != key.current_secret() {
            return Err(StoreError::SecretChanged(key.name.clone()));
        }
        self.run(|conn| keys::replace_secret(conn, row, secret, grace_end, self.stamp.now))?;
        self.tell("key.rotate", key, json!({"secret": secret.id, "grace_end": rfc3339(grace_end)}))?;
        self.reload(&key.id, &key.name)
    }

    /// Deletes a key with its secrets and its use record.
    ///
    /// # Errors
    /// [`StoreError::KeyGone`], or where the store cannot be written.
    pub fn delete_key(&self, key: &Key) -> Result<(), StoreError> {
        let row = self.row_of(key)?;
        self.run(|conn| keys::delete(conn, row))?;
        self.tell("key.delete", key, json!({"use_count": key.use_count, "last_used_at": key.last_used_at.map(rfc3339)}))
    }

    /// Counts one allowed request. A key that is gone by now is not counted.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn record_use(&self, key: &Key) -> Result<(), StoreError> {
        self.run(|conn| match keys::row_of(conn, &key.id)? {
            Some(row) => keys::record_use(conn, row, self.stamp.now),
            None => Ok(()),
        })
    }

    /// Puts a hash of other parameters in the place of a secret's old one.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn renew_hash(&self, secret: &Id, hash: &HashedSecret) -> Result<(), StoreError> {
        self.run(|conn| keys::renew_hash(conn, secret, hash))
    }

    /// Sets what the store decides for all of its keys.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn save_settings(&self, settings: &StoreSettings) -> Result<(), StoreError> {
        self.run(|conn| settings::save(conn, settings))
    }

    fn run<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        f(&self.tx).map_err(|error| StoreError::from_sqlite(self.path, error))
    }

    fn row_of(&self, key: &Key) -> Result<i64, StoreError> {
        self.run(|conn| keys::row_of(conn, &key.id))?.ok_or_else(|| StoreError::KeyGone(key.name.clone()))
    }

    fn reload(&self, id: &Id, name: &Name) -> Result<Key, StoreError> {
        self.key(id)?.ok_or_else(|| StoreError::KeyGone(name.clone()))
    }

    fn check_name_is_free(&self, name: &Name, own: Option<&Key>) -> Result<(), StoreError> {
        // An id counts as taken too: a key that is named like the id of another would stand in its
        // place wherever a key is named.
        match self.find(name.as_str())? {
            Some(other) if own.is_none_or(|own| own.id != other.id) => Err(StoreError::NameTaken(name.clone())),
            _ => Ok(()),
        }
    }

    /// Foreign keys by name: a name that the directory does not have is refused, never dropped.
    fn check_references(&self, settings: &Settings) -> Result<(), StoreError> {
        for (kind, table, name) in [
            ("group", "key_group", &settings.group),
            ("user", "user", &settings.owner),
            ("role", "role", &settings.role),
            ("tenant", "tenant", &settings.tenant),
        ] {
            let Some(name) = name else { continue };
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE name = ?1)");
            let exists: bool = self.run(|conn| conn.query_row(&sql, [name.as_str()], |row| row.get(0)))?;
            if !exists {
                return Err(StoreError::NoSuch { kind, name: name.clone() });
            }
        }
        Ok(())
    }

    fn tell(&self, action: &str, key: &Key, detail: Value) -> Result<(), StoreError> {
        let entry = history::Entry {
            at: self.stamp.now,
            actor: self.stamp.actor,
            action,
            subject_kind: "key",
            subject_id: Some(&key.id),
            subject_name: key.name.as_str(),
            detail,
        };
        self.run(|conn| history::append(conn, &entry))
    }
}

/// The settings that differ, as `{field: {old, new}}`.
fn differences_json(old: &Settings, new: &Settings) -> serde_json::Map<String, Value> {
    differences(old, new).into_iter().map(|d| (d.field, json!({"old": d.old, "new": d.new}))).collect()
}
