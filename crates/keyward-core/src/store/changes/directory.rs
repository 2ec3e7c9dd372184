//! Changes of groups, users, roles and tenants, and of the settings that apply to all keys.

use serde_json::json;

use super::{Changes, as_json, verb};
use crate::rules::directory::{Draft, Entry, Facts, Kind};
use crate::rules::patch::Difference;
use crate::store::error::StoreError;
use crate::store::settings::{self, StoreSettings};
use crate::store::{directory, former_costs, keys};

impl Changes<'_> {
    /// Changes the settings that apply to all keys.
    ///
    /// # Errors
    /// [`StoreError::Denied`]; also if the store cannot be written.
    pub fn save_settings(&self, settings: &StoreSettings) -> Result<(), StoreError> {
        self.acting()?.govern("setting of the store")?;
        let present = self.settings()?;
        let before = present.fields();
        let mut settings = settings.clone();
        settings.former_costs = if settings.hash_cost == present.hash_cost {
            present.former_costs
        } else {
            let former = former_costs::of_all_but(self.conn(), settings.hash_cost)?;
            former_costs::save(self.conn(), &former)?;
            former.iter().map(|former| former.cost).collect()
        };
        let settings = &settings;
        settings::save(self.conn(), settings)?;
        let changed = before.into_iter().zip(settings.fields()).filter(|(before, after)| before != after);
        let changed: Vec<_> = changed
            .map(|((name, old), (_, new))| Difference { field: name.to_owned(), old: json!(old), new: json!(new) })
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.append("settings.edit", "settings", None, "settings", json!({"settings": as_json(changed)}))
    }

    /// Makes a group, user, role or tenant.
    ///
    /// # Errors
    /// [`StoreError::Denied`], [`StoreError::NameTaken`], [`StoreError::NoSuch`] for what it refers to, or if the store
    /// cannot be written.
    pub fn insert_entry(&self, draft: &Draft) -> Result<Entry, StoreError> {
        self.check_draft(draft, None)?;
        directory::insert(self.conn(), draft, self.now())?;
        let kind = draft.facts.kind();
        let entry = self.required_entry(kind, &draft.name)?;
        self.record_entry(kind, "create", &draft.name, json!({"settings": as_json(draft.as_new())}))?;
        Ok(entry)
    }

    /// Changes a group, user, role or tenant. References follow a new name automatically. Nothing is written if nothing
    /// differs.
    ///
    /// # Errors
    /// As [`Changes::insert_entry`], and [`StoreError::Corrupt`] for a user whose role or tenant is missing, unless the
    /// change only disables the user.
    pub fn update_entry(&self, entry: &Entry, draft: &Draft) -> Result<Entry, StoreError> {
        self.check_draft(draft, Some(&entry.draft))?;
        let changed = entry.draft.differences(draft);
        let (kind, name) = (draft.facts.kind(), &entry.draft.name);
        match &entry.damage {
            // Whatever is missing, disabling only takes something away.
            Some(_) if verb(&changed) == "disable" => {
                directory::switch(self.conn(), kind, name, false, self.now())?;
            }
            Some(damage) => {
                let detail = format!("the {} {name}: {damage}", kind.as_str());
                return Err(StoreError::Corrupt { path: self.conn().place().to_owned(), detail });
            }
            None if changed.is_empty() => return Ok(entry.clone()),
            None => directory::update(self.conn(), name, draft, self.now())?,
        }
        self.record_entry(kind, verb(&changed), name, json!({"settings": as_json(changed)}))?;
        self.required_entry(kind, &draft.name)
    }

    /// Deletes a group, user, role or tenant, and with `with_keys` the keys that refer to it.
    ///
    /// # Errors
    /// [`StoreError::Denied`], [`StoreError::InUse`]; also if the store cannot be written.
    pub fn delete_entry(&self, entry: &Entry, with_keys: bool) -> Result<u64, StoreError> {
        let (kind, name) = (entry.draft.facts.kind(), &entry.draft.name);
        self.acting()?.manage(kind)?;
        if entry.users > 0 || entry.keys > 0 && !with_keys {
            let (keys, users) = (entry.keys, entry.users);
            return Err(StoreError::InUse { kind: kind.as_str(), name: name.clone(), keys, users });
        }
        let keys = keys::referring(self.conn(), kind, name)?;
        keys.iter().try_for_each(|key| self.remove(key))?;
        directory::delete(self.conn(), kind, name)?;
        let detail = json!({"deleted_keys": keys.len()});
        self.record_entry(kind, "delete", name, detail)?;
        Ok(keys.len() as u64)
    }

    fn check_draft(&self, draft: &Draft, before: Option<&Draft>) -> Result<(), StoreError> {
        let (kind, authority) = (draft.facts.kind(), self.acting()?);
        if let Some(before) = before {
            authority.write(&before.facts)?;
        }
        authority.write(&draft.facts)?;
        let is_new_name = before.is_none_or(|before| before.name != draft.name);
        if is_new_name {
            Self::check_new_name(&draft.name)?;
        }
        if is_new_name && directory::exists(self.conn(), kind, &draft.name)? {
            return Err(StoreError::NameTaken { kind: kind.as_str(), name: draft.name.clone() });
        }
        if let Facts::User { role, tenant, .. } = &draft.facts {
            self.check_exists(Kind::Role, role.as_ref())?;
            self.check_exists(Kind::Tenant, tenant.as_ref())?;
        }
        Ok(())
    }
}
