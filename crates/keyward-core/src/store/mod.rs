//! The store: keys, secrets, the directory, settings and their history. All SQL lives in this room.
//!
//! [`Store`] speaks in terms of the domain and takes the time as an argument. All reading is done in a [`View`], which
//! is one read transaction: whatever others write meanwhile, an answer is of one moment. Every change is made in
//! [`Store::write`], in a transaction that takes the write lock at its start, by [`Changes`], which is a view too. A
//! change and its row in the history are one transaction.
//!
//! `db` is the seam to an engine, `sqlite` is what only a store in a file has, and `postgres` what only one on a server
//! has. Only these use an engine's own interface.

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
    /// The server that it is on, if it is on one.
    #[cfg(feature = "postgres")]
    server: Option<Arc<Server>>,
    unwritable: Option<String>,
    exposure: Option<Exposure>,
    purpose: Purpose,
    /// How long it waits for other processes.
    patience: Duration,
    /// Which store it was at the last look, and the end of its history then.
    known: Known,
    /// The stores that it was before.
    former: Vec<StoreId>,
    /// How often a look has found that it is not what it was.
    sightings: u64,
    /// Whether it has still to be compared with what is known of it.
    is_unsure: bool,
    /// Where it was moved to, as of the last look.
    moved: Option<Moved>,
}

/// Who changes something, and when.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'s> {
    /// The present.
    pub now: Timestamp,
    /// The acting user, if there is one.
    pub actor: Option<&'s Name>,
}

impl Store {
    /// Opens the store at `path`, to be read and changed. One of an older schema is brought up to date.
    ///
    /// # Errors
    /// [`StoreError`] says which of the many reasons it is.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_for(path, Purpose::Change, BUSY_TIMEOUT)
    }

    /// Opens the store at `path` to be read, and leaves the file as it is. One of an older schema is read from a copy in
    /// memory, which does not change with the file while it is looked at.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::OldSchema`] for one of an older schema that has more than 256 MiB.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        Self::open_for(path, Purpose::Read, BUSY_TIMEOUT)
    }

    /// Opens the store at `path`, and makes it first where there is none.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn create(path: &Path, now: Timestamp) -> Result<Self, StoreError> {
        sqlite::create(path, now).map_err(|error| for_want_of_memory(path, error))?;
        Self::open(path)
    }

    /// A new store that is never written to a disk: to plan with, where there is none yet.
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

    /// Opens the store in the database of this URL, to be read and changed.
    ///
    /// # Errors
    /// [`StoreError`] says which of the many reasons it is.
    #[cfg(feature = "postgres")]
    pub fn connect(url: ServerUrl, around: Surroundings) -> Result<Self, StoreError> {
        Self::connect_for(&Arc::new(Server::new(url, around)?), Purpose::Change, BUSY_TIMEOUT)
    }

    /// Opens the store in the database of this URL, to be read. One that a newer keyward has brought up to date may be read
    /// by those who may not write it.
    ///
    /// # Errors
    /// As [`Store::connect`].
    #[cfg(feature = "postgres")]
    pub fn connect_to_read(url: ServerUrl, around: Surroundings) -> Result<Self, StoreError> {
        Self::connect_for(&Arc::new(Server::new(url, around)?), Purpose::Read, BUSY_TIMEOUT)
    }

    /// Brings the store in the database of this URL to the schema of this program, while others use it. Nothing else
    /// does that with a store on a server.
    ///
    /// # Errors
    /// [`StoreError::Forbidden`] for a role that does not own the tables; [`StoreError::Newer`] for a store that this program
    /// must not change; [`StoreError::Locked`] where others used a table for the whole of half a minute;
    /// [`StoreError::Unheard`] where nobody knows whether it was done: then it can be called again.
    #[cfg(feature = "postgres")]
    pub fn migrate(url: ServerUrl, around: Surroundings) -> Result<Migrated, StoreError> {
        postgres::migrate(&Server::new(url, around)?)
    }

    /// What a doctor wants to know of the server that the store is on; `None` for one in a file. `clock` is the clock of
    /// this host.
    ///
    /// # Errors
    /// Where the server cannot be connected to, or does not answer.
    #[cfg(feature = "postgres")]
    pub fn check_up_server(&self, clock: &dyn Fn() -> Timestamp) -> Result<Option<ServerCheckup>, StoreError> {
        self.server.as_ref().map(|server| postgres::check_up(server, clock)).transpose()
    }

    /// Makes the store in the database of this URL: its schema, its tables and the roles that every store begins with.
    ///
    /// # Errors
    /// As [`Store::connect`]; [`StoreError::Foreign`] where something is in the schema already.
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

    /// The server that it is on, if it is on one.
    #[cfg(feature = "postgres")]
    pub fn peer(&self) -> Option<Peer> {
        self.conn.peer()
    }

    /// Whether the connection to a server is open, as far as can be seen without asking. That to a file always is.
    pub(crate) fn is_connected(&self) -> bool {
        self.conn.is_connected()
    }

    /// Whether it is on a server, and not in a file.
    pub fn is_on_server(&self) -> bool {
        self.conn.file().is_none()
    }

    /// What others can do to this store that they should not.
    pub fn exposure(&self) -> Option<Exposure> {
        self.exposure
    }

    /// From now on, it waits this long for other processes before it is locked, and no longer.
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

    /// Refuses to go on where it cannot be written.
    ///
    /// # Errors
    /// [`StoreError::Unusable`], if the system refuses to write this store.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        match &self.unwritable {
            None => Ok(()),
            Some(why) => Err(StoreError::Unusable { path: self.path.clone(), verb: "written", detail: why.clone() }),
        }
    }

    /// Refuses to go on with a store that was moved to another place, as of the last look at it. Whoever changes a store,
    /// or verifies, does not need to ask: it is looked at again by then.
    ///
    /// # Errors
    /// [`StoreError::Moved`].
    pub fn check_here(&self) -> Result<(), StoreError> {
        self.moved.as_ref().map_or(Ok(()), |moved| Err(moved.refusal(&self.path)))
    }

    /// Which store it is; `None` where somebody removed that.
    pub fn id(&self) -> Option<&StoreId> {
        self.known.as_ref().map(|(id, _)| id)
    }

    /// What the store holds now, and goes on telling for as long as the view lives.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn view(&self) -> Result<View<'_>, StoreError> {
        View::to_read(&self.conn)
    }

    /// Writes a copy of the store to `path`, which must not exist, while others read and write.
    ///
    /// # Errors
    /// [`BackupError`]. Then no file is left behind.
    pub fn backup(&self, path: &Path) -> Result<BackupReport, BackupError> {
        let done = self.conn.backup(path);
        // To read all of it takes another patience.
        self.conn.wait_for(self.patience);
        done
    }

    /// Makes the changes of `f` in one transaction: all of them, or none where it fails.
    ///
    /// # Errors
    /// What `f` returns, or where the store cannot be written; [`StoreError::Replaced`] where another store has taken
    /// its place since it was opened, [`StoreError::Moved`] where it was moved to another place.
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

    /// As [`Store::write`], without waiting for the disk: a power cut may undo it, and leaves the store sound. For
    /// what is worth nothing after a power cut, such as a lease.
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

    /// The news since the last call: what did not stop a change, and should be known.
    pub fn take_news(&mut self) -> News {
        self.conn.take_news()
    }

    /// From now on, what stands in the log stays there when the store is closed, until there is enough of it: to move it
    /// into the file takes waiting for the disk. For whoever opens the store for a single use.
    pub fn leave_log(&self) {
        if let Some(file) = self.conn.file() {
            file.leave_log();
        }
    }

    /// Says that very much will be written: it takes 24 MiB of memory more, and less time.
    pub fn expect_much(&self) {
        if let Some(file) = self.conn.file() {
            file.widen_cache();
        }
    }

    /// Makes the changes of `f` and takes them back: to learn whether they can be made, and what
    /// would come of them, without holding the lock while a person thinks.
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

    /// Begins to change the store. What was decided about one is not to be done to another that took its place.
    fn begin<'s>(&'s mut self, stamp: Stamp<'s>) -> Result<Changes<'s>, StoreError> {
        if !self.is_on_server() {
            self.check_same()?;
            return self.begin_known(stamp);
        }
        // What a server says before its lock is held may be old by then.
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

    /// Begins to change a store that was the same a moment ago.
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
