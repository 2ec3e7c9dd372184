//! One header that holds one value.

use http::header::{self, HeaderMap, HeaderName};
use keyward_core::rules::forwarded::Origin;
use keyward_core::rules::http::{BLANKS, Method, Transport};

use crate::Refusal;

// As names, not as texts, which each search would parse again.
pub(super) static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) static FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
pub(super) static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) static FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
pub(super) static HOST: HeaderName = header::HOST;
pub(super) static ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
pub(super) static ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");

/// The value of a header that may occur once and is not a list.
pub(super) fn single<'r>(headers: &'r HeaderMap, name: &'static HeaderName) -> Result<Option<&'r str>, Refusal> {
    let Some(value) = line(headers, name)? else { return Ok(None) };
    if value.contains(',') { Err(Refusal::AmbiguousRequest) } else { Ok(Some(value).filter(|value| !value.is_empty())) }
}

/// The value of a header that may occur once, whatever it contains.
pub(super) fn line<'r>(headers: &'r HeaderMap, name: &'static HeaderName) -> Result<Option<&'r str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::AmbiguousRequest);
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Refusal::AmbiguousRequest)?;
    Ok(Some(text.trim_matches(BLANKS)))
}

/// The target of a request: a path that begins with `/`, or the `*` of `OPTIONS *`.
pub(super) fn target<'r>(headers: &'r HeaderMap, name: &'static HeaderName) -> Result<Option<&'r str>, Refusal> {
    // Commas are common in paths and queries. A blank reveals two URIs that a proxy has joined.
    match line(headers, name)?.filter(|text| !text.is_empty()) {
        Some(text) if text.contains([' ', '\t']) => Err(Refusal::AmbiguousRequest),
        Some(text) if text.starts_with('/') || text == "*" => Ok(Some(text)),
        Some(_) => Err(Refusal::AmbiguousRequest),
        None => Ok(None),
    }
}

/// A method.
pub(super) fn method(headers: &HeaderMap, name: &'static HeaderName) -> Result<Option<Method>, Refusal> {
    single(headers, name)?.map(|text| text.parse().map_err(|_| Refusal::AmbiguousRequest)).transpose()
}

/// How the client's request came, and which header says so.
pub(super) fn transport(
    headers: &HeaderMap,
    name: &'static HeaderName,
) -> Result<(Option<Transport>, Origin), Refusal> {
    let Some(text) = single(headers, name)? else { return Ok((None, Origin::Missing(shown(name)))) };
    match of_scheme(text) {
        Some(transport) => Ok((Some(transport), Origin::Taken(shown(name)))),
        None => Err(Refusal::AmbiguousRequest),
    }
}

/// The transport of a scheme. WebSockets begin as HTTP requests (RFC 6455 section 3).
pub(super) fn of_scheme(scheme: &str) -> Option<Transport> {
    match () {
        () if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss") => Some(Transport::Https),
        () if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("ws") => Some(Transport::Http),
        () => None,
    }
}

/// A header's name as people write it.
pub(super) fn shown(name: &'static HeaderName) -> &'static str {
    match name.as_str() {
        "x-forwarded-proto" => "X-Forwarded-Proto",
        "x-forwarded-for" => "X-Forwarded-For",
        "x-original-url" => "X-Original-URL",
        other => other,
    }
}
