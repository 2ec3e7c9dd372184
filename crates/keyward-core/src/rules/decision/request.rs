//! What is known about a request, apart from its credential. What is not known refuses where a key asks for it.

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
    /// The methods that whoever asks allows at all; where there are none, every one.
    pub methods: Vec<Method>,
    /// Whether whoever asks requires a secure connection, whatever the key does.
    pub requires_secure: bool,
    /// How often a key that has no limits of its own may be used for what whoever asks asks for.
    pub limits: Limits,
    /// The name under which whoever asks counts that.
    pub policy: Option<Arc<str>>,
    /// How it came.
    pub transport: Transport,
    /// Which header of a proxy told the address, or why none did.
    pub ip_from: Origin,
    /// The same about the transport.
    pub transport_from: Origin,
}

impl Request {
    /// A request that came in this way, and of which nothing else is known. It asks for nothing in particular.
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

    /// Takes what the trusted headers of a proxy say, and says of the others that they were not taken. Where a trusted
    /// header does not tell how the request came, it came in the clear.
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
    /// A request in the clear, of which nothing is known: what a key asks for and nobody knows is refused.
    fn default() -> Self {
        Self::over(Transport::Http)
    }
}
