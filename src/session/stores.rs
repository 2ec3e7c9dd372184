//! How the store is opened for a command: five ways, which differ in what a missing store means, and in whether the
//! store has to take changes.
//!
//! | | no store | warnings | must be writable |
//! |---|---|---|---|
//! | [`Session::store_to_make`] | is made | yes | yes |
//! | [`Session::store_to_change`] | an error | yes | yes |
//! | [`Session::store_to_read`] | none, where nobody named one | yes | no |
//! | [`Session::existing_store`] | an error | yes | no |
//! | [`Session::store_to_plan`] | none | not yet | no |

use super::{Session, StorePath};
use crate::error::Error;
use crate::text::shell_path;
use keyward_core::store::{Store, StoreError};

impl Session {
    /// Opens the store for a command that makes things; makes the store where there is none.
    ///
    /// # Errors
    /// Where there can be no store, or it cannot be written.
    pub fn store_to_make(&mut self) -> Result<Store, Error> {
        let path = match &self.store {
            StorePath::Named(path) | StorePath::Default(path) => path,
            StorePath::Nowhere => return Err(StoreError::Nowhere.into()),
        };
        let store = Store::create(path, self.now)?;
        self.admit(store)
    }

    /// Opens the store for a command that changes what is there.
    ///
    /// # Errors
    /// As [`Session::store_to_make`], and where there is no store.
    pub fn store_to_change(&mut self) -> Result<Store, Error> {
        let store = self.open()?;
        self.admit(store)
    }

    /// Opens the store for a command that only reads; `None` where nobody named a store and there
    /// is none yet.
    ///
    /// # Errors
    /// Where there is a store that cannot be read, or none where one was named.
    pub fn store_to_read(&mut self) -> Result<Option<Store>, Error> {
        match self.open() {
            Ok(store) => {
                self.warn_of_exposure(&store);
                Ok(Some(store))
            }
            Err(StoreError::Missing(_)) if matches!(self.store, StorePath::Default(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the store for a command that reads and has nothing to say without one, such as `verify`.
    ///
    /// # Errors
    /// Where there is no store that can be read.
    pub fn existing_store(&mut self) -> Result<Store, Error> {
        let store = self.open()?;
        self.warn_of_exposure(&store);
        Ok(store)
    }

    /// Opens the store to plan a change that is made later: whoever opens it then is warned.
    ///
    /// # Errors
    /// Where there is one that cannot be read.
    pub fn store_to_plan(&mut self) -> Result<Option<Store>, Error> {
        match self.open() {
            Ok(store) => Ok(Some(store)),
            Err(StoreError::Missing(_) | StoreError::Nowhere) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open(&self) -> Result<Store, StoreError> {
        match &self.store {
            StorePath::Named(path) | StorePath::Default(path) => Store::open(path),
            StorePath::Nowhere => Err(StoreError::Nowhere),
        }
    }

    fn admit(&mut self, store: Store) -> Result<Store, Error> {
        store.check_writable()?;
        self.warn_of_exposure(&store);
        Ok(store)
    }

    /// Warns of what others can do to the store.
    fn warn_of_exposure(&mut self, store: &Store) {
        let Some(exposure) = store.exposure() else { return };
        let others = if exposure.group_writes { "its group can change the keys" } else { "others can read it" };
        let (path, mode) = (store.path(), exposure.mode);
        let close = format!("chmod 600 {}", shell_path(path));
        self.terminal
            .warn(&format!("the store {} has mode {mode:03o}, so {others}; close it with: {close}", path.display()));
    }
}
