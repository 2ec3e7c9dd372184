//! What the system reports about a file without reading it: which file it is, its state, and whether other names lead
//! to it.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Identifies a file: no other file has the same id at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

/// The system's view of a file. When the file changes, its status changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    /// Which file it is.
    pub(crate) id: FileId,
    /// Whether it has other names, in places that nobody checked.
    pub(crate) has_other_names: bool,
    /// Whether it was mounted by itself, so that another path leads to it as well. `None` if the system does not say:
    /// Linux before 5.8, and systems without such mounts.
    pub(crate) is_mounted: Option<bool>,
    size: u64,
    /// When it was written, and when anything about it last changed, as seconds and nanoseconds.
    times: [i64; 4],
}

impl Status {
    /// The status of an open file.
    pub(crate) fn of_file(file: &File) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        match linux::status_of(file) {
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
            found => return Ok(found?),
        }
        Ok(Self::from(&file.metadata()?))
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether it is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The status of the file at `path` now. A link is not followed.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        match linux::status(path) {
            // An old system, or one that allows this process only the old call.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
            found => return Ok(found?),
        }
        Ok(Self::from(&fs::symlink_metadata(path)?))
    }
}

impl From<&Metadata> for Status {
    fn from(found: &Metadata) -> Self {
        Self {
            id: FileId { device: found.dev(), inode: found.ino() },
            has_other_names: found.nlink() > 1,
            is_mounted: None,
            size: found.len(),
            times: [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()],
        }
    }
}

/// Whether the file at `path`, which is absolute and without links, was mounted by itself: by Docker's `-v FILE:FILE`,
/// Kubernetes' `subPath`, systemd's `BindPaths=FILE` or `mount --bind`. Then it has another path, too.
///
/// # Errors
/// If the system does not say.
pub(crate) fn is_mounted(path: &Path, status: &Status) -> io::Result<bool> {
    match status.is_mounted {
        Some(is_mounted) => Ok(is_mounted),
        #[cfg(target_os = "linux")]
        None => Ok(linux::is_mount_point(path, &fs::read("/proc/self/mountinfo")?)),
        #[cfg(not(target_os = "linux"))]
        None => Ok(false),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Statx, StatxAttributes, StatxFlags, StatxTimestamp, makedev, statx};

    use super::{FileId, Status};

    pub(super) fn status(path: &Path) -> rustix::io::Result<Status> {
        statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).map(|found| told(&found))
    }

    pub(super) fn status_of(file: &File) -> rustix::io::Result<Status> {
        statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(|found| told(&found))
    }

    fn told(found: &Statx) -> Status {
        let tells = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
        let [written, changed] = [found.stx_mtime, found.stx_ctime]
            .map(|StatxTimestamp { tv_sec, tv_nsec, .. }| [tv_sec, i64::from(tv_nsec)]);
        Status {
            id: FileId { device: makedev(found.stx_dev_major, found.stx_dev_minor), inode: found.stx_ino },
            has_other_names: found.stx_nlink > 1,
            is_mounted: tells.then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
            size: found.stx_size,
            times: [written[0], written[1], changed[0], changed[1]],
        }
    }

    /// Whether the path is one of the mount points in the text of proc_pid_mountinfo(5), where a blank, a tab, a line end
    /// and a backslash are written as octal numbers.
    pub(super) fn is_mount_point(path: &Path, mounts: &[u8]) -> bool {
        let mut escaped = Vec::with_capacity(path.as_os_str().len());
        for &byte in path.as_os_str().as_bytes() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").into_bytes()),
                _ => escaped.push(byte),
            }
        }
        let point = |line: &[u8]| line.split(|&byte| byte == b' ').nth(4).is_some_and(|point| point == escaped);
        mounts.split(|&byte| byte == b'\n').any(point)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn mount_points_are_found_in_the_list_of_mounts() {
            let mounts = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n\
                36 35 98:0 /a /data/keys.db rw - ext4 /dev/sda rw\n\
                37 35 98:0 / /with\\040blank\\134and\\011tab rw - ext4 /dev/sda rw\n";
            for (path, is_mounted) in [
                ("/data/keys.db", true),
                ("/mnt2", true),
                ("/with blank\\and\ttab", true),
                ("/mnt1", false),
                ("/data", false),
                ("/data/keys.db-wal", false),
                ("rw", false),
                ("", false),
            ] {
                assert_eq!(is_mount_point(Path::new(path), mounts), is_mounted, "{path:?}");
            }
        }
    }
}
