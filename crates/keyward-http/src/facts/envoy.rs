//! The original method and path, with `Host`, `X-Forwarded-Proto` and `X-Forwarded-For`: what Envoy sends to an
//! `http_service` of `ext_authz`.

use ipnet::IpNet;

use super::{Facts, Head, client_address, field};
use crate::Refusal;

pub(super) fn facts<'r>(head: Head<'r>, rest: &'r str, proxies: &[IpNet]) -> Result<Facts<'r>, Refusal> {
    let (client, client_from) = client_address(head.headers, proxies);
    let (transport, transport_from) = field::transport(head.headers, &field::FORWARDED_PROTO)?;
    // Envoy sends the path exactly as in the request line, `//` and dot segments included.
    let target = if rest.starts_with('/') { rest } else { "/" };
    Ok(Facts {
        method: Some(head.method.as_str().parse().map_err(|_| Refusal::AmbiguousRequest)?),
        target: Some(target),
        host: field::single(head.headers, &field::HOST)?,
        transport,
        transport_from,
        client,
        client_from,
    })
}
