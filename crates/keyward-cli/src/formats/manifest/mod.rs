//! Manifests: what a store should hold, as a text in TOML or JSON.
//!
//! - [`read`] makes a [`Manifest`] from a text, or reports everything that is wrong with it.
//! - [`plan`](plan()) compares it with what exists, and lists the changes in the order in which they are made.
//! - [`to_toml`] and [`to_json`] make a manifest from what exists.
//!
//! A manifest is complete about what it names: an omitted setting has its default. It leaves two things alone: a key's
//! prefix if it does not state one, and things that it does not name, unless they are to be deleted. It contains no
//! secrets; a new key's `deliver` table says where its secret goes.

mod plan;
mod read;
mod write;

use std::path::PathBuf;

pub use plan::{Action, Present, Step, Subject, end_named, is_over_at_once, plan};
pub use read::read;
pub use write::{key_to_json, key_to_toml, to_json, to_toml};

use crate::formats::dotenv::Variable;
use crate::formats::runner::{OutputName, StepVariable};
use crate::formats::settings_draft::SettingsDraft;
use keyward_core::rules::directory::{Draft, Kind};
use keyward_core::rules::names::Name;

/// The kinds of the directory, in an order in which each refers only to earlier ones.
pub const KINDS: [Kind; 4] = [Kind::Role, Kind::Tenant, Kind::Group, Kind::User];

/// The fields of each kind.
pub fn fields_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Role => &["name", "description", "rank", "manages_keys"],
        Kind::Tenant => &["name", "description", "enabled", "limits"],
        Kind::Group => &["name", "description"],
        Kind::User => &["name", "description", "role", "tenant", "enabled", "limits"],
    }
}

/// What a store should hold.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// Its groups, users, roles and tenants.
    pub entries: Vec<ManifestEntry>,
    /// Its keys.
    pub keys: Vec<ManifestKey>,
}

impl Manifest {
    /// Whether it names nothing at all, like the rest of a truncated file or the output of a failed command.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.keys.is_empty()
    }
}

/// A group, user, role or tenant that should exist.
#[derive(Debug, Clone)]
pub struct ManifestEntry {
    /// Its position in the text, in bytes.
    pub at: usize,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// The entry.
    pub draft: Draft,
}

/// A key that should exist.
#[derive(Debug, Clone)]
pub struct ManifestKey {
    /// Its position in the text, in bytes.
    pub at: usize,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// Its name.
    pub name: Name,
    /// What is said about its settings.
    pub draft: SettingsDraft,
    /// Where its secret goes when it is made.
    pub deliver: Option<Deliver>,
}

/// A reference to something that should exist.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Its position in the text, in bytes.
    pub at: usize,
    /// The kind of the target.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
}

/// Where the secret of a new key goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deliver {
    /// A new file.
    SecretFile(PathBuf),
    /// A variable in a dotenv file.
    EnvFile(PathBuf, Variable),
    /// The standard input of a command.
    SecretTo(String),
    /// A variable of the following steps in GitHub Actions.
    GithubEnv(StepVariable),
    /// An output of this step in GitHub Actions.
    GithubOutput(OutputName),
}

#[cfg(test)]
mod tests;
