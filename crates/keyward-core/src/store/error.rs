//! What can go wrong with a store, distinguished by what a person would do about it.

use std::path::{Path, PathBuf};

use super::exposure::Weakness;
use crate::rules::authority::Denied;
use crate::rules::key::Key;
use crate::rules::names::Name;
use crate::rules::text::{ahead, count};
use crate::rules::time::Rfc3339;

/// The message for a full disk.
pub const DISK_FULL: &str = "the disk is full";

/// The message if the system does not grant memory.
pub const NO_MEMORY: &str = "the system does not give the memory for it";

/// The message for a store that the system refuses to write.
pub(super) const READ_ONLY: &str = "it is read-only";

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no store at this path.
    #[error("there is no store at {}", .0.display())]
    Missing(PathBuf),
    /// No path was named, and there is no folder to look in.
    #[error("there is no home folder to keep the store in")]
    Nowhere,
    /// Other processes kept the store busy for the whole of the waiting time.
    #[error("the store {} is locked by another process", .0.display())]
    Locked(PathBuf),
    /// The file is damaged.
    #[error("the store {} is damaged: {detail}", .path.display())]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A newer keyward wrote it.
    #[error("the store {} has schema {found}, and this keyward knows schemas up to {known}", .path.display())]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema of this program.
        known: i64,
    },
    /// An older keyward wrote it, and it is too large to be read without an upgrade.
    #[error("the store {} has the older schema {found}, and is too large to be read before it has schema {known}", .path.display())]
    OldSchema {
        /// The store.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// That of this program.
        known: i64,
    },
    /// An older keyward made it on a server, and its owner has not upgraded it yet.
    #[error("the store {} has schema {found}, and this keyward needs schema {needed}", .path.display())]
    NotMigrated {
        /// The store: its URL without password and parameters.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The oldest schema that this program can use.
        needed: i64,
    },
    /// Another store replaced it while it was open: a restored backup, or another file.
    #[error("the store {} was replaced in the meantime", .0.display())]
    Replaced(PathBuf),
    /// The store at its path is an older state than was seen before, or another store.
    #[error("the store {} has lost changes that were there before: an older copy of it was put in its place", .0.display())]
    Rewound(PathBuf),
    /// It was moved to another place, or is being moved. What is left here can only be read.
    #[error("the store {} {} to {}", .path.display(), if *.is_done { "was moved" } else { "is being moved" }, .target.display())]
    Moved {
        /// The store.
        path: PathBuf,
        /// Where it is now: the path of a file, or the URL of a server without password and parameters.
        target: PathBuf,
        /// Whether the move is complete. If not, it is in progress or was interrupted.
        is_done: bool,
    },
    /// It is something else.
    #[error("{} is not a keyward store: it is {what}", .path.display())]
    Foreign {
        /// What was named as a store.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// It was to be made, but already exists.
    #[error("there is already a store at {}", .0.display())]
    Exists(PathBuf),
    /// Others could change it.
    #[error("the store {} is not safe: {weakness}", .path.display())]
    Insecure {
        /// The store, or its folder if that is what is open to others.
        path: PathBuf,
        /// What is unsafe about it.
        weakness: Weakness,
    },
    /// It cannot be opened or written.
    #[error("the store {} cannot be {verb}: {detail}", .path.display())]
    Unusable {
        /// The store.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// What the system said.
        detail: String,
    },
    /// The store's server cannot be reached, refuses the connection, or fails to do what is asked.
    #[error("the server of the store {} cannot be used: {detail}", .path.display())]
    Server {
        /// The store: its URL without password and parameters.
        path: PathBuf,
        /// What was found.
        detail: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The server does not allow this role to do it.
    #[error("the role {role} may not do this in the store {}; the server says: {detail}", .path.display())]
    Forbidden {
        /// The store: its URL without password and parameters.
        path: PathBuf,
        /// The role that was signed in with.
        role: String,
        /// The server's words, which name the table.
        detail: String,
    },
    /// Others can read a file with the password or the key for the store.
    #[error("the file {} holds what opens the store, and its mode {mode:03o} lets others read it", .file.display())]
    OpenSecret {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A change was sent to the server, and no answer came: whether it was made is unknown.
    #[error("the server {} did not say whether the change was made", .0.display())]
    Unheard(PathBuf),
    /// The clock of this host is too far from that of the server for a change.
    #[error("the clock of this host is {} that of the server of the store {}", ahead(*.seconds), .path.display())]
    ClockSkew {
        /// The store: its URL without password and parameters.
        path: PathBuf,
        /// How far this host is ahead, in seconds; negative if it is behind.
        seconds: i64,
    },
    /// A key, group, user, role or tenant of this name exists.
    #[error("there is already a {kind} named {name}")]
    NameTaken {
        /// `key`, `group`, `user`, `role` or `tenant`.
        kind: &'static str,
        /// The name.
        name: Name,
    },
    /// Another process holds a lease on the name or the key: a secret for it is on its way.
    #[error("another process is about to mint a secret for {name}")]
    Reserved {
        /// `name` or `key`.
        kind: &'static str,
        /// The name of the key, new or existing.
        name: String,
    },
    /// The default lifetime is longer than the maximum.
    #[error("new keys would live for {default}, and may live for {max} at most")]
    DefaultTooLong {
        /// The default.
        default: String,
        /// The maximum.
        max: String,
    },
    /// The store does not allow a secret to live that long.
    #[error("keys here must expire within {max} of their secret's minting, by {latest}; this one would {instead}")]
    LivesTooLong {
        /// How long a secret may live.
        max: String,
        /// The latest allowed end.
        latest: Rfc3339,
        /// What the key would do instead.
        instead: &'static str,
        /// The name of the key, if it exists already.
        name: Option<Name>,
    },
    /// Filters would read it as something else.
    #[error("{word} cannot be a new {what}: filters would read it as something else")]
    ReservedWord {
        /// `name`, `scope` or `level`.
        what: &'static str,
        /// The word.
        word: String,
    },
    /// Keys or users refer to it.
    #[error("the {kind} {name} is in use by {}", counted(*.keys, *.users))]
    InUse {
        /// `group`, `user`, `role` or `tenant`.
        kind: &'static str,
        /// Its name.
        name: Name,
        /// How many keys.
        keys: u64,
        /// How many users.
        users: u64,
    },
    /// The acting user may not do it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A setting names something that the directory does not have.
    #[error("there is no {kind} named {name}")]
    NoSuch {
        /// `group`, `user`, `role` or `tenant`.
        kind: &'static str,
        /// The name that was given.
        name: Name,
        /// Existing names, to suggest the one that was meant; in a large store, not all.
        known: Vec<String>,
    },
    /// Another process replaced the key's secret in the meantime.
    #[error("the key {0} was given another secret in the meantime")]
    SecretChanged(Name),
    /// Another process changed the key in the meantime.
    #[error("somebody else changed the key {0} in the meantime")]
    KeyChanged(Name),
    /// Another process deleted the key in the meantime.
    #[error("the key {0} no longer exists")]
    KeyGone(Name),
    /// A mistake in this program; the engine's own error says more.
    #[error("the store did not understand keyward")]
    Bug(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Refuses to base a decision on a damaged key of the store at `path`.
    pub(crate) fn check_whole(path: &Path, key: &Key) -> Result<(), Self> {
        let Some(damage) = &key.damage else { return Ok(()) };
        Err(Self::Corrupt { path: path.to_owned(), detail: format!("the key {}: {damage}", key.name) })
    }

    /// The same error, for an existing key.
    #[must_use]
    pub fn about(mut self, key: &Name) -> Self {
        if let Self::LivesTooLong { name, .. } = &mut self {
            *name = Some(key.clone());
        }
        self
    }

    /// Turns a failed file operation into an error about the store at `path`.
    pub(super) fn from_io(path: &Path, verb: &'static str, error: &std::io::Error) -> Self {
        Self::Unusable { path: path.to_owned(), verb, detail: error.to_string() }
    }
}

/// Keys and users, leaving out those of which there are none.
fn counted(keys: u64, users: u64) -> String {
    let parts = [(keys, "key"), (users, "user")].into_iter().filter(|(number, _)| *number > 0);
    parts.map(|(number, one)| count(number, one)).collect::<Vec<_>>().join(" and ")
}
