//! What a server is told: by a file in TOML, or by flags.

mod address;
mod file;

use std::path::PathBuf;

use ipnet::IpNet;
use keyward_core::rules::directory::Kind;
use keyward_core::rules::names::Name;
use keyward_core::store::{Store, StoreError, View};

pub use address::{Address, Listen};

use crate::policy::{Policies, Policy, Routes, TenantFrom};

/// Everything that a server is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where proxies ask.
    pub listen: Vec<Listen>,
    /// Where operators look.
    pub admin: Option<Address>,
    /// Peers whose word counts, beside those on this machine.
    pub trust: Vec<IpNet>,
    /// Proxies between the client and the one that asks.
    pub proxies: Vec<IpNet>,
    /// The file with the secret that every request has to carry.
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
    /// Those that are not a yes.
    #[default]
    Refused,
    /// All.
    All,
    /// None; events are logged all the same.
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
    /// What a file says.
    ///
    /// # Errors
    /// [`ConfigError`] with the line, where the text is not TOML, or a field or a value is not one that there is.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        file::parse(text)
    }

    /// Whether what it says fits together.
    ///
    /// # Errors
    /// Where somebody could ask who is not trusted to, or nothing could be asked.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.policies.is_empty() {
            return Err(ConfigError::new("there is no policy").hint("describe one in a table: [policy.default]"));
        }
        let places: Vec<_> = self.listen.iter().map(|listen| &listen.address).chain(&self.admin).collect();
        // Operators are told what keys are called and how many there are: that is not for everybody either.
        if let Some(address) = places.iter().find(|address| !address.is_local() && self.trust.is_empty()) {
            let message = format!("{address} can be reached from other machines, and no peer is trusted");
            return Err(ConfigError::new(message)
                .hint("name the machines that may ask: --trust 10.0.0.0/8, or trust = [\"10.0.0.0/8\"] in the file"));
        }
        // The system chooses a port for each that names none.
        let is_one = |address: &Address| !matches!(address, Address::Tcp(address) if address.port() == 0);
        for (place, address) in places.iter().enumerate().filter(|(_, address)| is_one(address)) {
            if places[..place].iter().any(|other| other.is_at_the_place_of(address)) {
                return Err(ConfigError::new(format!("{address} is named twice"))
                    .hint("name another address; what operators look at has one of its own"));
            }
        }
        Ok(())
    }

    /// Whether the store has what the policies ask for.
    ///
    /// # Errors
    /// [`Unfit::Config`] where it has not, and [`Unfit::Store`] where it cannot be read.
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
    /// It asks for something that the store does not have.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests;
