//! The configuration of a server: a file in TOML, or flags.

mod address;
mod file;

use std::path::PathBuf;

use ipnet::IpNet;
use keyward_core::rules::directory::Kind;
use keyward_core::rules::names::Name;
use keyward_core::store::{Store, StoreError, View};

pub use address::{Address, Listen};

use crate::policy::{Policies, Policy, Routes, TenantFrom};

/// The whole configuration of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where proxies ask.
    pub listen: Vec<Listen>,
    /// Where operators look.
    pub admin: Option<Address>,
    /// Trusted peers, besides those on this machine.
    pub trust: Vec<IpNet>,
    /// Proxies between the client and the one that asks.
    pub proxies: Vec<IpNet>,
    /// The file with the secret that every request must carry.
    pub proxy_secret_file: Option<PathBuf>,
    /// Which decisions are logged.
    pub log: Logged,
    /// Whether the metrics name keys.
    pub metrics_per_key: bool,
    /// The policies.
    pub policies: Policies,
    /// The policies by host and path.
    pub routes: Routes,
}

/// Which decisions are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Logged {
    /// Decisions that are not a yes.
    #[default]
    Refused,
    /// All of them.
    All,
    /// None; events are logged nevertheless.
    Nothing,
}

/// Why a configuration cannot be used: one sentence, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What is wrong, and where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl Config {
    /// Parses a file.
    ///
    /// # Errors
    /// [`ConfigError`] with the line, if the text is not TOML, or a field or value does not exist.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        file::parse(text)
    }

    /// Checks that its parts fit together.
    ///
    /// # Errors
    /// If untrusted peers could ask, or no one could.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.policies.is_empty() {
            return Err(ConfigError::new("there is no policy").hint("describe one in a table: [policy.default]"));
        }
        let places: Vec<_> = self.listen.iter().map(|listen| &listen.address).chain(&self.admin).collect();
        // Operators see the names and the number of keys, which are not for everybody either.
        if let Some(address) = places.iter().find(|address| !address.is_local() && self.trust.is_empty()) {
            let message = format!("{address} can be reached from other machines, and no peer is trusted");
            return Err(ConfigError::new(message)
                .hint("name the machines that may ask: --trust 10.0.0.0/8, or trust = [\"10.0.0.0/8\"] in the file"));
        }
        // The system chooses a port for each address that names none.
        let is_one = |address: &Address| !matches!(address, Address::Tcp(address) if address.port() == 0);
        for (place, address) in places.iter().enumerate().filter(|(_, address)| is_one(address)) {
            if places[..place].iter().any(|other| other.is_at_the_place_of(address)) {
                return Err(ConfigError::new(format!("{address} is named twice"))
                    .hint("name another address; what operators look at has one of its own"));
            }
        }
        Ok(())
    }

    /// Checks that the store has what the policies require.
    ///
    /// # Errors
    /// [`Unfit::Config`] if it has not, and [`Unfit::Store`] if it cannot be read.
    pub fn check_against(&self, store: &Store) -> Result<(), Unfit> {
        self.check_in(&store.view()?)
    }

    pub(super) fn check_in(&self, view: &View<'_>) -> Result<(), Unfit> {
        for policy in self.policies.iter() {
            let wanted = [(Kind::Role, policy.role.as_ref()), (Kind::Tenant, tenant_of(policy))];
            for (kind, name) in wanted.into_iter().filter_map(|(kind, name)| Some((kind, name?))) {
                if view.entry(kind, name)?.is_none() {
                    let kind = kind.as_str();
                    let message = format!(
                        "the policy {} asks for the {kind} {name}, which this store does not have",
                        policy.name
                    );
                    return Err(Unfit::Config(
                        ConfigError::new(message).hint(format!("see what there is: keyward {kind} list")),
                    ));
                }
            }
        }
        Ok(())
    }
}

fn tenant_of(policy: &Policy) -> Option<&Name> {
    match policy.tenant.as_ref()? {
        TenantFrom::Named(name) => Some(name),
        TenantFrom::Host { .. } => None,
    }
}

/// Why a configuration cannot be used with a store.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It requires something that the store does not have.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests;
