//! Who to connect to, and how: the hosts of a URL in order, addresses of names, TLS, the sign-in, and what a session
//! sets first.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tokio_postgres::config::SslMode;
use tokio_postgres::tls::NoTls;
use tokio_postgres::{Config, SimpleQueryMessage};
use tokio_rustls::rustls::pki_types::ServerName;

use super::client::{Client, Deadlines};
use super::error::{Failure, PRIMARY};
use super::line::Line;
use super::password::{HostClock, Surroundings};
use super::place::{Address, Host, ServerUrl, is_loopback};
use super::session::Session;
use super::tls::{Connector, SystemRoots, Unprepared, config};
use super::wait::Deadline;
use crate::platform::Socket;
use crate::store::error::StoreError;

/// The pause before another attempt on a socket whose queue is full.
const PAUSE: Duration = Duration::from_millis(20);

/// A server to connect to, any number of times.
#[derive(Debug)]
pub(in crate::store) struct Server {
    url: ServerUrl,
    around: Surroundings,
    role: String,
    place: PathBuf,
    system_roots: SystemRoots,
}

/// The server that a client is connected to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Peer {
    /// The host and the port, as in the URL.
    pub address: String,
    /// Whether TLS is used.
    pub is_encrypted: bool,
    /// The server's name for its version.
    pub version: String,
}

/// Why a host was not connected to.
enum Miss {
    /// Another host may work.
    Host(Failure),
    /// All hosts would fail in the same way.
    All(StoreError),
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Self {
        Self::Host(failure)
    }
}

impl From<StoreError> for Miss {
    fn from(error: StoreError) -> Self {
        Self::All(error)
    }
}

impl Server {
    /// The server at this URL. Nothing is looked up or connected yet.
    ///
    /// # Errors
    /// [`StoreError::Server`] if the URL names no user, and the system does not say which user runs this process.
    pub(in crate::store) fn new(url: ServerUrl, around: Surroundings) -> Result<Self, StoreError> {
        let place = PathBuf::from(url.to_string());
        let role = match url.user() {
            Some(user) => user.to_owned(),
            None => whoami::username().map_err(|error| StoreError::Server {
                path: place.clone(),
                detail: format!("the system does not say who runs this process: {error}"),
                remedy: "name the user in the URL: postgres://USER@HOST/DB",
            })?,
        };
        Ok(Self { url, around, role, place, system_roots: SystemRoots::new() })
    }

    /// The place of the store, for messages.
    pub(in crate::store) fn place(&self) -> &Path {
        &self.place
    }

    /// The role to sign in with.
    pub(in crate::store) fn role(&self) -> &str {
        &self.role
    }

    /// The clock of this host, if changes have the time of the server.
    pub(in crate::store) fn clock(&self) -> Option<&HostClock> {
        self.around.clock.as_ref()
    }

    /// The whole URL.
    pub(in crate::store) fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Connects to the first host that accepts the sign-in and changes. Each has its own time limit for everything: the
    /// name, the connection, TLS, the sign-in and the first answer.
    ///
    /// # Errors
    /// [`StoreError::Server`] says what was wrong with each host; [`StoreError::OpenSecret`] if others may read a file
    /// with the password or the key.
    pub(in crate::store) fn connect(&self) -> Result<Client, StoreError> {
        self.connect_within(self.url.connect_timeout())
    }

    /// The same, with at most `limit` for each host.
    pub(in crate::store) fn connect_within(&self, limit: Duration) -> Result<Client, StoreError> {
        let (session, peer) = self.sign_in(limit)?;
        Ok(Client::new(self, session, peer, Deadlines::default()))
    }

    /// Signs in to the first host that accepts changes, with at most `limit` for each.
    pub(super) fn sign_in(&self, limit: Duration) -> Result<(Session, Peer), StoreError> {
        let limit = limit.min(self.url.connect_timeout());
        let mut missed = vec![];
        for address in self.url.hosts() {
            match self.try_one(address, limit) {
                Ok(found) => return Ok(found),
                Err(Miss::All(error)) => return Err(error),
                Err(Miss::Host(failure)) => missed.push((address, failure.into_store(&self.place, &self.role))),
            }
        }
        Err(self.all_missed(missed))
    }

    fn all_missed(&self, mut missed: Vec<(&Address, StoreError)>) -> StoreError {
        if missed.len() == 1
            && let Some((_, error)) = missed.pop()
        {
            return error;
        }
        let mut details = vec![];
        let mut remedies = vec![];
        for (address, error) in missed {
            match error {
                StoreError::Server { detail, remedy, .. } => {
                    details.push(format!("{address}: {detail}"));
                    remedies.push(remedy);
                }
                other => details.push(format!("{address}: {other}")),
            }
        }
        // The remedy of the last host that is not just unreachable: its problem can be fixed.
        let remedy = remedies.iter().rev().find(|remedy| **remedy != IS_AWAY).or(remedies.last()).copied();
        StoreError::Server { path: self.place.clone(), detail: details.join("; "), remedy: remedy.unwrap_or(IS_AWAY) }
    }

    fn try_one(&self, address: &Address, limit: Duration) -> Result<(Session, Peer), Miss> {
        let deadline = Deadline::after(limit);
        let is_encrypted = self.url.is_encrypted() && !matches!(address.host, Host::Folder(_));
        // Before anything is sent: a passfile that others can read ends the attempt here.
        let password = self.around.password_for(&self.url, address, &self.role)?;
        let mut how = Config::new();
        how.user(&self.role).dbname(self.url.database()).application_name(self.url.application_name());
        how.ssl_mode(if is_encrypted { SslMode::Require } else { SslMode::Disable });
        // It requests TLS itself, so that it knows the server's answer.
        how.ssl_negotiation(tokio_postgres::config::SslNegotiation::Direct);
        let has_password = password.is_some();
        if let Some(password) = password {
            how.password(password.expose());
        }
        let (session, version) = if is_encrypted {
            let connector = self.connector(&address.host)?;
            let line = Line::new(self.socket(address, deadline, limit)?, true);
            Session::begin(line, &how, connector, deadline, limit)
        } else {
            let line = Line::new(self.socket(address, deadline, limit)?, false);
            Session::begin(line, &how, NoTls, deadline, limit)
        }
        .map_err(|failure| if has_password { failure } else { without_password(failure) })?;
        let peer = Peer { address: address.to_string(), is_encrypted, version };
        Ok((self.prepared(session, deadline, limit)?, peer))
    }

    fn connector(&self, host: &Host) -> Result<Connector, Miss> {
        let config = config(&self.url, &self.system_roots).map_err(|unprepared| match unprepared {
            Unprepared::Store(error) => error,
            Unprepared::Said(detail) => StoreError::Server { path: self.place.clone(), detail, remedy: FILES },
        })?;
        let name = match host {
            Host::Ip(address) => Some(ServerName::from(*address)),
            Host::Name(name) => ServerName::try_from(name.clone()).ok(),
            Host::Folder(_) => None,
        };
        let name = name.ok_or_else(|| Failure::lost("no certificate can be for this name"))?;
        Ok(Connector { config, name })
    }

    /// A connection to one of the host's addresses; no address gets all of the time while others are left.
    fn socket(&self, address: &Address, deadline: Deadline, limit: Duration) -> Result<Socket, Failure> {
        let silent = || Failure::Silent(limit);
        let addresses = match &address.host {
            Host::Folder(folder) => {
                let path = folder.join(format!(".s.PGSQL.{}", address.port));
                return loop {
                    match Socket::connect_local(&path) {
                        Ok(socket) => break Ok(socket),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            thread::sleep(PAUSE.min(deadline.left().ok_or_else(silent)?));
                        }
                        Err(error) => break Err(Failure::of_io(&error)),
                    }
                };
            }
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => look_up(name, deadline.left().ok_or_else(silent)?, limit)?,
        };
        // Unencrypted traffic stays on this machine, whatever localhost resolves to.
        let may_go = |ip: &IpAddr| self.url.is_encrypted() || is_loopback(*ip);
        let addresses: Vec<_> = addresses.into_iter().filter(may_go).collect();
        let mut missed = Failure::lost("its name has no address");
        for (index, ip) in addresses.iter().enumerate() {
            let left = deadline.left().ok_or_else(silent)?;
            let share = left / (addresses.len() - index) as u32;
            match Socket::connect(SocketAddr::new(*ip, address.port), share.max(Duration::from_millis(1))) {
                Ok(socket) => return Ok(socket),
                Err(error) => missed = Failure::of_io(&error),
            }
        }
        Err(missed)
    }

    /// Makes the session's first settings, and checks whether the server accepts changes: one message, one answer.
    fn prepared(&self, mut session: Session, deadline: Deadline, limit: Duration) -> Result<Session, Failure> {
        let first = first_message(self.url.schema());
        let answer = session.ask(deadline, limit, async |client| client.simple_query(&first).await)?;
        let last = answer.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some([0, 1].map(|column| row.try_get(column).ok().flatten())),
            _ => None,
        });
        match last {
            Some([Some("off"), Some("replica")]) => {
                let detail =
                    "session_replication_role is replica for this role, so foreign keys are not enforced".to_owned();
                return Err(Failure::Lost { detail, remedy: ROLE });
            }
            Some([Some("off"), _]) => return Ok(session),
            _ => {}
        }
        let detail = "it takes no changes: it is a standby, or set to be read".to_owned();
        Err(Failure::Lost { detail, remedy: PRIMARY })
    }
}

/// What to do if a host is unreachable.
const IS_AWAY: &str = super::error::IS_IT_UP;
/// What to do if a setting of the role makes the store unsafe.
const ROLE: &str = "reset it: ALTER ROLE ... RESET session_replication_role, and the same for the database";
/// What to do if a file for TLS is wrong.
const FILES: &str = "see the files that the URL names: sslrootcert, sslcert, sslkey";

/// If the client had no password and the server wanted one, the message of tokio-postgres says less.
fn without_password(failure: Failure) -> Failure {
    match failure {
        Failure::Lost { detail, .. } if detail.contains("password missing") => Failure::Lost {
            detail: "it asks for a password, and there is none".to_owned(),
            remedy: "put it into ~/.pgpass (or the file that passfile or PGPASSFILE names), or into PGPASSWORD",
        },
        other => other,
    }
}

/// The addresses of a name. The system is asked on a separate thread, because it may take long.
fn look_up(name: &str, most: Duration, limit: Duration) -> Result<Vec<IpAddr>, Failure> {
    let (sender, receiver) = channel();
    let asked = name.to_owned();
    let ask = move || {
        let found = (asked.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect());
        // No one is listening any more if it took too long.
        let _ = sender.send(found);
    };
    thread::Builder::new()
        .name("look-up".to_owned())
        .spawn(ask)
        .map_err(|error| Failure::lost(format!("the system gives no thread to look up its name: {error}")))?;
    match receiver.recv_timeout(most) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Failure::lost(format!("its name has no address: {error}"))),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(Failure::Silent(limit)),
    }
}

/// What every session sets, as one message that ends by asking whether the server accepts changes.
fn first_message(schema: &str) -> String {
    format!(
        "{}; SET default_transaction_isolation = 'read committed'; SET DateStyle = 'ISO, YMD'; \
         SET client_encoding = 'UTF8'; SELECT pg_catalog.current_setting('transaction_read_only'), \
         pg_catalog.current_setting('session_replication_role')",
        settings(schema, false)
    )
}

/// The settings that a change relies on, for the session or only for the transaction. A pooler may give each
/// transaction another session.
pub(super) fn settings(schema: &str, is_local: bool) -> String {
    let set = if is_local { "SET LOCAL" } else { "SET" };
    // A role that may make temporary tables cannot substitute one for a table of the store. A policy that hides rows is an
    // error: a key that is not seen would be no key, and a change to it none.
    format!(
        "{set} search_path = \"{schema}\", pg_temp; {set} row_security = off; {set} quote_all_identifiers = off; \
         {set} statement_timeout = '10s'; {set} lock_timeout = '10s'; \
         {set} idle_in_transaction_session_timeout = '5s'; SELECT pg_catalog.set_config('synchronous_commit', CASE \
         pg_catalog.current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, {is_local})"
    )
}
