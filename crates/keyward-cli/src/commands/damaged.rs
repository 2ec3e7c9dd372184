//! Damaged keys and users, for commands that continue after one: lists and exports show everything, say what cannot be
//! trusted, and end with the error for a damaged store.

use std::path::Path;

use crate::error::Error;
use keyward_core::rules::directory::Entry;
use keyward_core::rules::key::Key;
use keyward_core::rules::names::Name;
use keyward_core::store::StoreError;

/// How many of them are named.
const NAMED: u64 = 20;

/// The damaged keys and users that a command found.
#[derive(Debug, Default)]
pub struct DamageReport {
    count: u64,
    named: Vec<String>,
}

impl DamageReport {
    /// Records the key, if it is damaged.
    pub fn add_key(&mut self, key: &Key) {
        self.note("key", &key.name, key.damage.as_deref());
    }

    /// The same for an entry of the directory.
    pub fn add_entry(&mut self, entry: &Entry) {
        self.note(entry.draft.facts.kind().as_str(), &entry.draft.name, entry.damage.as_deref());
    }

    fn note(&mut self, kind: &str, name: &Name, damage: Option<&str>) {
        let Some(damage) = damage else { return };
        self.count += 1;
        if self.count <= NAMED {
            self.named.push(format!("the {kind} {name}: {damage}"));
        }
    }

    /// The error about those of the store at `path`, if there are any.
    ///
    /// # Errors
    /// [`crate::error::Code::StoreCorrupt`].
    pub fn report(self, path: &Path) -> Result<(), Error> {
        if self.count == 0 {
            return Ok(());
        }
        let mut detail = self.named.join("; ");
        if self.count > NAMED {
            detail.push_str(&format!("; and {} more", self.count - NAMED));
        }
        Err(StoreError::Corrupt { path: path.to_owned(), detail }.into())
    }
}
