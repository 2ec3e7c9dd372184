//! Answers that are not decisions.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::answer::{PROBLEM, REASON};

/// Why, for the log: the log records such an answer as a problem.
#[derive(Debug, Clone, Copy)]
pub(super) struct Problem(pub(super) &'static str);

/// An answer that is not about a key.
pub(super) fn plain(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn not_found() -> Response<Full<Bytes>> {
    problem(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path; /metrics and /readyz are at the address of --admin",
    )
}

/// A problem that is not a ruling.
pub(super) fn problem(status: StatusCode, reason: &'static str, detail: &str) -> Response<Full<Bytes>> {
    let title = status.canonical_reason().unwrap_or_default();
    let body =
        serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.extensions_mut().insert(Problem(reason));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REASON, HeaderValue::from_static(reason));
    response
}

/// The answer, after which the connection is closed.
pub(super) fn closed(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
