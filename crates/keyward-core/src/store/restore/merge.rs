//! Finds what was revoked since the backup by comparing it with the present store, and revokes it in the restored
//! state.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::MadeAgain;
use crate::rules::directory::{Draft, Facts, Kind};
use crate::rules::key::Key;
use crate::rules::names::Name;
use crate::rules::patch::{Difference, differences};
use crate::rules::restriction::as_strict;
use crate::rules::token::Id;
use crate::store::changes::as_json;
use crate::store::db::{Conn, Value};
use crate::store::error::StoreError;
use crate::store::{Changes, View, directory, former_costs, keys};

/// The keys that were made since.
type LeftOut = Vec<(Name, Id)>;

/// Revokes in `restored` what was revoked in `present` since the backup. Returns that, and which keys were made since.
pub(super) fn merge(restored: &Changes<'_>, present: &View<'_>) -> Result<(Vec<MadeAgain>, LeftOut), StoreError> {
    // References are valid again only when everything is done.
    restored.conn().execute("PRAGMA defer_foreign_keys = ON", &[])?;
    let mut merge = Merge { restored, present, made: vec![], gone: BTreeSet::new() };
    merge.settings()?;
    merge.directory()?;
    merge.keys()?;
    let former = former_costs::of_all_but(restored.conn(), restored.settings()?.hash_cost)?;
    former_costs::save(restored.conn(), &former)?;
    Ok((merge.made, left_out(restored, present)?))
}

/// The keys of the present store that the restored one lacks.
pub(super) fn left_out(restored: &Changes<'_>, present: &View<'_>) -> Result<LeftOut, StoreError> {
    let mut found = present.conn().all("SELECT name, public_id FROM key ORDER BY name", &[], |row| {
        Ok((row.parsed::<Name>(0)?, row.parsed::<Id>(1)?))
    })?;
    let mut failed = None;
    found.retain(|(_, id)| match keys::row_of(restored.conn(), id) {
        Ok(row) => row.is_none(),
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    failed.map_or(Ok(found), Err)
}

/// Records the secrets made since, which the restored history does not know: one that turns up later must lead to its
/// key.
pub(super) fn remember_secrets(restored: &Changes<'_>, present: &View<'_>) -> Result<(), StoreError> {
    let select = "SELECT secret_id, subject_id, subject_name FROM history
                   WHERE subject_kind = 'key' AND secret_id IS NOT NULL AND subject_id IS NOT NULL ORDER BY seq";
    let known = "SELECT 1 FROM history WHERE secret_id = ?1 LIMIT 1";
    present.conn().each(select, &[], |row| {
        let (secret, key, name) = (row.parsed::<Id>(0)?, row.parsed::<Id>(1)?, row.text(2)?);
        if restored.conn().optional(known, &[(&secret).into()], |_| Ok(()))?.is_none() {
            restored.append("store.restore", "key", Some(&key), name, json!({"secret": secret}))?;
        }
        Ok::<_, StoreError>(())
    })
}

struct Merge<'m, 'c> {
    restored: &'m Changes<'c>,
    present: &'m View<'c>,
    made: Vec<MadeAgain>,
    /// The entries deleted since, by the column that refers to them: their rows may have been reused.
    gone: BTreeSet<(&'static str, i64)>,
}

/// Values that identify an entry or a secret in both stores: those that it was made with.
type Origin = (i64, i64);

/// The secrets of a key, as stored.
const SECRETS: &str = "SELECT public_id, hash, created_at, expires_at, staged, retired, bucket, imported FROM secret WHERE key = ?1 ORDER BY id";

#[derive(PartialEq)]
struct SecretRow {
    id: String,
    hash: String,
    imported: Option<String>,
    bucket: Option<i64>,
    numbers: [Option<i64>; 4],
}

impl Merge<'_, '_> {
    fn conn(&self) -> &Conn {
        self.restored.conn()
    }

    fn tell(&mut self, kind: &'static str, name: &str, id: Option<&Id>, change: &'static str, changed: &[Difference]) {
        let fields = changed.iter().map(|difference| difference.field.clone()).collect();
        self.made.push(MadeAgain { kind, name: name.to_owned(), id: id.cloned(), change, fields });
    }

    /// Restores the refusal of credentials in a query.
    fn settings(&mut self) -> Result<(), StoreError> {
        let (mut settings, present) = (self.restored.settings()?, self.present.settings()?);
        if settings.query_credentials && !present.query_credentials {
            settings.query_credentials = false;
            crate::store::settings::save(self.conn(), &settings)?;
            let changed = vec![difference("query_credentials", true, false)];
            self.tell("settings", "query-credentials", None, "restricted", &changed);
            let detail = json!({"settings": as_json(changed)});
            self.restored.append("settings.edit", "settings", None, "settings", detail)?;
        }
        Ok(())
    }

    /// Roles, tenants and users are taken from the present store, under their present names: a name may have passed to
    /// another entry, and requests name roles and tenants. What was deleted since stays deleted, what was made since is
    /// left out unless a key refers to it, and what was disabled in the backup stays disabled.
    fn directory(&mut self) -> Result<(), StoreError> {
        for kind in [Kind::Role, Kind::Tenant, Kind::User] {
            let (before, now) = (entries(self.conn(), kind)?, entries(self.present.conn(), kind)?);
            // All are removed first: names may have changed places.
            let (table, _) = directory::table(kind);
            self.conn().execute(&format!("DELETE FROM {table}"), &[])?;
            for (origin, name) in &before {
                let Some((draft, later)) = now.get(origin).map(|later| (&name.1, later)) else {
                    self.gone.insert((directory::table(kind).1, origin.0));
                    self.tell_entry(kind, &name.1, None)?;
                    continue;
                };
                if kind == Kind::User {
                    self.ensure(kind, Some(origin.0))?;
                }
                self.copy_entry(kind, origin.0)?;
                let mut merged = later.1.clone();
                match (&mut merged.facts, &draft.facts) {
                    (Facts::Tenant { enabled, limits }, Facts::Tenant { enabled: was_enabled, limits: former })
                    | (Facts::User { enabled, limits, .. }, Facts::User { enabled: was_enabled, limits: former, .. }) =>
                    {
                        *enabled &= was_enabled;
                        if former.is_as_strict_as(limits) {
                            limits.clone_from(former);
                        }
                    }
                    _ => {}
                }
                if merged != later.1 {
                    directory::update(self.conn(), &merged.name, &merged, self.restored.now())?;
                }
                self.tell_entry(kind, draft, Some(&merged))?;
            }
        }
        Ok(())
    }

    /// Copies the row from the present store.
    fn copy_entry(&self, kind: Kind, id: i64) -> Result<(), StoreError> {
        let (table, _) = directory::table(kind);
        let columns = match kind {
            Kind::Role => "id, name, description, rank, manages_keys, created_at, updated_at",
            Kind::User => "id, name, description, enabled, limits, role, tenant, created_at, updated_at",
            Kind::Tenant => "id, name, description, enabled, limits, created_at, updated_at",
            Kind::Group => return Ok(()),
        };
        let select = format!("SELECT {columns} FROM {table} WHERE id = ?1");
        let width = columns.split(',').count();
        self.present.conn().each(&select, &[id.into()], |row| {
            let values = (0..width).map(|column| row.value(column)).collect::<Result<Vec<_>, _>>()?;
            let places: Vec<_> = (1..=width).map(|place| format!("?{place}")).collect();
            let insert = format!("INSERT OR IGNORE INTO {table} ({columns}) VALUES ({})", places.join(", "));
            self.conn().execute(&insert, &values).map(drop)
        })
    }

    /// Records what became of an entry, if a request allowed before is now refused because of it.
    fn tell_entry(&mut self, kind: Kind, before: &Draft, after: Option<&Draft>) -> Result<(), StoreError> {
        let Some(after) = after else {
            self.tell(kind.as_str(), before.name.as_str(), None, "deleted", &[]);
            return self.restored.record_entry(kind, "delete", &before.name, json!({"deleted_keys": 0}));
        };
        let changed: Vec<_> = before.differences(after).into_iter().filter(|one| one.field != "description").collect();
        if changed.is_empty() {
            return Ok(());
        }
        let is_off = changed.iter().all(|one| one.field == "enabled");
        self.tell(kind.as_str(), after.name.as_str(), None, if is_off { "disabled" } else { "restricted" }, &changed);
        let verb = if is_off { "disable" } else { "edit" };
        self.restored.record_entry(kind, verb, &before.name, json!({"settings": as_json(changed)}))
    }

    /// Checks that each entry the key refers to exists and is the same one as before; if not, the key takes its present
    /// reference.
    fn refer(&self, row: i64, there: i64) -> Result<(), StoreError> {
        for kind in [Kind::Role, Kind::Tenant, Kind::User] {
            let (_, column) = directory::table(kind);
            if !referred(self.conn(), column, row)?.is_some_and(|id| self.gone.contains(&(column, id))) {
                continue;
            }
            let now = referred(self.present.conn(), column, there)?;
            self.ensure(kind, now)?;
            let update = format!("UPDATE key SET {column} = ?2 WHERE id = ?1");
            self.conn().execute(&update, &[row.into(), now.into()])?;
        }
        Ok(())
    }

    /// Makes a referenced entry as it is in the present store.
    fn ensure(&self, kind: Kind, id: Option<i64>) -> Result<(), StoreError> {
        let Some(id) = id else { return Ok(()) };
        if kind == Kind::User {
            let select = "SELECT role, tenant FROM \"user\" WHERE id = ?1";
            let found = self
                .present
                .conn()
                .optional(select, &[id.into()], |row| Ok((row.optional_integer(0)?, row.optional_integer(1)?)))?;
            let (role, tenant) = found.unwrap_or_default();
            self.ensure(Kind::Role, role)?;
            self.ensure(Kind::Tenant, tenant)?;
        }
        self.copy_entry(kind, id)
    }

    fn keys(&mut self) -> Result<(), StoreError> {
        let all = self.conn().all("SELECT public_id, name, id FROM key ORDER BY name", &[], |row| {
            Ok((row.parsed::<Id>(0)?, row.parsed::<Name>(1)?, row.integer(2)?))
        })?;
        // A name may have passed from one to another, so all first give up names that they no longer have.
        let mut renamed = BTreeMap::new();
        let mut left = vec![];
        for (id, name, row) in all {
            match self.present.key(&id)? {
                None => self.delete_key(&id, row)?,
                Some(later) => {
                    if later.name != name {
                        let aside = format!("restoring-{row}-{id}");
                        let rename = "UPDATE key SET name = ?2 WHERE id = ?1";
                        self.conn().execute(rename, &[row.into(), aside.as_str().into()])?;
                        renamed.insert(row, name);
                    }
                    left.push((id, row));
                }
            }
        }
        for (id, row) in left {
            if let Some(there) = keys::row_of(self.present.conn(), &id)? {
                self.refer(row, there)?;
            }
            let (Some(mut before), Some(later)) = (keys::by_id(self.conn(), &id)?, self.present.key(&id)?) else {
                continue;
            };
            if let Some(name) = renamed.remove(&row) {
                before.name = name;
            }
            self.key(row, &before, &later)?;
        }
        Ok(())
    }

    fn delete_key(&mut self, id: &Id, row: i64) -> Result<(), StoreError> {
        let Some(key) = keys::by_id(self.conn(), id)? else { return Ok(()) };
        keys::delete(self.conn(), row)?;
        self.tell("key", key.name.as_str(), Some(id), "deleted", &[]);
        self.restored.record("key.delete", &key, json!({"use_count": key.use_count, "last_used_at": Json::Null}))
    }

    fn key(&mut self, row: i64, before: &Key, later: &Key) -> Result<(), StoreError> {
        self.present.check_whole(later)?;
        let Some(there) = keys::row_of(self.present.conn(), &later.id)? else { return Ok(()) };
        self.secrets(row, there, later)?;
        let settings = as_strict(before, later);
        let mut changed = differences(&before.settings, &settings);
        if before.name != later.name {
            changed.push(difference("name", &before.name, &later.name));
        }
        if changed.is_empty() {
            return Ok(());
        }
        for kind in [Kind::Role, Kind::Tenant, Kind::User] {
            let now = referred(self.present.conn(), directory::table(kind).1, there)?;
            self.ensure(kind, now)?;
        }
        keys::update(self.conn(), row, &later.name, &settings, self.restored.now())?;
        let (off, others): (Vec<_>, Vec<_>) = changed.into_iter().partition(|difference| difference.field == "enabled");
        for (change, verb, changed) in [("disabled", "key.disable", off), ("restricted", "key.edit", others)] {
            if !changed.is_empty() {
                self.tell("key", later.name.as_str(), Some(&later.id), change, &changed);
                self.restored.record(verb, before, json!({"settings": as_json(changed)}))?;
            }
        }
        Ok(())
    }

    /// The secrets are taken from the present store: one replaced since must not work again.
    fn secrets(&mut self, row: i64, there: i64, later: &Key) -> Result<(), StoreError> {
        let (before, now) = (secrets_of(self.conn(), row)?, secrets_of(self.present.conn(), there)?);
        if before == now {
            return Ok(());
        }
        self.conn().execute("DELETE FROM secret WHERE key = ?1", &[row.into()])?;
        let insert =
            "INSERT INTO secret (key, public_id, hash, created_at, expires_at, staged, retired, imported, bucket)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        for secret in &now {
            let [created, expires, staged, retired] = secret.numbers.map(Value::from);
            let (id, hash) = (secret.id.as_str().into(), secret.hash.as_str().into());
            let (imported, bucket) = (secret.imported.as_deref().into(), secret.bucket.into());
            self.conn()
                .execute(insert, &[row.into(), id, hash, created, expires, staged, retired, imported, bucket])?;
        }
        let ids = |rows: &[SecretRow]| rows.iter().map(|row| (row.id.clone(), row.numbers)).collect::<Vec<_>>();
        if ids(&before) == ids(&now) {
            // Only the hash was renewed.
            return Ok(());
        }
        self.tell("key", later.name.as_str(), Some(&later.id), "rotated", &[]);
        self.restored.record("key.rotate", later, json!({"secret": later.current_secret()}))
    }
}

/// The entry that the column of this key refers to.
fn referred(conn: &Conn, column: &str, key: i64) -> Result<Option<i64>, StoreError> {
    let select = format!("SELECT {column} FROM key WHERE id = ?1");
    Ok(conn.optional(&select, &[key.into()], |row| row.optional_integer(0))?.flatten())
}

fn difference(field: &str, old: impl serde::Serialize, new: impl serde::Serialize) -> Difference {
    Difference { field: field.to_owned(), old: json!(old), new: json!(new) }
}

/// The entries of a kind, identified by the values that they were made with: a name may change and pass to another
/// entry.
fn entries(conn: &Conn, kind: Kind) -> Result<BTreeMap<Origin, (Name, Draft)>, StoreError> {
    let (table, _) = directory::table(kind);
    let sql = format!("SELECT id, created_at, name FROM {table}");
    let all = conn.all(&sql, &[], |row| Ok(((row.integer(0)?, row.integer(1)?), row.parsed::<Name>(2)?)))?;
    let mut found = BTreeMap::new();
    for (origin, name) in all {
        if let Some(entry) = directory::find(conn, kind, &name)? {
            found.insert(origin, (name, entry.draft));
        }
    }
    Ok(found)
}

fn secrets_of(conn: &Conn, key: i64) -> Result<Vec<SecretRow>, StoreError> {
    conn.all(SECRETS, &[key.into()], |row| {
        let numbers =
            [row.optional_integer(2)?, row.optional_integer(3)?, row.optional_integer(4)?, row.optional_integer(5)?];
        Ok(SecretRow {
            id: row.text(0)?.to_owned(),
            hash: row.text(1)?.to_owned(),
            imported: row.optional_text(7)?.map(str::to_owned),
            bucket: row.optional_integer(6)?,
            numbers,
        })
    })
}
