//! The store: keys, secrets, the directory, settings and their history. All SQL lives in this room.
//!
//! [`Store`] speaks in terms of the domain and takes the time as an argument. All reading is done in a [`View`], which
//! is one read transaction: whatever others write meanwhile, an answer shows one moment. Every change is made in
//! [`Store::write`] through [`Changes`], which is also a view, in a transaction that takes the write lock at its start.
//! A change and its row in the history are one transaction.
//!
//! `db` is the seam to an engine, `sqlite` is only for stores in a file, and `postgres` only for stores on a server.
//! Only these use an engine's own interface.

mod changes;
mod completion;
mod conditions;
mod continuity;
mod counting;
mod db;
mod directory;
mod error;
mod exposure;
mod filter;
mod former_costs;
mod health;
mod history;
mod key_settings;
mod keys;
mod meters;
mod moved;
#[cfg(feature = "postgres")]
mod postgres;
mod restore;
mod rows;
mod secrets;
mod settings;
mod sqlite;
#[cfg(test)]
mod statement_tests;
mod tally;
#[cfg(feature = "postgres")]
mod transfer;
mod usage;
mod uses;
mod view;

use std::path::{Path, PathBuf};
#[cfg(feature = "postgres")]
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use changes::{Changes, CompareError, Importing, KnownSecret, Staging, Subject};
pub use completion::Names;
pub use continuity::Freshness;
pub(crate) use continuity::Way;
pub use error::{DISK_FULL, NO_MEMORY, StoreError};
pub use exposure::{Exposure, Weakness};
pub use filter::{Filter, Sort};
pub use health::NameCount;
pub use history::{ACTIONS, ChainCheck, Event, EventFilter, Head, PastKey, StoreId};
pub use keys::{NewKey, Presented};
pub(crate) use meters::{MeterId, Subjects};
#[cfg(feature = "postgres")]
#[doc(hidden)]
pub use postgres::find_password;
#[cfg(feature = "postgres")]
pub use postgres::{
    DeadRows, Durability, HostClock, Migrated, Peer, RoleCheckup, SchemaCheckup, ServerCheckup, ServerRole, ServerUrl,
    Surroundings, UrlError, grants,
};
pub use restore::{MadeAgain, Restore, RestoreError};
pub use secrets::{Imported, NewSecret};
pub use settings::{Imports, StoreSettings};
pub(crate) use sqlite::BUSY_TIMEOUT;
pub use sqlite::backup::{BackupError, BackupReport};
pub use sqlite::beside::all_of as files_beside;
pub use tally::Tally;
#[cfg(feature = "postgres")]
pub use transfer::{Copied, Place, TransferError};
pub use usage::{KeyUsage, Usage, UsageQuery};
pub use uses::{LastUse, Uses};
pub use view::View;

use crate::rules::names::Name;
use continuity::Known;
pub(crate) use counting::{Batches, Kept};
pub use db::News;
use db::{Conn, for_want_of_memory};
use moved::Moved;
#[cfg(feature = "postgres")]
use postgres::Server;
use sqlite::Purpose;

/// An open store.
#[derive(Debug)]
pub struct Store {
    conn: Conn,
    path: PathBuf,
    /// Its server, if it is on one.
    #[cfg(feature = "postgres")]
    server: Option<Arc<Server>>,
    unwritable: Option<String>,
    exposure: Option<Exposure>,
    purpose: Purpose,
    /// How long it waits for other processes.
    patience: Duration,
    /// Its identity and the end of its history at the last check.
    known: Known,
    /// The identities that it had before.
    former: Vec<StoreId>,
    /// How often a check has found the store changed.
    sightings: u64,
    /// Whether it still has to be compared with what is known of it.
    is_unsure: bool,
    /// Where it was moved to, as of the last check.
    moved: Option<Moved>,
}

/// Who makes a change, and when.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'s> {
    /// The current time.
    pub now: Timestamp,
    /// The acting user, if there is one.
    pub actor: Option<&'s Name>,
}

impl Store {
    /// Opens the store at `path` for reading and writing. An older schema is upgraded.
    ///
    /// # Errors
    /// [`StoreError`] says which of the many reasons it is.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_for(path, Purpose::Change, BUSY_TIMEOUT)
    }

    /// Opens the store at `path` for reading, and does not change the file. A store with an older schema is read from a
    /// copy in memory, which does not follow later changes of the file.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::OldSchema`] for one with an older schema and more than 256 MiB.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        Self::open_for(path, Purpose::Read, BUSY_TIMEOUT)
    }

    /// Opens the store at `path`, and makes it first if there is none.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn create(path: &Path, now: Timestamp) -> Result<Self, StoreError> {
        sqlite::create(path, now).map_err(|error| for_want_of_memory(path, error))?;
        Self::open(path)
    }

    /// A new store that is never written to a disk: to plan with before there is a store.
    ///
    /// # Errors
    /// None that can happen, short of a lack of memory.
    pub fn in_memory(now: Timestamp) -> Result<Self, StoreError> {
        let path = PathBuf::from(":memory:");
        let engine = sqlite::in_memory(path.clone(), now).map_err(|error| for_want_of_memory(&path, error))?;
        let conn = Conn::new(engine);
        let known = history::identity(&conn)?;
        Ok(Self::opened(conn, path, known, Purpose::Change, BUSY_TIMEOUT))
    }

    /// Opens the store in the database at this URL for reading and writing.
    ///
    /// # Errors
    /// [`StoreError`] says which of the many reasons it is.
    #[cfg(feature = "postgres")]
    pub fn connect(url: ServerUrl, around: Surroundings) -> Result<Self, StoreError> {
        Self::connect_for(&Arc::new(Server::new(url, around)?), Purpose::Change, BUSY_TIMEOUT)
    }

    /// Opens the store in the database at this URL for reading. A program that must not write a store that a newer
    /// keyward has upgraded may still read it.
    ///
    /// # Errors
    /// As [`Store::connect`].
    #[cfg(feature = "postgres")]
    pub fn connect_to_read(url: ServerUrl, around: Surroundings) -> Result<Self, StoreError> {
        Self::connect_for(&Arc::new(Server::new(url, around)?), Purpose::Read, BUSY_TIMEOUT)
    }

    /// Upgrades the store in the database at this URL to the schema of this program, while others use it. Nothing else
    /// upgrades a store on a server.
    ///
    /// # Errors
    /// [`StoreError::Forbidden`] for a role that does not own the tables; [`StoreError::Newer`] for a store that this
    /// program must not change; [`StoreError::Locked`] if others kept a table in use for half a minute;
    /// [`StoreError::Unheard`] if it is unknown whether it was done: call it again then.
    #[cfg(feature = "postgres")]
    pub fn migrate(url: ServerUrl, around: Surroundings) -> Result<Migrated, StoreError> {
        postgres::migrate(&Server::new(url, around)?)
    }

    /// What the doctor checks about the store's server; `None` for a store in a file. `clock` is the clock of this
    /// host.
    ///
    /// # Errors
    /// If the server cannot be connected to, or does not answer.
    #[cfg(feature = "postgres")]
    pub fn check_up_server(&self, clock: &dyn Fn() -> Timestamp) -> Result<Option<ServerCheckup>, StoreError> {
        self.server.as_ref().map(|server| postgres::check_up(server, clock)).transpose()
    }

    /// Makes the store in the database at this URL: its schema, its tables and the initial roles of every store.
    ///
    /// # Errors
    /// As [`Store::connect`]; [`StoreError::Foreign`] if there is something in the schema already.
    #[cfg(feature = "postgres")]
    pub fn found(url: ServerUrl, around: Surroundings, now: Timestamp) -> Result<Self, StoreError> {
        let server = Arc::new(Server::new(url, around)?);
        postgres::found(&server, now)?;
        Self::connect_for(&server, Purpose::Change, BUSY_TIMEOUT)
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its server, if it is on one.
    #[cfg(feature = "postgres")]
    pub fn peer(&self) -> Option<Peer> {
        self.conn.peer()
    }

    /// Whether the connection to a server is open, as far as can be seen without asking it. A file always counts as
    /// open.
    pub(crate) fn is_connected(&self) -> bool {
        self.conn.is_connected()
    }

    /// Whether it is on a server, not in a file.
    pub fn is_on_server(&self) -> bool {
        self.conn.file().is_none()
    }

    /// What others can do to this store that they should not be able to do.
    pub fn exposure(&self) -> Option<Exposure> {
        self.exposure
    }

    /// Sets how long it waits for other processes before it reports that it is locked.
    pub(crate) fn wait_for(&mut self, patience: Duration) {
        if self.patience != patience {
            self.patience = patience;
            self.conn.wait_for(patience);
        }
    }

    /// Whether the system refuses to write this store.
    pub fn is_read_only(&self) -> bool {
        self.unwritable.is_some()
    }

    /// Fails if it cannot be written.
    ///
    /// # Errors
    /// [`StoreError::Unusable`], if the system refuses to write this store.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        match &self.unwritable {
            None => Ok(()),
            Some(why) => Err(StoreError::Unusable { path: self.path.clone(), verb: "written", detail: why.clone() }),
        }
    }

    /// Fails for a store that was moved to another place, as of the last check. Changing a store or verifying does not
    /// need this: both check again.
    ///
    /// # Errors
    /// [`StoreError::Moved`].
    pub fn check_here(&self) -> Result<(), StoreError> {
        self.moved.as_ref().map_or(Ok(()), |moved| Err(moved.refusal(&self.path)))
    }

    /// Its identity; `None` if someone removed that.
    pub fn id(&self) -> Option<&StoreId> {
        self.known.as_ref().map(|(id, _)| id)
    }

    /// What the store holds now; the view keeps showing this moment as long as it lives.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn view(&self) -> Result<View<'_>, StoreError> {
        View::to_read(&self.conn)
    }

    /// Writes a copy of the store to `path`, which must not exist, while others read and write.
    ///
    /// # Errors
    /// [`BackupError`]. Then no file is left behind.
    pub fn backup(&self, path: &Path) -> Result<BackupReport, BackupError> {
        let done = self.conn.backup(path);
        // Reading all of it had set another patience.
        self.conn.wait_for(self.patience);
        done
    }

    /// Makes the changes of `f` in one transaction: all of them, or none if it fails.
    ///
    /// # Errors
    /// What `f` returns; also if the store cannot be written; [`StoreError::Replaced`] if another store has replaced it
    /// since it was opened, [`StoreError::Moved`] if it was moved to another place.
    pub fn write<T, E: From<StoreError>>(
        &mut self,
        stamp: Stamp<'_>,
        f: impl FnOnce(&Changes<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let changes = self.begin(stamp)?;
        let result = f(&changes)?;
        changes.commit()?;
        Ok(result)
    }

    /// As [`Store::write`], but without waiting for the disk: a power cut may undo the change, but leaves the store
    /// intact. For data that is worth nothing after a power cut, such as a lease.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_lightly<T, E: From<StoreError>>(
        &mut self,
        stamp: Stamp<'_>,
        f: impl FnOnce(&Changes<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.is_on_server() {
            return self.write(stamp, f);
        }
        self.check_same()?;
        let light = self.conn.lightly()?;
        let changes = self.begin_known(stamp)?;
        let result = f(&changes)?;
        changes.commit()?;
        drop(light);
        Ok(result)
    }

    /// Notices since the last call: they did not stop a change, but should be reported.
    pub fn take_news(&mut self) -> News {
        self.conn.take_news()
    }

    /// From now on, closing the store leaves the log as it is until it is large enough: moving it into the file means
    /// waiting for the disk. For programs that open the store for a single use.
    pub fn leave_log(&self) {
        if let Some(file) = self.conn.file() {
            file.leave_log();
        }
    }

    /// Prepares for a large transaction: it takes 24 MiB more memory, and less time.
    pub fn expect_much(&self) {
        if let Some(file) = self.conn.file() {
            file.widen_cache();
        }
    }

    /// Makes the changes of `f` and rolls them back, to learn whether they are possible and what they would do, without
    /// holding the lock while a person thinks.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn rehearse<T, E: From<StoreError>>(
        &mut self,
        stamp: Stamp<'_>,
        f: impl FnOnce(&Changes<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let changes = self.begin(stamp)?;
        f(&changes)
    }

    /// Begins to change the store. A decision about one store must not be carried out on another that replaced it.
    fn begin<'s>(&'s mut self, stamp: Stamp<'s>) -> Result<Changes<'s>, StoreError> {
        if !self.is_on_server() {
            self.check_same()?;
            return self.begin_known(stamp);
        }
        // What a server says before its lock is held may be out of date by then.
        self.conn.begin_to_write()?;
        self.meet()?;
        Ok(Changes::begun(&self.conn, stamp))
    }

    fn check_same(&mut self) -> Result<(), StoreError> {
        match self.refresh()? {
            Freshness::Same | Freshness::Changed => Ok(()),
            Freshness::Anew => Err(StoreError::Replaced(self.path.clone())),
        }
    }

    /// Begins to change a store that was just checked.
    fn begin_known<'s>(&'s self, stamp: Stamp<'s>) -> Result<Changes<'s>, StoreError> {
        let changes = Changes::begin(&self.conn, stamp)?;
        let (now, moved) = moved::identity(&self.conn)?;
        match moved {
            Some(moved) => Err(moved.refusal(&self.path)),
            None if now.as_ref().map(|(id, _)| id) == self.id() => Ok(changes),
            None => Err(StoreError::Replaced(self.path.clone())),
        }
    }
}
