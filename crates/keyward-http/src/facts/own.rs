//! The request itself: what is known if the guard runs inside the service.
//!
//! What may break: a service behind a proxy sees the proxy's connection, not the client's. So address and transport are
//! known only if the service says where to find them; otherwise, whatever needs them is refused.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;
use keyward_core::rules::forwarded::Origin;
use keyward_core::rules::http::Transport;

use super::{Facts, Head, client_address, field};
use crate::Refusal;

/// How a request arrived, as far as its service knows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arrival<'a> {
    /// Clients reach the service only over TLS.
    pub(crate) is_secure: bool,
    /// The address at the other end of the connection.
    pub(crate) peer: Option<IpAddr>,
    /// A proxy in front writes `X-Forwarded-For` and `-Proto`; these are the networks of further ones.
    pub(crate) proxies: Option<&'a [IpNet]>,
}

/// The facts of a request that arrived in this way.
///
/// # Errors
/// [`Refusal::AmbiguousRequest`] if it names two hosts, or a header that counts has two values.
pub(crate) fn facts<'r>(head: Head<'r>, arrival: Arrival<'_>) -> Result<Facts<'r>, Refusal> {
    let mut facts = Facts {
        method: Some(head.method.as_str().parse().map_err(|_| Refusal::AmbiguousRequest)?),
        target: head.uri.path_and_query().map(http::uri::PathAndQuery::as_str),
        host: host(head)?,
        transport: Some(Transport::Http),
        client: arrival.peer.map(|peer| peer.to_canonical()),
        ..Facts::default()
    };
    if let Some(proxies) = arrival.proxies {
        (facts.client, facts.client_from) = client_address(head.headers, proxies);
        (facts.transport, facts.transport_from) = transport(head.headers, arrival)?;
    }
    if arrival.is_secure {
        facts.transport = Some(Transport::Https);
    }
    Ok(facts)
}

fn transport(headers: &HeaderMap, arrival: Arrival<'_>) -> Result<(Option<Transport>, Origin), Refusal> {
    // A header that does not count is not read.
    if arrival.is_secure { Ok(Default::default()) } else { field::transport(headers, &field::FORWARDED_PROTO) }
}

/// The host that the request is for: the authority in HTTP/2 and in an absolute target, else `Host`.
fn host(head: Head<'_>) -> Result<Option<&str>, Refusal> {
    let named = field::single(head.headers, &field::HOST)?;
    let Some(authority) = head.uri.authority().map(http::uri::Authority::as_str) else { return Ok(named) };
    // Servers choose differently between two names (RFC 9113 section 8.3.1), and user information before a host is
    // there to deceive.
    let agrees = named.is_none_or(|named| named.eq_ignore_ascii_case(authority));
    if agrees && !authority.contains('@') { Ok(Some(authority)) } else { Err(Refusal::AmbiguousRequest) }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn known(request: &Request<()>, arrival: Arrival<'_>) -> Result<String, Refusal> {
        let head = Head { method: request.method(), uri: request.uri(), headers: request.headers() };
        facts(head, arrival).map(|facts| {
            let client = facts.client.map_or_else(|| "-".to_owned(), |client| client.to_string());
            let method = facts.method.map_or_else(|| "-".to_owned(), |method| method.to_string());
            let transport = match facts.transport {
                Some(Transport::Https) => "https",
                Some(_) => "http",
                None => "-",
            };
            let (target, host) = (facts.target.unwrap_or("-"), facts.host.unwrap_or("-"));
            format!("{method} {target} {host} {transport} {client}")
        })
    }

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request = Request::get(uri);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn target_and_host_are_the_request_s_own() {
        for (uri, headers, expected) in [
            ("/a?b=c", &[("host", "x.example:80")][..], Ok("GET /a?b=c x.example:80 http -")),
            ("/a", &[], Ok("GET /a - http -")),
            ("*", &[], Ok("GET * - http -")),
            ("http://x.example/a", &[], Ok("GET /a x.example http -")),
            ("http://x.example/a", &[("host", "X.example")], Ok("GET /a x.example http -")),
            ("http://x.example/a", &[("host", "y.example")], Err(Refusal::AmbiguousRequest)),
            ("http://ann@x.example/a", &[], Err(Refusal::AmbiguousRequest)),
            ("/a", &[("host", "x.example"), ("host", "x.example")], Err(Refusal::AmbiguousRequest)),
            ("/a", &[("host", "x.example, y.example")], Err(Refusal::AmbiguousRequest)),
            // The service did not say that a proxy writes them.
            ("/a", &[("x-forwarded-for", "10.1.2.3"), ("x-forwarded-proto", "https")], Ok("GET /a - http -")),
            ("/a", &[("x-forwarded-host", "z.example"), ("x-forwarded-uri", "/b")], Ok("GET /a - http -")),
        ] {
            let found = known(&request(uri, headers), Arrival::default());
            assert_eq!(found, expected.map(str::to_owned), "{uri} {headers:?}");
        }
    }

    #[test]
    fn address_and_transport_are_known_as_far_as_the_service_says() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let behind = Arrival { proxies: Some(&proxies), ..Arrival::default() };
        let secure = Arrival { is_secure: true, ..Arrival::default() };
        let peer = Arrival { peer: "::ffff:192.0.2.1".parse().ok(), ..Arrival::default() };
        let forwarded = [("x-forwarded-for", "203.0.113.9, 10.1.1.1"), ("x-forwarded-proto", "https")];
        let twice = [("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")];
        for (headers, arrival, expected) in [
            (&forwarded[..], behind, Ok("GET / - https 203.0.113.9")),
            (&[], behind, Ok("GET / - - -")),
            (&twice, behind, Err(Refusal::AmbiguousRequest)),
            (&forwarded, secure, Ok("GET / - https -")),
            (&twice, secure, Ok("GET / - https -")),
            (&twice, Arrival { is_secure: true, ..behind }, Ok("GET / - https -")),
            (&forwarded, peer, Ok("GET / - http 192.0.2.1")),
            // The proxy's own address is not a client's.
            (&forwarded, Arrival { proxies: Some(&proxies), ..peer }, Ok("GET / - https 203.0.113.9")),
            (&[], Arrival { proxies: Some(&proxies), ..peer }, Ok("GET / - - -")),
        ] {
            let found = known(&request("/", headers), arrival);
            assert_eq!(found, expected.map(str::to_owned), "{headers:?} {arrival:?}");
        }
    }
}
