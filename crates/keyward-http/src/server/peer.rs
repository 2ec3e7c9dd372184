//! The peer that asks, and whether it is trusted.

use std::fmt;
use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;
use subtle::ConstantTimeEq as _;

/// The header with the secret of the proxies.
pub(super) const SECRET_HEADER: &str = "keyward-proxy-secret";

/// The peer at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    /// A program that may open the socket.
    Unix,
    /// This address.
    Address(IpAddr),
}

impl Peer {
    /// Whether it may ask: a Unix socket has permissions; over TCP, this machine and the trusted networks may.
    pub(super) fn is_trusted(&self, trust: &[IpNet]) -> bool {
        match self {
            Self::Unix => true,
            Self::Address(address) => {
                let address = address.to_canonical();
                address.is_loopback() || trust.iter().any(|network| network.contains(&address))
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("unix"),
            Self::Address(address) => write!(f, "{}", address.to_canonical()),
        }
    }
}

/// Whether the request carries the secret, once.
pub(super) fn knows_secret(headers: &HeaderMap, secret: &[u8]) -> bool {
    let mut values = headers.get_all(SECRET_HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    value.as_bytes().ct_eq(secret).into()
}
