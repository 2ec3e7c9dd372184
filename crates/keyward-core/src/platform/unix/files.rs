//! Files: modes, owners and links.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{Access, OFlags, access, statvfs};
#[cfg(target_os = "linux")]
use rustix::fs::{CWD, RenameFlags};
#[cfg(target_os = "linux")]
use rustix::io::Errno;

/// Only the owner, reading and writing.
const PRIVATE: u32 = 0o600;

/// What those may do with a file who are not its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherUsers {
    /// Nothing.
    Nothing,
    /// Some of them may look at it.
    Read,
    /// A group of them may change it.
    GroupWrites,
    /// All of them may change it.
    AllWrite,
}

impl OtherUsers {
    /// What they may do with this file.
    pub(crate) fn of(file: &Metadata) -> Self {
        match mode(file) {
            mode if mode & 0o002 != 0 => Self::AllWrite,
            mode if mode & 0o020 != 0 => Self::GroupWrites,
            mode if mode & 0o077 != 0 => Self::Read,
            _ => Self::Nothing,
        }
    }
}

/// What the owner of a file, its group and everybody else may do with it, as the system writes it: `0o640`.
pub(crate) fn mode(file: &Metadata) -> u32 {
    file.permissions().mode() & 0o777
}

/// Whether every user may put another file in the place of one that is in this folder: everybody may write it, and it
/// is not sticky.
pub(crate) fn anybody_may_replace_in(folder: &Metadata) -> bool {
    let mode = folder.permissions().mode();
    mode & 0o002 != 0 && mode & 0o1000 == 0
}

/// Whether `file` belongs to somebody who could change `main` anyway: its owner, this process's user, the system's, or
/// its group where that may write it.
pub(crate) fn is_trusted_beside(main: &Metadata, file: &Metadata) -> bool {
    let own = rustix::process::geteuid().as_raw();
    [main.uid(), own, 0].contains(&file.uid()) || main.permissions().mode() & 0o020 != 0
}

/// Whether the file has further names, in places that nobody looked at.
pub(crate) fn has_other_names(file: &Metadata) -> bool {
    file.nlink() > 1
}

/// Whether this process may read the file.
pub(crate) fn may_read(path: &Path) -> bool {
    access(path, Access::READ_OK).is_ok()
}

/// Whether this process may write the file.
pub(crate) fn may_write(path: &Path) -> bool {
    access(path, Access::WRITE_OK).is_ok()
}

/// Whether the disk of this folder has no room left for this process. Where the system does not tell, it has.
pub(crate) fn is_full(folder: &Path) -> bool {
    statvfs(folder).is_ok_and(|system| system.f_bavail == 0)
}

/// Makes the folder and those above it, as far as they are not there, private to their owner from the start.
pub(crate) fn private_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a new file that only its owner can read from its first moment, whatever the mask of the process says. There
/// must be nothing of this name.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)?;
    // The mask of the process may have taken more away than it should.
    file.set_permissions(Permissions::from_mode(PRIVATE))?;
    Ok(file)
}

/// Only the owner has anything to do with the file from now on.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(PRIVATE))
}

/// Opens a file to be read, and does not follow a link, or wait for the other end of a pipe.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Gives the file at `path` the group and the mode of `other`, unless it has them.
///
/// # Errors
/// Where this process may not do that.
pub(crate) fn give_access_of(other: &Metadata, path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.gid() != other.gid() && mode(other) & 0o070 != 0 {
        std::os::unix::fs::lchown(path, None, Some(other.gid()))?;
    }
    if mode(&found) == mode(other) {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode(other)))
}

/// Fills `bytes` with what stands in the file from `start` on. Several threads may do so at once.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    file.read_exact_at(bytes, start)
}

/// Gives the file another name, at which there must be nothing. Where the system cannot do that at once, the file has
/// both names for a moment.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // An old system, or a file system that cannot do it.
        Err(Errno::NOSYS | Errno::INVAL | Errno::PERM) => {}
        done => return Ok(done?),
    }
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}
