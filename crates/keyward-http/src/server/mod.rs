//! The server that proxies ask before each request.
//!
//! | file | what it is for |
//! |---|---|
//! | `config` | the configuration: TOML or flags, checked as a whole |
//! | `listen`, `stream`, `heads`, `connection` | sockets, connections, and how long they may take |
//! | `endpoint`, `peer`, `handle` | one request: its policy, whether the peer is trusted, its answer |
//! | `verify`, `problem` | a service that asks directly, and answers that are not decisions |
//! | `admin` | what operators and their tools ask |
//! | `systemd` | ready, reloading, stopping, and the watchdog |
//! | `run` | start and stop |
//! | `listening`, `loops` | which sockets listen where, which loop accepts, and which one serves |
//! | `processors` | where each loop runs |
//! | `settings`, `reload` | the current configuration, and how another one replaces it |
//! | `shared`, `upkeep` | what all threads share, and periodic work |
//!
//! There is one event loop per core. Each accepts from all sockets, and a connection goes to the loop with the fewest.
//! A decision is made on the loop; hashes, writing and the log have their own threads.
//!
//! What may break: a waiting thread makes all of its connections wait. So nothing here waits for a disk, a lock that is
//! held for long, or the reader of the log.

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
mod processors;
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

/// What a proxy asks with this target: the dialect, the name of the policy, and what follows it; `None` if proxies do
/// not ask this target. For integration tests.
#[doc(hidden)]
pub fn asked_by(target: &http::Uri) -> Option<(Dialect, &str, &str)> {
    match Endpoint::of(target) {
        Endpoint::Forward { dialect, policy, rest } => Some((dialect, policy, rest)),
        Endpoint::Verify | Endpoint::Health | Endpoint::None => None,
    }
}

/// The name, the kind and the meaning of every metric, for the documentation.
#[doc(hidden)]
pub fn metrics() -> Vec<[String; 3]> {
    crate::observe::catalogue()
}

/// How the program that runs the server reads questions at `/v1/verify`, and how it words answers and errors: the same
/// as elsewhere in that program.
pub trait Api: Send + Sync + 'static {
    /// Reads a question. `accepted` returns the presentations that a policy accepts, or `None` if there is no such
    /// policy.
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
    /// The policy that it names, which exists.
    pub policy: String,
    /// What was presented.
    pub credentials: Credentials,
    /// What is asked besides what the policy asks, without a role.
    pub request: Request,
    /// The role that it requires.
    pub role: Option<Name>,
    /// Whether it says how the request came.
    pub tells_transport: bool,
}

/// Opens the log.
pub type OpenLog = Box<dyn Fn() -> std::io::Result<Box<dyn Write + Send>> + Send>;

/// Reads the configuration again.
pub type Reload = Box<dyn Fn() -> Result<Config, ConfigError> + Send>;

/// How a server runs, besides its configuration.
pub struct Options {
    /// The version shown in the metrics.
    pub version: &'static str,
    /// The number of event loops.
    pub workers: usize,
    /// How long it continues after it was told to stop, while the health checks fail.
    pub drain: Duration,
    /// Where the log goes.
    pub log: Box<dyn Write + Send>,
    /// Opens the log again at a reload, if it is a file.
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
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A file named in the configuration cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The proxy secret is empty, or not valid in a header.
    #[error("{} holds no secret: write one line of at least 16 visible characters", .0.display())]
    Secret(PathBuf),
    /// Other users can change the proxy secret.
    #[error("{} is not a file, or anybody can change it", .0.display())]
    OpenSecret(PathBuf),
    /// The system provides no thread or no event loop.
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
