//! A file that is being written: without a name, or under a temporary one.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::rc::Rc;

use super::{ExistingFile, Spot};
use crate::platform::{self, Folder, User};

/// A file without a name, or with the neighbour's name: that one is removed unless it gets its own name.
pub(super) struct Fresh {
    folder: Rc<Folder>,
    file: File,
    neighbour: Option<OsString>,
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(neighbour) = &self.neighbour {
            let _ = self.folder.remove(neighbour);
        }
    }
}

impl Fresh {
    /// Writes it, and syncs it to the disk. Its owner gets the same permissions as on the former file.
    pub(super) fn write(spot: &Spot, content: &[u8], former: Option<&ExistingFile>) -> io::Result<Self> {
        let mut fresh = Self::unnamed(spot).or_else(|_| Self::as_neighbour(spot))?;
        platform::make_private(&fresh.file, former.map(|former| &former.about))?;
        fresh.file.write_all(content)?;
        fresh.file.sync_all()?;
        Ok(fresh)
    }

    fn unnamed(spot: &Spot) -> io::Result<Self> {
        let file = spot.folder.unnamed_file()?;
        Ok(Self { folder: Rc::clone(&spot.folder), file, neighbour: None })
    }

    fn as_neighbour(spot: &Spot) -> io::Result<Self> {
        let name = next(&spot.name);
        let open = || spot.folder.private_file(&name);
        let file = open().or_else(|error| remove_leftover(spot, &name, error).and_then(|()| open()))?;
        Ok(Self { folder: Rc::clone(&spot.folder), file, neighbour: Some(name) })
    }

    /// Gives the file the name of the spot, which must be free.
    pub(super) fn name(mut self, spot: &Spot) -> io::Result<()> {
        match self.neighbour.take() {
            None => spot.folder.give_name(&self.file, &spot.name),
            Some(neighbour) => spot.folder.rename_new(&neighbour, &spot.name),
        }
    }

    /// Gives the file this name beside the spot.
    pub(super) fn name_beside(mut self, spot: &Spot, name: &OsStr) -> io::Result<()> {
        if let Some(other) = self.neighbour.take() {
            return spot.folder.replace(&other, name);
        }
        let link = || spot.folder.give_name(&self.file, name);
        link().or_else(|error| remove_leftover(spot, name, error).and_then(|()| link()))
    }

    /// Gives the file the owner of the former one. If this process may not give files to its group, the file keeps its
    /// own group.
    pub(super) fn keep_owner(&self, former: &ExistingFile) -> io::Result<()> {
        let owner = platform::owner(&former.about);
        let given = platform::give(&self.file, owner);
        if owner.user == User::own() { Ok(()) } else { given }
    }
}

/// The temporary name of a file before it gets its own, or after it was replaced.
pub(super) fn neighbour(name: &OsStr) -> OsString {
    let mut neighbour = OsString::from(".");
    neighbour.push(name);
    neighbour.push(".keyward");
    neighbour
}

/// The name of a file that is still being written, if it needs one.
pub(super) fn next(name: &OsStr) -> OsString {
    let mut next = neighbour(name);
    next.push("-next");
    next
}

/// Removes what a killed process left: the lock proves that no other one is at work.
fn remove_leftover(spot: &Spot, name: &OsStr, error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::AlreadyExists => spot.folder.remove(name),
        _ => Err(error),
    }
}
