//! Manifests: what a store should hold, as a text in TOML or JSON.
//!
//! - [`read`] makes a [`Manifest`] of a text, or says everything that is wrong with it.
//! - [`plan`](plan()) compares it with what there is, and names the changes in the order in which they are made.
//! - [`to_toml`] and [`to_json`] make a manifest of what there is.
//!
//! A manifest says all there is to say about what it names: a setting that is left out has its default. Two
//! things it leaves alone: what a key's secrets start with, where it says nothing about that, and what it does
//! not name at all, unless that is to be deleted. It holds no secrets; where a new key's secret goes, its
//! `deliver` table says.

mod plan;
mod read;
mod write;

use std::path::PathBuf;

pub use plan::{Action, Present, Step, Subject, end_named, plan};
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
    /// Whether it names nothing at all, as what is left of a file that was cut, or of a command that failed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.keys.is_empty()
    }
}

/// A group, user, role or tenant that should be there.
#[derive(Debug, Clone)]
pub struct ManifestEntry {
    /// Where it stands in the text, in bytes.
    pub at: usize,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// It.
    pub draft: Draft,
}

/// A key that should be there.
#[derive(Debug, Clone)]
pub struct ManifestKey {
    /// Where it stands in the text, in bytes.
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

/// Something that is named as if it were there.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Where it is named, in bytes.
    pub at: usize,
    /// Of which kind it is.
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
