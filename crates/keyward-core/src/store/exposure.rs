//! What others can do to a store that they should not be able to do, as data: the remedy is worded elsewhere.

use std::fmt;
use std::path::PathBuf;

/// Why a store cannot be trusted: others may have changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Weakness {
    /// The path is a link.
    Link,
    /// Every user of the machine can change the file, which has this mode.
    OpenFile {
        /// Its permission bits.
        mode: u32,
    },
    /// Every user of the machine can replace the file.
    OpenFolder,
    /// A file beside it that belongs to it is instead a link, a pipe or a folder.
    StrayFile(PathBuf),
    /// A file beside it that SQLite reads as part of the store belongs to another user.
    ForeignFile(PathBuf),
    /// The file has another name: a hard link.
    SecondName,
    /// The file was mounted by itself, and so has another path.
    MountedFile,
    /// Its log was removed or replaced while it was open.
    LogReplaced,
    /// The file was replaced, and the log of the former one is still beside it.
    StaleLog(PathBuf),
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str("it is a link, and who can change the link can change the keys"),
            Self::OpenFile { mode } => {
                write!(f, "its mode {mode:03o} lets every user of this machine change the keys")
            }
            Self::OpenFolder => {
                f.write_str("every user of this machine can put another file in its place, because its folder is open")
            }
            Self::StrayFile(file) => {
                let file = file.display();
                write!(f, "the file {file} beside it is not a regular file: it is a link, a pipe or a folder")
            }
            Self::ForeignFile(file) => write!(
                f,
                "the file {} beside it belongs to another user, and what stands in it counts as if it stood in the store",
                file.display()
            ),
            Self::SecondName => f.write_str(
                "the file has a second name, a hard link; what is changed under one name is not seen under the other",
            ),
            Self::MountedFile => f.write_str(
                "the file is mounted by itself, so it has a second path; what is changed under one is not seen under the other",
            ),
            Self::LogReplaced => f.write_str("its log was removed or replaced while the store was open"),
            Self::StaleLog(log) => {
                write!(f, "the file was replaced, and {} still belongs to the former one", log.display())
            }
        }
    }
}

/// What some others can do to a store that is used nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exposure {
    /// The permission bits of the file.
    pub mode: u32,
    /// Whether its group can change the keys. If not, others can read it.
    pub group_writes: bool,
}
