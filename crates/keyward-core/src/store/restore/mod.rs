//! Restores a backup; what was revoked since then stays revoked.
//!
//! The restored state is built in a copy of the backup, beside the store, so that nothing changes before a person has
//! seen the result. Then it replaces the store in one transaction, through SQLite: processes that have the store open
//! see a new identity, and read it afresh.
//!
//! What may break: the store changes in between. Then nothing is done, and the restore can be tried again. A kill
//! leaves the copy under a hidden name, and the store unchanged.

mod merge;
#[cfg(feature = "postgres")]
mod on_a_server;
mod place;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::continuity::Known;
use super::error::StoreError;
use super::exposure::Weakness;
#[cfg(feature = "postgres")]
use super::history::Head;
use super::history::{self, ChainCheck};
use super::sqlite::Unfinished;
use super::sqlite::backup::BackupError;
use super::sqlite::beside;
use super::{Changes, Stamp, Store, View};
use crate::platform;
use crate::rules::names::Name;
use crate::rules::token::Id;

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The backup cannot be used.
    #[error("the backup cannot be used: {0}")]
    Backup(#[source] StoreError),
    /// The backup is damaged, or its history is not as it was written.
    #[error("the backup {} cannot be used: {detail}", .path.display())]
    Unsound {
        /// The backup.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The present store cannot say what was revoked since.
    #[error("what was revoked since the backup cannot be told: {0}")]
    Untold(#[source] StoreError),
    /// The present store does not come from the backup.
    #[error("what was revoked since the backup cannot be told: the history of the store {} does not contain it", .0.display())]
    NoAncestor(PathBuf),
    /// A file cannot be written.
    #[error("{} cannot be written: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BackupError> for RestoreError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => Self::Store(error),
            BackupError::Io { path, error } => Self::Io { path, error },
            BackupError::Exists(path) => Self::Io { path, error: std::io::ErrorKind::AlreadyExists.into() },
            BackupError::Unsound(detail) => Self::Unsound { path: PathBuf::new(), detail },
        }
    }
}

/// A change made since the backup that is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MadeAgain {
    /// `key`, `user`, `tenant`, `role` or `settings`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The id of a key.
    pub id: Option<Id>,
    /// `deleted`, `disabled`, `rotated` or `restricted`.
    pub change: &'static str,
    /// The restricted settings, by their names in JSON.
    pub fields: Vec<String>,
}

/// What exists at the place that the backup is restored to.
#[derive(Debug)]
enum Present {
    /// Nothing.
    Nothing,
    /// A readable store in a file, and its identity when the restored state was built.
    Store(Box<Store>, Known),
    /// The same on a server; the copy that is kept of it goes beside this file.
    #[cfg(feature = "postgres")]
    OnServer(Box<Store>, Known, PathBuf),
    /// A store that cannot be read.
    Unreadable,
}

/// A restored state that is ready to replace the store.
#[derive(Debug)]
pub struct Restore {
    place: PathBuf,
    present: Present,
    copy: Option<Store>,
    /// The end of the backup's history.
    #[cfg(feature = "postgres")]
    base: Head,
    file: Unfinished,
    /// What was revoked since the backup and will be revoked again.
    pub made_again: Vec<MadeAgain>,
    /// What was revoked since the backup and will work again.
    pub revived: Vec<MadeAgain>,
    /// The keys that were made since, and will be lost.
    pub left_out: Vec<(Name, Id)>,
    /// How many keys there will be.
    pub keys: u64,
}

impl Restore {
    /// Builds the state that restoring `backup` would give `place`. Nothing at `place` is changed.
    ///
    /// With `as_it_was`, what was revoked since comes back too.
    ///
    /// # Errors
    /// [`RestoreError`] says which of the many reasons it is; [`StoreError::Denied`] if the acting user may not do
    /// this.
    pub fn prepare(backup: &Path, place: &Path, as_it_was: bool, stamp: Stamp<'_>) -> Result<Self, RestoreError> {
        // The path of the backup may be a link to the newest one.
        let backup = &backup.canonicalize().unwrap_or_else(|_| backup.to_owned());
        let (present, place) = present_at(place, as_it_was)?;
        let file = Unfinished::of(&place);
        Self::put_together(backup, (present, place), file, as_it_was, stamp)
    }

    fn put_together(
        backup: &Path,
        (present, place): (Present, PathBuf),
        file: Unfinished,
        as_it_was: bool,
        stamp: Stamp<'_>,
    ) -> Result<Self, RestoreError> {
        let mut copy = copied(backup, &file.0)?;
        #[cfg(feature = "postgres")]
        let base = copy.view()?.head()?;
        let (mut made_again, mut revived, mut left_out) = (vec![], vec![], vec![]);
        if let Some(store) = present.store() {
            let view = store.view()?;
            view.authority(stamp.actor)?.govern("store as a whole").map_err(StoreError::from)?;
            let tells = is_ancestor(&copy, store)?;
            if as_it_was {
                if tells {
                    revived = copy.rehearse(stamp, |changes| Ok::<_, StoreError>(merge::merge(changes, &view)?.0))?;
                }
                left_out = copy.write(stamp, |changes| {
                    merge::remember_secrets(changes, &view)?;
                    merge::left_out(changes, &view)
                })?;
            } else if tells {
                (made_again, left_out) = copy.write(stamp, |changes| {
                    let merged = merge::merge(changes, &view)?;
                    merge::remember_secrets(changes, &view)?;
                    Ok::<_, StoreError>(merged)
                })?;
            } else {
                return Err(RestoreError::NoAncestor(place));
            }
        } else {
            // An acting user has the permissions that the backup gives them.
            copy.view()?.authority(stamp.actor)?.govern("store as a whole").map_err(StoreError::from)?;
        }
        copy.write(stamp, |changes| changes.record_restore(as_it_was))?;
        let keys = copy.view()?.count_all_keys()?;
        Ok(Self {
            place,
            present,
            copy: Some(copy),
            #[cfg(feature = "postgres")]
            base,
            file,
            made_again,
            revived,
            left_out,
            keys,
        })
    }

    /// Whether there is a store that it replaces.
    pub fn replaces(&self) -> bool {
        !matches!(self.present, Present::Nothing)
    }

    /// The place that it is restored to.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Puts it into place, and returns where the former store is kept, if there was one.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] if the store was changed since it was checked, or an error if it cannot be written. The
    /// store is unchanged then.
    pub fn finish(mut self, stamp: Stamp<'_>) -> Result<Option<PathBuf>, RestoreError> {
        // Closing the last connection leaves a single file.
        drop(self.copy.take());
        match std::mem::replace(&mut self.present, Present::Nothing) {
            Present::Nothing => {
                place::move_in(&self.file.0, &self.place)?;
                Ok(None)
            }
            Present::Unreadable => {
                let kept = place::move_away(&self.place, stamp.now)?;
                place::move_in(&self.file.0, &self.place)?;
                Ok(Some(kept))
            }
            Present::Store(mut store, known) => {
                let kept = place::keep(store.path(), stamp.now, |path| store.backup(path))?;
                match place::take_over(&mut store, &known, &self.file.0, stamp) {
                    Ok(()) => Ok(Some(kept)),
                    Err(error) => {
                        // Nothing was replaced, so there is nothing to keep.
                        let _ = std::fs::remove_file(kept);
                        Err(error.into())
                    }
                }
            }
            #[cfg(feature = "postgres")]
            Present::OnServer(mut store, known, beside) => {
                on_a_server::finish(&mut store, &known, &self.file.0, (&beside, self.base), stamp).map(Some)
            }
        }
    }
}

impl Present {
    /// The store that can say what was revoked.
    fn store(&self) -> Option<&Store> {
        match self {
            Self::Store(store, _) => Some(store),
            #[cfg(feature = "postgres")]
            Self::OnServer(store, ..) => Some(store),
            Self::Nothing | Self::Unreadable => None,
        }
    }
}

/// What exists at the place, and the place as a path without links.
fn present_at(place: &Path, as_it_was: bool) -> Result<(Present, PathBuf), RestoreError> {
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error| RestoreError::Io { path: place.to_owned(), error };
    let resolved =
        || Ok::<_, RestoreError>(folder.canonicalize().map_err(failed)?.join(place.file_name().unwrap_or_default()));
    let error = match Store::open(place) {
        Ok(store) => match damage_of(&store)? {
            None => {
                store.check_writable()?;
                store.check_here()?;
                let (path, known) = (store.path().to_owned(), store.known().clone());
                return Ok((Present::Store(Box::new(store), known), path));
            }
            Some(error) => error,
        },
        Err(StoreError::Missing(_)) => {
            platform::private_folders(folder).map_err(failed)?;
            return Ok((Present::Nothing, resolved()?));
        }
        Err(error) => error,
    };
    match error {
        // If asked, an unreadable store is moved aside whole.
        StoreError::Corrupt { .. }
        | StoreError::Newer { .. }
        | StoreError::Rewound(_)
        | StoreError::Foreign { .. }
        | StoreError::Insecure { weakness: Weakness::StaleLog(_), .. } => {
            let is_file = place.symlink_metadata().is_ok_and(|found| found.is_file());
            if as_it_was && is_file { Ok((Present::Unreadable, resolved()?)) } else { Err(RestoreError::Untold(error)) }
        }
        error => Err(error.into()),
    }
}

/// What prevents the store from saying what was revoked in it, or from accepting rows.
fn damage_of(store: &Store) -> Result<Option<StoreError>, StoreError> {
    let corrupt = |detail| StoreError::Corrupt { path: store.path().to_owned(), detail };
    let view = store.view()?;
    match flaw(&view) {
        Ok(found) => Ok(found.map(corrupt)),
        Err(error @ StoreError::Corrupt { .. }) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// The first flaw.
fn flaw(view: &View<'_>) -> Result<Option<String>, StoreError> {
    Ok(view.damage()?.into_iter().chain(view.strange_parts()?).next())
}

/// A copy of the backup at `to`, checked and upgraded.
fn copied(backup: &Path, to: &Path) -> Result<Store, RestoreError> {
    match Store::open_to_read(backup) {
        Ok(store) => {
            let written = store.backup(to);
            written.map_err(|error| match error {
                BackupError::Unsound(detail) => RestoreError::Unsound { path: backup.to_owned(), detail },
                error => error.into(),
            })?;
        }
        // Backup programs hard-link identical files. A file that is not in use can be read under any name.
        Err(StoreError::Insecure { weakness: Weakness::SecondName | Weakness::MountedFile, .. })
            if beside::all_of(backup).iter().all(|file| !file.exists()) =>
        {
            place::copy_file(backup, to)?;
        }
        Err(error) => return Err(RestoreError::Backup(error)),
    }
    let unsound = |detail| RestoreError::Unsound { path: backup.to_owned(), detail };
    let mut store = Store::open(to).map_err(|error| match error {
        // The copy is damaged because the backup is.
        StoreError::Corrupt { detail, .. } => unsound(detail),
        error => RestoreError::Backup(error),
    })?;
    store.stay_here()?;
    let view = store.view()?;
    if let Some(flaw) = flaw(&view)? {
        return Err(unsound(flaw));
    }
    if let ChainCheck::Broken { seq, what } = view.check_history(|_| {})? {
        return Err(unsound(format!("its history is not as it was written: at row {seq}, {what}")));
    }
    drop(view);
    Ok(store)
}

/// Whether the history of the store contains the history of the copy.
fn is_ancestor(copy: &Store, store: &Store) -> Result<bool, StoreError> {
    let head = copy.view()?.head()?;
    // Every history contains the empty one.
    let is_same = head.seq > 0 || copy.id() == store.id();
    Ok(is_same && history::has_been_at(&store.conn, &head)?)
}

impl Changes<'_> {
    fn record_restore(&self, as_it_was: bool) -> Result<(), StoreError> {
        let detail = json!({"backup_head": self.head()?.seq, "as_it_was": as_it_was});
        self.append("store.restore", "store", None, "store", detail)
    }
}
