//! A store that stays open, and what others do to it meanwhile.
//!
//! Others write to it, which is what stores are for. But somebody may also put another file in its place, or copy an
//! older state of it over the present one, and then what was revoked since works again. So a store that is open knows
//! which store it is and where the end of its history was, and looks whether both still hold.

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

/// What has become of a store since the last look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Nobody else wrote to it.
    Same,
    /// It goes on from where it was.
    Changed,
    /// It is another one: a restored backup. Nothing that was known of it holds.
    Anew,
}

/// Which store it was, and the end of its history then; `None` where that was missing already.
pub(crate) type Known = Option<(StoreId, Head)>;

impl Store {
    /// Looks what has become of the store, and opens it again where only that tells.
    ///
    /// # Errors
    /// [`StoreError::Replaced`], where another file is at the path: it can be opened when nobody in this process has the
    /// former one open any more. [`StoreError::Rewound`] for an older state of this store, [`StoreError::Moved`] for one
    /// that is elsewhere by now, and whatever keeps it from being read.
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
                // Or else the log would be taken for that of the file that is there now.
                self.conn.file().map_or(Ok(()), Sqlite::take_log_along)?;
                Err(StoreError::Replaced(self.path.clone()))
            }
        }
    }

    /// How often a look has found that it is not what it was.
    pub(crate) fn sightings(&self) -> u64 {
        self.sightings
    }

    /// The end of the history at the last look.
    pub(crate) fn known_head(&self) -> Option<Head> {
        self.known.as_ref().map(|(_, head)| *head)
    }

    /// Learns what others have seen of this store: it is compared with that from now on. A connection that has not looked
    /// for long would else go on from an older state, as if nothing had been lost.
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

    /// Becomes a store of its own, in a file of its own: what was known of the one that it is a copy of does not hold.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn become_another(self) -> Result<(), StoreError> {
        self.conn.execute("UPDATE history_head SET store_id = lower(hex(randomblob(16)))", &[])?;
        self.conn.execute(sqlite::ANOTHER_FILE, &[]).map(drop)
    }

    /// What was moved is the one that it is a copy of.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn stay_here(&mut self) -> Result<(), StoreError> {
        if self.moved.take().is_some() { moved::clear(&self.conn) } else { Ok(()) }
    }

    /// How the same store is opened once more, by another thread.
    pub fn again(&self) -> impl Fn() -> Result<Self, StoreError> + Send + use<> {
        let way = self.way();
        move || way.open_unknown()
    }

    /// How another connection to the same store is opened, by whoever knows this much of it.
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

    /// Compares what is known of the store with what it is, and knows that from now on.
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

    /// As [`Store::refresh`], in the transaction that was begun to write. Ends it where it is another store.
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
            // Only what the history does not tell of was written, such as uses.
            (known, now) if known == now => Freshness::Changed,
            // A store that was replaced by a restore does not come back but as an older copy.
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

    /// Whether the history that ends there has been at this head. A role that may not read the history of a store on a server
    /// sees only that it has grown.
    fn goes_on(&self, head: &Head, end: &Head) -> Result<bool, StoreError> {
        if history::may_be_read(&self.conn)? {
            return history::has_been_at(&self.conn, head);
        }
        Ok(end.seq > head.seq || end.hash == head.hash)
    }

    /// A store that was opened a moment ago, and of which nothing bad is known.
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
        // What is known now is not found to be new.
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
        // Who only reads does not wait for the disk to put away what others left.
        if let Some(file) = conn.file().filter(|file| purpose == Purpose::Read && file.has_log()) {
            file.leave_log();
        }
        Ok(Self { unwritable, exposure, moved, ..Self::opened(conn, path, known, purpose, patience) })
    }
}

/// Whether both are of one store, and `one` is the later.
fn is_later(one: &Known, two: &Known) -> bool {
    match (one, two) {
        (Some((id, one)), Some((other, two))) => id == other && one.seq > two.seq,
        _ => false,
    }
}

/// How a store is opened once more, and what was known of it.
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
    /// Learns what is known of this store of the same path by now. Of one store, what is later counts, whoever has seen it
    /// first.
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

    /// From now on, who opens it waits this long for others.
    pub(crate) fn wait_for(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Opens it, whatever is known of it.
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
    /// As [`Store::open`]; [`StoreError::Rewound`], where it is an older state of what is known.
    pub(crate) fn open(&mut self) -> Result<Store, StoreError> {
        let mut store = self.open_unknown()?;
        store.known.clone_from(&self.known);
        store.former.clone_from(&self.former);
        store.compare()?;
        self.learn(&store);
        Ok(store)
    }
}
