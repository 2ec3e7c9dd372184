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

/// What users other than the owner may do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherUsers {
    /// Nothing.
    Nothing,
    /// Some of them may read it.
    Read,
    /// A group of them may change it.
    GroupWrites,
    /// Any of them may change it.
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

/// The permissions of the owner, the group and everybody else, as the system writes them: `0o640`.
pub(crate) fn mode(file: &Metadata) -> u32 {
    file.permissions().mode() & 0o777
}

/// Whether every user may replace a file in this folder: everybody may write the folder, and it is not sticky.
pub(crate) fn anybody_may_replace_in(folder: &Metadata) -> bool {
    let mode = folder.permissions().mode();
    mode & 0o002 != 0 && mode & 0o1000 == 0
}

/// Whether `file` belongs to a user who could change `main` anyway: its owner, this process's user, root, or its group
/// if the group may write it.
pub(crate) fn is_trusted_beside(main: &Metadata, file: &Metadata) -> bool {
    let own = rustix::process::geteuid().as_raw();
    [main.uid(), own, 0].contains(&file.uid()) || main.permissions().mode() & 0o020 != 0
}

/// Whether the file has other names, in places that nobody checked.
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

/// Whether the disk of this folder has no room left for this process. If the system does not say, there is room.
pub(crate) fn is_full(folder: &Path) -> bool {
    statvfs(folder).is_ok_and(|system| system.f_bavail == 0)
}

/// Makes the folder and its missing parents, private to their owner from the start.
pub(crate) fn private_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a new file that only its owner can read from its first moment, whatever the umask of the process. No file of
/// this name may exist.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)?;
    // The umask may have removed more permissions than it should.
    file.set_permissions(Permissions::from_mode(PRIVATE))?;
    Ok(file)
}

/// Makes the file accessible to its owner only.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(PRIVATE))
}

/// Opens a file for reading, without following a link or waiting for the other end of a pipe.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Gives the file at `path` the group and the mode of `other`, unless it has them.
///
/// # Errors
/// If this process may not do that.
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

/// Fills `bytes` from the file, beginning at `start`. Several threads may do so at once.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    file.read_exact_at(bytes, start)
}

/// Renames the file to a name that must not exist yet. If the system cannot do that in one step, the file has both
/// names for a moment.
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
