//! What was revoked since the backup, found by comparing it with the present store, and done to the restored state.

use std::collections::BTreeMap;

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

/// Revokes in `restored` what was revoked in `present` since, and tells what that is, and which keys were made since.
pub(super) fn merge(restored: &Changes<'_>, present: &View<'_>) -> Result<(Vec<MadeAgain>, LeftOut), StoreError> {
    let mut merge = Merge { restored, present, made: vec![] };
    merge.settings()?;
    let gone = merge.entries()?;
    merge.keys()?;
    gone.into_iter().try_for_each(|(kind, name)| merge.delete_entry(kind, &name))?;
    let former = former_costs::of_all_but(restored.conn(), restored.settings()?.hash_cost)?;
    former_costs::save(restored.conn(), &former)?;
    Ok((merge.made, left_out(restored, present)?))
}

/// The keys of the present store that the restored one does not have.
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

/// Writes down the secrets that there were since and that the restored history does not know: one that turns up later
/// leads to its key.
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
}

/// Rows that make an entry or a secret the same in both: what it was made as.
type Origin = (i64, i64);

/// The secrets of a key, each as it is in its row.
const SECRETS: &str =
    "SELECT public_id, hash, created_at, expires_at, staged, retired FROM secret WHERE key = ?1 ORDER BY id";

#[derive(PartialEq)]
struct SecretRow {
    id: String,
    hash: String,
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

    /// Credentials in a query are refused again.
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

    /// Roles, tenants and users get what they were restricted to. Returns those that were deleted since.
    fn entries(&mut self) -> Result<Vec<(Kind, Name)>, StoreError> {
        let mut gone = vec![];
        // A user may come to have a role or a tenant of another name.
        for kind in [Kind::Role, Kind::Tenant, Kind::User] {
            let later = origins(self.present.conn(), kind)?;
            for (origin, name) in origins(self.conn(), kind)? {
                match later.get(&origin) {
                    None => gone.push((kind, name)),
                    Some(now) => self.entry(kind, &name, now)?,
                }
            }
        }
        Ok(gone)
    }

    fn entry(&mut self, kind: Kind, name: &Name, later: &Name) -> Result<(), StoreError> {
        let (Some(before), Some(now)) =
            (directory::find(self.conn(), kind, name)?, directory::find(self.present.conn(), kind, later)?)
        else {
            return Ok(());
        };
        let mut draft = before.draft.clone();
        if draft.name != now.draft.name && !directory::exists(self.conn(), kind, &now.draft.name)? {
            draft.name = now.draft.name.clone();
        }
        match (&mut draft.facts, &now.draft.facts) {
            // Requests name a role, and who has a lower one is refused: a change either way refuses some.
            (facts @ Facts::Role { .. }, role) => *facts = role.clone(),
            (Facts::Tenant { enabled }, Facts::Tenant { enabled: still }) => *enabled &= still,
            (Facts::User { role, enabled, .. }, Facts::User { role: later, enabled: still, .. }) => {
                *enabled &= still;
                let rank = |role: &Option<Name>| role.as_ref().map(|role| self.present.rank_of(role)).transpose();
                if rank(later)?.flatten() < rank(role)?.flatten() {
                    role.clone_from(later);
                }
            }
            _ => {}
        }
        let changed = before.draft.differences(&draft);
        if changed.is_empty() {
            return Ok(());
        }
        if let Facts::User { role: Some(role), .. } = &draft.facts {
            self.ensure(Kind::Role, role)?;
        }
        directory::update(self.conn(), name, &draft, self.restored.now())?;
        let is_off = changed.iter().all(|difference| difference.field == "enabled");
        self.tell(kind.as_str(), draft.name.as_str(), None, if is_off { "disabled" } else { "restricted" }, &changed);
        let verb = if is_off { "disable" } else { "edit" };
        self.restored.record_entry(kind, verb, name, json!({"settings": as_json(changed)}))
    }

    /// Makes an entry that something refers to, as it is in the present store.
    fn ensure(&self, kind: Kind, name: &Name) -> Result<(), StoreError> {
        if directory::exists(self.conn(), kind, name)? {
            return Ok(());
        }
        let Some(found) = directory::find(self.present.conn(), kind, name)? else { return Ok(()) };
        if let Facts::User { role, tenant, .. } = &found.draft.facts {
            role.as_ref().map_or(Ok(()), |role| self.ensure(Kind::Role, role))?;
            tenant.as_ref().map_or(Ok(()), |tenant| self.ensure(Kind::Tenant, tenant))?;
        }
        directory::insert(self.conn(), &found.draft, self.restored.now())?;
        self.restored.record_entry(kind, "create", name, json!({"settings": as_json(found.draft.as_new())}))
    }

    /// What was deleted since goes again, unless a key or a user still has it.
    fn delete_entry(&mut self, kind: Kind, name: &Name) -> Result<(), StoreError> {
        let Some(Draft { .. }) =
            directory::find(self.conn(), kind, name)?.filter(|e| e.keys + e.users == 0).map(|e| e.draft)
        else {
            return Ok(());
        };
        directory::delete(self.conn(), kind, name)?;
        self.tell(kind.as_str(), name.as_str(), None, "deleted", &[]);
        self.restored.record_entry(kind, "delete", name, json!({"deleted_keys": 0}))
    }

    fn keys(&mut self) -> Result<(), StoreError> {
        let all = self.conn().all("SELECT public_id, name, id FROM key ORDER BY name", &[], |row| {
            Ok((row.parsed::<Id>(0)?, row.parsed::<Name>(1)?, row.integer(2)?))
        })?;
        // A name may have gone from one to another: first all let go of what they no longer have.
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
        self.uses(row, there)?;
        let settings = as_strict(before, later);
        let mut changed = differences(&before.settings, &settings);
        if before.name != later.name {
            changed.push(difference("name", &before.name, &later.name));
        }
        if changed.is_empty() {
            return Ok(());
        }
        for (kind, name) in
            [(Kind::User, &settings.owner), (Kind::Role, &settings.role), (Kind::Tenant, &settings.tenant)]
        {
            name.as_ref().map_or(Ok(()), |name| self.ensure(kind, name))?;
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

    /// The secrets are those of the present store: one that was replaced since opens nothing again.
    fn secrets(&mut self, row: i64, there: i64, later: &Key) -> Result<(), StoreError> {
        let (before, now) = (secrets_of(self.conn(), row)?, secrets_of(self.present.conn(), there)?);
        if before == now {
            return Ok(());
        }
        self.conn().execute("DELETE FROM secret WHERE key = ?1", &[row.into()])?;
        let insert = "INSERT INTO secret (key, public_id, hash, created_at, expires_at, staged, retired)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        for secret in &now {
            let [created, expires, staged, retired] = secret.numbers.map(Value::from);
            let (id, hash) = (secret.id.as_str().into(), secret.hash.as_str().into());
            self.conn().execute(insert, &[row.into(), id, hash, created, expires, staged, retired])?;
        }
        let ids = |rows: &[SecretRow]| rows.iter().map(|row| (row.id.clone(), row.numbers)).collect::<Vec<_>>();
        if ids(&before) == ids(&now) {
            // Only a hash was renewed.
            return Ok(());
        }
        self.tell("key", later.name.as_str(), Some(&later.id), "rotated", &[]);
        self.restored.record("key.rotate", later, json!({"secret": later.current_secret()}))
    }

    /// A key was used as often as it was.
    fn uses(&self, row: i64, there: i64) -> Result<(), StoreError> {
        let select = "SELECT last_used_at, use_count FROM key_use WHERE key = ?1";
        let found =
            self.present.conn().optional(select, &[there.into()], |row| Ok((row.integer(0)?, row.integer(1)?)))?;
        let Some((last, count)) = found else { return Ok(()) };
        let insert = "INSERT INTO key_use (key, last_used_at, use_count) VALUES (?1, ?2, ?3)
                      ON CONFLICT (key) DO UPDATE SET last_used_at = excluded.last_used_at, use_count = excluded.use_count";
        self.conn().execute(insert, &[row.into(), last.into(), count.into()]).map(drop)
    }
}

fn difference(field: &str, old: impl serde::Serialize, new: impl serde::Serialize) -> Difference {
    Difference { field: field.to_owned(), old: json!(old), new: json!(new) }
}

/// The entries of a kind by what they were made as: a name may change, and be given to another one.
fn origins(conn: &Conn, kind: Kind) -> Result<BTreeMap<Origin, Name>, StoreError> {
    let (table, _) = directory::table(kind);
    let sql = format!("SELECT id, created_at, name FROM {table}");
    let all = conn.all(&sql, &[], |row| Ok(((row.integer(0)?, row.integer(1)?), row.parsed::<Name>(2)?)))?;
    Ok(all.into_iter().collect())
}

fn secrets_of(conn: &Conn, key: i64) -> Result<Vec<SecretRow>, StoreError> {
    conn.all(SECRETS, &[key.into()], |row| {
        let numbers =
            [row.optional_integer(2)?, row.optional_integer(3)?, row.optional_integer(4)?, row.optional_integer(5)?];
        Ok(SecretRow { id: row.text(0)?.to_owned(), hash: row.text(1)?.to_owned(), numbers })
    })
}
