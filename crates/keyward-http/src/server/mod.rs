//! The server that proxies ask before each request.
//!
//! | file | what it is for |
//! |---|---|
//! | `config` | what it is told: TOML or flags, checked whole |
//! | `listen`, `stream`, `heads`, `connection` | sockets, connections, and how long they may take |
//! | `endpoint`, `peer`, `handle` | one request: which policy, whose word, which answer |
//! | `verify`, `problem` | a service that asks for itself, and answers that are no decisions |
//! | `admin` | what operators and their tools ask |
//! | `systemd` | ready, reloading, stopping, and the watchdog |
//! | `run` | start and stop |
//! | `listening`, `loops` | who listens where, who accepts, and which loop serves |
//! | `settings`, `reload` | what is in force, and how another configuration takes its place |
//! | `shared`, `upkeep` | what all threads have in common, and what is done from time to time |
//!
//! There is an event loop a core. Each accepts from all sockets, and a connection goes to the loop that has fewest. A
//! decision is made on the loop; hashes, writing and the log have threads of their own.
//!
//! What may break: one thread that waits lets all of its connections wait. So nothing here waits for a disk, a lock that
//! is held for long, or whoever reads the log.

mod admin;
pub mod config;
mod connection;
mod endpoint;
mod handle;
mod heads;
mod listen;
mod listening;
mod loops;
mod peer;
mod problem;
mod reload;
mod run;
mod settings;
mod shared;
mod stream;
mod systemd;
mod upkeep;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyward_core::rules::credential::{Accepted, Credentials};
use keyward_core::rules::decision::Request;
use keyward_core::rules::names::Name;
use keyward_core::store::StoreError;
use keyward_core::verifier::Answer;

pub use config::{Address, Config, ConfigError, Listen, Logged, Unfit};
pub use listen::ListenError;
pub use run::{Control, Server};

use crate::facts::Dialect;
use crate::guard::Rounds;
use crate::observe::Meters;
use endpoint::Endpoint;
use shared::Shared;

/// What a proxy asks by this target: how it tells about the request, the name of the policy, and what follows it; `None`
/// where the target is not one that proxies ask. For tests of the whole.
#[doc(hidden)]
pub fn asked_by(target: &http::Uri) -> Option<(Dialect, &str, &str)> {
    match Endpoint::of(target) {
        Endpoint::Forward { dialect, policy, rest } => Some((dialect, policy, rest)),
        Endpoint::Verify | Endpoint::Health | Endpoint::None => None,
    }
}

/// The name, the kind and the meaning of every metric, for documents.
#[doc(hidden)]
pub fn metrics() -> Vec<[String; 3]> {
    crate::observe::catalogue()
}

/// How the program that runs the server reads questions at `/v1/verify`, and in which words it tells answers and errors:
/// the same as everywhere else in it.
pub trait Api: Send + Sync + 'static {
    /// Reads a question. `accepted` says which presentations a policy looks at; `None`: there is no such policy.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence that repeats no credential.
    fn question(&self, body: &[u8], accepted: &dyn Fn(&str) -> Option<Accepted>) -> Result<Question, String>;

    /// The answer as JSON.
    fn document(&self, answer: &Answer, request: &Request) -> Vec<u8>;

    /// The code of an error of the store.
    fn code_of(&self, error: &StoreError) -> &'static str;
}

/// A question of a service.
#[derive(Debug)]
pub struct Question {
    /// The policy that it names, and that there is.
    pub policy: String,
    /// What was presented.
    pub credentials: Credentials,
    /// What is asked beside what the policy asks, without a role.
    pub request: Request,
    /// The role that is asked for.
    pub role: Option<Name>,
    /// Whether it says how the request came.
    pub tells_transport: bool,
}

/// Opens the log.
pub type OpenLog = Box<dyn Fn() -> std::io::Result<Box<dyn Write + Send>> + Send>;

/// Reads the configuration again.
pub type Reload = Box<dyn Fn() -> Result<Config, ConfigError> + Send>;

/// How a server runs, beside its configuration.
pub struct Options {
    /// The version that metrics tell.
    pub version: &'static str,
    /// Event loops.
    pub workers: usize,
    /// How long it goes on after it was told to stop, while the health answers say no.
    pub drain: Duration,
    /// Where the log goes.
    pub log: Box<dyn Write + Send>,
    /// Opens the log anew at a reload, where it is a file.
    pub reopen_log: Option<OpenLog>,
    /// Reads the configuration again.
    pub reload: Reload,
    /// `LISTEN_FDNAMES` of systemd.
    pub socket_names: Option<String>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("workers", &self.workers).finish_non_exhaustive()
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody can be listened to.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A file that the configuration names cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The proxy secret is empty, or cannot stand in a header.
    #[error("{} holds no secret: write one line of at least 16 visible characters", .0.display())]
    Secret(PathBuf),
    /// Somebody else decides what the proxy secret is.
    #[error("{} is not a file, or anybody can change it", .0.display())]
    OpenSecret(PathBuf),
    /// The system gives no thread or no event loop.
    #[error("the system gives no thread to serve on: {0}")]
    Thread(std::io::Error),
}

/// One event loop.
#[derive(Clone)]
struct Worker {
    shared: Arc<Shared>,
    number: usize,
}

impl Worker {
    fn meters(&self) -> &Meters {
        &self.shared.meters[self.number]
    }

    fn rounds(&self) -> &Rounds {
        &self.shared.rounds[self.number]
    }
}
