//! A backup becomes the store, and what was revoked since stays revoked.
//!
//! The restored state is put together in a copy of the backup, beside the store, so that nothing is changed before a
//! person has seen what will be. Then it takes the place of what is there in one transaction, by way of SQLite: whoever
//! has the store open meets another identity, and reads it anew.
//!
//! What may break: somebody changes the store in between. Then nothing is done, and it can be tried again. A kill leaves
//! the copy, under a hidden name, and the store as it was.

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
    /// The present store cannot tell what was revoked since.
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

/// What was changed since the backup, and is changed again.
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
    /// The settings that are restricted, by their names in JSON.
    pub fields: Vec<String>,
}

/// What there is where the backup goes.
#[derive(Debug)]
enum Present {
    /// Nothing.
    Nothing,
    /// A store in a file that can be read, and which it was when the restored state was put together.
    Store(Box<Store>, Known),
    /// The same on a server; and what is kept of it goes beside this file.
    #[cfg(feature = "postgres")]
    OnServer(Box<Store>, Known, PathBuf),
    /// A store that cannot be read.
    Unreadable,
}

/// A restored state that is ready to take its place.
#[derive(Debug)]
pub struct Restore {
    place: PathBuf,
    present: Present,
    copy: Option<Store>,
    /// The end of the history of the backup.
    #[cfg(feature = "postgres")]
    base: Head,
    file: Unfinished,
    /// What was revoked since the backup and will be again.
    pub made_again: Vec<MadeAgain>,
    /// What was revoked since the backup and will not be any more.
    pub revived: Vec<MadeAgain>,
    /// The keys that were made since, and will be gone.
    pub left_out: Vec<(Name, Id)>,
    /// How many keys there will be.
    pub keys: u64,
}

impl Restore {
    /// Puts together what will be at `place` when `backup` is restored there. Nothing that is there is changed.
    ///
    /// With `as_it_was`, what was revoked since comes back, too.
    ///
    /// # Errors
    /// [`RestoreError`] says which of the many reasons it is; [`StoreError::Denied`] for who may not do this.
    pub fn prepare(backup: &Path, place: &Path, as_it_was: bool, stamp: Stamp<'_>) -> Result<Self, RestoreError> {
        // The backup may be named by a link to the newest one.
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
            // Whoever acts as somebody has the permissions that the backup gives them.
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

    /// Whether there is a store that it takes the place of.
    pub fn replaces(&self) -> bool {
        !matches!(self.present, Present::Nothing)
    }

    /// Where it goes.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Puts it in its place, and returns where the former store is kept, if there was one.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] where the store was changed since it was looked at, or where it cannot be written. Then
    /// the store is as it was.
    pub fn finish(mut self, stamp: Stamp<'_>) -> Result<Option<PathBuf>, RestoreError> {
        // The last connection that is closed leaves one file.
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
    /// The store that can tell what was revoked.
    fn store(&self) -> Option<&Store> {
        match self {
            Self::Store(store, _) => Some(store),
            #[cfg(feature = "postgres")]
            Self::OnServer(store, ..) => Some(store),
            Self::Nothing | Self::Unreadable => None,
        }
    }
}

/// What is at the place, and the place as a path without links.
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
        // What cannot be read is put aside, whole, where that is asked for.
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

/// What keeps the store from telling what was revoked in it, or from taking rows.
fn damage_of(store: &Store) -> Result<Option<StoreError>, StoreError> {
    let corrupt = |detail| StoreError::Corrupt { path: store.path().to_owned(), detail };
    let view = store.view()?;
    match flaw(&view) {
        Ok(found) => Ok(found.map(corrupt)),
        Err(error @ StoreError::Corrupt { .. }) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// The first thing that is not as it should be.
fn flaw(view: &View<'_>) -> Result<Option<String>, StoreError> {
    Ok(view.damage()?.into_iter().chain(view.strange_parts()?).next())
}

/// A copy of the backup at `to`, looked through, and brought up to date.
fn copied(backup: &Path, to: &Path) -> Result<Store, RestoreError> {
    match Store::open_to_read(backup) {
        Ok(store) => {
            let written = store.backup(to);
            written.map_err(|error| match error {
                BackupError::Unsound(detail) => RestoreError::Unsound { path: backup.to_owned(), detail },
                error => error.into(),
            })?;
        }
        // Programs that keep backups link those that are alike. A file that nobody uses can be read by any name.
        Err(StoreError::Insecure { weakness: Weakness::SecondName | Weakness::MountedFile, .. })
            if beside::all_of(backup).iter().all(|file| !file.exists()) =>
        {
            place::copy_file(backup, to)?;
        }
        Err(error) => return Err(RestoreError::Backup(error)),
    }
    let unsound = |detail| RestoreError::Unsound { path: backup.to_owned(), detail };
    let mut store = Store::open(to).map_err(|error| match error {
        // It is the copy that is damaged because the backup is.
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

/// Whether the history of the store contains that of the copy.
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
