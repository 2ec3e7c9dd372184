//! What a proxy says about the request that it asks about: one file per dialect.
//!
//! | endpoint | file | source of the facts |
//! |---|---|---|
//! | `/forward/POLICY`, `/nginx/POLICY` | `forward` | the proxy, in `X-Forwarded-Method`, `-Uri`, `-Host`, `-Proto` and `-For` |
//! | `/original/POLICY` | `original` | ingress-nginx, in `X-Original-Method`, `X-Original-URL` and `X-Forwarded-For` |
//! | `/envoy/POLICY/…` | `envoy` | Envoy: the original method and path, `Host`, `X-Forwarded-Proto` and `-For` |
//! | the layer | `own` | the client: it is the guarded request itself, and its service says how it came |
//!
//! A dialect reads only its own headers: proxies pass all others on as the client wrote them. A missing header leaves
//! its fact unknown, and whatever needs the fact refuses. A header that occurs twice, or holds a list instead of one
//! value, is refused: which value counts would depend on the reader.

mod client;
mod envoy;
mod field;
mod forged;
mod forward;
mod original;
#[cfg(feature = "tower")]
mod own;

use std::net::IpAddr;

use http::{HeaderMap, Method as HttpMethod, Uri};
use ipnet::IpNet;
use keyward_core::rules::forwarded::Origin;
use keyward_core::rules::http::{Method, Transport};

pub use client::client_address;
pub use forged::is_forged;
#[cfg(feature = "tower")]
pub(crate) use own::{Arrival, facts as own_facts};

use crate::Refusal;

/// The endpoints for proxies, by how the proxies describe the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `/forward`: Caddy, Traefik, HAProxy, APISIX, Apache.
    Forward,
    /// `/nginx`: the same, answered so that `auth_request` of nginx understands it.
    Nginx,
    /// `/original`: ingress-nginx.
    Original,
    /// `/envoy`: Envoy, Istio and the Gateway API.
    Envoy,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Forward, Self::Nginx, Self::Original, Self::Envoy];

    /// The first segment of the path.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Nginx => "nginx",
            Self::Original => "original",
            Self::Envoy => "envoy",
        }
    }

    /// Whether the proxy accepts neither a body nor 429: nginx turns everything but 2xx, 401 and 403 into 500, and
    /// drops its connection after an answer with a body.
    pub fn is_terse(self) -> bool {
        matches!(self, Self::Nginx | Self::Original)
    }
}

/// What is known about a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts<'r> {
    /// Its method.
    pub method: Option<Method>,
    /// Its path, with the query, as the client sent it.
    pub target: Option<&'r str>,
    /// The host that it is for, possibly with a port.
    pub host: Option<&'r str>,
    /// How the request came.
    pub transport: Option<Transport>,
    /// Which header says so, or why none does.
    pub transport_from: Origin,
    /// The address of the client.
    pub client: Option<IpAddr>,
    /// Which header says so, or why none does.
    pub client_from: Origin,
}

impl<'r> Facts<'r> {
    /// The path without the query. A `#` is part of it: no client sends one, and servers disagree about its meaning.
    pub fn path(&self) -> Option<&'r str> {
        self.target.map(|target| target.split('?').next().unwrap_or_default())
    }
}

/// The head of a request to the guard.
#[derive(Debug, Clone, Copy)]
pub struct Head<'r> {
    /// Its own method.
    pub method: &'r HttpMethod,
    /// Its own target.
    pub uri: &'r Uri,
    /// Its headers.
    pub headers: &'r HeaderMap,
}

impl<'r> Head<'r> {
    /// What the proxy says in this dialect. `rest` is the part of the path after the policy, with the query; `proxies`
    /// are the networks of further proxies on the way.
    ///
    /// # Errors
    /// [`Refusal::AmbiguousRequest`] if a header occurs twice, is a list, or cannot be parsed.
    pub fn facts(self, dialect: Dialect, rest: &'r str, proxies: &[IpNet]) -> Result<Facts<'r>, Refusal> {
        match dialect {
            Dialect::Forward | Dialect::Nginx => forward::facts(self.headers, proxies),
            Dialect::Original => original::facts(self.headers, proxies),
            Dialect::Envoy => envoy::facts(self, rest, proxies),
        }
    }
}

#[cfg(test)]
mod tests;
