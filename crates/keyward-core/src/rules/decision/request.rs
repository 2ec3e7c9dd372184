//! What is known about a request, apart from its credential. What is not known refuses where a key asks for it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::rules::names::{InvalidText, Level, Name, Scope};

/// An HTTP method: a token, case-sensitive (RFC 9110 section 9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method(String);

impl Method {
    /// GET, HEAD, OPTIONS and TRACE: the methods that ask for no change (RFC 9110 section 9.2.1).
    pub fn is_safe(&self) -> bool {
        matches!(self.0.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }
}

impl FromStr for Method {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if !text.is_empty() && text.len() <= 64 && text.bytes().all(is_token) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText::new("not an HTTP method: write it like GET or POST"))
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the request reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Within one machine; counts as secure.
    Local,
    /// Over TLS.
    Https,
    /// In the clear.
    Http,
}

impl FromStr for Transport {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        match text {
            "local" => Ok(Self::Local),
            "https" => Ok(Self::Https),
            "http" => Ok(Self::Http),
            _ => Err(InvalidText::new("a transport is local, https or http")),
        }
    }
}

/// A role that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRole {
    /// Its name.
    pub name: Name,
    /// Its rank, or `None` where the store has no such role, which no key can satisfy.
    pub rank: Option<i64>,
}

/// What is known about a request, apart from its credential.
///
/// ```
/// use keyward_core::rules::decision::{Request, Transport};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut request = Request::over(Transport::Https);
/// request.method = Some("GET".parse()?);
/// request.scopes.push("rest".parse()?);
/// // Who does not say how the request came gets the strict answer.
/// assert_eq!(Request::default().transport, Transport::Http);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The HTTP method.
    pub method: Option<Method>,
    /// The address of the caller.
    pub ip: Option<IpAddr>,
    /// The tenant whose data is asked for.
    pub tenant: Option<Name>,
    /// Scopes that the request needs, all of them.
    pub scopes: Vec<Scope>,
    /// Levels that the request needs, all of them.
    pub levels: Vec<Level>,
    /// The least role that the request needs.
    pub role: Option<WantedRole>,
    /// How it came.
    pub transport: Transport,
}

impl Request {
    /// A request that came in this way, and of which nothing else is known. It asks for nothing in particular.
    pub fn over(transport: Transport) -> Self {
        Self { method: None, ip: None, tenant: None, scopes: vec![], levels: vec![], role: None, transport }
    }
}

impl Default for Request {
    /// A request in the clear, of which nothing is known: what a key asks for and nobody knows is refused.
    fn default() -> Self {
        Self::over(Transport::Http)
    }
}
