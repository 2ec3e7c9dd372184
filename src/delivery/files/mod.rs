//! Files that appear complete or not at all, and can be taken back until the change that belongs to them
//! is made.
//!
//! What may break here, and how it is kept from breaking:
//!
//! - **A crash.** A file is written without a name, brought to the disk, and named last: there is nothing
//!   half-written to find. Where the file system knows no files without a name, and where a file is replaced,
//!   a neighbour `.NAME.keyward` is used; what a crash leaves of it is removed by the next delivery to NAME, or
//!   when the next `--ensure` finds NAME in order.
//! - **A change that fails after the delivery.** A new file is removed again. A replaced one has changed places
//!   with its neighbour, and changes back; only then, or when the change is made, the neighbour goes.
//! - **Two processes at once.** The folder is locked (flock) from before a file is read until the change is
//!   made, so nobody's line in a dotenv file is lost. Editors know nothing of the lock.
//! - **Links and devices.** The last part of a path is never followed, and only a regular file is replaced.
//! - **Permissions.** A new file is 0600 from its first moment; a dotenv file keeps its owner, and a
//!   replaced file of its mode what concerns the owner.

mod fresh;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use zeroize::Zeroizing;

use self::fresh::{Fresh, exchange, neighbour, next};
use crate::error::{Code, Error};
use keyward_core::rules::text::shell_path;

/// How long another process may keep a folder locked.
const LOCK_STEP: Duration = Duration::from_millis(20);
const LOCK_STEPS: u32 = 500;
/// More than any dotenv file, or any file with a secret, has.
const MOST: u64 = 1024 * 1024;

/// The files of one change.
#[derive(Debug, Default)]
pub(super) struct Files {
    folders: Vec<Folder>,
    done: Vec<Done>,
}

#[derive(Debug)]
struct Folder {
    id: (u64, u64),
    fd: Rc<OwnedFd>,
}

/// A name in a folder that nobody else delivers to in the meantime.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    folder: Rc<OwnedFd>,
    name: OsString,
    path: PathBuf,
}

/// A file that is there already.
#[derive(Debug)]
pub(super) struct Found {
    /// What is in it.
    pub(super) content: Zeroizing<Vec<u8>>,
    mode: u32,
    owner: (Uid, Gid),
}

impl Found {
    /// Its mode, where others than its owner have anything to do with the file.
    pub(super) fn open_mode(&self) -> Option<u32> {
        Some(self.mode).filter(|mode| mode & 0o077 != 0)
    }
}

/// What was done, so that it can be undone.
#[derive(Debug)]
enum Done {
    /// There was no file.
    Made(Spot),
    /// The former file is beside the new one.
    Exchanged(Spot),
    /// The former file is gone: this file system cannot exchange two.
    Replaced,
    /// The file was so many bytes long.
    Appended { file: File, length: u64, longer: u64 },
    /// There was no file, and it was made to be added to.
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
            return Err(refused(path, "that is no file; without a flag, the secret goes to standard output")
                .hint("leave the flag out; a file of this name is ./-"));
        }
        let names_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let Some(name) = path.file_name().filter(|_| !names_folder) else {
            return Err(refused(path, "it names a folder").hint("name a file in it"));
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(parent, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT => {
                refused(path, "its folder is not there").hint(format!("make it: mkdir -p {}", shell_path(parent)))
            }
            error => failed(path, error),
        })?;
        let stat = rustix::fs::fstat(&folder).map_err(|error| failed(path, error))?;
        let id = (stat.st_dev, stat.st_ino);
        let folder = if let Some(known) = self.folders.iter().find(|folder| folder.id == id) {
            Rc::clone(&known.fd)
        } else {
            lock(&folder, path)?;
            let fd = Rc::new(folder);
            self.folders.push(Folder { id, fd: Rc::clone(&fd) });
            fd
        };
        Ok(Spot { folder, name: name.to_owned(), path: path.to_owned() })
    }

    /// Puts a file there. `former` is what was found there; where nothing was found, nothing may be there.
    /// With `keep_owner`, the new file belongs to whom the former one belonged.
    pub(super) fn put(
        &mut self,
        spot: &Spot,
        content: &[u8],
        former: Option<&Found>,
        keep_owner: bool,
    ) -> Result<(), Error> {
        let spot = spot.clone();
        let failed = |error: Errno| match error {
            Errno::EXIST if former.is_none() => is_there(&spot.path),
            Errno::BUSY => refused(&spot.path, "it is mounted, and cannot be replaced")
                .hint("deliver to a file that is not mounted by itself, or mount its folder"),
            error => failed(&spot.path, error),
        };
        let mode = former.map_or(0o600, |found| found.mode & 0o700);
        let fresh = Fresh::write(&spot, content, Mode::from_raw_mode(mode)).map_err(failed)?;
        let Some(former) = former else {
            fresh.name(&spot).map_err(failed)?;
            self.done.push(Done::Made(spot));
            return Ok(());
        };
        if keep_owner {
            fresh.keep_owner(former).map_err(|_| {
                refused(&spot.path, "it belongs to another user, who would lose it")
                    .hint("run keyward as that user, or deliver to a file of your own")
            })?;
        }
        // What this change has put there itself is not what would be put back, and its neighbour has to stay.
        let is_ours = self.done.iter().any(|done| done.is_at(&spot));
        let neighbour = if is_ours { next(&spot.name) } else { neighbour(&spot.name) };
        fresh.name_beside(&spot, &neighbour).map_err(failed)?;
        // Whatever happens to it now, it does not stay beside: it holds the secret.
        let remove = |error| {
            let _ = rustix::fs::unlinkat(&*spot.folder, &neighbour, AtFlags::empty());
            failed(error)
        };
        let exchanged = if is_ours { Err(Errno::INVAL) } else { exchange(&spot, &neighbour) };
        if exchanged.is_ok() {
            self.done.push(Done::Exchanged(spot));
            return Ok(());
        }
        rustix::fs::renameat(&*spot.folder, &neighbour, &*spot.folder, &spot.name).map_err(remove)?;
        if !is_ours {
            self.done.push(Done::Replaced);
        }
        Ok(())
    }

    /// Adds to the end of a file, which is made where there is none.
    pub(super) fn append(&mut self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let failed = |error: Errno| match error {
            Errno::LOOP => refused(path, "it is a link").hint("name the file that the link points to"),
            error => failed(path, error),
        };
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let file = match rustix::fs::open(path, flags, mode) {
            Err(Errno::NOENT) => {
                let file = rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, mode).map_err(failed)?;
                self.done.push(Done::Begun(path.to_owned()));
                rustix::fs::fchmod(&file, mode).map(|()| file)
            }
            found => found,
        }
        .map_err(failed)?;
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        check_regular(path, &stat)?;
        let length = u64::try_from(stat.st_size).unwrap_or(0);
        let mut last = [0];
        if length > 0 {
            rustix::io::pread(&file, &mut last, length - 1).map_err(failed)?;
        }
        let mut file = File::from(file);
        // What somebody left without an end of its line would run into ours.
        let gap: &[u8] = if length > 0 && last != *b"\n" { b"\n" } else { b"" };
        let written = file.write_all(gap).and_then(|()| file.write_all(content)).and_then(|()| file.sync_all());
        let longer = length + (gap.len() + content.len()) as u64;
        self.done.push(Done::Appended { file, length, longer });
        written.map_err(|error| from_io(path, &error))
    }

    /// Brings the names to the disk; their contents are there already.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.folders.iter().try_for_each(|folder| rustix::fs::fsync(&*folder.fd)).map_err(|error| {
            Error::new(Code::NotDelivered, format!("the folder of the secret cannot be brought to the disk: {error}"))
                .hint("nothing was changed; look at the disk, or deliver to another folder")
        })
    }

    /// The change was made: what was replaced goes.
    pub(super) fn keep(self) {
        for done in self.done {
            if let Done::Exchanged(spot) = done {
                let _ = rustix::fs::unlinkat(&*spot.folder, neighbour(&spot.name), AtFlags::empty());
            }
        }
    }

    /// The change was not made: everything is put back as it was. Returns whether that was possible.
    pub(super) fn take_back(self) -> bool {
        // The last one first: a file may have been changed twice.
        let undo = |done| match done {
            Done::Made(spot) => rustix::fs::unlinkat(&*spot.folder, &spot.name, AtFlags::empty()).is_ok(),
            Done::Exchanged(spot) => {
                let neighbour = neighbour(&spot.name);
                rustix::fs::renameat(&*spot.folder, neighbour, &*spot.folder, &spot.name).is_ok()
            }
            Done::Replaced => false,
            Done::Appended { file, length, longer } => {
                file.metadata().is_ok_and(|found| found.len() <= longer) && file.set_len(length).is_ok()
            }
            Done::Begun(path) => std::fs::remove_file(path).is_ok(),
        };
        // Each of them, whatever came of the others.
        self.done.into_iter().rev().map(undo).filter(|undone| !undone).count() == 0
    }
}

impl Done {
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
    /// The path as it was named.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what a process left that was killed: the lock says that nobody is at work.
    pub(super) fn clear_up(&self) {
        for leftover in [neighbour(&self.name), next(&self.name)] {
            let _ = rustix::fs::unlinkat(&*self.folder, leftover, AtFlags::empty());
        }
    }

    /// The file that is there, if there is one.
    pub(super) fn read(&self) -> Result<Option<Found>, Error> {
        // NONBLOCK: opening a FIFO would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&*self.folder, &self.name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => {
                return Err(refused(&self.path, "it is a link").hint("name the file that the link points to"));
            }
            Err(error) => return Err(failed(&self.path, error)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| failed(&self.path, error))?;
        check_regular(&self.path, &stat)?;
        check_owner(&self.path, &*self.folder, &stat)?;
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if size > MOST {
            return Err(
                refused(&self.path, "it is larger than 1 MiB, which is no file of secrets").hint("name another file")
            );
        }
        let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
        let read = File::from(file).take(MOST).read_to_end(&mut content);
        read.map_err(|error| from_io(&self.path, &error))?;
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        Ok(Some(Found { content, mode: stat.st_mode & 0o7777, owner }))
    }
}

fn lock(folder: impl AsFd, path: &Path) -> Result<(), Error> {
    for _ in 0..LOCK_STEPS {
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_STEP),
            // An error is a file system without locks: nothing else can be done there.
            Ok(()) | Err(_) => return Ok(()),
        }
    }
    Err(refused(path, "another process has its folder locked").hint("it was tried for 10 seconds; try again"))
}

fn check_regular(path: &Path, stat: &Stat) -> Result<(), Error> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(refused(path, "it is a folder").hint("name a file in it")),
        _ => Err(refused(path, "it is a device, a pipe or a socket").hint("name a file, or use --secret-to COMMAND")),
    }
}

/// In a folder where everybody may put files, a file of somebody else's is a trap: they would read what comes in.
fn check_owner(path: &Path, folder: impl AsFd, file: &Stat) -> Result<(), Error> {
    let is_open = rustix::fs::fstat(folder).is_ok_and(|folder| folder.st_mode & 0o002 != 0);
    if is_open && file.st_uid != rustix::process::geteuid().as_raw() {
        return Err(refused(path, "it belongs to another user, in a folder where everybody can put files")
            .hint("deliver to a folder of your own"));
    }
    Ok(())
}

/// The error for a file that is there and must not be replaced.
pub(super) fn is_there(path: &Path) -> Error {
    refused(path, "there is a file already").hint("replace it with --force, or name another one")
}

/// The error for a file that cannot take a secret.
pub(super) fn refused(path: &Path, why: &str) -> Error {
    Error::new(Code::NotDelivered, format!("{} did not take the secret: {why}; nothing was changed", path.display()))
}

fn from_io(path: &Path, error: &std::io::Error) -> Error {
    match Errno::from_io_error(error) {
        Some(error) => failed(path, error),
        None => refused(path, &error.to_string()).hint("name another file"),
    }
}

fn failed(path: &Path, error: Errno) -> Error {
    let why = std::io::Error::from(error).to_string();
    refused(path, why.split(" (os error").next().unwrap_or(&why)).hint(match error {
        Errno::NOSPC | Errno::DQUOT => "free some space, or deliver to another file system",
        Errno::ACCESS | Errno::PERM | Errno::ROFS => "name a file in a folder that you may write",
        _ => "name another file",
    })
}
