//! A request in parts: header fields and a target, for a server that has already read the head.

use super::search::Search;
use super::{Accepted, CredentialError, Credentials, malformed};
use crate::rules::forwarded::{Forwarded, Trust};
use crate::rules::http::{Transport, is_token};

/// Which parts of a request are believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// The accepted presentations.
    pub accepted: Accepted,
    /// The forwarding headers that a proxy is known to write.
    pub trust: Trust,
}

/// What the fields and the target of a request say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestParts {
    /// `https` if the target is an `https://…` URL, else `http`: a proxy that terminates TLS knows better and says so
    /// in a header.
    pub transport: Transport,
    /// What was presented.
    pub credentials: Credentials,
    /// What the trusted proxy says.
    pub forwarded: Forwarded,
}

/// Reads the header fields of a request, in order, and its target.
///
/// ```
/// use keyward_core::rules::credential::{Reading, parse_parts};
///
/// # use keyward_core::rules::token::{Id, Secret};
/// # let secret = Secret::build(&"kw".parse().unwrap(), Id::from_random([1; 8]), &[1; 32]);
/// # let secret = secret.expose();
/// let headers = [("host", b"api.example.org".as_slice()), ("x-api-key", secret.as_bytes())];
/// let parts = parse_parts(&mut headers.into_iter(), "/orders?page=2", Reading::default()).unwrap();
/// assert_eq!(parts.credentials.own.unwrap().presentation.as_str(), "x_api_key");
/// ```
///
/// # Errors
/// [`CredentialError`] for what no request can contain.
pub fn parse_parts<'f>(
    fields: &mut dyn Iterator<Item = (&'f str, &'f [u8])>,
    target: &str,
    reading: Reading,
) -> Result<RequestParts, CredentialError> {
    if target.contains('#') {
        return Err(malformed("the target of the request has a fragment, which no client sends"));
    }
    let (mut search, mut forwarded) = (Search::new(reading.accepted), Forwarded::reader(reading.trust));
    for (name, value) in fields {
        // HTTP/2 has pseudo-header fields, which begin with a colon, instead of a request line (RFC 9113 section 8.3).
        if !is_token(name.strip_prefix(':').unwrap_or(name)) {
            return Err(malformed("the name of a header is not a token"));
        }
        if memchr::memchr3(b'\r', b'\n', b'\0', value).is_some() {
            return Err(malformed("the value of a header holds a line end or a NUL"));
        }
        search.field(name, value);
        forwarded.field(name, value);
    }
    search.query(target);
    let credentials = search.finish("the request carries no credential that keyward knows");
    let is_https = target.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
    let transport = if is_https { Transport::Https } else { Transport::Http };
    Ok(RequestParts { transport, credentials, forwarded: forwarded.finish() })
}
