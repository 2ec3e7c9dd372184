//! How the store is opened for a command: six ways, which differ in what a missing store means, and in whether the
//! store has to take changes.
//!
//! | | no store | warnings | must be writable | brings an older one up to date |
//! |---|---|---|---|---|
//! | [`Session::store_to_make`] | is made, and said | yes | yes | yes |
//! | [`Session::store_to_change`] | an error | yes | yes | yes |
//! | [`Session::store_to_record`] | an error | yes | no | yes |
//! | [`Session::store_to_read`] | none, where nobody named one | yes | no | no |
//! | [`Session::existing_store`] | an error | yes | no | no |
//! | [`Session::store_to_plan`] | none | not yet | no | no |

use std::path::Path;

#[cfg(feature = "postgres")]
use zeroize::Zeroizing;

use super::{Session, StorePath};
#[cfg(feature = "postgres")]
use crate::error::Code;
use crate::error::Error;
use crate::text::shell_path;
use keyward_core::rules::text::count;
#[cfg(feature = "postgres")]
use keyward_core::store::ServerUrl;
use keyward_core::store::{Changes, News, Store, StoreError};

impl Session {
    /// Opens the store for a command that makes things; makes the store where there is none.
    ///
    /// # Errors
    /// Where there can be no store, or it cannot be written.
    pub fn store_to_make(&mut self) -> Result<Store, Error> {
        let path = match &self.store {
            StorePath::Named(path) | StorePath::Default(path) => path,
            // A mistyped URL must not found a second store.
            #[cfg(feature = "postgres")]
            StorePath::Server(..) => return self.store_to_change(),
            StorePath::Nowhere => return Err(StoreError::Nowhere.into()),
        };
        let is_new = path.try_exists().is_ok_and(|exists| !exists);
        let store = Store::create(path, self.now)?;
        // Whoever mistyped the path of their store sees it here.
        if is_new {
            self.terminal.note(&format!("made a new store: {}", store.path().display()));
        }
        self.admit(store)
    }

    /// Opens the store for a command that changes what is there.
    ///
    /// # Errors
    /// As [`Session::store_to_make`], and where there is no store.
    pub fn store_to_change(&mut self) -> Result<Store, Error> {
        let store = self.open(Store::open)?;
        self.admit(store)
    }

    /// Opens the store for a command that answers, and records what it answered where the store takes it.
    ///
    /// # Errors
    /// As [`Session::existing_store`].
    pub fn store_to_record(&mut self) -> Result<Store, Error> {
        let store = self.open(Store::open)?;
        self.warn_of_exposure(&store);
        Ok(store)
    }

    /// Opens the store for a command that only reads; `None` where nobody named a store and there
    /// is none yet.
    ///
    /// # Errors
    /// Where there is a store that cannot be read, or none where one was named.
    pub fn store_to_read(&mut self) -> Result<Option<Store>, Error> {
        match self.open(Store::open_to_read) {
            Ok(store) => {
                self.warn_of_exposure(&store);
                Ok(Some(store))
            }
            Err(StoreError::Missing(path)) if matches!(self.store, StorePath::Default(_)) => {
                self.terminal.note(&format!("there is no store yet at {}", path.display()));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the store for a command that reads and has nothing to say without one, such as `verify`.
    ///
    /// # Errors
    /// Where there is no store that can be read.
    pub fn existing_store(&mut self) -> Result<Store, Error> {
        let store = self.open(Store::open_to_read)?;
        self.warn_of_exposure(&store);
        Ok(store)
    }

    /// Opens the store to plan a change that is made later: whoever opens it then is warned.
    ///
    /// # Errors
    /// Where there is one that cannot be read.
    pub fn store_to_plan(&mut self) -> Result<Option<Store>, Error> {
        match self.open(Store::open_to_read) {
            Ok(store) => Ok(Some(store)),
            Err(StoreError::Missing(_) | StoreError::Nowhere) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open(&mut self, open: fn(&Path) -> Result<Store, StoreError>) -> Result<Store, StoreError> {
        match &self.store {
            StorePath::Named(path) | StorePath::Default(path) => open(path),
            #[cfg(feature = "postgres")]
            StorePath::Server(url, _) => {
                let url = (**url).clone();
                self.warn_of_password(&url);
                Store::connect(url, self.surroundings())
            }
            StorePath::Nowhere => Err(StoreError::Nowhere),
        }
    }

    /// Warns of a password in a variable, which ends up where nobody expects one. On a command line it was refused.
    #[cfg(feature = "postgres")]
    fn warn_of_password(&mut self, url: &ServerUrl) {
        if url.has_password() {
            self.terminal.warn(
                "KEYWARD_STORE holds a password, and every program that is started from here gets it too; keep it in \
                 ~/.pgpass (mode 600)",
            );
        }
    }

    /// Makes the store in the database that was named.
    ///
    /// # Errors
    /// Where none was named, or it cannot be made.
    #[cfg(feature = "postgres")]
    pub fn found_store(&mut self) -> Result<Store, Error> {
        let StorePath::Server(url, _) = &self.store else {
            return Err(Error::new(Code::Usage, "a store in a file is made by its first key")
                .hint("name a database: keyward --store postgres://USER@HOST/DB store init"));
        };
        let url = (**url).clone();
        self.warn_of_password(&url);
        Ok(Store::found(url, self.surroundings(), self.now)?)
    }

    /// What the environment says about passwords.
    #[cfg(feature = "postgres")]
    fn surroundings(&self) -> keyward_core::store::Surroundings {
        let set = |name: &str| (self.outside.environment)(name).filter(|value| !value.is_empty());
        keyward_core::store::Surroundings {
            password: set("PGPASSWORD").map(|password| Zeroizing::new(password.into_encoded_bytes())),
            passfile: set("PGPASSFILE").map(Into::into),
            home: set("HOME").map(Into::into),
            clock: self.outside.is_host_clock.then(|| self.clock()),
        }
    }

    /// Makes the changes of `f`, and tells what came differently.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write<T, E: From<StoreError>>(
        &mut self,
        store: &mut Store,
        f: impl FnOnce(&Changes<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let written = store.write(self.stamp(), f);
        self.tell_news(store);
        written
    }

    /// Tells what came differently while the store was changed, and returns it as the `warnings` of a document name it.
    pub fn tell_news(&mut self, store: &mut Store) -> Vec<&'static str> {
        let News { commit_confirmed_late, clock_skew, .. } = store.take_news();
        let mut warnings = vec![];
        if commit_confirmed_late {
            self.terminal
                .warn("the connection to the server was lost during the change; another look found that it was made");
            warnings.push("commit_confirmed_late");
        }
        if let Some(seconds) = clock_skew {
            let amount = count(seconds.unsigned_abs(), "second");
            let side = if seconds < 0 { "behind" } else { "ahead of" };
            self.terminal
                .warn(&format!("the clock of this machine is {amount} {side} that of the server; set both by NTP"));
            warnings.push("clock_skew");
        }
        warnings
    }

    fn admit(&mut self, store: Store) -> Result<Store, Error> {
        store.check_writable()?;
        self.warn_of_exposure(&store);
        Ok(store)
    }

    /// Says that there is nothing of what was asked for, and in which store: perhaps it is in another one.
    pub fn note_nothing(&mut self, what: &str) {
        let place = self.store_path().map(|path| format!(" (looked at the store {})", path.display()));
        self.terminal.note(&format!("{what}{}", place.unwrap_or_default()));
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
