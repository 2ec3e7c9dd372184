//! `X-Original-Method` and `X-Original-URL`, an absolute URL: what ingress-nginx writes.

use http::HeaderMap;
use ipnet::IpNet;
use keyward_core::rules::forwarded::Origin;

use super::{Facts, client_address, field};
use crate::Refusal;

pub(super) fn facts<'r>(headers: &'r HeaderMap, proxies: &[IpNet]) -> Result<Facts<'r>, Refusal> {
    let (client, client_from) = client_address(headers, proxies);
    let mut facts = Facts {
        method: field::method(headers, &field::ORIGINAL_METHOD)?,
        transport_from: Origin::Missing(field::shown(&field::ORIGINAL_URL)),
        client,
        client_from,
        ..Facts::default()
    };
    let Some(url) = field::line(headers, &field::ORIGINAL_URL)?.filter(|url| !url.is_empty()) else { return Ok(facts) };
    if url.contains([' ', '\t']) {
        return Err(Refusal::AmbiguousRequest);
    }
    let (scheme, rest) = url.split_once("://").ok_or(Refusal::AmbiguousRequest)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    // With user information, readers could see different hosts.
    if authority.is_empty() || authority.contains(['@', ',', '\\']) {
        return Err(Refusal::AmbiguousRequest);
    }
    facts.host = Some(authority);
    // A URL without a path asks for the root (RFC 9110 section 4.2.3).
    facts.target = Some(if target.is_empty() { "/" } else { target });
    facts.transport = Some(field::of_scheme(scheme).ok_or(Refusal::AmbiguousRequest)?);
    facts.transport_from = Origin::Taken(field::shown(&field::ORIGINAL_URL));
    Ok(facts)
}
