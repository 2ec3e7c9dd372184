//! The place that a store goes to, and what is there.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::rows::Counts;
use super::tables::{HISTORY, TABLES};
use super::{TransferError, rows};
use crate::store::db::{Conn, Value};
use crate::store::error::StoreError;
use crate::store::history::{self, EMPTY, Head};
use crate::store::moved;
use crate::store::sqlite::backup::look_through;
use crate::store::sqlite::new_file::NewFile;
use crate::store::view::View;
use crate::store::{ServerUrl, Surroundings};
use crate::store::{Store, sqlite};

/// A place for a store.
#[derive(Debug, Clone)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// A database, with what the environment says about passwords.
    Server(Box<ServerUrl>, Surroundings),
}

impl Place {
    /// Its name from anywhere: the absolute path of a file, or a URL without its password, and without parameters but the
    /// schema.
    pub fn name(&self) -> PathBuf {
        match self {
            Self::File(path) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                match (folder.canonicalize(), path.file_name()) {
                    (Ok(folder), Some(name)) => folder.join(name),
                    _ => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
                }
            }
            Self::Server(url, _) => PathBuf::from(url.to_string()),
        }
    }

    /// Refuses the place where the store already is.
    pub(super) fn check_other(&self, store: &Store) -> Result<(), TransferError> {
        // One database has many names: the id of the store distinguishes those.
        let is_same = matches!(self, Self::File(_)) && self.name() == store.path();
        if is_same { Err(TransferError::Itself(self.name())) } else { Ok(()) }
    }

    /// The store that is there.
    pub(super) fn open(&self) -> Result<Store, StoreError> {
        match self {
            Self::File(path) => Store::open(path),
            Self::Server(url, around) => Store::connect((**url).clone(), around.clone()),
        }
    }
}

/// What a target holds, from the point of view of the store that goes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing, or only what a new store begins with.
    Empty,
    /// The same store, which was moved away from there at this end of its history.
    Former(Head),
    /// The same store, after it was moved there.
    Moved(Head),
    /// Something else.
    Used,
}

/// An open place.
pub(super) enum Target {
    /// A file that does not exist yet.
    File(Box<(Conn, NewFile)>),
    /// An existing store.
    Store(Box<Store>),
}

impl Target {
    /// Opens it, without any visible change.
    pub(super) fn open(place: &Place, now: Timestamp) -> Result<Self, TransferError> {
        if let Place::File(path) = place
            && std::fs::symlink_metadata(path).is_err()
        {
            let file = NewFile::begin(path)?;
            let conn = Conn::new(sqlite::fresh(file.unfinished(), now).map_err(TransferError::Target)?);
            return Ok(Self::File(Box::new((conn, file))));
        }
        match place.open() {
            Ok(store) => Ok(Self::Store(Box::new(store))),
            // A file that is not a store: the place is taken.
            Err(StoreError::Foreign { .. } | StoreError::Missing(_)) if matches!(place, Place::File(_)) => {
                Err(TransferError::Used(place.name()))
            }
            Err(error) => Err(TransferError::Target(error)),
        }
    }

    pub(super) fn conn(&self) -> &Conn {
        match self {
            Self::File(file) => &file.0,
            Self::Store(store) => &store.conn,
        }
    }

    /// What is there, from the point of view of the store that `source` reads.
    pub(super) fn state(&self, source: &Conn) -> Result<State, TransferError> {
        let _view = View::to_read(self.conn()).map_err(TransferError::Target)?;
        state(source, self.conn())
    }

    /// Fills it from an open transaction of the source, does `more` in the same transaction, and commits. `known` is
    /// the end of the history that already exists there.
    pub(super) fn fill(
        &self,
        source: &Conn,
        known: Head,
        more: impl FnOnce(&Conn) -> Result<(), StoreError>,
    ) -> Result<Counts, TransferError> {
        let conn = self.conn();
        if let Some(damage) = source.damage()? {
            return Err(StoreError::Corrupt { path: source.place().to_owned(), detail: damage }.into());
        }
        let filling = View::to_fill(conn).map_err(TransferError::Target)?;
        // No one else writes to it from here on, but someone may have until now.
        let expected = if known == EMPTY { State::Empty } else { State::Former(known) };
        if state(source, conn)? != expected {
            return Err(TransferError::Used(conn.place().to_owned()));
        }
        clear(conn, known).map_err(TransferError::Target)?;
        let counts = rows::copy(source, conn, known.seq, true)?;
        more(conn).and_then(|()| conn.check_place()).and_then(|()| filling.commit()).map_err(TransferError::Target)?;
        Ok(counts)
    }

    /// Makes the filled store visible to everybody.
    pub(super) fn finish(self) -> Result<(), TransferError> {
        match self {
            Self::File(file) => {
                let (conn, file) = *file;
                // Closing the last connection leaves a single file.
                drop(conn);
                look_through(file.unfinished())?;
                Ok(file.finish_store()?)
            }
            Self::Store(store) => {
                if let Some(file) = store.conn.file() {
                    file.empty_log();
                }
                Ok(())
            }
        }
    }
}

/// What an open transaction of `target` sees there.
fn state(source: &Conn, target: &Conn) -> Result<State, TransferError> {
    let Some((own, end)) = history::identity(source)? else {
        let detail = "the end of its history is missing".to_owned();
        return Err(StoreError::Corrupt { path: source.place().to_owned(), detail }.into());
    };
    look(source, target, &own, &end).map_err(TransferError::Target)
}

fn look(source: &Conn, target: &Conn, own: &history::StoreId, end: &Head) -> Result<State, StoreError> {
    let (known, mark) = moved::identity(target)?;
    let Some((id, head)) = known else { return Ok(State::Used) };
    if id == *own {
        return Ok(match mark {
            // It continues from where it was when the store left.
            Some(mark) if mark.is_done && history::has_been_at(source, &head)? => State::Former(head),
            None if head.seq > end.seq && history::has_been_at(target, end)? && was_moved(target, end)? => {
                State::Moved(head)
            }
            _ => State::Used,
        });
    }
    if head != EMPTY || mark.is_some() {
        return Ok(State::Used);
    }
    for table in TABLES.iter().filter(|table| table.name != "role") {
        let any = format!("SELECT 1 FROM {} LIMIT 1", table.name);
        if target.optional(&any, &[], |_| Ok(()))?.is_some() {
            return Ok(State::Used);
        }
    }
    Ok(State::Empty)
}

/// Whether the event after this end of the history records a move.
fn was_moved(conn: &Conn, end: &Head) -> Result<bool, StoreError> {
    let next = end.seq.saturating_add(1);
    let action = conn.optional("SELECT action FROM history WHERE seq = ?1", &[next.into()], |row| {
        Ok(row.text(0)? == "store.move")
    })?;
    Ok(action.unwrap_or(false))
}

/// Removes everything there except the events up to `known`: on a server, a role may be allowed to add rows to the
/// history, and nothing else.
pub(super) fn clear(conn: &Conn, known: Head) -> Result<(), StoreError> {
    conn.execute("DELETE FROM reservation", &[])?;
    for table in TABLES.iter().rev() {
        let rows = format!("FROM {}{}", table.name, if table.name == HISTORY { " WHERE seq > ?1" } else { "" });
        let values = [Value::from(known.seq)];
        let values = if table.name == HISTORY { &values[..] } else { &[] };
        // Without rows, no right to delete them is needed.
        if conn.optional(&format!("SELECT 1 {rows} LIMIT 1"), values, |_| Ok(()))?.is_some() {
            conn.execute(&format!("DELETE {rows}"), values)?;
        }
    }
    moved::clear(conn)
}
