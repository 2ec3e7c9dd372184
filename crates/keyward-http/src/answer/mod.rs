//! From a ruling to an answer: a status, headers, a body.
//!
//! | status | when |
//! |---|---|
//! | 200 | allowed; the headers of the policy are all present, and never empty |
//! | 401 | no live, genuine credential was presented (RFC 6750 section 3) |
//! | 403 | genuine and not allowed to do this, or a request that could mean two things |
//! | 429 | a limit is used up, or too many failures; `RateLimit` says what is left of each limit, on 200 too |
//! | 503 | it could not be checked: neither yes nor no |
//! | 500 | a mistake: in the proxy's configuration, or in keyward |
//!
//! Refusals have a body of `application/problem+json` (RFC 9457) if the proxy accepts one. Nothing is said about a key
//! before its secret has matched: until then, a wrong secret, an unknown one and a text that is not a secret look
//! alike.

mod identity;
mod problem;
mod rate;
mod ruling;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

#[cfg(feature = "server")]
pub(crate) use problem::MEDIA_TYPE as PROBLEM;
#[cfg(feature = "server")]
pub(crate) use rate::limit_name;
pub use ruling::{RequestId, Ruling};

use crate::facts::Dialect;
use crate::policy::Policy;

/// The id of the request: the one that came with it, or a new one.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-keyward-request-id");
/// Why.
pub const REASON: HeaderName = HeaderName::from_static("x-keyward-reason");
/// The real status, if the proxy accepts only 401 and 403 as refusals.
pub const STATUS: HeaderName = HeaderName::from_static("x-keyward-status");

/// Present, with the value `true`, if the store's server was away and the answer rests on what was known before.
pub const STALE: HeaderName = HeaderName::from_static("x-keyward-stale");

/// Room for the headers of a usual yes, with the two that the server adds, and for the two of limits. A table with room for
/// twelve takes half the memory of one for thirteen.
const USUAL_HEADERS: usize = 12;
const HEADERS_OF_LIMITS: usize = 2;

/// An answer on its way to the client.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers, without the length of the body.
    pub headers: HeaderMap,
    /// The body; empty if the answer is yes.
    pub body: Vec<u8>,
}

impl Reply {
    /// The answer to a request that came in this dialect; without one, to a client itself. `policy` is the one that was
    /// asked, if known.
    pub fn new(ruling: &Ruling, policy: Option<&Policy>, dialect: Option<Dialect>) -> Self {
        let meant = ruling.status();
        let is_terse = dialect.is_some_and(Dialect::is_terse);
        let status = if is_terse && meant == 429 { 403 } else { meant };
        let of_limits = if ruling.reckoning().is_some() { HEADERS_OF_LIMITS } else { 0 };
        let mut headers = HeaderMap::with_capacity(USUAL_HEADERS + of_limits);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REASON, HeaderValue::from_static(ruling.public_reason()));
        headers.insert(REQUEST_ID, ruling.id().header());
        if status != meant {
            headers.insert(STATUS, HeaderValue::from(meant));
        }
        if ruling.is_stale() {
            headers.insert(STALE, HeaderValue::from_static("true"));
        }
        if let Some(reckoning) = ruling.reckoning() {
            rate::write(reckoning, &mut headers);
        }
        let mut body = vec![];
        if meant == 200 {
            match (ruling.key(), policy) {
                (Some(key), Some(policy)) if identity::write(key, policy, &mut headers) => {}
                // A yes without an identity is not a yes.
                _ => return Self::new(&ruling.unusable(), policy, dialect),
            }
        } else {
            ruling.write_challenge(policy, &mut headers);
            if let Some(wait) = ruling.retry_after() {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
            }
            if !is_terse {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
                body = problem::body(ruling, policy.is_none_or(|policy| policy.explains));
            }
        }
        Self { status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers, body }
    }

    /// The answer as an HTTP response, with any body type that bytes convert to.
    pub fn into_response<B: From<Vec<u8>>>(self) -> Response<B> {
        let mut response = Response::new(B::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

#[cfg(test)]
mod tests;
