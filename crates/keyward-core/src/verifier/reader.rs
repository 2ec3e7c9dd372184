//! One connection to the store with what was read through it, and the moment that it is of.

use std::sync::Arc;

use super::epoch::{Commits, Epoch, Staleness, Written};
use super::matches::Matches;
use super::rows::{Row, Rows};
use crate::rules::token::Id;
use crate::store::{Presented, Store, StoreError, StoreSettings};

pub(super) struct Reader {
    store: Store,
    /// Which of the files it reads that were at the path.
    file: u64,
    epoch: Epoch,
    settings: Arc<StoreSettings>,
    rows: Rows,
}

impl Reader {
    pub(super) fn new(store: Store, file: u64) -> Result<Self, StoreError> {
        let settings = Arc::new(store.view()?.settings()?);
        Ok(Self { store, file, epoch: Epoch::default(), settings, rows: Rows::new() })
    }

    /// Which of the files it reads that were at the path.
    pub(super) fn file(&self) -> u64 {
        self.file
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn settings(&self) -> &Arc<StoreSettings> {
        &self.settings
    }

    /// Forgets or mends what was read, if the store has changed since, and returns whether any of it is left.
    ///
    /// # Errors
    /// As [`Store::refresh`].
    pub(super) fn look(&mut self, commits: &Commits) -> Result<bool, StoreError> {
        match self.epoch.look(&mut self.store, commits)? {
            Staleness::None => Ok(true),
            Staleness::Counts(all) => {
                let mut is_renewed = false;
                for written in all {
                    match written {
                        Written::Nothing => {}
                        Written::Uses(uses) => self.rows.count(&uses),
                        Written::Hash(secret) => {
                            self.rows.forget(&secret);
                            is_renewed = true;
                        }
                    }
                }
                // It may have been the last hash of a former cost.
                if is_renewed {
                    self.read_settings()?;
                }
                Ok(true)
            }
            Staleness::All => {
                self.rows.forget_all();
                self.read_settings()?;
                Ok(false)
            }
        }
    }

    fn read_settings(&mut self) -> Result<(), StoreError> {
        match self.store.view().and_then(|view| view.settings()) {
            Ok(settings) => self.settings = Arc::new(settings),
            Err(error) => {
                self.epoch.reset();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The row of the secret with this public id.
    pub(super) fn row(&mut self, secret: &Id, matches: &Matches, commits: &Commits) -> Result<Option<Row>, StoreError> {
        if let Some(row) = self.rows.get(secret) {
            return Ok(Some(row.clone()));
        }
        let was_quiet = self.epoch.is_quiet(commits);
        let Some(presented) = self.store.view()?.presented_or_damaged(secret)? else { return Ok(None) };
        let row = row(presented, matches);
        if was_quiet && self.epoch.is_quiet(commits) {
            self.rows.keep(secret, row.clone());
        }
        Ok(Some(row))
    }
}

fn row(presented: Presented, matches: &Matches) -> Row {
    Row { seal: matches.seal(&presented.hash), cost: presented.hash.cost(), presented: Arc::new(presented) }
}
