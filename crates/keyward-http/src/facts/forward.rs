//! `X-Forwarded-Method`, `-Uri`, `-Host`, `-Proto` and `-For`: what Caddy and Traefik write, and the examples for HAProxy,
//! Apache and nginx.

use http::HeaderMap;
use ipnet::IpNet;

use super::{Facts, client_address, field};
use crate::Refusal;

pub(super) fn facts<'r>(headers: &'r HeaderMap, proxies: &[IpNet]) -> Result<Facts<'r>, Refusal> {
    let (client, client_from) = client_address(headers, proxies);
    let (transport, transport_from) = field::transport(headers, &field::FORWARDED_PROTO)?;
    Ok(Facts {
        method: field::method(headers, &field::FORWARDED_METHOD)?,
        target: field::target(headers, &field::FORWARDED_URI)?,
        host: field::single(headers, &field::FORWARDED_HOST)?,
        transport,
        transport_from,
        client,
        client_from,
    })
}
