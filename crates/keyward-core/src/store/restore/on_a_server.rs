//! Replaces a store on a server with a restored state.
//!
//! The new state is found as for a file: the present store is written into one, under the store's lock, and the file is
//! restored. Then all of it is sent to the server, in the transaction that holds the lock, and compared there. So uses
//! counted meanwhile are kept, and any change of a key comes before or after the restore.
//!
//! The file with the present store stays beside the backup, because a server has no place beside a store. Only the
//! owner of the tables may do this, because the events since the backup are removed.

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
    /// As [`Restore::prepare`], for a store on a server. The kept copy and the new state go into files beside the
    /// backup.
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

/// Replaces the store with the restored state in `from`, unless the store has changed. Returns where the former one is
/// kept.
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
        // The store may have been replaced.
        Err(error @ RestoreError::Store(StoreError::Unheard(_))) => Err(error),
        Err(error) => {
            // Nothing was replaced, so there is nothing to keep.
            let _ = std::fs::remove_file(kept);
            Err(error)
        }
    }
}

/// What the store in the file `present` becomes when the restored state in `from` replaces it: a store in a file that
/// is removed when the second returned value is dropped.
fn state_of(present: &Path, from: &Path, stamp: Stamp<'_>) -> Result<(Store, Unfinished), RestoreError> {
    let file = Unfinished::of(present);
    place::copy_file(present, &file.0)?;
    let mut state = Store::open(&file.0)?;
    let known = state.known().clone();
    place::take_over(&mut state, &known, from, stamp)?;
    state.refresh()?;
    Ok((state, file))
}
