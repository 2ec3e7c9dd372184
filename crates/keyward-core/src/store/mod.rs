//! The store: one SQLite file. All SQL lives in this room, and `rusqlite` is named nowhere else.
//!
//! [`Store`] speaks in terms of the domain and takes the time as an argument. Reading needs no
//! lock that a writer would wait for. Every change happens in [`Store::write`], in a transaction
//! that takes the write lock at its start (`BEGIN IMMEDIATE`): a transaction that read first and
//! locked later could lose its turn to another process, whatever the waiting time. A change and
//! its row in the history are one transaction.

mod backup;
mod beside;
mod changes;
mod completion;
mod directory;
mod error;
mod filter;
mod health;
mod history;
mod keys;
mod leases;
mod open;
mod rows;
mod schema;
mod settings;

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use backup::{BackupError, Copied};
pub use beside::all_of as files_beside;
pub use changes::{Changes, Staging};
pub use completion::Names;
pub use error::{DISK_FULL, StoreError};
pub use filter::{Filter, Sort};
pub use health::NameCount;
pub use history::{ChainCheck, Event, EventFilter, Head};
pub use keys::{NewKey, NewSecret, Presented, Uses};
pub use leases::Subject;
pub use settings::StoreSettings;

use crate::platform::Version;
use crate::rules::authority::Authority;
use crate::rules::directory::{Entry, Kind};
use crate::rules::hashing::Cost;
use crate::rules::key::Key;
use crate::rules::names::Name;
use crate::rules::token::Id;

/// An open store.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    path: std::path::PathBuf,
    read_only: Option<String>,
    immutable: Option<Version>,
    warnings: Vec<String>,
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
    /// Opens the store at `path`.
    ///
    /// # Errors
    /// [`StoreError`] says which of the many reasons it is.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let open::Opened { conn, path, read_only, immutable, warnings } = open::open(path)?;
        Ok(Self { conn, path, read_only, immutable, warnings })
    }

    /// Opens the store at `path`, and makes it first where there is none.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn create(path: &Path, now: Timestamp) -> Result<Self, StoreError> {
        open::create(path, now)?;
        Self::open(path)
    }

    /// A new store that is never written to a disk: to plan with, where there is none yet.
    ///
    /// # Errors
    /// None that can happen, short of a lack of memory.
    pub fn in_memory(now: Timestamp) -> Result<Self, StoreError> {
        let path = std::path::PathBuf::from(":memory:");
        let conn = open::in_memory(now).map_err(|error| StoreError::from_sqlite(&path, error))?;
        Ok(Self { conn, path, read_only: None, immutable: None, warnings: vec![] })
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the person who runs the command should know about this store.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the system refuses to write this store.
    pub fn is_read_only(&self) -> bool {
        self.read_only.is_some()
    }

    /// The error for who would write it nevertheless.
    ///
    /// # Errors
    /// [`StoreError::Unusable`], if the system refuses to write this store.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        match &self.read_only {
            None => Ok(()),
            Some(why) => Err(StoreError::Unusable { path: self.path.clone(), verb: "written", detail: why.clone() }),
        }
    }

    /// The settings of the store.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn settings(&self) -> Result<StoreSettings, StoreError> {
        self.read(settings::load)
    }

    /// The key that `text` names: by its name, its id, or the public id of one of its secrets.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn find(&self, text: &str) -> Result<Option<Key>, StoreError> {
        self.read(|conn| keys::find(conn, text))
    }

    /// Makes sure that the store still has all that belongs to the key.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], if not.
    pub fn check_whole(&self, key: &Key) -> Result<(), StoreError> {
        StoreError::check_whole(&self.path, key)
    }

    /// The key of this name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn named(&self, name: &Name) -> Result<Option<Key>, StoreError> {
        self.read(|conn| keys::by_name(conn, name))
    }

    /// A number that is another one as soon as another connection has changed the store. Costs a look at shared
    /// memory.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn version(&self) -> Result<i64, StoreError> {
        self.read(|conn| conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0)))
    }

    /// Whether somebody wrote to a file that is read as one that nobody writes: then the store has to be opened again.
    pub fn is_outdated(&self) -> bool {
        self.immutable
            .is_some_and(|version| version != Version::of(&self.path) || !open::nothing_in_the_log(&self.path))
    }

    /// The number of the newest event: as long as it is the same, nothing was changed.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn last_event(&self) -> Result<i64, StoreError> {
        self.read(history::last)
    }

    /// The newest event: as long as it is the same, nothing was changed. `None` where there is none.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn head(&self) -> Result<Option<Head>, StoreError> {
        self.read(history::head)
    }

    /// The key, the hash and the state of the secret with this public id.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a damaged key, or where the store cannot be read.
    pub fn presented(&self, secret: &Id) -> Result<Option<Presented>, StoreError> {
        let found = self.read(|conn| keys::presented(conn, secret))?;
        found.as_ref().map_or(Ok(()), |found| self.check_whole(&found.key))?;
        Ok(found)
    }

    /// Whether this secret is one of this store's that opens nothing any more, or never did: its key was never
    /// made, or is gone.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn is_leftover(&self, secret: &Id) -> Result<bool, StoreError> {
        self.read(|conn| keys::is_leftover(conn, secret))
    }

    /// Whether a key or a secret has this id already.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn id_is_taken(&self, id: &Id) -> Result<bool, StoreError> {
        self.read(|conn| keys::id_is_taken(conn, id))
    }

    /// Names of keys that a mistyped name can be compared with.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn some_names(&self) -> Result<Vec<String>, StoreError> {
        self.read(keys::some_names)
    }

    /// The rank of a role, `None` where there is no such role.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn rank_of(&self, role: &Name) -> Result<Option<i64>, StoreError> {
        self.read(|conn| directory::rank_of(conn, role))
    }

    /// All groups, users, roles or tenants.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn entries(&self, kind: Kind) -> Result<Vec<Entry>, StoreError> {
        self.read(|conn| directory::list(conn, kind))
    }

    /// The group, user, role or tenant of this name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn entry(&self, kind: Kind, name: &Name) -> Result<Option<Entry>, StoreError> {
        self.read(|conn| directory::find(conn, kind, name))
    }

    /// Names of a kind that a mistyped name can be compared with.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn names_of(&self, kind: Kind) -> Result<Vec<String>, StoreError> {
        self.read(|conn| directory::names(conn, kind))
    }

    /// At most a hundred names that start with `start`, for the completion of a command line.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn names_starting(&self, names: Names, start: &str) -> Result<Vec<String>, StoreError> {
        self.read(|conn| completion::names_starting(conn, names, start))
    }

    /// What a user may do, as the directory says now; what nobody may do is not limited.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn authority(&self, actor: Option<&Name>) -> Result<Authority, StoreError> {
        self.read(|conn| directory::authority(conn, actor))
    }

    /// Calls `f` with each key that `filter` lets through, in order, one at a time.
    ///
    /// # Errors
    /// What `f` returns, or where the store cannot be read.
    pub fn each_key<E: From<StoreError>>(
        &self,
        filter: &Filter,
        now: Timestamp,
        mut f: impl FnMut(Key) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = |error| E::from(StoreError::from_sqlite(&self.path, error));
        let (statement, values) = filter::statement(filter, now);
        let mut statement = self.conn.prepare(&statement).map_err(sql)?;
        let mut found = statement.query(rusqlite::params_from_iter(values)).map_err(sql)?;
        while let Some(row) = found.next().map_err(sql)? {
            f(rows::key(row).map_err(sql)?)?;
        }
        Ok(())
    }

    /// Calls `f`, for which the store stands still, whatever others write meanwhile.
    ///
    /// # Errors
    /// What `f` returns, or where the store cannot be read.
    pub fn at_one_moment<T, E: From<StoreError>>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        // It is only read in: it has nothing to commit.
        let _moment = self.conn.unchecked_transaction().map_err(|error| StoreError::from_sqlite(&self.path, error))?;
        f()
    }

    /// How many keys `filter` lets through, whatever its limit is; of more than `most`, `most`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn count_keys(&self, filter: &Filter, now: Timestamp, most: u64) -> Result<u64, StoreError> {
        let (statement, values) = filter::count(filter, now, most);
        self.read(|conn| conn.query_row(&statement, rusqlite::params_from_iter(values), |row| rows::count(row, 0)))
    }

    /// Calls `f` with each event that is wanted, the oldest first.
    ///
    /// # Errors
    /// What `f` returns, or where the store cannot be read.
    pub fn each_event<E: From<StoreError>>(
        &self,
        filter: &EventFilter,
        f: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        self.read(|conn| history::each(conn, filter, f))?
    }

    /// The id of the key that last had this name, or that has this id, whether it still exists or not.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn last_key_named(&self, name: &str) -> Result<Option<Id>, StoreError> {
        self.read(|conn| history::last_key_named(conn, name))
    }

    /// How many events there are.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn count_events(&self) -> Result<u64, StoreError> {
        self.read(history::count)
    }

    /// Proves that the history is as it was written. Calls `step` after each row with how many it has seen.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn check_history(&self, step: impl FnMut(u64)) -> Result<ChainCheck, StoreError> {
        self.read(|conn| history::check(conn, step))
    }

    /// What is wrong with the file as a database, if anything is. Reads all of it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn damage(&self) -> Result<Option<String>, StoreError> {
        self.read(health::damage)
    }

    /// Keys whose present secret was hashed at another cost than `cost`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn keys_of_other_cost(&self, cost: Cost, now: Timestamp) -> Result<NameCount, StoreError> {
        self.read(|conn| health::other_cost(conn, cost, now))
    }

    /// Keys with a secret that a rotation staged and left.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn keys_with_staged_secrets(&self) -> Result<NameCount, StoreError> {
        self.read(health::staged)
    }

    /// Keys that never expire.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn keys_without_end(&self) -> Result<NameCount, StoreError> {
        self.read(health::never_expiring)
    }

    /// Writes a copy of the store to `path`, which must not exist, while others read and write.
    ///
    /// # Errors
    /// [`BackupError`]; then there is no file.
    pub fn backup(&self, path: &Path) -> Result<Copied, BackupError> {
        backup::write(&self.conn, &self.path, path)
    }

    /// Makes the changes of `f` in one transaction: all of them, or none where it fails.
    ///
    /// # Errors
    /// What `f` returns, or where the store cannot be written.
    pub fn write<T, E: From<StoreError>>(
        &mut self,
        stamp: Stamp<'_>,
        f: impl FnOnce(&Changes<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let changes = begin(&self.conn, &self.path, stamp)?;
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
        let light = Light::on(&self.conn, &self.path)?;
        let changes = begin(&self.conn, &self.path, stamp)?;
        let result = f(&changes)?;
        changes.commit()?;
        drop(light);
        Ok(result)
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
        let changes = begin(&self.conn, &self.path, stamp)?;
        f(&changes)
    }

    fn read<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let result = f(&self.conn).map_err(|error| StoreError::from_sqlite(&self.path, error))?;
        // A file that was taken for immutable, and to which somebody wrote after all, may have been
        // read half before and half after.
        if self.is_outdated() {
            return Err(StoreError::Locked(self.path.clone()));
        }
        Ok(result)
    }
}

fn begin<'c>(conn: &'c Connection, path: &'c Path, stamp: Stamp<'c>) -> Result<Changes<'c>, StoreError> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)
        .map_err(|error| StoreError::from_sqlite(path, error))?;
    Ok(Changes::new(tx, path, stamp))
}

/// For as long as it lives, a commit does not wait for the disk.
struct Light<'c>(&'c Connection);

impl<'c> Light<'c> {
    fn on(conn: &'c Connection, path: &Path) -> Result<Self, StoreError> {
        conn.execute_batch("PRAGMA synchronous = NORMAL").map_err(|error| StoreError::from_sqlite(path, error))?;
        Ok(Self(conn))
    }
}

impl Drop for Light<'_> {
    fn drop(&mut self) {
        // It changes a number in memory, and cannot fail where no transaction is open.
        let _ = self.0.execute_batch("PRAGMA synchronous = FULL");
    }
}

#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod tests;
