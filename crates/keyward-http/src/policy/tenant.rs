//! The tenant whose data a request is for.

use std::fmt;
use std::str::FromStr;

use keyward_core::rules::names::{InvalidText, Name};

const PLACE: &str = "{tenant}";

/// The tenant of a policy's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantFrom {
    /// Always this one.
    Named(Name),
    /// One label of the host: `{tenant}` in `{tenant}.api.example.org`.
    Host {
        /// The text before it, in lower case.
        before: String,
        /// The text after it, in lower case.
        after: String,
    },
}

impl TenantFrom {
    /// The tenant of a request to this host; `None` if it is unknown, and then keys of a tenant are refused.
    pub fn of(&self, host: Option<&str>) -> Option<Name> {
        match self {
            Self::Named(name) => Some(name.clone()),
            Self::Host { before, after } => {
                let host = without_port(host?)?.to_ascii_lowercase();
                let label = host.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                if label.contains('.') { None } else { label.parse().ok() }
            }
        }
    }
}

/// The host of an authority (RFC 3986 section 3.2), if it is valid and followed only by a port; without a final dot,
/// because that names the same host.
pub(super) fn without_port(authority: &str) -> Option<&str> {
    // An IPv6 address contains colons, and is in brackets.
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(end);
    let is_port =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_number = host.starts_with('[');
    let is_in_host = |b: u8| {
        is_number && (b.is_ascii_hexdigit() || b"[]:.".contains(&b))
            || !is_number && (b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    // Some readers remove all final dots, others one; a name with an empty label is invalid (RFC 1034 section 3.1).
    let has_labels = is_number || host.split('.').all(|label| !label.is_empty());
    Some(host).filter(|host| is_port && has_labels && host.bytes().all(is_in_host))
}

impl FromStr for TenantFrom {
    type Err = InvalidText;

    /// `host:` and a host with `{tenant}` instead of one label or part of one.
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let wrong = || InvalidText::new("write host: and a host with {tenant} in it, as host:{tenant}.api.example.org");
        let pattern = text.strip_prefix("host:").ok_or_else(wrong)?.to_ascii_lowercase();
        let (before, after) = pattern.split_once(PLACE).ok_or_else(wrong)?;
        let is_host = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        if !is_host(before) || !is_host(after) || before.is_empty() && after.is_empty() {
            return Err(wrong());
        }
        Ok(Self::Host { before: before.to_owned(), after: after.to_owned() })
    }
}

impl fmt::Display for TenantFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "{name}"),
            Self::Host { before, after } => write!(f, "host:{before}{PLACE}{after}"),
        }
    }
}
