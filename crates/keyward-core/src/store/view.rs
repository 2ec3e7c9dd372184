//! All reading of a store, in one place: [`super::Store`] and [`super::Changes`] both lend it.
//!
//! A view is one read transaction. Whatever others write while it lives, all its answers show one moment: that of the
//! first question. It neither waits for writers nor blocks them, but while it lives, the log cannot be cleared of what
//! it sees. So do not hold one while waiting for a person.

use jiff::Timestamp;

use super::completion::{self, Names};
use super::db::Conn;
use super::error::StoreError;
use super::filter::Filter;
use super::health::{self, NameCount};
use super::history::{self, ChainCheck, Event, EventFilter, Head, PastKey};
use super::keys::{self, Presented};
use super::meters::{self, MeterId, Subjects};
use super::settings::{self, StoreSettings};
use super::tally::Tally;
use super::usage::{self, Usage, UsageQuery};
use super::{directory, rows, secrets};
use crate::rules::authority::Authority;
use crate::rules::directory::{Entry, Kind};
use crate::rules::hashing::Cost;
use crate::rules::imported::Bucket;
use crate::rules::key::Key;
use crate::rules::limits::Meter;
use crate::rules::names::Name;
use crate::rules::token::Id;

/// What a store holds at one moment.
#[derive(Debug)]
pub struct View<'c> {
    conn: &'c Conn,
    is_over: bool,
}

impl<'c> View<'c> {
    /// Begins a transaction that only reads.
    pub(super) fn to_read(conn: &'c Conn) -> Result<Self, StoreError> {
        conn.begin_to_read()?;
        Ok(Self { conn, is_over: false })
    }

    /// A view of a transaction that was begun to write.
    pub(super) fn to_write(conn: &'c Conn) -> Self {
        Self { conn, is_over: false }
    }

    /// Begins a transaction that reads the whole store.
    #[cfg(feature = "postgres")]
    pub(super) fn to_copy(conn: &'c Conn, locks: bool) -> Result<Self, StoreError> {
        conn.begin_to_copy(locks)?;
        Ok(Self { conn, is_over: false })
    }

    /// Begins a transaction that fills a whole store.
    #[cfg(feature = "postgres")]
    pub(super) fn to_fill(conn: &'c Conn) -> Result<Self, StoreError> {
        conn.begin_to_fill()?;
        Ok(Self { conn, is_over: false })
    }

    /// The connection, for writing.
    pub(super) fn conn(&self) -> &'c Conn {
        self.conn
    }

    /// Commits a transaction that wrote.
    pub(super) fn commit(mut self) -> Result<(), StoreError> {
        self.conn.commit()?;
        self.is_over = true;
        Ok(())
    }

    /// The settings of the store.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn settings(&self) -> Result<StoreSettings, StoreError> {
        settings::load(self.conn)
    }

    /// The key that `text` names, as its name, its id, or the public id of one of its secrets.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn find(&self, text: &str) -> Result<Option<Key>, StoreError> {
        keys::find(self.conn, text)
    }

    /// The key with this name.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn named(&self, name: &Name) -> Result<Option<Key>, StoreError> {
        keys::by_name(self.conn, name)
    }

    /// The key with this id.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn key(&self, id: &Id) -> Result<Option<Key>, StoreError> {
        keys::by_id(self.conn, id)
    }

    /// Checks that the store still has everything that belongs to the key.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], if not.
    pub fn check_whole(&self, key: &Key) -> Result<(), StoreError> {
        StoreError::check_whole(self.conn.place(), key)
    }

    /// The key, the hash and the state of the secret with this public id.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a damaged key, or if the store cannot be read.
    pub fn presented(&self, secret: &Id) -> Result<Option<Presented>, StoreError> {
        let found = self.presented_or_damaged(secret)?;
        found.as_ref().map_or(Ok(()), |found| self.check_whole(&found.key))?;
        Ok(found)
    }

    /// The same, even for a damaged key: call [`View::check_whole`] before basing a decision on it.
    pub(crate) fn presented_or_damaged(&self, secret: &Id) -> Result<Option<Presented>, StoreError> {
        keys::presented(self.conn, secret)
    }

    /// The imported secrets that a text of this bucket may be, even of damaged keys.
    pub(crate) fn in_bucket(&self, bucket: Bucket) -> Result<Vec<Presented>, StoreError> {
        keys::in_bucket(self.conn, bucket)
    }

    /// The imported secrets, whose text is not known yet, of the key with this name, even if the key is damaged.
    pub(crate) fn of_unknown_text(&self, key: &str) -> Result<Vec<Presented>, StoreError> {
        keys::of_unknown_text(self.conn, key)
    }

    /// The error for imported secrets that cannot be found, because the key of their buckets is missing.
    pub fn no_lookup_key(&self) -> StoreError {
        let detail = "it has imported secrets, and the key that finds them is missing from its settings".to_owned();
        StoreError::Corrupt { path: self.conn.place().to_owned(), detail }
    }

    /// Whether the signed-in role may renew hashes: one that only verifies may not, and leaves that to others.
    pub(crate) fn may_renew_hashes(&self) -> Result<bool, StoreError> {
        secrets::may_renew_hashes(self.conn)
    }

    /// What has been used of a limit.
    pub(crate) fn meter(&self, id: &MeterId) -> Result<Meter, StoreError> {
        meters::load(self.conn, id)
    }

    /// The rows whose limits the key counts against.
    pub(crate) fn subjects(&self, key: &Id) -> Result<Option<Subjects>, StoreError> {
        keys::subjects(self.conn, key)
    }

    /// How often keys were used.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn usage(&self, query: &UsageQuery<'_>) -> Result<Usage, StoreError> {
        usage::load(self.conn, query)
    }

    /// Whether this secret belongs to this store but opens nothing: its key was never made, or was deleted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn is_leftover(&self, secret: &Id) -> Result<bool, StoreError> {
        secrets::is_leftover(self.conn, secret)
    }

    /// Whether a key or a secret has this id already.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn id_is_taken(&self, id: &Id) -> Result<bool, StoreError> {
        keys::id_is_taken(self.conn, id)
    }

    /// Names of keys to compare a mistyped name with.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn some_names(&self) -> Result<Vec<String>, StoreError> {
        keys::some_names(self.conn)
    }

    /// Calls `f` with each key that `filter` matches, in order, one at a time. `f` must not query the store.
    ///
    /// # Errors
    /// What `f` returns; also if the store cannot be read.
    pub fn each_key<E: From<StoreError>>(
        &self,
        filter: &Filter,
        now: Timestamp,
        mut f: impl FnMut(Key) -> Result<(), E>,
    ) -> Result<(), E> {
        let (statement, conditions) = filter.list(now, self.conn.dialect());
        self.conn.each(&statement, &conditions.values(), |row| f(rows::key(row)?))
    }

    /// How many keys `filter` matches, ignoring its limit.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn count_keys(&self, filter: &Filter, now: Timestamp) -> Result<u64, StoreError> {
        let (statement, conditions) = filter.count(now, self.conn.dialect());
        self.conn.alone(&statement, &conditions.values(), |row| row.count(0))
    }

    /// Whether `filter` matches any key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn has_key(&self, filter: &Filter, now: Timestamp) -> Result<bool, StoreError> {
        let (statement, conditions) = filter.any(now, self.conn.dialect());
        self.conn.alone(&statement, &conditions.values(), |row| row.flag(0))
    }

    /// Counts up to `most` further keys by state. Returns whether there may be more.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn tally(&self, tally: &mut Tally, most: u32) -> Result<bool, StoreError> {
        tally.count(self.conn, most)
    }

    /// How many keys there are.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn count_all_keys(&self) -> Result<u64, StoreError> {
        self.conn.alone("SELECT count(*) FROM key", &[], |row| row.count(0))
    }

    /// The rank of a role, `None` if there is no such role.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn rank_of(&self, role: &Name) -> Result<Option<i64>, StoreError> {
        directory::rank_of(self.conn, role)
    }

    /// All groups, users, roles or tenants.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn entries(&self, kind: Kind) -> Result<Vec<Entry>, StoreError> {
        directory::list(self.conn, kind)
    }

    /// The group, user, role or tenant with this name.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn entry(&self, kind: Kind, name: &Name) -> Result<Option<Entry>, StoreError> {
        directory::find(self.conn, kind, name)
    }

    /// Names of a kind to compare a mistyped name with.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn names_of(&self, kind: Kind) -> Result<Vec<String>, StoreError> {
        directory::names(self.conn, kind)
    }

    /// At most a hundred names that start with `start`, for command-line completion.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn names_starting(&self, names: Names, start: &str) -> Result<Vec<String>, StoreError> {
        completion::names_starting(self.conn, names, start)
    }

    /// What a user may do, by the directory; without an acting user, there is no restriction.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a user whose role or tenant is missing, or if the store cannot be read.
    pub fn authority(&self, actor: Option<&Name>) -> Result<Authority, StoreError> {
        directory::authority(self.conn, actor)
    }

    /// The end of the history.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn head(&self) -> Result<Head, StoreError> {
        history::head(self.conn)
    }

    /// Calls `f` with each selected event, the oldest first. `f` must not query the store.
    ///
    /// # Errors
    /// What `f` returns; also if the store cannot be read.
    pub fn each_event<E: From<StoreError>>(
        &self,
        filter: &EventFilter,
        f: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        history::each(self.conn, filter, f)
    }

    /// Whether any event is selected.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn has_event(&self, filter: &EventFilter) -> Result<bool, StoreError> {
        history::is_told(self.conn, filter)
    }

    /// The id of the key that last had this name, or that has this id, even if it was deleted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn last_key_named(&self, name: &str) -> Result<Option<Id>, StoreError> {
        history::last_key_named(self.conn, name)
    }

    /// The last name of the key that had a secret with this public id, even if the key was deleted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn key_that_had(&self, secret: &Id) -> Result<Option<Name>, StoreError> {
        history::key_that_had(self.conn, secret)
    }

    /// All keys that `text` names or once named, even deleted ones: as a name, as an id, or as the public id of any
    /// secret that a key ever had. The oldest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn keys_ever_named(&self, text: &str) -> Result<Vec<PastKey>, StoreError> {
        history::keys_ever_named(self.conn, text)
    }

    /// Whether the history can be read: a database role that only verifies may not.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn tells_history(&self) -> Result<bool, StoreError> {
        history::may_be_read(self.conn)
    }

    /// How many events there are.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn count_events(&self) -> Result<u64, StoreError> {
        history::count(self.conn)
    }

    /// Checks that the history is as it was written. Calls `step` after each row with the number seen so far.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn check_history(&self, step: impl FnMut(u64)) -> Result<ChainCheck, StoreError> {
        history::check(self.conn, step)
    }

    /// What is wrong with the store as a database, if anything. Reads all of it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn damage(&self) -> Result<Option<String>, StoreError> {
        self.conn.damage()
    }

    /// Parts of the store's schema that keyward did not make, or that are missing: a trigger, an index, a column.
    /// keyward obeys none of them.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn strange_parts(&self) -> Result<Vec<String>, StoreError> {
        self.conn.strange_parts()
    }

    /// Keys with a secret hashed at a cost other than `cost`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn keys_of_other_cost(&self, cost: Cost, now: Timestamp) -> Result<NameCount, StoreError> {
        health::other_cost(self.conn, cost, now)
    }

    /// How many secrets were imported.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn count_imported(&self) -> Result<u64, StoreError> {
        health::imported(self.conn)
    }

    /// Keys with an imported secret that still works and is still stored in its imported form.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn keys_to_be_renewed(&self, now: Timestamp) -> Result<NameCount, StoreError> {
        health::to_be_renewed(self.conn, now)
    }

    /// Keys with a secret that a rotation staged and left behind.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn keys_with_staged_secrets(&self) -> Result<NameCount, StoreError> {
        health::staged(self.conn)
    }

    /// Things named by a word that filters read as something else: each with its kind, as in `user owner`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn reserved_names(&self) -> Result<NameCount, StoreError> {
        health::reserved_names(self.conn)
    }

    /// Keys that never expire.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn keys_without_end(&self) -> Result<NameCount, StoreError> {
        health::never_expiring(self.conn)
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.conn.end();
        }
    }
}
