//! Listening sockets, and what is answered on them.

use serde_json::Value;
use tokio::sync::watch;

use super::config::{Address, Config, Listen};
use super::connection::Role;
use super::handle::Door;
use super::listen::{Inherited, ListenError, Socket};
use super::loops::{Job, Loops};
use super::peer::Peer;

/// What is answered on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    Guard { api: bool },
    Admin,
}

impl Duty {
    /// What it means for this peer.
    pub(super) fn towards(self, peer: Peer) -> Role {
        match self {
            Self::Guard { api } => Role::Guard(Door { peer, api }),
            Self::Admin => Role::Admin(peer),
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) address: Address,
    pub(super) duty: Duty,
    pub(super) socket: Socket,
    /// Ends the accepting tasks and their connections.
    pub(super) close: watch::Sender<bool>,
}

impl Listening {
    pub(super) fn open(
        address: Address,
        duty: Duty,
        config: &Config,
        inherited: &mut Inherited,
    ) -> Result<Self, ListenError> {
        let socket = Socket::open(&address, inherited)?;
        let listening = Self { address, duty, socket, close: watch::channel(false).0 };
        // The address of a handed-over socket is known only now.
        if config.trust.is_empty() && !listening.socket.is_local() {
            let address = listening.socket.shown(&listening.address);
            listening.give_back(inherited);
            return Err(ListenError::Untrusted(address));
        }
        Ok(listening)
    }

    /// Returns a handed-over socket: the next reload can use it again.
    pub(super) fn give_back(self, inherited: &mut Inherited) {
        if let Address::Inherited(name) = self.address {
            inherited.take_back(name, self.socket);
        }
    }

    /// A copy of the socket for each loop.
    pub(super) fn copies(&self, loops: &Loops) -> std::io::Result<Vec<Socket>> {
        loops.iter().map(|_| self.socket.try_clone()).collect()
    }

    /// Gives the copies to the loops.
    pub(super) fn announce(&self, loops: &Loops, copies: Vec<Socket>) {
        for (one, socket) in loops.iter().zip(copies) {
            let _ = one.jobs.send(Job::Listen(socket, self.duty, self.close.subscribe()));
        }
    }
}

/// Where it listens, guard listeners first.
pub(super) fn addresses(sockets: &[Listening]) -> Vec<String> {
    let mut all: Vec<_> = sockets.iter().collect();
    all.sort_by_key(|listening| listening.duty == Duty::Admin);
    all.into_iter().map(|listening| listening.socket.shown(&listening.address)).collect()
}

/// Where it listens, as a sentence for systemd.
pub(super) fn listens_at(sockets: &[Listening]) -> String {
    format!("listening at {}", addresses(sockets).join(", "))
}

/// What is served, for the log.
pub(super) fn served(sockets: &[Listening], config: &Config) -> Vec<(&'static str, Value)> {
    let with = |is_meant: fn(Duty) -> bool| {
        let meant = sockets.iter().filter(|listening| is_meant(listening.duty));
        meant.map(|listening| listening.socket.shown(&listening.address)).collect::<Vec<_>>()
    };
    let policies: Vec<_> = config.policies.iter().map(|policy| policy.name.as_str()).collect();
    vec![
        ("listen", addresses(sockets).into()),
        ("api", with(|duty| duty == Duty::Guard { api: true }).into()),
        ("admin", with(|duty| duty == Duty::Admin).pop().into()),
        ("policies", policies.into()),
    ]
}

/// Every address to listen on.
pub(super) fn places(config: &Config) -> Vec<(Address, Duty)> {
    let guard = config.listen.iter().map(|Listen { address, api }| (address.clone(), Duty::Guard { api: *api }));
    guard.chain(config.admin.iter().map(|address| (address.clone(), Duty::Admin))).collect()
}
