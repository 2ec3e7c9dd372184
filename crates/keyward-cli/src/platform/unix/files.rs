//! Files that only their owner can read, what replaces them, and who they belong to.
//!
//! What may break: somebody changes the folder while a file in it is written. So a [`Folder`] is opened once, and
//! everything in it is reached through it, whatever its path leads to by then. No function here follows the last part
//! of a name, and none waits for the other end of a pipe.

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
    /// The user as whom this process works with files.
    pub fn own() -> Self {
        Self(rustix::process::geteuid().as_raw())
    }
}

/// As the system's own commands take it.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// To whom a file belongs: its user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: User,
    group: u32,
}

/// To whom the file belongs.
pub fn owner(file: &Metadata) -> Owner {
    Owner { user: User(file.uid()), group: file.gid() }
}

/// What those may do who are not the owner of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherUsers {
    /// Nothing.
    Nothing,
    /// Look at it.
    Read,
    /// Change it.
    Write,
}

/// What the owner of a file, its group and everybody else may do with it, as the system writes it: `0o640`.
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

/// Only the owner has anything to do with the file from now on, whatever the mask of the process says. What the owner
/// may do is what they might do with `former`, where there is one.
///
/// # Errors
/// Whatever the system says.
pub fn make_private(file: &File, former: Option<&Metadata>) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(former.map_or(PRIVATE, |former| mode(former) & 0o700)))
}

/// Gives the file to this owner, unless it is theirs already.
///
/// # Errors
/// Where this process may not give files away.
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
/// Whatever the system says.
pub fn publish(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o644))
}

/// A file that is nowhere but in memory; `None` where the system has none.
pub fn file_in_memory() -> Option<File> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return rustix::fs::memfd_create("keyward", rustix::fs::MemfdFlags::CLOEXEC).ok().map(File::from);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    None
}

/// Makes a folder that only its owner has anything to do with, from its first moment.
///
/// # Errors
/// Where there is something of this name, or whatever the system says.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Whether the last part of the name of a file that was to be opened is a link.
pub fn is_link_error(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Opens a file to be added to and read. With `new`, it is made, private to its owner from the start, and must
/// not be there.
///
/// # Errors
/// Whatever the system says; [`is_link_error`] for a link.
pub fn append_file(path: &Path, new: bool) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = File::options();
    options.read(true).append(true).create_new(new).mode(PRIVATE).custom_flags(flags.bits().cast_signed());
    options.open(path)
}

/// Opens a log to be added to; it is made where it is not there. Whoever writes to it waits for readers, as a log may
/// be a pipe; who opens it does not.
///
/// # Errors
/// Whatever the system says; for a pipe, where nobody reads it.
pub fn open_log(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().append(true).create(true).custom_flags(flags).open(path)?;
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Opens a file to be read. A link is not followed, and nothing is waited for, as the file may be a pipe that nobody
/// writes to.
///
/// # Errors
/// Whatever the system says; [`is_link_error`] for a link.
pub fn open_unlinked(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// What tells one folder from every other, whatever its paths are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(u64, u64);

/// An open folder: it stays the same one, whatever is done to its path.
#[derive(Debug)]
pub struct Folder(File);

impl Folder {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(File::from(rustix::fs::open(path, flags, Mode::empty())?)))
    }

    /// What tells it from every other folder.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn identity(&self) -> io::Result<Identity> {
        let found = self.0.metadata()?;
        Ok(Identity(found.dev(), found.ino()))
    }

    /// Whether everybody may put files into it.
    pub fn is_open_to_all(&self) -> bool {
        self.0.metadata().is_ok_and(|found| found.permissions().mode() & 0o002 != 0)
    }

    /// Locks it until it is closed, for one process at a time that asks for the lock as well. Returns whether it is
    /// locked now. A file system without locks is taken for locked: nothing else can be done there.
    pub fn try_lock(&self) -> bool {
        !matches!(rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK))
    }

    /// Brings the names in it to the disk.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// Opens a file of it for reading.
    ///
    /// # Errors
    /// Where there is none; [`is_link_error`] for a link.
    pub fn open_file(&self, name: &OsStr) -> io::Result<File> {
        // NONBLOCK: opening a FIFO would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// A new file of this name, which only its owner can read from its first moment.
    ///
    /// # Errors
    /// Where there is something of this name, or whatever the system says.
    pub fn private_file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(PRIVATE))?))
    }

    /// A new file without a name, which only its owner can read; it is gone with this process unless
    /// [`Folder::give_name`] names it.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the system or the file system has no such files.
    #[cfg(target_os = "linux")]
    pub fn unnamed_file(&self) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.0, ".", flags, Mode::from_raw_mode(PRIVATE))?);
        // Without /proc it could never get a name.
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

    /// Gives a file without a name this one, which nothing may have.
    ///
    /// # Errors
    /// Where something has it, or whatever the system says.
    pub fn give_name(&self, file: &File, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::linkat(CWD, as_path(file), &self.0, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Gives the file `from` the name `to`, which nothing may have: unlike [`Folder::replace`], it replaces nothing
    /// that came in the meantime. Where that fails, the file is gone.
    ///
    /// # Errors
    /// Where something has the name, or whatever the system says.
    pub fn rename_new(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let linked = rustix::fs::linkat(&self.0, from, &self.0, to, AtFlags::empty());
        Ok(rustix::fs::unlinkat(&self.0, from, AtFlags::empty()).and(linked)?)
    }

    /// Gives the file `from` the name `to`, and replaces what has it, in one step.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn replace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Has two files change names, in one step.
    ///
    /// # Errors
    /// Where this file system cannot do that, or whatever the system says.
    pub fn exchange(&self, one: &OsStr, other: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(&self.0, one, &self.0, other, RenameFlags::EXCHANGE)?)
    }

    /// Removes the file of this name.
    ///
    /// # Errors
    /// Where there is none, or whatever the system says.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }
}

fn as_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
