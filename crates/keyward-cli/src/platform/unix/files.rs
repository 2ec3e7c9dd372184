//! Files that only their owner can read, their replacement, and their ownership.
//!
//! What may break: the folder changes while a file in it is written. So a [`Folder`] is opened once, and everything in
//! it is reached through it, wherever its path leads by then. No function here follows the last part of a name, and
//! none waits for the other end of a pipe.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;

/// Only the owner, reading and writing.
const PRIVATE: u32 = 0o600;

/// A user of this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User(u32);

impl User {
    /// The user of this process when it accesses files.
    pub fn own() -> Self {
        Self(rustix::process::geteuid().as_raw())
    }
}

/// In the form that the system's commands accept.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The owner of a file: its user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: User,
    group: u32,
}

/// The owner of the file.
pub fn owner(file: &Metadata) -> Owner {
    Owner { user: User(file.uid()), group: file.gid() }
}

/// What users other than the owner may do with a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherUsers {
    /// Nothing.
    Nothing,
    /// Read it.
    Read,
    /// Write it.
    Write,
}

/// The permissions of the owner, the group and everybody else, as the system writes them: `0o640`.
pub fn mode(file: &Metadata) -> u32 {
    file.permissions().mode() & 0o7777
}

impl OtherUsers {
    /// What they may do with this file or folder.
    pub fn of(file: &Metadata) -> Self {
        match mode(file) {
            mode if mode & 0o022 != 0 => Self::Write,
            mode if mode & 0o077 != 0 => Self::Read,
            _ => Self::Nothing,
        }
    }
}

/// Makes the file accessible to its owner only, whatever the umask of the process. If there is a `former` file, the
/// owner keeps the permissions that they had on it.
///
/// # Errors
/// If the system refuses.
pub fn make_private(file: &File, former: Option<&Metadata>) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(former.map_or(PRIVATE, |former| mode(former) & 0o700)))
}

/// Gives the file to this owner, unless it already belongs to them.
///
/// # Errors
/// If this process may not give files away.
pub fn give(file: &File, to: Owner) -> io::Result<()> {
    if owner(&file.metadata()?) == to {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(to.user.0), Gid::from_raw(to.group));
    Ok(rustix::fs::fchown(file, Some(user), Some(group))?)
}

/// Lets everybody read the file, and only its owner write it.
///
/// # Errors
/// If the system refuses.
pub fn publish(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o644))
}

/// A file that exists only in memory; `None` if the system does not support that.
pub fn file_in_memory() -> Option<File> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return rustix::fs::memfd_create("keyward", rustix::fs::MemfdFlags::CLOEXEC).ok().map(File::from);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    None
}

/// Makes a folder that only its owner can access, from the start.
///
/// # Errors
/// If the name is taken, or the system refuses.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Whether opening a file failed because the last part of its path is a link.
pub fn is_link_error(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Opens a file for appending and reading. With `new`, it is made, private to its owner from the start, and must not
/// exist.
///
/// # Errors
/// If the system refuses; [`is_link_error`] for a link.
pub fn append_file(path: &Path, new: bool) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = File::options();
    options.read(true).append(true).create_new(new).mode(PRIVATE).custom_flags(flags.bits().cast_signed());
    options.open(path)
}

/// Opens a log for appending; it is made if it does not exist. The log may be a pipe: writing to it may wait for
/// readers, but opening it does not.
///
/// # Errors
/// If the system refuses; for a pipe, if it has no reader.
pub fn open_log(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().append(true).create(true).custom_flags(flags).open(path)?;
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Opens a file for reading. It does not follow a link, and does not wait, because the file may be a pipe without a
/// writer.
///
/// # Errors
/// If the system refuses; [`is_link_error`] for a link.
pub fn open_unlinked(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Identifies a folder, whatever its paths are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(u64, u64);

/// An open folder: it stays the same one, whatever is done to its path.
#[derive(Debug)]
pub struct Folder(File);

impl Folder {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(File::from(rustix::fs::open(path, flags, Mode::empty())?)))
    }

    /// Its identity among all folders.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn identity(&self) -> io::Result<Identity> {
        let found = self.0.metadata()?;
        Ok(Identity(found.dev(), found.ino()))
    }

    /// Whether everybody may put files into it.
    pub fn is_open_to_all(&self) -> bool {
        self.0.metadata().is_ok_and(|found| found.permissions().mode() & 0o002 != 0)
    }

    /// Locks it until it is closed, against other processes that also take the lock. Returns whether it is locked now.
    /// A file system without locks counts as locked, because nothing better is possible there.
    pub fn try_lock(&self) -> bool {
        !matches!(rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK))
    }

    /// Syncs the names in it to the disk.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// Opens a file in it for reading.
    ///
    /// # Errors
    /// If there is none; [`is_link_error`] for a link.
    pub fn open_file(&self, name: &OsStr) -> io::Result<File> {
        // NONBLOCK: opening a FIFO would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// A new file with this name, which only its owner can read from the start.
    ///
    /// # Errors
    /// If the name is taken, or the system refuses.
    pub fn private_file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(PRIVATE))?))
    }

    /// A new file without a name, which only its owner can read; it disappears with this process unless
    /// [`Folder::give_name`] names it.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if the system or the file system has no such files.
    #[cfg(target_os = "linux")]
    pub fn unnamed_file(&self) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.0, ".", flags, Mode::from_raw_mode(PRIVATE))?);
        // Without /proc, the file could never get a name.
        rustix::fs::stat(as_path(&file))?;
        Ok(file)
    }

    /// A new file without a name: this system has none.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    #[cfg(not(target_os = "linux"))]
    pub fn unnamed_file(&self) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Gives an unnamed file this name, which must be free.
    ///
    /// # Errors
    /// If the name is taken, or the system refuses.
    pub fn give_name(&self, file: &File, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::linkat(CWD, as_path(file), &self.0, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Gives the file `from` the name `to`, which must be free: unlike [`Folder::replace`], it never replaces a file
    /// that appeared in the meantime. If it fails, the file is removed.
    ///
    /// # Errors
    /// If the name is taken, or the system refuses.
    pub fn rename_new(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let linked = rustix::fs::linkat(&self.0, from, &self.0, to, AtFlags::empty());
        Ok(rustix::fs::unlinkat(&self.0, from, AtFlags::empty()).and(linked)?)
    }

    /// Gives the file `from` the name `to`, and replaces any file with that name, in one step.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn replace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Exchanges the names of two files in one step.
    ///
    /// # Errors
    /// If this file system cannot do that, or the system refuses.
    pub fn exchange(&self, one: &OsStr, other: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(&self.0, one, &self.0, other, RenameFlags::EXCHANGE)?)
    }

    /// Removes the file with this name.
    ///
    /// # Errors
    /// If there is none, or the system refuses.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }
}

fn as_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
