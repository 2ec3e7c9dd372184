//! A restored state takes the place of a store on a server.
//!
//! What it is to be is found as for a file: the present store is written into one, under the lock of the store, and what
//! would be done to that file is done. Then all of it goes to the server, in the transaction that holds the lock, and is
//! compared there. So uses that were counted meanwhile are kept, and somebody who changes a key comes before or behind
//! it.
//!
//! The file with the present store stays beside the backup: a server has no place beside a store. Only who owns the tables
//! may do this, because the events since the backup go.

use std::path::{Path, PathBuf};

use super::{Present, Restore, RestoreError, place};
use crate::store::continuity::Known;
use crate::store::error::StoreError;
use crate::store::history::{self, EMPTY, Head};
use crate::store::sqlite::Unfinished;
use crate::store::sqlite::new_file::NewFile;
use crate::store::view::View;
use crate::store::{Stamp, Store, transfer};

impl Restore {
    /// As [`Restore::prepare`], for a store on a server. What is kept of it, and what is put together, goes into files beside
    /// the backup.
    ///
    /// # Errors
    /// As [`Restore::prepare`].
    pub fn prepare_on_server(
        backup: &Path,
        store: Store,
        as_it_was: bool,
        stamp: Stamp<'_>,
    ) -> Result<Self, RestoreError> {
        let backup = &backup.canonicalize().unwrap_or_else(|_| backup.to_owned());
        store.check_here()?;
        let (place, known, file) = (store.path().to_owned(), store.known().clone(), Unfinished::of(backup));
        let present = Present::OnServer(Box::new(store), known, backup.clone());
        Self::put_together(backup, (present, place), file, as_it_was, stamp)
    }
}

/// Puts the restored state in `from` in the place of the store, unless that is not what it was any more. Returns where the
/// former one is kept.
pub(super) fn finish(
    store: &mut Store,
    known: &Known,
    from: &Path,
    (beside, base): (&Path, Head),
    stamp: Stamp<'_>,
) -> Result<PathBuf, RestoreError> {
    store.refresh()?;
    let done = take_over(store, known, from, (beside, base), stamp);
    store.conn.wait_for(store.patience);
    done
}

fn take_over(
    store: &Store,
    known: &Known,
    from: &Path,
    (beside, base): (&Path, Head),
    stamp: Stamp<'_>,
) -> Result<PathBuf, RestoreError> {
    let conn = &store.conn;
    let filling = View::to_fill(conn)?;
    if history::identity(conn)? != *known {
        return Err(StoreError::Replaced(store.path().to_owned()).into());
    }
    conn.keep_uses_out()?;
    let kept = place::keep(beside, stamp.now, |path| transfer::into_file(conn, NewFile::begin(path)?))?;
    let replaced = state_of(&kept, from, stamp).and_then(|(state, _file)| {
        let whole = View::to_read(&state.conn)?;
        let common = if history::has_been_at(conn, &base)? { base } else { EMPTY };
        Ok(transfer::replace(whole.conn(), conn, common)?)
    });
    match replaced.and_then(|()| Ok(filling.commit()?)) {
        Ok(()) => Ok(kept),
        // Perhaps it was replaced.
        Err(error @ RestoreError::Store(StoreError::Unheard(_))) => Err(error),
        Err(error) => {
            // Nothing was replaced, so there is nothing to keep.
            let _ = std::fs::remove_file(kept);
            Err(error)
        }
    }
}

/// What the store in the file `present` becomes when the restored state in `from` takes its place: a store in a file that
/// goes with the second of what is returned.
fn state_of(present: &Path, from: &Path, stamp: Stamp<'_>) -> Result<(Store, Unfinished), RestoreError> {
    let file = Unfinished::of(present);
    place::copy_file(present, &file.0)?;
    let mut state = Store::open(&file.0)?;
    let known = state.known().clone();
    place::take_over(&mut state, &known, from, stamp)?;
    state.refresh()?;
    Ok((state, file))
}
