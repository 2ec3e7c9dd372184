//! What is known about a request, apart from its credential. If a key requires a fact that is not known, the request is
//! refused.

use std::net::IpAddr;
use std::sync::Arc;

use crate::rules::forwarded::{Forwarded, Origin, Trust};
pub use crate::rules::http::{Method, Transport};
use crate::rules::limits::Limits;
use crate::rules::names::{Level, Name, Scope};

/// A role that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRole {
    /// Its name.
    pub name: Name,
    /// Its rank, or `None` if the store has no such role, which no key can satisfy.
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
/// // Without a stated transport, the strict one is assumed.
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
    /// The tenant whose data the request is for.
    pub tenant: Option<Name>,
    /// Scopes that the request needs, all of them.
    pub scopes: Vec<Scope>,
    /// Levels that the request needs, all of them.
    pub levels: Vec<Level>,
    /// The lowest role that the request needs.
    pub role: Option<WantedRole>,
    /// The methods that the caller allows; if empty, all of them.
    pub methods: Vec<Method>,
    /// Whether the caller requires a secure connection, whatever the key requires.
    pub requires_secure: bool,
    /// How often a key without limits of its own may be used for what the caller protects.
    pub limits: Limits,
    /// The name under which the caller counts this.
    pub policy: Option<Arc<str>>,
    /// How the request came.
    pub transport: Transport,
    /// Which proxy header gave the address, or why none did.
    pub ip_from: Origin,
    /// The same for the transport.
    pub transport_from: Origin,
}

impl Request {
    /// A request that came in this way, with nothing else known. It asks for nothing in particular.
    pub fn over(transport: Transport) -> Self {
        Self {
            method: None,
            ip: None,
            tenant: None,
            scopes: vec![],
            levels: vec![],
            role: None,
            methods: vec![],
            requires_secure: false,
            limits: Limits::default(),
            policy: None,
            transport,
            ip_from: Origin::Elsewhere,
            transport_from: Origin::Elsewhere,
        }
    }

    /// Takes the facts from trusted proxy headers, and records which headers were not trusted. If a trusted header does
    /// not say how the request came, it came in the clear.
    pub fn learn(&mut self, forwarded: Forwarded, trust: Trust) {
        if trust.tells_address() {
            self.ip = forwarded.address;
        }
        if trust.tells_transport() {
            self.transport = forwarded.transport.unwrap_or(Transport::Http);
        }
        (self.ip_from, self.transport_from) = (forwarded.address_from, forwarded.transport_from);
    }
}

impl Default for Request {
    /// A request in the clear, of which nothing is known: any fact that a key requires is missing, so it is refused.
    fn default() -> Self {
        Self::over(Transport::Http)
    }
}
