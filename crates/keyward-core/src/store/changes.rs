//! What can be changed, keys and the directory: each change with its row in the history, all in one transaction.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction};
use serde_json::{Value, json};

use super::error::StoreError;
use super::keys::{self, NewKey, NewSecret, Uses};
use super::leases::Subject;
use super::settings::{self, StoreSettings};
use super::{Stamp, directory, history};
use crate::rules::authority::Authority;
use crate::rules::directory::{Draft, Entry, Facts, Kind};
use crate::rules::hashing::HashedSecret;
use crate::rules::key::{Key, Settings};
use crate::rules::names::Name;
use crate::rules::patch::{Difference, differences};
use crate::rules::text::closest;
use crate::rules::time::rfc3339;
use crate::rules::token::Id;

/// When the history tells of a secret that is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staging {
    /// At once: a crash may leave it in the place of the old one.
    Told,
    /// When it becomes the current one, or when somebody clears up after a crash. Where its delivery fails, nothing has
    /// happened.
    Quiet,
}

/// A transaction: changes, each with its row in the history.
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

    /// Makes the changes of `f` and takes them back, while those that were made before stay: to learn whether they
    /// can be made.
    ///
    /// # Errors
    /// What `f` returns, or where the store cannot be written.
    pub fn try_out<T, E: From<StoreError>>(&self, f: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        self.run(|conn| conn.execute_batch("SAVEPOINT tried_out"))?;
        let tried = f(self);
        self.run(|conn| conn.execute_batch("ROLLBACK TO tried_out; RELEASE tried_out"))?;
        tried
    }

    /// When these changes are made.
    pub fn now(&self) -> Timestamp {
        self.stamp.now
    }

    /// As [`super::Store::find`], inside the transaction.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn find(&self, text: &str) -> Result<Option<Key>, StoreError> {
        self.run(|conn| keys::find(conn, text))
    }

    /// As [`super::Store::named`], inside the transaction.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn named(&self, name: &Name) -> Result<Option<Key>, StoreError> {
        self.run(|conn| keys::by_name(conn, name))
    }

    /// As [`super::Store::last_event`], inside the transaction: before this transaction told anything.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn last_event(&self) -> Result<i64, StoreError> {
        self.run(history::last)
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
    /// [`StoreError::Denied`], [`StoreError::NameTaken`], [`StoreError::Reserved`], [`StoreError::NoSuch`], or where
    /// the store cannot be written.
    pub fn insert_key(&self, new: &NewKey<'_>) -> Result<Key, StoreError> {
        self.check_authority(None, Some(new.settings))?;
        self.check_name_is_free(new.name, None)?;
        let lease = Subject::Name(new.name.clone());
        self.check_lease(&lease, Some(&new.secret.id))?;
        self.check_references(new.settings)?;
        self.settings()?.check_life(new.settings.expires_at, self.stamp.now)?;
        self.run(|conn| keys::insert(conn, new, self.stamp.now, self.stamp.actor))?;
        self.end_lease(&lease, &new.secret.id)?;
        let key = self.reload(new.id, new.name)?;
        let defaults = Settings::with_prefix(new.settings.prefix.clone());
        let detail = json!({"settings": as_json(differences(&defaults, new.settings)), "secret": new.secret.id});
        self.tell("key.create", &key, detail)?;
        Ok(key)
    }

    /// Gives a key another name and other settings. Nothing is written where nothing differs.
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
        if *name != key.name {
            self.check_lease(&Subject::Name(name.clone()), None)?;
        }
        self.check_references(settings)?;
        if settings.expires_at != key.settings.expires_at {
            self.settings()?.check_life(settings.expires_at, self.stamp.now)?;
        }
        let row = self.row_of(key)?;
        self.run(|conn| keys::update(conn, row, name, settings, self.stamp.now))?;
        let mut changed = differences(&key.settings, settings);
        if *name != key.name {
            changed.push(Difference { field: "name".to_owned(), old: json!(key.name), new: json!(name) });
        }
        let action = format!("key.{}", verb(&changed));
        self.tell(&action, key, json!({"settings": as_json(changed)}))?;
        self.reload(&key.id, name)
    }

    /// Switches a key on or off, and touches nothing else. A damaged key can be switched off: that takes something
    /// away whatever is missing. Nothing is written where nothing differs.
    ///
    /// # Errors
    /// [`StoreError::Denied`], [`StoreError::KeyGone`], [`StoreError::Corrupt`] where a damaged key would be switched
    /// on, or where the store cannot be written.
    pub fn switch_key(&self, key: &Key, enabled: bool) -> Result<Key, StoreError> {
        self.check_authority(Some(key), None)?;
        if enabled {
            self.check_whole(key)?;
        }
        if key.settings.enabled == enabled {
            return Ok(key.clone());
        }
        let row = self.row_of(key)?;
        self.run(|conn| keys::switch(conn, row, enabled, self.stamp.now))?;
        let changed = vec![Difference { field: "enabled".to_owned(), old: json!(!enabled), new: json!(enabled) }];
        self.tell(&format!("key.{}", verb(&changed)), key, json!({"settings": as_json(changed)}))?;
        self.reload(&key.id, &key.name)
    }

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
        self.run(|conn| keys::replace_secret(conn, row, secret, grace_end, self.stamp.now))?;
        self.end_lease(&Subject::Key(key.id.clone()), &secret.id)?;
        self.tell("key.rotate", key, json!({"secret": secret.id, "grace_end": rfc3339(grace_end)}))?;
        self.reload(&key.id, &key.name)
    }

    /// Writes down that these secrets are about to be delivered into files, before their keys are made.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn announce(&self, secrets: &[&Id]) -> Result<(), StoreError> {
        self.run(|conn| keys::announce(conn, secrets, self.stamp.now))
    }

    /// Takes an announcement back: what was delivered was taken back too.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn withdraw(&self, secrets: &[&Id]) -> Result<(), StoreError> {
        self.run(|conn| keys::withdraw(conn, secrets))
    }

    /// Puts a new secret beside the current one: both work, until [`Changes::replace_secret`] or
    /// [`Changes::promote_secret`] makes the new one the current one.
    ///
    /// # Errors
    /// As [`Changes::replace_secret`].
    pub fn stage_secret(&self, key: &Key, secret: &NewSecret, staging: Staging) -> Result<(), StoreError> {
        let row = self.row_to_rotate(key, &secret.id)?;
        self.run(|conn| keys::stage_secret(conn, row, secret, self.stamp.now))?;
        match staging {
            Staging::Told => self.tell("key.stage", key, json!({"secret": secret.id})),
            Staging::Quiet => Ok(()),
        }
    }

    /// Takes a staged secret away again, unless it has become the current one.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn unstage_secret(&self, key: &Key, secret: &Id, staging: Staging) -> Result<(), StoreError> {
        match (self.run(|conn| keys::unstage_secret(conn, secret))?, staging) {
            (true, Staging::Told) => self.tell("key.unstage", key, json!({"secret": secret})),
            _ => Ok(()),
        }
    }

    /// Makes a staged secret the current one, at once.
    ///
    /// # Errors
    /// As [`Changes::replace_secret`], and [`StoreError::SecretChanged`] where the staged secret is gone.
    pub fn promote_secret(&self, key: &Key, secret: &Id) -> Result<Key, StoreError> {
        let row = self.row_to_rotate(key, secret)?;
        let now = self.stamp.now;
        if !self.run(|conn| keys::promote_secret(conn, row, secret, now, now))? {
            return Err(StoreError::SecretChanged(key.name.clone()));
        }
        self.end_lease(&Subject::Key(key.id.clone()), secret)?;
        self.tell("key.rotate", key, json!({"secret": secret, "grace_end": rfc3339(now)}))?;
        self.reload(&key.id, &key.name)
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

    /// Makes sure that `key` is as it was when it was read, and that the acting user may manage it: for
    /// who makes something of it.
    ///
    /// # Errors
    /// [`StoreError::Denied`], [`StoreError::KeyChanged`], [`StoreError::KeyGone`], [`StoreError::Corrupt`] for a
    /// damaged key, or where the store cannot be read.
    pub fn check_source(&self, key: &Key) -> Result<(), StoreError> {
        let present = self.reload(&key.id, &key.name)?;
        self.check_authority(Some(&present), None)?;
        self.check_whole(&present)?;
        if present.revision == key.revision { Ok(()) } else { Err(StoreError::KeyChanged(key.name.clone())) }
    }

    /// Deletes a key with its secrets and its use record.
    ///
    /// # Errors
    /// [`StoreError::KeyGone`], or where the store cannot be written.
    pub fn delete_key(&self, key: &Key) -> Result<(), StoreError> {
        self.remove(&self.reload(&key.id, &key.name)?)
    }

    /// Deletes a key that was read in this transaction.
    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.check_authority(Some(key), None)?;
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

    /// Counts several uses. Those of keys that are gone by now are not counted.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn record_uses(&self, uses: &Uses) -> Result<(), StoreError> {
        self.run(|conn| keys::record_uses(conn, uses))
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
    /// [`StoreError::Denied`], or where the store cannot be written.
    pub fn save_settings(&self, settings: &StoreSettings) -> Result<(), StoreError> {
        self.authority()?.govern("setting of the store")?;
        let present = self.settings()?;
        let before = present.fields();
        let mut settings = settings.clone();
        if settings.hash_cost != present.hash_cost {
            settings.former_costs = self.run(|conn| settings::other_costs(conn, settings.hash_cost))?;
        }
        let settings = &settings;
        self.run(|conn| settings::save(conn, settings))?;
        let changed = before.into_iter().zip(settings.fields()).filter(|(before, after)| before != after);
        let changed: Vec<_> = changed
            .map(|((name, old), (_, new))| Difference { field: name.to_owned(), old: json!(old), new: json!(new) })
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.append("settings.edit", "settings", None, "settings", json!({"settings": as_json(changed)}))
    }

    /// What the store decides for all of its keys.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn settings(&self) -> Result<StoreSettings, StoreError> {
        self.run(settings::load)
    }

    /// What the acting user may do, as the directory says now.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn authority(&self) -> Result<Authority, StoreError> {
        self.run(|conn| directory::authority(conn, self.stamp.actor))
    }

    /// The group, user, role or tenant of this name.
    ///
    /// # Errors
    /// [`StoreError::NoSuch`], or where the store cannot be read.
    pub fn entry(&self, kind: Kind, name: &Name) -> Result<Entry, StoreError> {
        self.run(|conn| directory::find(conn, kind, name))?.ok_or_else(|| StoreError::NoSuch {
            kind: kind.as_str(),
            name: name.clone(),
            close: None,
        })
    }

    /// Makes a group, user, role or tenant.
    ///
    /// # Errors
    /// [`StoreError::Denied`], [`StoreError::NameTaken`], [`StoreError::NoSuch`] for what it refers to,
    /// or where the store cannot be written.
    pub fn insert_entry(&self, draft: &Draft) -> Result<Entry, StoreError> {
        self.check_draft(draft, None)?;
        self.run(|conn| directory::insert(conn, draft, self.stamp.now))?;
        let kind = draft.facts.kind();
        let entry = self.entry(kind, &draft.name)?;
        self.tell_entry(kind, "create", &draft.name, json!({"settings": as_json(draft.as_new())}))?;
        Ok(entry)
    }

    /// Changes a group, user, role or tenant. What refers to it follows a new name by itself. Nothing
    /// is written where nothing differs.
    ///
    /// # Errors
    /// As [`Changes::insert_entry`], and [`StoreError::Corrupt`] for a user whose role or tenant is missing, unless they
    /// are switched off and nothing else.
    pub fn update_entry(&self, entry: &Entry, draft: &Draft) -> Result<Entry, StoreError> {
        self.check_draft(draft, Some(&entry.draft))?;
        let changed = entry.draft.differences(draft);
        let (kind, name) = (draft.facts.kind(), &entry.draft.name);
        match &entry.damage {
            // Whatever is missing, switching off takes something away.
            Some(_) if verb(&changed) == "disable" => {
                self.run(|conn| directory::switch(conn, kind, name, false, self.stamp.now))?;
            }
            Some(damage) => {
                let detail = format!("the {} {name}: {damage}", kind.as_str());
                return Err(StoreError::Corrupt { path: self.path.to_owned(), detail });
            }
            None if changed.is_empty() => return Ok(entry.clone()),
            None => self.run(|conn| directory::update(conn, name, draft, self.stamp.now))?,
        }
        self.tell_entry(kind, verb(&changed), name, json!({"settings": as_json(changed)}))?;
        self.entry(kind, &draft.name)
    }

    /// Deletes a group, user, role or tenant, and with `with_keys` the keys that refer to it.
    ///
    /// # Errors
    /// [`StoreError::Denied`], [`StoreError::InUse`], or where the store cannot be written.
    pub fn delete_entry(&self, entry: &Entry, with_keys: bool) -> Result<u64, StoreError> {
        let (kind, name) = (entry.draft.facts.kind(), &entry.draft.name);
        self.authority()?.manage(kind)?;
        if entry.users > 0 || entry.keys > 0 && !with_keys {
            let (keys, users) = (entry.keys, entry.users);
            return Err(StoreError::InUse { kind: kind.as_str(), name: name.clone(), keys, users });
        }
        let keys = self.run(|conn| keys::referring(conn, kind, name))?;
        keys.iter().try_for_each(|key| self.remove(key))?;
        self.run(|conn| directory::delete(conn, kind, name))?;
        let detail = json!({"deleted_keys": keys.len()});
        self.tell_entry(kind, "delete", name, detail)?;
        Ok(keys.len() as u64)
    }

    fn check_draft(&self, draft: &Draft, before: Option<&Draft>) -> Result<(), StoreError> {
        let (kind, authority) = (draft.facts.kind(), self.authority()?);
        if let Some(before) = before {
            authority.write(&before.facts)?;
        }
        authority.write(&draft.facts)?;
        let is_new_name = before.is_none_or(|before| before.name != draft.name);
        if is_new_name && self.run(|conn| directory::exists(conn, kind, &draft.name))? {
            return Err(StoreError::NameTaken { kind: kind.as_str(), name: draft.name.clone() });
        }
        if let Facts::User { role, tenant, .. } = &draft.facts {
            self.check_exists(Kind::Role, role.as_ref())?;
            self.check_exists(Kind::Tenant, tenant.as_ref())?;
        }
        Ok(())
    }

    pub(super) fn run<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        f(&self.tx).map_err(|error| StoreError::from_sqlite(self.path, error))
    }

    fn row_of(&self, key: &Key) -> Result<i64, StoreError> {
        self.run(|conn| keys::row_of(conn, &key.id))?.ok_or_else(|| StoreError::KeyGone(key.name.clone()))
    }

    fn reload(&self, id: &Id, name: &Name) -> Result<Key, StoreError> {
        self.key(id)?.ok_or_else(|| StoreError::KeyGone(name.clone()))
    }

    /// Of a damaged key, nobody knows what it was.
    fn check_whole(&self, key: &Key) -> Result<(), StoreError> {
        StoreError::check_whole(self.path, key)
    }

    fn check_name_is_free(&self, name: &Name, own: Option<&Key>) -> Result<(), StoreError> {
        // An id counts as taken too: a key that is named like the id of another would stand in its
        // place wherever a key is named.
        match self.find(name.as_str())? {
            Some(other) if own.is_none_or(|own| own.id != other.id) => {
                Err(StoreError::NameTaken { kind: "key", name: name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// May the acting user manage the key as it was, and as it will be?
    fn check_authority(&self, key: Option<&Key>, settings: Option<&Settings>) -> Result<(), StoreError> {
        let authority = self.authority()?;
        let (rank, name) = key.map_or((None, ""), |key| (key.standing.rank, key.name.as_str()));
        authority.manage_key(rank, || format!("the key {name}"))?;
        if let Some(role) = settings.and_then(|settings| settings.role.as_ref()) {
            let rank = self.run(|conn| directory::rank_of(conn, role))?;
            authority.manage_key(rank, || format!("the role {role}"))?;
        }
        Ok(())
    }

    /// Foreign keys by name: a name that the directory does not have is refused, never dropped.
    fn check_references(&self, settings: &Settings) -> Result<(), StoreError> {
        self.check_exists(Kind::Group, settings.group.as_ref())?;
        self.check_exists(Kind::User, settings.owner.as_ref())?;
        self.check_exists(Kind::Role, settings.role.as_ref())?;
        self.check_exists(Kind::Tenant, settings.tenant.as_ref())
    }

    fn check_exists(&self, kind: Kind, name: Option<&Name>) -> Result<(), StoreError> {
        match name {
            Some(name) if !self.run(|conn| directory::exists(conn, kind, name))? => {
                let names = self.run(|conn| directory::names(conn, kind))?;
                let close = closest(&names, name.as_str()).cloned();
                Err(StoreError::NoSuch { kind: kind.as_str(), name: name.clone(), close })
            }
            _ => Ok(()),
        }
    }

    fn tell(&self, action: &str, key: &Key, detail: Value) -> Result<(), StoreError> {
        self.append(action, "key", Some(&key.id), key.name.as_str(), detail)
    }

    fn tell_entry(&self, kind: Kind, verb: &str, name: &Name, detail: Value) -> Result<(), StoreError> {
        let kind = kind.as_str();
        self.append(&format!("{kind}.{verb}"), kind, None, name.as_str(), detail)
    }

    fn append(
        &self,
        action: &str,
        subject_kind: &str,
        subject_id: Option<&Id>,
        subject_name: &str,
        detail: Value,
    ) -> Result<(), StoreError> {
        let (at, actor) = (self.stamp.now, self.stamp.actor);
        let entry = history::Entry { at, actor, action, subject_kind, subject_id, subject_name, detail };
        self.run(|conn| history::append(conn, &entry))
    }
}

/// What the history calls a change: a switch on or off that changes nothing else has a name of its own.
fn verb(changed: &[Difference]) -> &'static str {
    match changed {
        [only] if only.field == "enabled" && only.new == true => "enable",
        [only] if only.field == "enabled" => "disable",
        _ => "edit",
    }
}

/// Differences as `{field: {old, new}}`.
fn as_json(differences: Vec<Difference>) -> serde_json::Map<String, Value> {
    differences.into_iter().map(|d| (d.field, json!({"old": d.old, "new": d.new}))).collect()
}
