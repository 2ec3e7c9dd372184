//! Splits the text of a URL into its parts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Address, CONNECT_TIMEOUT, Host, LONGEST_NAME, PORT, Parameters, Roots, SCHEMA, ServerUrl, UrlError};
use crate::rules::text::is_obeyed;
use crate::store::postgres::password::Password;

/// The known parameters.
pub(super) const KNOWN: [&str; 9] = [
    "schema",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "passfile",
    "connect_timeout",
    "application_name",
    "target_session_attrs",
];
/// How similar a parameter must be to a known one to count as a typo.
const LIKENESS: f64 = 0.8;
/// The longest time limit for connecting, in seconds.
const LONGEST_WAIT: u64 = 600;
/// The most hosts that a URL may name.
const MOST_HOSTS: usize = 16;

pub(super) fn url(text: &str) -> Result<ServerUrl, UrlError> {
    let schemes = ["postgres://", "postgresql://"];
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)).ok_or(UrlError::Scheme)?;
    if rest.chars().any(|c| is_obeyed(c) || c.is_whitespace()) {
        return Err(UrlError::Character);
    }
    if rest.contains('#') {
        return Err(UrlError::Reserved);
    }
    let (before, parameters) = rest.split_once('?').map_or((rest, None), |(before, after)| (before, Some(after)));
    let (authority, database) = before.split_once('/').ok_or(UrlError::NoDatabase)?;
    let (user, hosts) = match authority.split_once('@') {
        Some((_, hosts)) if hosts.contains('@') => return Err(UrlError::Reserved),
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    let (user, password) = user.map_or(Ok((None, None)), user_and_password)?;
    let hosts = hosts.split(',').map(address).collect::<Result<Vec<_>, _>>()?;
    if hosts.len() > MOST_HOSTS {
        return Err(UrlError::Host);
    }
    let database = database_name(database)?;
    let parameters = self::parameters(parameters.unwrap_or_default(), &hosts)?;
    Ok(ServerUrl { user, password, hosts, database, parameters })
}

fn user_and_password(text: &str) -> Result<(Option<String>, Option<Password>), UrlError> {
    let (user, password) = text.split_once(':').map_or((text, None), |(user, password)| (user, Some(password)));
    let password = password.map(decoded).transpose()?.filter(|password| !password.is_empty());
    // An empty user counts as none, as for libpq.
    let user = Some(self::text(user)?).filter(|user| !user.is_empty());
    if user.as_ref().is_some_and(|user| user.len() > LONGEST_NAME) {
        return Err(UrlError::Name);
    }
    Ok((user, password.map(Password::new)))
}

fn database_name(text: &str) -> Result<String, UrlError> {
    // The rest of a password that has a slash in it looks like a database.
    if text.contains(['/', '@', ':']) {
        return Err(UrlError::Reserved);
    }
    match self::text(text)? {
        name if name.is_empty() => Err(UrlError::NoDatabase),
        name if name.len() > LONGEST_NAME => Err(UrlError::Name),
        name => Ok(name),
    }
}

fn address(text: &str) -> Result<Address, UrlError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(UrlError::Host)?;
        let address: Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
        let port = match port.strip_prefix(':') {
            Some(port) => self::port(port)?,
            None if port.is_empty() => PORT,
            None => return Err(UrlError::Port),
        };
        return Ok(Address { host: Host::Ip(IpAddr::V6(address)), port });
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let host = host_of(self::text(host)?)?;
    Ok(Address { host, port: port.map_or(Ok(PORT), self::port)? })
}

fn host_of(text: String) -> Result<Host, UrlError> {
    if text.is_empty() {
        return Err(UrlError::NoHost);
    }
    if text.starts_with('/') {
        let is_shown = !text.chars().any(is_obeyed);
        return if is_shown { Ok(Host::Folder(PathBuf::from(text))) } else { Err(UrlError::Host) };
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(IpAddr::V4(address)));
    }
    let is_name = text.len() <= 253 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if is_name { Ok(Host::Name(text)) } else { Err(UrlError::Host) }
}

fn port(text: &str) -> Result<u16, UrlError> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if is_number && port > 0 => Ok(port),
        _ => Err(UrlError::Port),
    }
}

fn parameters(text: &str, hosts: &[Address]) -> Result<Parameters, UrlError> {
    let mut values: [Option<String>; KNOWN.len()] = Default::default();
    for parameter in text.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let Some(index) = KNOWN.iter().position(|known| *known == name) else {
            return Err(UrlError::Parameter(like(name)));
        };
        if values[index].replace(self::text(value)?).is_some() {
            return Err(UrlError::Twice(KNOWN[index]));
        }
    }
    let [schema, mode, roots, certificate, key, passfile, timeout, application, attributes] = values;
    let file = |name, value: Option<String>| match value {
        Some(value) if value.is_empty() => Err(UrlError::Value(name, "the path of a file")),
        value => Ok(value.map(PathBuf::from)),
    };
    let identity = match (file("sslcert", certificate)?, file("sslkey", key)?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(UrlError::HalfIdentity),
    };
    let roots = match file("sslrootcert", roots)? {
        Some(file) if file.as_os_str() != "system" => Roots::File(file),
        _ => Roots::System,
    };
    if attributes.is_some_and(|attributes| attributes != "read-write") {
        return Err(UrlError::Value(
            "target_session_attrs",
            "read-write, always: a standby knows of a change too late",
        ));
    }
    Ok(Parameters {
        schema: self::schema(schema)?,
        encrypted: is_encrypted(mode.as_deref(), hosts)?,
        roots,
        identity,
        passfile: file("passfile", passfile)?,
        connect_timeout: self::timeout(timeout.as_deref())?,
        application_name: application_name(application)?,
    })
}

fn like(name: &str) -> Option<&'static str> {
    let likeness = |known: &&str| strsim::jaro_winkler(known, name);
    let closest = KNOWN.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    closest.filter(|known| likeness(known) >= LIKENESS).copied()
}

fn schema(text: Option<String>) -> Result<String, UrlError> {
    let Some(text) = text else { return Ok(SCHEMA.to_owned()) };
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let begins_well = text.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    // PostgreSQL keeps these names for itself.
    let is_reserved = text.starts_with("pg_");
    if begins_well && !is_reserved && text.len() <= LONGEST_NAME && text.bytes().all(is_plain) {
        return Ok(text);
    }
    Err(UrlError::Value(
        "schema",
        "a name of at most 63 lower-case letters, digits and underscores that does not begin with pg_",
    ))
}

/// Whether TLS is spoken over TCP. Sockets of this machine do not need it.
fn is_encrypted(mode: Option<&str>, hosts: &[Address]) -> Result<bool, UrlError> {
    match mode {
        None | Some("verify-full") => Ok(true),
        Some("disable") if hosts.iter().all(|address| address.host.is_loopback()) => Ok(false),
        Some("disable") => Err(UrlError::Exposed),
        Some(_) => Err(UrlError::Value("sslmode", "verify-full or disable: there is nothing in between")),
    }
}

fn timeout(text: Option<&str>) -> Result<Duration, UrlError> {
    let Some(text) = text else { return Ok(CONNECT_TIMEOUT) };
    match text.parse() {
        Ok(seconds @ 1..=LONGEST_WAIT) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(Duration::from_secs(seconds)),
        _ => Err(UrlError::Value("connect_timeout", "a number of seconds from 1 to 600")),
    }
}

fn application_name(text: Option<String>) -> Result<String, UrlError> {
    let text = text.unwrap_or_else(|| SCHEMA.to_owned());
    if text.len() <= LONGEST_NAME && text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Ok(text);
    }
    Err(UrlError::Value("application_name", "at most 63 characters of ASCII"))
}

/// Decodes part of the URL as text.
fn text(part: &str) -> Result<String, UrlError> {
    String::from_utf8(decoded(part)?.to_vec()).map_err(|_| UrlError::Percent)
}

/// Decodes part of the URL as bytes. A NUL ends a text in the protocol, so no text may contain one.
fn decoded(part: &str) -> Result<Zeroizing<Vec<u8>>, UrlError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(part.len()));
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(UrlError::Percent) };
                (high << 4 | low) as u8
            }
            byte => byte,
        };
        if byte == 0 {
            return Err(UrlError::Percent);
        }
        bytes.push(byte);
    }
    Ok(bytes)
}
