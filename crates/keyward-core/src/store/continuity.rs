//! A store that stays open while others change it.
//!
//! Others may write to it as usual. But someone may also replace the file, or copy an older state over it, and then
//! keys revoked since then work again. So an open store knows its identity and where its history ended, and checks that
//! both still hold.

use std::path::{Path, PathBuf};
#[cfg(feature = "postgres")]
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "postgres")]
use super::db::Postgres;
use super::db::{Sqlite, for_want_of_memory};
use super::error::StoreError;
use super::history::{self, Head, StoreId};
use super::moved::{self, Moved};
#[cfg(feature = "postgres")]
use super::postgres::{self, Server};
use super::sqlite::{Purpose, Sight};
use super::{Conn, Store, sqlite};

/// What has happened to a store since the last check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// No one else wrote to it.
    Same,
    /// Its history continues from the known head.
    Changed,
    /// It is another store: a restored backup. Nothing that was known still holds.
    Anew,
}

/// Its identity, and the end of its history at that time; `None` if that was already missing.
pub(crate) type Known = Option<(StoreId, Head)>;

impl Store {
    /// Checks what has happened to the store, and opens it again if that is needed to know.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] if another file is at the path: it can be opened when the former one is no longer open
    /// anywhere in this process. [`StoreError::Rewound`] for an older state of this store, [`StoreError::Moved`] for a
    /// store that was moved, or any error in reading it.
    pub fn refresh(&mut self) -> Result<Freshness, StoreError> {
        let freshness = self.look()?;
        self.check_here()?;
        Ok(freshness)
    }

    fn look(&mut self) -> Result<Freshness, StoreError> {
        let sight = self.conn.look();
        if !matches!(sight, Ok(Sight::Same)) {
            (self.sightings, self.is_unsure) = (self.sightings + 1, true);
        }
        match sight? {
            Sight::Same if !self.is_unsure => Ok(Freshness::Same),
            Sight::Same | Sight::Written => self.compare(),
            Sight::Old => {
                self.conn = Conn::new(sqlite::nothing(self.path.clone())?);
                let (known, former, sightings) = (self.known.clone(), self.former.clone(), self.sightings);
                *self = Self { known, former, sightings, is_unsure: true, ..self.way().open_unknown()? };
                self.compare()
            }
            Sight::Replaced => {
                // Otherwise the log would be taken for the log of the new file.
                self.conn.file().map_or(Ok(()), Sqlite::take_log_along)?;
                Err(StoreError::Replaced(self.path.clone()))
            }
        }
    }

    /// How often a check has found the store changed.
    pub(crate) fn sightings(&self) -> u64 {
        self.sightings
    }

    /// The end of the history at the last check.
    pub(crate) fn known_head(&self) -> Option<Head> {
        self.known.as_ref().map(|(_, head)| *head)
    }

    /// Learns what others have seen of this store, and compares it with that from now on. Otherwise a connection
    /// without a recent check would accept an older state as if nothing had been lost.
    pub(crate) fn adopt(&mut self, way: &Way) {
        if is_later(&way.known, &self.known) {
            self.known.clone_from(&way.known);
            self.is_unsure = true;
        }
    }

    /// What is known of the store.
    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// Becomes a store of its own, in its own file: what was known about the original does not apply to the copy.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn become_another(self) -> Result<(), StoreError> {
        self.conn.execute("UPDATE history_head SET store_id = lower(hex(randomblob(16)))", &[])?;
        self.conn.execute(sqlite::ANOTHER_FILE, &[]).map(drop)
    }

    /// Keeps the identity of the original, which was moved here.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn stay_here(&mut self) -> Result<(), StoreError> {
        if self.moved.take().is_some() { moved::clear(&self.conn) } else { Ok(()) }
    }

    /// Returns a function with which another thread opens the same store.
    pub fn again(&self) -> impl Fn() -> Result<Self, StoreError> + Send + use<> {
        let way = self.way();
        move || way.open_unknown()
    }

    /// What is needed to open another connection to the same store, including what is known of it.
    pub(crate) fn way(&self) -> Way {
        Way {
            path: self.path.clone(),
            #[cfg(feature = "postgres")]
            server: self.server.clone(),
            purpose: self.purpose,
            patience: self.patience,
            known: self.known.clone(),
            former: self.former.clone(),
        }
    }

    /// Compares the store with what is known of it, and remembers its current state.
    fn compare(&mut self) -> Result<Freshness, StoreError> {
        self.conn.begin_to_read()?;
        let found = self.compared();
        self.conn.end();
        let (now, freshness, moved) = found?;
        self.moved = moved;
        if freshness == Freshness::Anew
            && let Some((id, _)) = &self.known
        {
            self.former.push(id.clone());
        }
        (self.known, self.is_unsure) = (now, false);
        Ok(freshness)
    }

    /// As [`Store::refresh`], within a write transaction. Ends the transaction if the store is another one.
    ///
    /// # Errors
    /// As [`Store::refresh`]; [`StoreError::Replaced`] for another store, [`StoreError::Moved`].
    pub(super) fn meet(&mut self) -> Result<(), StoreError> {
        let now = match self.compared() {
            Ok((now, Freshness::Same | Freshness::Changed, None)) => now,
            Ok((.., Some(moved))) => {
                self.conn.end();
                return Err(moved.refusal(&self.path));
            }
            found => {
                self.conn.end();
                return Err(found.err().unwrap_or_else(|| StoreError::Replaced(self.path.clone())));
            }
        };
        if now != self.known {
            (self.known, self.sightings) = (now, self.sightings + 1);
        }
        Ok(())
    }

    fn compared(&self) -> Result<(Known, Freshness, Option<Moved>), StoreError> {
        let (now, moved) = moved::identity(&self.conn)?;
        let freshness = match (&self.known, &now) {
            // Only data outside the history was written, such as uses.
            (known, now) if known == now => Freshness::Changed,
            // A store that was replaced by a restore can come back only as an older copy.
            (Some((id, _)), Some((other, _))) if other != id && self.former.contains(other) => {
                return Err(StoreError::Rewound(self.path.clone()));
            }
            (Some((id, _)), Some((other, _))) if other != id => Freshness::Anew,
            (Some((_, head)), Some((_, end))) if end.seq >= head.seq && self.goes_on(head, end)? => Freshness::Changed,
            (None, _) => Freshness::Anew,
            (Some(_), _) => return Err(StoreError::Rewound(self.path.clone())),
        };
        Ok((now, freshness, moved))
    }

    /// Whether the history that ends at `end` has been at this head. On a server, a role that may not read the history
    /// sees only that it has grown.
    fn goes_on(&self, head: &Head, end: &Head) -> Result<bool, StoreError> {
        if history::may_be_read(&self.conn)? {
            return history::has_been_at(&self.conn, head);
        }
        Ok(end.seq > head.seq || end.hash == head.hash)
    }

    /// A store that was just opened, with no known problem.
    pub(super) fn opened(conn: Conn, path: PathBuf, known: Known, purpose: Purpose, patience: Duration) -> Self {
        Self {
            conn,
            path,
            #[cfg(feature = "postgres")]
            server: None,
            unwritable: None,
            exposure: None,
            purpose,
            patience,
            known,
            former: vec![],
            sightings: 0,
            is_unsure: false,
            moved: None,
        }
    }

    /// Opens the store on `server` for `purpose`.
    #[cfg(feature = "postgres")]
    pub(super) fn connect_for(server: &Arc<Server>, purpose: Purpose, patience: Duration) -> Result<Self, StoreError> {
        let mut conn = Conn::to_server(Postgres::connect(Arc::clone(server), patience)?);
        let (known, moved) = postgres::checked_identity(&conn, server, purpose)?;
        // So that what is known now does not count as news.
        conn.look()?;
        let opened = Self::opened(conn, server.place().to_owned(), known, purpose, patience);
        Ok(Self { server: Some(Arc::clone(server)), moved, ..opened })
    }

    /// Opens the store at `path` for `purpose`.
    pub(super) fn open_for(path: &Path, purpose: Purpose, patience: Duration) -> Result<Self, StoreError> {
        let opened = sqlite::open(path, purpose, patience).map_err(|error| for_want_of_memory(path, error));
        let sqlite::OpenFile { engine, path, unwritable, exposure } = opened?;
        let conn = Conn::new(engine);
        let (known, moved) = moved::identity(&conn)?;
        // A reader does not wait for the disk to clear the log that others left.
        if let Some(file) = conn.file().filter(|file| purpose == Purpose::Read && file.has_log()) {
            file.leave_log();
        }
        Ok(Self { unwritable, exposure, moved, ..Self::opened(conn, path, known, purpose, patience) })
    }
}

/// Whether both belong to one store, and `one` is later.
fn is_later(one: &Known, two: &Known) -> bool {
    match (one, two) {
        (Some((id, one)), Some((other, two))) => id == other && one.seq > two.seq,
        _ => false,
    }
}

/// How to open a store once more, and what was known of it.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    path: PathBuf,
    #[cfg(feature = "postgres")]
    server: Option<Arc<Server>>,
    purpose: Purpose,
    patience: Duration,
    known: Known,
    former: Vec<StoreId>,
}

impl Way {
    /// Learns what is now known of the store at the same path. For one store, the later state counts, whichever reader
    /// saw it first.
    pub(crate) fn learn(&mut self, store: &Store) {
        if !is_later(&self.known, &store.known) {
            self.known.clone_from(&store.known);
            self.former.clone_from(&store.former);
        }
    }

    /// The number of the newest event that is known.
    pub(crate) fn newest(&self) -> i64 {
        self.known.as_ref().map_or(0, |(_, head)| head.seq)
    }

    /// Sets how long later attempts to open it wait for others.
    pub(crate) fn wait_for(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Opens it without comparing it with what is known.
    fn open_unknown(&self) -> Result<Store, StoreError> {
        #[cfg(feature = "postgres")]
        if let Some(server) = &self.server {
            return Store::connect_for(server, self.purpose, self.patience);
        }
        Store::open_for(&self.path, self.purpose, self.patience)
    }

    /// Opens it.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::Rewound`], if it is an older state than the known one.
    pub(crate) fn open(&mut self) -> Result<Store, StoreError> {
        let mut store = self.open_unknown()?;
        store.known.clone_from(&self.known);
        store.former.clone_from(&self.former);
        store.compare()?;
        self.learn(&store);
        Ok(store)
    }
}
