//! How the store is opened for a command: six ways, which differ in what a missing store means, and in whether the
//! store must be writable.
//!
//! | | no store | warnings | must be writable | upgrades an older one |
//! |---|---|---|---|---|
//! | [`Session::store_to_make`] | is made, with a note | yes | yes | yes |
//! | [`Session::store_to_change`] | an error | yes | yes | yes |
//! | [`Session::store_to_record`] | an error | yes | no | yes |
//! | [`Session::store_to_read`] | none, unless one was named | yes | no | no |
//! | [`Session::existing_store`] | an error | yes | no | no |
//! | [`Session::store_to_plan`] | none | not yet | no | no |

#[cfg(feature = "postgres")]
use std::path::PathBuf;

#[cfg(feature = "postgres")]
use zeroize::Zeroizing;

use super::{Session, StorePath};
#[cfg(feature = "postgres")]
use crate::error::Code;
use crate::error::Error;
#[cfg(feature = "postgres")]
use crate::global::{NamedStore, named_store};
use crate::text::shell_path;
use keyward_core::rules::text::ahead;
#[cfg(feature = "postgres")]
use keyward_core::store::Place;
use keyward_core::store::{Changes, News, Store, StoreError};
#[cfg(feature = "postgres")]
use keyward_core::store::{ServerUrl, Surroundings};

/// The purpose of opening a store.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// For reading and changes.
    Change,
    /// For reading.
    Read,
}

impl Session {
    /// Opens the store for a command that makes things; makes the store if there is none.
    ///
    /// # Errors
    /// If there can be no store, or it cannot be written.
    pub fn store_to_make(&mut self) -> Result<Store, Error> {
        let path = match &self.store {
            StorePath::Named(path) | StorePath::Default(path) => path,
            // A mistyped URL must not make a second store.
            #[cfg(feature = "postgres")]
            StorePath::Server(..) => return self.store_to_change(),
            StorePath::Nowhere => return Err(StoreError::Nowhere.into()),
        };
        let is_new = path.try_exists().is_ok_and(|exists| !exists);
        let store = Store::create(path, self.now)?;
        // A user who mistyped the path of their store sees it here.
        if is_new {
            self.terminal.note(&format!("made a new store: {}", store.path().display()));
        }
        self.admit(store)
    }

    /// Opens the store for a command that changes what exists.
    ///
    /// # Errors
    /// If the store does not exist yet, and the errors of [`Session::store_to_make`].
    pub fn store_to_change(&mut self) -> Result<Store, Error> {
        let store = self.open(Way::Change)?;
        self.admit(store)
    }

    /// Opens the store for a command that answers, and records its answer if the store is writable.
    ///
    /// # Errors
    /// As [`Session::existing_store`].
    pub fn store_to_record(&mut self) -> Result<Store, Error> {
        let store = self.open(Way::Change)?;
        self.warn_of_exposure(&store);
        Ok(store)
    }

    /// Opens the store for a command that only reads; `None` if no store was named and there is none yet.
    ///
    /// # Errors
    /// If the store cannot be read, or a named one does not exist.
    pub fn store_to_read(&mut self) -> Result<Option<Store>, Error> {
        match self.open(Way::Read) {
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
    /// If there is no readable store.
    pub fn existing_store(&mut self) -> Result<Store, Error> {
        let store = self.open(Way::Read)?;
        self.warn_of_exposure(&store);
        Ok(store)
    }

    /// Opens the store to plan a later change: the warnings come when it is opened for that.
    ///
    /// # Errors
    /// If there is a store that cannot be read.
    pub fn store_to_plan(&mut self) -> Result<Option<Store>, Error> {
        match self.open(Way::Read) {
            Ok(store) => Ok(Some(store)),
            Err(StoreError::Missing(_) | StoreError::Nowhere) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open(&self, way: Way) -> Result<Store, StoreError> {
        match &self.store {
            StorePath::Named(path) | StorePath::Default(path) => match way {
                Way::Change => Store::open(path),
                Way::Read => Store::open_to_read(path),
            },
            #[cfg(feature = "postgres")]
            StorePath::Server(url, _) => {
                let connect = match way {
                    Way::Change => Store::connect,
                    Way::Read => Store::connect_to_read,
                };
                connect((**url).clone(), self.surroundings())
            }
            StorePath::Nowhere => Err(StoreError::Nowhere),
        }
    }

    /// The named database, and how to sign in there, for what only a database has.
    ///
    /// # Errors
    /// If a file was named: `instead` says what applies to a file.
    #[cfg(feature = "postgres")]
    pub fn server(&self, instead: &str) -> Result<(ServerUrl, Surroundings), Error> {
        let StorePath::Server(url, _) = &self.store else {
            return Err(Error::new(Code::Usage, instead)
                .hint("for a store in a database, name that: keyward --store postgres://USER@HOST/DB store …"));
        };
        Ok(((**url).clone(), self.surroundings()))
    }

    /// Opens the store on the named server.
    ///
    /// # Errors
    /// If it cannot be reached.
    #[cfg(feature = "postgres")]
    pub fn store_on_server(&self) -> Result<Store, StoreError> {
        self.open(Way::Change)
    }

    /// Opens the store to move it elsewhere, even if an earlier move was interrupted.
    ///
    /// # Errors
    /// As [`Session::store_to_change`].
    #[cfg(feature = "postgres")]
    pub fn store_to_move(&mut self) -> Result<Store, Error> {
        let store = self.open(Way::Change)?;
        store.check_writable()?;
        self.warn_of_exposure(&store);
        Ok(store)
    }

    /// Makes the store in the named database.
    ///
    /// # Errors
    /// If none was named, or it cannot be made.
    #[cfg(feature = "postgres")]
    pub fn found_store(&mut self) -> Result<Store, Error> {
        let (url, surroundings) = self.server("a store in a file is made by its first key")?;
        Ok(Store::found(url, surroundings, self.now)?)
    }

    /// The place that a flag names for a store.
    ///
    /// # Errors
    /// [`Code::Usage`], as for `--store`.
    #[cfg(feature = "postgres")]
    pub fn place_for_store(&self, named: PathBuf, flag: &str) -> Result<Place, Error> {
        Ok(match named_store(named, flag)? {
            NamedStore::File(path) => Place::File(path),
            NamedStore::Server(url) => Place::Server(url, self.surroundings()),
        })
    }

    /// What the environment says about passwords.
    #[cfg(feature = "postgres")]
    fn surroundings(&self) -> Surroundings {
        let set = |name: &str| (self.outside.environment)(name).filter(|value| !value.is_empty());
        Surroundings {
            password: set("PGPASSWORD").map(|password| Zeroizing::new(password.into_encoded_bytes())),
            passfile: set("PGPASSFILE").map(Into::into),
            home: set("HOME").map(Into::into),
            clock: self.outside.is_host_clock.then(|| self.clock()),
        }
    }

    /// Makes the changes of `f`, and reports notices.
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

    /// Reports notices from changing the store, and returns them as in the `warnings` of a document.
    pub fn tell_news(&mut self, store: &mut Store) -> Vec<&'static str> {
        let News { commit_confirmed_late, clock_skew, .. } = store.take_news();
        let mut warnings = vec![];
        if commit_confirmed_late {
            self.terminal
                .warn("the connection to the server was lost during the change; another look found that it was made");
            warnings.push("commit_confirmed_late");
        }
        if let Some(seconds) = clock_skew {
            self.terminal
                .warn(&format!("the clock of this machine is {} that of the server; set both by NTP", ahead(seconds)));
            warnings.push("clock_skew");
        }
        warnings
    }

    fn admit(&mut self, store: Store) -> Result<Store, Error> {
        store.check_here()?;
        store.check_writable()?;
        self.warn_of_exposure(&store);
        Ok(store)
    }

    /// Notes that nothing was found, and in which store: it may be in another one.
    pub fn note_nothing(&mut self, what: &str) {
        let place = self.store_path().map(|path| format!(" (looked at the store {})", path.display()));
        self.terminal.note(&format!("{what}{}", place.unwrap_or_default()));
    }

    /// Warns about what others can do to the store.
    fn warn_of_exposure(&mut self, store: &Store) {
        let Some(exposure) = store.exposure() else { return };
        let others = if exposure.group_writes { "its group can change the keys" } else { "others can read it" };
        let (path, mode) = (store.path(), exposure.mode);
        let close = format!("chmod 600 {}", shell_path(path));
        self.terminal
            .warn(&format!("the store {} has mode {mode:03o}, so {others}; close it with: {close}", path.display()));
    }
}
