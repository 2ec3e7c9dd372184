//! A file that is being written: without a name, or under one that is nobody's.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;

use super::{Found, Spot};

/// A file that has no name yet, or that of the neighbour, and then goes with it unless it gets its own.
pub(super) struct Fresh {
    folder: Rc<OwnedFd>,
    file: OwnedFd,
    neighbour: Option<OsString>,
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(neighbour) = &self.neighbour {
            let _ = rustix::fs::unlinkat(&*self.folder, neighbour, AtFlags::empty());
        }
    }
}

impl Fresh {
    /// Writes it, down to the disk.
    pub(super) fn write(spot: &Spot, content: &[u8], mode: Mode) -> rustix::io::Result<Self> {
        let fresh = Self::unnamed(spot).or_else(|_| Self::as_neighbour(spot))?;
        // The mask of the process may have taken more away than it should.
        rustix::fs::fchmod(&fresh.file, mode)?;
        let mut rest = content;
        while !rest.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(&fresh.file, rest))?;
            rest = &rest[written..];
        }
        rustix::fs::fsync(&fresh.file)?;
        Ok(fresh)
    }

    #[cfg(target_os = "linux")]
    fn unnamed(spot: &Spot) -> rustix::io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&*spot.folder, ".", flags, Mode::from_raw_mode(0o600))?;
        // Without /proc it could never get a name.
        rustix::fs::stat(as_path(&file))?;
        Ok(Self { folder: Rc::clone(&spot.folder), file, neighbour: None })
    }

    #[cfg(not(target_os = "linux"))]
    fn unnamed(_: &Spot) -> rustix::io::Result<Self> {
        Err(Errno::NOTSUP)
    }

    fn as_neighbour(spot: &Spot) -> rustix::io::Result<Self> {
        let name = next(&spot.name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&*spot.folder, &name, flags, Mode::from_raw_mode(0o600));
        let file = open().or_else(|error| remove_leftover(spot, &name, error).and_then(|()| open()))?;
        Ok(Self { folder: Rc::clone(&spot.folder), file, neighbour: Some(name) })
    }

    /// Gives the file the name of the spot, which nothing has.
    pub(super) fn name(mut self, spot: &Spot) -> rustix::io::Result<()> {
        match self.neighbour.take() {
            None => {
                let path = as_path(&self.file);
                rustix::fs::linkat(CWD, path, &*spot.folder, &spot.name, AtFlags::SYMLINK_FOLLOW)
            }
            Some(neighbour) => {
                let (folder, name) = (&*spot.folder, spot.name.as_os_str());
                let linked = rustix::fs::linkat(folder, &neighbour, folder, name, AtFlags::empty());
                rustix::fs::unlinkat(folder, &neighbour, AtFlags::empty()).and(linked)
            }
        }
    }

    /// Gives the file this name beside the spot.
    pub(super) fn name_beside(mut self, spot: &Spot, name: &OsStr) -> rustix::io::Result<()> {
        if let Some(other) = self.neighbour.take() {
            return rustix::fs::renameat(&*spot.folder, other, &*spot.folder, name);
        }
        let path = as_path(&self.file);
        let link = || rustix::fs::linkat(CWD, &path, &*spot.folder, name, AtFlags::SYMLINK_FOLLOW);
        link().or_else(|error| remove_leftover(spot, name, error).and_then(|()| link()))
    }

    /// Gives the file to whom the former one belongs.
    pub(super) fn keep_owner(&self, former: &Found) -> rustix::io::Result<()> {
        let stat = rustix::fs::fstat(&self.file)?;
        if (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)) == former.owner {
            return Ok(());
        }
        rustix::fs::fchown(&self.file, Some(former.owner.0), Some(former.owner.1))
    }
}

/// The name of a file while it is not, or no longer, what it is for.
pub(super) fn neighbour(name: &OsStr) -> OsString {
    let mut neighbour = OsString::from(".");
    neighbour.push(name);
    neighbour.push(".keyward");
    neighbour
}

/// The name of a file that is still being written, where it needs one.
pub(super) fn next(name: &OsStr) -> OsString {
    let mut next = neighbour(name);
    next.push("-next");
    next
}

/// What a process left that was killed is removed: the lock says that nobody is at work.
fn remove_leftover(spot: &Spot, name: &OsStr, error: Errno) -> rustix::io::Result<()> {
    match error {
        Errno::EXIST => rustix::fs::unlinkat(&*spot.folder, name, AtFlags::empty()),
        error => Err(error),
    }
}

/// Has the neighbour and the file of the spot change names.
pub(super) fn exchange(spot: &Spot, neighbour: &OsStr) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(&*spot.folder, neighbour, &*spot.folder, &spot.name, RenameFlags::EXCHANGE)
}

fn as_path(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
