//! A move, step by step.

use std::path::Path;

use serde_json::json;

use super::target::{State, Target};
use super::{Copied, Counts, Place, TransferError};
use crate::store::db::Conn;
use crate::store::error::StoreError;
use crate::store::history::{self, EMPTY, Head};
use crate::store::moved::{self, Moved};
use crate::store::view::View;
use crate::store::{Stamp, Store};

impl Store {
    /// Moves the store to an empty place, or back to one that it was moved away from. From then on, its present place
    /// can only be read. Repeating the move continues an interrupted one.
    ///
    /// # Errors
    /// [`TransferError`] says which of the many reasons it is. The store is unchanged then, except after
    /// [`TransferError::Unknown`].
    pub fn move_to(&mut self, place: &Place, stamp: Stamp<'_>) -> Result<Copied, TransferError> {
        let done = self.move_rows(place, stamp);
        self.conn.wait_for(self.patience);
        done
    }

    fn move_rows(&mut self, place: &Place, stamp: Stamp<'_>) -> Result<Copied, TransferError> {
        place.check_other(self)?;
        self.check_writable()?;
        self.check_may_transfer(stamp)?;
        let name = place.name();
        // A problem with the target must not make the store unusable.
        let target = Target::open(place, stamp.now)?;
        let state = target.state(self.view()?.conn())?;
        if state == State::Used {
            self.check_not_gone()?;
            return Err(TransferError::Used(name));
        }
        let was_marked = self.mark(&name, state)?;
        let source = match View::to_copy(&self.conn, true) {
            Ok(source) => source,
            Err(error) => {
                // No process has begun to use the target.
                if !was_marked {
                    let _ = self.unmark();
                }
                return Err(error.into());
            }
        };
        let moved = Moved { target: name.clone(), is_done: false };
        match moved::identity(source.conn())?.1 {
            Some(mark) if mark.target != moved.target => return Err(mark.refusal(self.path()).into()),
            _ => {}
        }
        let outcome = bring(source.conn(), target, &name, stamp).or_else(|error| {
            match committed(source.conn(), place) {
                // The answer was lost, or another process did it.
                Ok(Some(head)) => Ok(Copied { tables: super::rows::counts(source.conn())?, head, was_there: true }),
                Err(cause) if was_marked || matches!(error, TransferError::Target(StoreError::Unheard(_))) => {
                    Err(Failed::Unknown(cause))
                }
                // Or this run set the mark, and never reached a commit.
                Ok(None) | Err(_) => Err(Failed::NotThere(error)),
            }
        });
        match outcome {
            Ok(copied) => {
                let marked = moved::set(source.conn(), &Moved { is_done: true, ..moved });
                match marked.and_then(|()| source.commit()) {
                    Ok(()) => Ok(copied),
                    Err(error) => Err(TransferError::Unmarked { path: name, error }),
                }
            }
            Err(Failed::NotThere(error)) => {
                // Under the same lock, so that no other process can have continued the move; unless the lock was lost.
                if moved::clear(source.conn()).and_then(|()| source.commit()).is_err() {
                    self.unmark()?;
                }
                Err(error)
            }
            Err(Failed::Unknown(error)) => Err(TransferError::Unknown { path: name, error }),
            Err(Failed::Store(error)) => Err(error.into()),
        }
    }

    /// Marks the store as on its way, unless it already is. Counts in progress finish first. Returns whether it was
    /// marked before. A store that has arrived somewhere goes nowhere else, not even to another store in that place.
    fn mark(&self, target: &Path, state: State) -> Result<bool, StoreError> {
        self.conn.begin_to_write()?;
        let changes = View::to_write(&self.conn);
        let conn = changes.conn();
        let (now, mark) = moved::identity(conn)?;
        if now.as_ref().map(|(id, _)| id) != self.id() {
            return Err(StoreError::Replaced(self.path.clone()));
        }
        match mark {
            Some(mark) if mark.target == target && (!mark.is_done || matches!(state, State::Moved(_))) => {
                return Ok(true);
            }
            Some(mark) => return Err(mark.refusal(&self.path)),
            None => {}
        }
        conn.keep_uses_out()?;
        moved::set(conn, &Moved { target: target.to_owned(), is_done: false })?;
        conn.check_place()?;
        changes.commit()?;
        Ok(false)
    }

    /// For a moved store, reports that, rather than that the place is not empty.
    fn check_not_gone(&self) -> Result<(), StoreError> {
        let view = self.view()?;
        match moved::identity(view.conn())?.1 {
            Some(mark) if mark.is_done => Err(mark.refusal(&self.path)),
            _ => Ok(()),
        }
    }

    fn unmark(&self) -> Result<(), StoreError> {
        self.conn.begin_to_write()?;
        let changes = View::to_write(&self.conn);
        if moved::identity(changes.conn())?.1.is_some_and(|mark| !mark.is_done) {
            moved::clear(changes.conn())?;
            changes.commit()?;
        }
        Ok(())
    }
}

/// Why a move was not completed.
enum Failed {
    /// The target is unchanged.
    NotThere(TransferError),
    /// The target cannot be asked.
    Unknown(StoreError),
    /// The source failed.
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Copies everything, and commits the target.
fn bring(source: &Conn, target: Target, name: &Path, stamp: Stamp<'_>) -> Result<Copied, TransferError> {
    let known = match target.state(source)? {
        State::Empty => EMPTY,
        State::Former(head) => head,
        State::Moved(head) => {
            return Ok(Copied { tables: super::rows::counts(source)?, head, was_there: true });
        }
        State::Used => return Err(TransferError::Used(name.to_owned())),
    };
    let mut head = EMPTY;
    let tables: Counts = target.fill(source, known, |conn| {
        let from = source.place().display().to_string();
        let detail = json!({"from": from, "to": name.display().to_string()});
        let (action, subject_kind, subject_name) = ("store.move", "store", "store");
        let at = conn.time_of_change().unwrap_or(stamp.now);
        let event =
            history::NewEvent { at, actor: stamp.actor, action, subject_kind, subject_id: None, subject_name, detail };
        history::append(conn, &event)?;
        head = history::head(conn)?;
        Ok(())
    })?;
    target.finish()?;
    Ok(Copied { tables, head, was_there: false })
}

/// Whether the store is at this place by now, and the end of its history there.
fn committed(source: &Conn, place: &Place) -> Result<Option<Head>, StoreError> {
    if let Place::File(path) = place
        && std::fs::symlink_metadata(path).is_err()
    {
        return Ok(None);
    }
    let target = Target::Store(Box::new(place.open()?));
    match target.state(source) {
        Ok(State::Moved(head)) => Ok(Some(head)),
        Ok(_) => Ok(None),
        Err(TransferError::Target(error) | TransferError::Store(error)) => Err(error),
        Err(_) => Err(StoreError::Missing(place.name())),
    }
}
