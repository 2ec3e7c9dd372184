//! All changes: each with its row in the history, together in one transaction.
//!
//! [`Changes`] is a [`View`] that also writes: it reads what it has written so far.

mod checks;
mod directory;
mod imports;
mod keys;
mod leases;
mod secrets;

use std::ops::Deref;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use imports::{CompareError, Importing, KnownSecret};
pub use leases::Subject;
pub use secrets::Staging;

use super::db::Conn;
use super::error::StoreError;
use super::view::View;
use super::{Stamp, history};
use crate::rules::directory::Kind;
use crate::rules::key::Key;
use crate::rules::names::Name;
use crate::rules::patch::Difference;
use crate::rules::token::Id;

/// A transaction: changes, each with its row in the history.
#[derive(Debug)]
pub struct Changes<'c> {
    view: View<'c>,
    stamp: Stamp<'c>,
}

impl<'c> Deref for Changes<'c> {
    type Target = View<'c>;

    fn deref(&self) -> &View<'c> {
        &self.view
    }
}

impl<'c> Changes<'c> {
    pub(super) fn begin(conn: &'c Conn, stamp: Stamp<'c>) -> Result<Self, StoreError> {
        conn.begin_to_write()?;
        Ok(Self::begun(conn, stamp))
    }

    /// Changes in the transaction that was just begun. They use the store's time, if it gives one.
    pub(super) fn begun(conn: &'c Conn, stamp: Stamp<'c>) -> Self {
        let now = conn.time_of_change().unwrap_or(stamp.now);
        Self { view: View::to_write(conn), stamp: Stamp { now, ..stamp } }
    }

    pub(super) fn commit(self) -> Result<(), StoreError> {
        self.conn().check_place()?;
        self.view.commit()
    }

    /// When these changes are made.
    pub fn now(&self) -> Timestamp {
        self.stamp.now
    }

    /// Makes the changes of `f` and rolls them back, but keeps earlier ones: to learn whether they are possible.
    ///
    /// # Errors
    /// What `f` returns; also if the store cannot be written.
    pub fn try_out<T, E: From<StoreError>>(&self, f: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        self.conn().begin_to_try()?;
        let tried = f(self);
        let ended = self.conn().end_of_try();
        // If the engine ended the whole transaction because the disk is full, there is no savepoint to return to.
        let value = tried?;
        ended?;
        Ok(value)
    }

    pub(super) fn record(&self, action: &str, key: &Key, detail: Value) -> Result<(), StoreError> {
        self.append(action, "key", Some(&key.id), key.name.as_str(), detail)
    }

    pub(super) fn record_entry(&self, kind: Kind, verb: &str, name: &Name, detail: Value) -> Result<(), StoreError> {
        let kind = kind.as_str();
        self.append(&format!("{kind}.{verb}"), kind, None, name.as_str(), detail)
    }

    pub(super) fn append(
        &self,
        action: &str,
        subject_kind: &str,
        subject_id: Option<&Id>,
        subject_name: &str,
        detail: Value,
    ) -> Result<(), StoreError> {
        history::append(self.conn(), &self.event(action, subject_kind, subject_id, subject_name, detail))
    }

    /// What is to be written down of something that happens now.
    fn event<'e>(
        &'e self,
        action: &'e str,
        subject_kind: &'e str,
        subject_id: Option<&'e Id>,
        subject_name: &'e str,
        detail: Value,
    ) -> history::NewEvent<'e> {
        let (at, actor) = (self.now(), self.stamp.actor);
        history::NewEvent { at, actor, action, subject_kind, subject_id, subject_name, detail }
    }
}

/// The history's name for a change: enabling or disabling without any other change has its own.
fn verb(changed: &[Difference]) -> &'static str {
    match changed {
        [only] if only.field == "enabled" && only.new == true => "enable",
        [only] if only.field == "enabled" => "disable",
        _ => "edit",
    }
}

/// Differences as `{field: {old, new}}`.
pub(super) fn as_json(differences: Vec<Difference>) -> serde_json::Map<String, Value> {
    differences.into_iter().map(|d| (d.field, json!({"old": d.old, "new": d.new}))).collect()
}
