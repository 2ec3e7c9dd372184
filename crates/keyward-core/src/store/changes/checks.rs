//! What is checked before a change.

use super::Changes;
use crate::rules::authority::Authority;
use crate::rules::directory::{Entry, Kind};
use crate::rules::key::{Key, Settings};
use crate::rules::names::{NOT, Name, RESERVED};
use crate::rules::token::Id;
use crate::store::error::StoreError;
use crate::store::{directory, keys};

impl Changes<'_> {
    /// The group, user, role or tenant with this name.
    ///
    /// # Errors
    /// [`StoreError::NoSuch`]; also if the store cannot be read.
    pub fn required_entry(&self, kind: Kind, name: &Name) -> Result<Entry, StoreError> {
        let missing = || StoreError::NoSuch { kind: kind.as_str(), name: name.clone(), known: vec![] };
        self.entry(kind, name)?.ok_or_else(missing)
    }

    /// What the acting user may do.
    pub(super) fn acting(&self) -> Result<Authority, StoreError> {
        self.authority(self.stamp.actor)
    }

    /// Words that filters read as something else cannot be new names.
    pub(super) fn check_new_name(name: &Name) -> Result<(), StoreError> {
        if RESERVED.contains(&name.as_str()) {
            return Err(StoreError::ReservedWord { what: "name", word: name.to_string() });
        }
        Ok(())
    }

    /// Nor can they be new scopes and levels; those that a key of this store already has are not new.
    pub(super) fn check_new_words(&self, settings: &Settings) -> Result<(), StoreError> {
        let scopes = settings.scopes.iter().map(|scope| ("scope", scope.as_str()));
        let levels = settings.levels.iter().map(|level| ("level", level.as_str()));
        for (what, word) in scopes.chain(levels) {
            let is_kept = RESERVED.contains(&word) || what == "scope" && word.starts_with(NOT);
            if is_kept && !keys::has_word(self.conn(), what, word)? {
                return Err(StoreError::ReservedWord { what, word: word.to_owned() });
            }
        }
        Ok(())
    }

    pub(super) fn row_of(&self, key: &Key) -> Result<i64, StoreError> {
        keys::row_of(self.conn(), &key.id)?.ok_or_else(|| StoreError::KeyGone(key.name.clone()))
    }

    pub(super) fn reload(&self, id: &Id, name: &Name) -> Result<Key, StoreError> {
        self.key(id)?.ok_or_else(|| StoreError::KeyGone(name.clone()))
    }

    pub(super) fn check_name_is_free(&self, name: &Name, own: Option<&Key>) -> Result<(), StoreError> {
        // An existing id counts as taken too: a key named like another key's id would be found instead of it.
        match keys::id_of(self.conn(), name.as_str())? {
            Some(other) if own.is_none_or(|own| own.id != other) => {
                Err(StoreError::NameTaken { kind: "key", name: name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// May the acting user manage the key as it was and as it will be?
    pub(super) fn check_authority(&self, key: Option<&Key>, settings: Option<&Settings>) -> Result<(), StoreError> {
        let authority = self.acting()?;
        let (rank, name) = key.map_or((None, ""), |key| (key.standing.rank, key.name.as_str()));
        authority.manage_key(rank, || format!("the key {name}"))?;
        if let Some(role) = settings.and_then(|settings| settings.role.as_ref()) {
            let rank = directory::rank_of(self.conn(), role)?;
            authority.manage_key(rank, || format!("the role {role}"))?;
        }
        Ok(())
    }

    /// References by name: a name that is not in the directory is refused, never dropped.
    pub(super) fn check_references(&self, settings: &Settings) -> Result<(), StoreError> {
        settings.references().try_for_each(|(kind, name)| self.check_exists(kind, Some(name)))
    }

    pub(super) fn check_exists(&self, kind: Kind, name: Option<&Name>) -> Result<(), StoreError> {
        match name {
            Some(name) if !directory::exists(self.conn(), kind, name)? => {
                let known = directory::names(self.conn(), kind)?;
                Err(StoreError::NoSuch { kind: kind.as_str(), name: name.clone(), known })
            }
            _ => Ok(()),
        }
    }
}
