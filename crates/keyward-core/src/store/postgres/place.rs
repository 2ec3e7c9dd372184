//! The place of a store on a server, from its URL.
//!
//! A URL can hold a password. It is kept as a [`Password`], and no output, not even an error, shows more of a URL than
//! the user, the hosts and the database.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::password::Password;

/// The port of PostgreSQL, if a URL names none.
pub(super) const PORT: u16 = 5432;
/// The schema of the tables, if a URL names none.
const SCHEMA: &str = "keyward";
/// The time limit for connecting to one host, if a URL sets none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest name that the server does not cut.
const LONGEST_NAME: usize = 63;

/// The URL of a store on a server.
///
/// ```text
/// postgres://[USER@]HOST[:PORT][,HOST2[:PORT2]…]/DB[?PARAMS]
/// ```
///
/// A socket of this machine is named by its folder, `postgres://%2Frun%2Fpostgresql/DB`, and an IPv6 address is in
/// brackets. [`fmt::Display`] shows a URL without password and parameters.
#[derive(Clone)]
pub struct ServerUrl {
    user: Option<String>,
    password: Option<Password>,
    hosts: Vec<Address>,
    database: String,
    parameters: Parameters,
}

/// The part after the question mark.
#[derive(Clone)]
struct Parameters {
    schema: String,
    encrypted: bool,
    roots: Roots,
    identity: Option<(PathBuf, PathBuf)>,
    passfile: Option<PathBuf>,
    connect_timeout: Duration,
    application_name: String,
}

/// The certificate authorities that are trusted to identify a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Roots {
    /// The authorities that this machine trusts.
    System,
    /// Only those in this file.
    File(PathBuf),
}

/// One of the places where the server may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Address {
    pub(in crate::store) host: Host,
    pub(in crate::store) port: u16,
}

/// A machine, or a folder with a socket in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Host {
    /// A name for the system to look up.
    Name(String),
    /// An address.
    Ip(IpAddr),
    /// The folder of a socket of this machine.
    Folder(PathBuf),
}

/// Why a text is not the URL of a store. No message repeats any of the text: what is in the wrong place may be a
/// password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin like one.
    #[error("the URL of a server begins with postgres:// or postgresql://")]
    Scheme,
    /// A character that a terminal obeys, or a blank.
    #[error("the URL holds a blank or a control character; write it as % and two digits")]
    Character,
    /// A percent sign without two hexadecimal digits after it, a NUL, or bytes that are not UTF-8.
    #[error("the URL holds a % that does not stand for a character; write a percent sign itself as %25")]
    Percent,
    /// More than one @ before the first slash, or a # anywhere.
    #[error(
        "the URL holds a character in a place where it has another meaning; in a user and a password, write @ as %40, \
             : as %3A, / as %2F, ? as %3F and # as %23"
    )]
    Reserved,
    /// No host.
    #[error(
        "the URL names no host; a socket of this machine is named by its folder: postgres://%2Frun%2Fpostgresql/DB"
    )]
    NoHost,
    /// Neither a name nor an address nor a folder.
    #[error(
        "a host in the URL is neither a name nor an address nor the folder of a socket; an address of IPv6 stands in [ ]"
    )]
    Host,
    /// No port.
    #[error("a port in the URL is not a number from 1 to 65535")]
    Port,
    /// No database.
    #[error("the URL names no database: postgres://HOST/DATABASE")]
    NoDatabase,
    /// An impossible name for a database or a user.
    #[error("a user and a database have names of at most 63 bytes")]
    Name,
    /// An unknown parameter, with a known one that it resembles.
    #[error("the URL has a parameter that keyward does not know; {}", like(*.0))]
    Parameter(Option<&'static str>),
    /// A parameter given twice.
    #[error("the URL has the parameter {0} more than once")]
    Twice(&'static str),
    /// An invalid value for the parameter, and what is valid.
    #[error("the parameter {0} of the URL is {1}")]
    Value(&'static str, &'static str),
    /// No TLS to another machine.
    #[error(
        "sslmode=disable is only for sockets of this machine and for loopback addresses: what goes over the wire are \
             the hashes of the secrets"
    )]
    Exposed,
    /// One of the two without the other.
    #[error("sslcert and sslkey belong together")]
    HalfIdentity,
}

fn like(known: Option<&'static str>) -> String {
    match known {
        Some(known) => format!("did you mean {known}?"),
        None => format!("these are known: {}", parse::KNOWN.join(", ")),
    }
}

impl ServerUrl {
    /// Whether the text is meant as a server's URL, even an invalid one, and not as a path.
    pub fn is_meant(text: &str) -> bool {
        ["postgres:", "postgresql:"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Whether it contains a password: in an argument, every user of this machine can read it.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// The database user, if it names one.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The schema of the store's tables: a plain identifier.
    pub fn schema(&self) -> &str {
        &self.parameters.schema
    }

    pub(super) fn password(&self) -> Option<&Password> {
        self.password.as_ref()
    }

    pub(super) fn hosts(&self) -> &[Address] {
        &self.hosts
    }

    /// Whether TCP traffic is encrypted and the server must prove its name.
    pub(super) fn is_encrypted(&self) -> bool {
        self.parameters.encrypted
    }

    pub(super) fn roots(&self) -> &Roots {
        &self.parameters.roots
    }

    /// The files with this client's certificate and key.
    pub(super) fn identity(&self) -> Option<(&Path, &Path)> {
        self.parameters.identity.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()))
    }

    pub(super) fn passfile(&self) -> Option<&Path> {
        self.parameters.passfile.as_deref()
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.parameters.connect_timeout
    }

    pub(super) fn application_name(&self) -> &str {
        &self.parameters.application_name
    }
}

impl Host {
    /// Whether it is certainly this machine.
    fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Ip(address) => is_loopback(*address),
            Self::Folder(_) => true,
        }
    }
}

/// Whether the address belongs only to this machine.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address == Ipv6Addr::LOCALHOST,
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        parse::url(text)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = &self.user {
            write!(f, "{}@", Encoded(user))?;
        }
        for (index, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if index > 0 { "," } else { "" })?;
        }
        write!(f, "/{}", Encoded(&self.database))?;
        match self.schema() {
            SCHEMA => Ok(()),
            other => write!(f, "?schema={other}"),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Ip(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Ip(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Host::Folder(folder) => write!(f, "{}", Encoded(&folder.to_string_lossy()))?,
        }
        if self.port == PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Part of a URL, with every special character percent-encoded.
struct Encoded<'t>(&'t str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}
