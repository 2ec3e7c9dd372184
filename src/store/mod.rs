//! The store: one SQLite file. All SQL lives in this room, and `rusqlite` is named nowhere else.
//!
//! [`Store`] speaks in terms of the domain and takes the time as an argument. Reading needs no
//! lock that a writer would wait for. Every change happens in [`Store::write`], in a transaction
//! that takes the write lock at its start (`BEGIN IMMEDIATE`): a transaction that read first and
//! locked later could lose its turn to another process, whatever the waiting time. A change and
//! its row in the history are one transaction.

mod error;
mod filter;
mod history;
mod keys;
mod open;
mod rows;
mod schema;
mod settings;

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde_json::{Value, json};

pub use error::StoreError;
pub use filter::{Filter, Sort};
pub use history::{ChainCheck, Event};
pub use keys::{NewKey, NewSecret, Presented};
pub use settings::StoreSettings;

use crate::domain::hashing::HashedSecret;
use crate::domain::key::{Key, Settings};
use crate::domain::names::Name;
use crate::domain::patch::differences;
use crate::domain::time::rfc3339;
use crate::domain::token::Id;

/// An open store.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    path: std::path::PathBuf,
    read_only: bool,
    warnings: Vec<String>,
}

/// Who changes something, and when.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'s> {
    /// The present.
    pub now: Timestamp,
    /// The acting user, if there is one.
    pub actor: Option<&'s Name>,
}

impl Store {
    /// Opens the store at `path`.
    ///
    /// # Errors
    /// [`StoreError`] says which of the many reasons it is.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = open::open(path)?;
        Ok(Self { conn: opened.conn, path: opened.path, read_only: opened.read_only, warnings: opened.warnings })
    }

    /// Opens the store at `path`, and makes it first where there is none.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn create(path: &Path, now: Timestamp) -> Result<Self, StoreError> {
        open::create(path, now)?;
        Self::open(path)
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the person who runs the command should know about this store.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the system refuses to write this store.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The settings of the store.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn settings(&self) -> Result<StoreSettings, StoreError> {
        self.read(settings::load)
    }

    /// The key that `text` names: by its name, its id, or the public id of one of its secrets.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn find(&self, text: &str) -> Result<Option<Key>, StoreError> {
        self.read(|conn| keys::find(conn, text))
    }

    /// The key, the hash and the end of the secret with this public id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn presented(&self, secret: &Id) -> Result<Option<Presented>, StoreError> {
        self.read(|conn| keys::presented(conn, secret))
    }

    /// Whether a key or a secret has this id already.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn id_is_taken(&self, id: &Id) -> Result<bool, StoreError> {
        self.read(|conn| keys::id_is_taken(conn, id))
    }

    /// Names of keys that a mistyped name can be compared with.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn some_names(&self) -> Result<Vec<String>, StoreError> {
        self.read(keys::some_names)
    }

    /// The rank of a role, `None` where there is no such role.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn rank_of(&self, role: &Name) -> Result<Option<i64>, StoreError> {
        self.read(|conn| {
            rusqlite::OptionalExtension::optional(conn.query_row(
                "SELECT rank FROM role WHERE name = ?1",
                [role.as_str()],
                |row| row.get(0),
            ))
        })
    }

    /// Whether the directory has a user of this name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn has_user(&self, user: &Name) -> Result<bool, StoreError> {
        self.read(|conn| {
            conn.query_row("SELECT EXISTS (SELECT 1 FROM user WHERE name = ?1)", [user.as_str()], |row| row.get(0))
        })
    }

    /// Calls `f` with each key that `filter` lets through, in order, one at a time.
    ///
    /// # Errors
    /// What `f` returns, or where the store cannot be read.
    pub fn each_key<E: From<StoreError>>(
        &self,
        filter: &Filter,
        now: Timestamp,
        mut f: impl FnMut(Key) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = |error| E::from(StoreError::from_sqlite(&self.path, error));
        let (statement, values) = filter::statement(filter, now);
        let mut statement = self.conn.prepare(&statement).map_err(sql)?;
        let mut found = statement.query(rusqlite::params_from_iter(values)).map_err(sql)?;
        while let Some(row) = found.next().map_err(sql)? {
            f(rows::key(row).map_err(sql)?)?;
        }
        Ok(())
    }

    /// Calls `f` with each event since `since`, of one key or of all, the oldest first.
    ///
    /// # Errors
    /// What `f` returns, or where the store cannot be read.
    pub fn each_event<E: From<StoreError>>(
        &self,
        key: Option<&Id>,
        since: Option<Timestamp>,
        f: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        self.read(|conn| history::each(conn, key, since, f))?
    }

    /// The id of the key that last had this name, whether it still exists or not.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn last_key_named(&self, name: &str) -> Result<Option<Id>, StoreError> {
        self.read(|conn| history::last_key_named(conn, name))
    }

    /// Proves that the history is as it was written.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn check_history(&self) -> Result<ChainCheck, StoreError> {
        self.read(history::check)
    }

    /// Makes the changes of `f` in one transaction: all of them, or none where it fails.
    ///
    /// # Errors
    /// What `f` returns, or where the store cannot be written.
    pub fn write<T, E: From<StoreError>>(
        &mut self,
        stamp: Stamp<'_>,
        f: impl FnOnce(&Changes<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let changes = self.begin(stamp)?;
        let result = f(&changes)?;
        let Changes { tx, path, .. } = changes;
        tx.commit().map_err(|error| StoreError::from_sqlite(path, error))?;
        Ok(result)
    }

    /// Makes the changes of `f` and takes them back: to learn whether they can be made, and what
    /// would come of them, without holding the lock while a person thinks.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn rehearse<T, E: From<StoreError>>(
        &mut self,
        stamp: Stamp<'_>,
        f: impl FnOnce(&Changes<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let changes = self.begin(stamp)?;
        f(&changes)
    }

    fn begin<'c>(&'c mut self, stamp: Stamp<'c>) -> Result<Changes<'c>, StoreError> {
        let path = &self.path;
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| StoreError::from_sqlite(path, error))?;
        Ok(Changes { tx, path, stamp })
    }

    fn read<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        f(&self.conn).map_err(|error| StoreError::from_sqlite(&self.path, error))
    }
}

/// A transaction: changes to keys, each with its row in the history.
#[derive(Debug)]
pub struct Changes<'c> {
    tx: Transaction<'c>,
    path: &'c Path,
    stamp: Stamp<'c>,
}

impl Changes<'_> {
    /// As [`Store::find`], inside the transaction.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn find(&self, text: &str) -> Result<Option<Key>, StoreError> {
        self.run(|conn| keys::find(conn, text))
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
    /// [`StoreError::KeyGone`], or where the store cannot be written.
    pub fn replace_secret(&self, key: &Key, secret: &NewSecret, grace_end: Timestamp) -> Result<Key, StoreError> {
        let row = self.row_of(key)?;
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
        self.find(id.as_str())?.ok_or_else(|| StoreError::KeyGone(name.clone()))
    }

    fn check_name_is_free(&self, name: &Name, own: Option<&Key>) -> Result<(), StoreError> {
        match self.find(name.as_str())? {
            Some(other) if other.name == *name && own.is_none_or(|own| own.id != other.id) => {
                Err(StoreError::NameTaken(name.clone()))
            }
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

#[cfg(test)]
mod tests;
