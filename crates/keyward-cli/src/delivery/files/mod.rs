//! Files that appear complete or not at all, and can be withdrawn until their change is made.
//!
//! What may break here, and what prevents it:
//!
//! - **A crash.** A file is written without a name, synced to the disk, and named last, so there is never a
//!   half-written one. If the file system has no unnamed files, or if a file is replaced, a neighbour `.NAME.keyward`
//!   is used. What a crash leaves of it is removed by the next delivery to NAME, or when the next `--ensure` finds NAME
//!   in order.
//! - **A change that fails after the delivery.** A new file is removed again. A replaced one was exchanged with its
//!   neighbour, and is exchanged back; the neighbour is removed only then, or when the change is made.
//! - **Two processes at once.** The folder is locked (flock) from before a file is read until the change is made, so no
//!   line in a dotenv file is lost. Editors do not know about the lock.
//! - **Links and devices.** The last part of a path is never followed, and only a regular file is replaced.
//! - **Permissions.** A new file is 0600 from the start. A replaced one keeps its owner and its group, and a dotenv
//!   file keeps the owner's part of its mode.

mod fresh;

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use zeroize::Zeroizing;

use self::fresh::{Fresh, neighbour, next};
use crate::error::{Code, Error};
use crate::platform::{self, Folder, Identity, User};
use crate::text::{shell_path, unexpanded};

/// The pause between attempts to lock a folder, and the number of attempts: ten seconds in all.
const LOCK_STEP: Duration = Duration::from_millis(20);
const LOCK_STEPS: u32 = 500;
/// More than any dotenv file or secret file has.
const MOST: u64 = 1024 * 1024;

/// The files of one change.
#[derive(Debug, Default)]
pub(super) struct Files {
    folders: Vec<(Identity, Rc<Folder>)>,
    undo: Vec<Undo>,
}

/// A name in a folder to which no one else delivers in the meantime.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    folder: Rc<Folder>,
    name: OsString,
    path: PathBuf,
}

/// An existing file.
#[derive(Debug)]
pub(super) struct ExistingFile {
    /// What is in it.
    pub(super) content: Zeroizing<Vec<u8>>,
    about: Metadata,
}

impl ExistingFile {
    /// Its mode, if it gives others than the owner any permissions.
    pub(super) fn open_mode(&self) -> Option<u32> {
        Some(platform::mode(&self.about)).filter(|mode| mode & 0o077 != 0)
    }
}

/// What was done, so that it can be undone.
#[derive(Debug)]
enum Undo {
    /// There was no file.
    Made(Spot),
    /// The former file is beside the new one.
    Exchanged(Spot),
    /// The former file is gone, because this file system cannot exchange two.
    Replaced,
    /// The length of the file before, in bytes.
    Appended { file: File, length: u64, longer: u64 },
    /// There was no file, and one was made to append to.
    Begun(PathBuf),
}

impl Files {
    /// Finds the folder of `path` and locks it.
    pub(super) fn find(&mut self, path: &Path) -> Result<Spot, Error> {
        let is_neighbour = |name: &OsStr| {
            let name = name.as_encoded_bytes();
            name.starts_with(b".") && (name.ends_with(b".keyward") || name.ends_with(b".keyward-next"))
        };
        if path.file_name().is_some_and(is_neighbour) {
            return Err(
                refused(path, "keyward keeps such names for files that are being written").hint("name another file")
            );
        }
        if path.as_os_str() == "-" {
            return Err(refused(path, "that is not a file; without a flag, the secret goes to standard output")
                .hint("leave the flag out; a file of this name is ./-"));
        }
        if let Some((what, instead)) = unexpanded(path) {
            let why = format!("no shell replaced the {what} by {instead}");
            return Err(refused(path, &why)
                .hint("write the whole path, or a space instead of the = before it")
                .hint(format!("for a folder that is really called so: ./{}", path.display())));
        }
        let names_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let Some(name) = path.file_name().filter(|_| !names_folder) else {
            return Err(refused(path, "it names a folder").hint("name a file in it"));
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = Folder::open(parent).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                refused(path, "its folder is not there").hint(format!("make it: mkdir -p {}", shell_path(parent)))
            }
            _ => failed(path, &error),
        })?;
        let identity = folder.identity().map_err(|error| failed(path, &error))?;
        let folder = if let Some((_, known)) = self.folders.iter().find(|(known, _)| *known == identity) {
            Rc::clone(known)
        } else {
            lock(&folder, path)?;
            let folder = Rc::new(folder);
            self.folders.push((identity, Rc::clone(&folder)));
            folder
        };
        Ok(Spot { folder, name: name.to_owned(), path: path.to_owned() })
    }

    /// Puts a file there, with the owner of the former one. `former` is what was found there; if nothing was found, the
    /// spot must still be free. With `keep_mode`, the owner's permissions stay as before; otherwise they are those of a
    /// new file.
    pub(super) fn put(
        &mut self,
        spot: &Spot,
        content: &[u8],
        former: Option<&ExistingFile>,
        keep_mode: bool,
    ) -> Result<(), Error> {
        let spot = spot.clone();
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::AlreadyExists if former.is_none() => is_there(&spot.path),
            ErrorKind::ResourceBusy => refused(&spot.path, "it is mounted, and cannot be replaced")
                .hint("deliver to a file that is not mounted by itself, or mount its folder"),
            _ => failed(&spot.path, &error),
        };
        let fresh = Fresh::write(&spot, content, former.filter(|_| keep_mode)).map_err(failed)?;
        let Some(former) = former else {
            fresh.name(&spot).map_err(failed)?;
            self.undo.push(Undo::Made(spot));
            return Ok(());
        };
        fresh.keep_owner(former).map_err(|_| {
            refused(&spot.path, "it belongs to another user, who would lose it")
                .hint("run keyward as that user, or deliver to a file of your own")
        })?;
        // What this change itself put there is not what must be restored, and its neighbour must stay.
        let is_ours = self.undo.iter().any(|done| done.is_at(&spot));
        let neighbour = if is_ours { next(&spot.name) } else { neighbour(&spot.name) };
        fresh.name_beside(&spot, &neighbour).map_err(failed)?;
        // Whatever happens, the neighbour must not stay: it holds the secret.
        let remove = |error| {
            let _ = spot.folder.remove(&neighbour);
            failed(error)
        };
        if !is_ours && spot.folder.exchange(&neighbour, &spot.name).is_ok() {
            self.undo.push(Undo::Exchanged(spot));
            return Ok(());
        }
        spot.folder.replace(&neighbour, &spot.name).map_err(remove)?;
        if !is_ours {
            self.undo.push(Undo::Replaced);
        }
        Ok(())
    }

    /// Appends to a file, which is made if it does not exist.
    pub(super) fn append(&mut self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let failed = |error: std::io::Error| match &error {
            link if platform::is_link_error(link) => {
                refused(path, "it is a link").hint("name the file that the link points to")
            }
            error => failed(path, error),
        };
        let mut file = match platform::append_file(path, false) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let file = platform::append_file(path, true).map_err(failed)?;
                self.undo.push(Undo::Begun(path.to_owned()));
                platform::make_private(&file, None).map(|()| file)
            }
            found => found,
        }
        .map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        check_regular(path, &about)?;
        let length = about.len();
        let mut last = [0];
        if length > 0 {
            // The read position does not affect where it appends.
            file.seek(SeekFrom::Start(length - 1)).and_then(|_| file.read(&mut last)).map_err(failed)?;
        }
        // A last line without a line end would run into ours.
        let gap: &[u8] = if length > 0 && last != *b"\n" { b"\n" } else { b"" };
        let written = file.write_all(gap).and_then(|()| file.write_all(content)).and_then(|()| file.sync_all());
        let longer = length + (gap.len() + content.len()) as u64;
        self.undo.push(Undo::Appended { file, length, longer });
        written.map_err(failed)
    }

    /// Syncs the names to the disk; the contents are already there.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.folders.iter().try_for_each(|(_, folder)| folder.sync()).map_err(|error| {
            Error::new(Code::NotDelivered, format!("the folder of the secret cannot be brought to the disk: {error}"))
                .hint("nothing was changed; look at the disk, or deliver to another folder")
        })
    }

    /// Called when the change was made: removes what was replaced.
    pub(super) fn keep(self) {
        for done in self.undo {
            if let Undo::Exchanged(spot) = done {
                let _ = spot.folder.remove(&neighbour(&spot.name));
            }
        }
    }

    /// Called when the change was not made: restores everything. Returns whether that was possible.
    pub(super) fn take_back(self) -> bool {
        // The last one first: a file may have been changed twice.
        let undo = |done| match done {
            Undo::Made(spot) => spot.folder.remove(&spot.name).is_ok(),
            Undo::Exchanged(spot) => spot.folder.replace(&neighbour(&spot.name), &spot.name).is_ok(),
            Undo::Replaced => false,
            Undo::Appended { file, length, longer } => {
                file.metadata().is_ok_and(|found| found.len() <= longer) && file.set_len(length).is_ok()
            }
            Undo::Begun(path) => std::fs::remove_file(path).is_ok(),
        };
        // Try each of them, whatever happened to the others.
        self.undo.into_iter().rev().map(undo).filter(|undone| !undone).count() == 0
    }
}

impl Undo {
    fn is_at(&self, spot: &Spot) -> bool {
        match self {
            Self::Made(other) | Self::Exchanged(other) => {
                other.name == spot.name && Rc::ptr_eq(&other.folder, &spot.folder)
            }
            Self::Replaced | Self::Appended { .. } | Self::Begun(_) => false,
        }
    }
}

impl Spot {
    /// The path as given.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what a killed process left: the lock proves that no other one is at work.
    pub(super) fn clear_up(&self) {
        for leftover in [neighbour(&self.name), next(&self.name)] {
            let _ = self.folder.remove(&leftover);
        }
    }

    /// The existing file, if there is one.
    pub(super) fn read(&self) -> Result<Option<ExistingFile>, Error> {
        let file = match self.folder.open_file(&self.name) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if platform::is_link_error(&error) => {
                return Err(refused(&self.path, "it is a link").hint("name the file that the link points to"));
            }
            Err(error) => return Err(failed(&self.path, &error)),
        };
        let about = file.metadata().map_err(|error| failed(&self.path, &error))?;
        check_regular(&self.path, &about)?;
        check_owner(&self.path, &self.folder, &about)?;
        let size = about.len();
        if size > MOST {
            return Err(refused(&self.path, "it is larger than 1 MiB, too large for a file of secrets")
                .hint("name another file"));
        }
        let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
        file.take(MOST).read_to_end(&mut content).map_err(|error| failed(&self.path, &error))?;
        Ok(Some(ExistingFile { content, about }))
    }
}

fn lock(folder: &Folder, path: &Path) -> Result<(), Error> {
    for _ in 0..LOCK_STEPS {
        if folder.try_lock() {
            return Ok(());
        }
        std::thread::sleep(LOCK_STEP);
    }
    Err(refused(path, "another process has its folder locked").hint("it was tried for 10 seconds; try again"))
}

fn check_regular(path: &Path, file: &Metadata) -> Result<(), Error> {
    match file.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => Err(refused(path, "it is a folder").hint("name a file in it")),
        _ => Err(refused(path, "it is a device, a pipe or a socket").hint("name a file, or use --secret-to COMMAND")),
    }
}

/// In a folder that everybody may write to, another user's file is a trap: they would read what is put in.
fn check_owner(path: &Path, folder: &Folder, file: &Metadata) -> Result<(), Error> {
    if folder.is_open_to_all() && platform::owner(file).user != User::own() {
        return Err(refused(path, "it belongs to another user, in a folder where everybody can put files")
            .hint("deliver to a folder of your own"));
    }
    Ok(())
}

/// The error for an existing file that must not be replaced.
pub(super) fn is_there(path: &Path) -> Error {
    refused(path, "it already exists").hint("replace it with --force, or name another one")
}

/// The error for a file that cannot take a secret.
pub(super) fn refused(path: &Path, why: &str) -> Error {
    Error::new(Code::NotDelivered, format!("cannot write {}: {why}; nothing was changed", path.display()))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    refused(path, &error.to_string()).hint(match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space, or deliver to another file system",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "name a file in a folder that you may write",
        _ => "name another file",
    })
}
