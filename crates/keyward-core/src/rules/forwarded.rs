//! What a proxy says about the request that it passed on: `Forwarded` (RFC 7239), or
//! `X-Forwarded-For` and `X-Forwarded-Proto`.
//!
//! Only the last hop counts: it was written by the proxy in front of the service, and everything
//! before it may have been written by the client. Nothing here is to be used unless whoever runs the
//! service has said that there is such a proxy. What cannot be read, and what the two families of
//! headers say differently, is not known: a restriction that needs it then refuses.

use std::net::IpAddr;

use super::address::parse_address;
use super::http::Transport;

/// What the last proxy says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarded {
    /// The address that the request came from.
    pub address: Option<IpAddr>,
    /// How it came.
    pub transport: Option<Transport>,
}

impl Forwarded {
    /// Reads the header fields of a request, in order.
    pub fn from_fields<'f>(fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> Self {
        let (mut forwarded, mut from, mut proto) = (None, None, None);
        for (name, value) in fields {
            let place = match () {
                () if name.eq_ignore_ascii_case("forwarded") => &mut forwarded,
                () if name.eq_ignore_ascii_case("x-forwarded-for") => &mut from,
                () if name.eq_ignore_ascii_case("x-forwarded-proto") => &mut proto,
                () => continue,
            };
            // A later line of the same name continues the list (RFC 9110 section 5.3).
            *place = Some(value);
        }
        let standard = forwarded.map(|value| text(value).map(standard).unwrap_or_default());
        let customary = (from.is_some() || proto.is_some()).then(|| Self {
            address: from.and_then(text).and_then(last_item).and_then(address),
            transport: proto.and_then(text).and_then(last_item).and_then(transport),
        });
        match (standard, customary) {
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => Self::default(),
            (Some(one), Some(other)) => {
                Self { address: agreed(one.address, other.address), transport: agreed(one.transport, other.transport) }
            }
        }
    }
}

/// What both families say. Where one of them is silent, the other may be the client's: a proxy that
/// writes one family and hides an address would let the client say another in the other family.
fn agreed<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.filter(|one| other.as_ref() == Some(one))
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

fn last_item(list: &str) -> Option<&str> {
    list.rsplit(',').next().map(str::trim)
}

/// The last element of `Forwarded: for=…;proto=…, for=…;proto=…`.
fn standard(value: &str) -> Forwarded {
    let Some(element) = split_unquoted(value, ',').and_then(|elements| elements.last().copied()) else {
        return Forwarded::default();
    };
    let Some(pairs) = split_unquoted(element, ';') else { return Forwarded::default() };
    // A parameter stands once in an element (RFC 7239 section 4); one that stands twice says nothing.
    let once = |wanted: &str| {
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value);
        let value = values.next().map(|value| unquoted(value.trim()));
        value.filter(|_| values.next().is_none())
    };
    Forwarded {
        address: once("for").as_deref().and_then(address),
        transport: once("proto").as_deref().and_then(transport),
    }
}

/// The parts between separators that stand outside quoted strings; `None` where a quote is open.
fn split_unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (vec![], 0, false, false);
    for (place, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!quoted).then_some(parts)
}

/// A token, or the content of a quoted string (RFC 9110 section 5.6.4).
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut escaped = false;
    inner
        .chars()
        .filter(|&c| {
            let keep = c != '\\' || escaped;
            escaped = !keep;
            keep
        })
        .collect()
}

/// `203.0.113.9`, `203.0.113.9:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let host = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            is_port(port).then_some(host)?
        }
        None => match text.split_once(':') {
            Some((host, port)) if host.contains('.') && !port.contains(':') && is_port(&text[host.len()..]) => host,
            _ => text,
        },
    };
    parse_address(host).ok().map(|address| address.to_canonical())
}

/// Nothing, or a colon and a number.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// `http` and `https` in any letter case; everything else is not known.
fn transport(text: &str) -> Option<Transport> {
    match text {
        text if text.eq_ignore_ascii_case("https") => Some(Transport::Https),
        text if text.eq_ignore_ascii_case("http") => Some(Transport::Http),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(head: &str) -> String {
        let fields = head.split(" | ").filter_map(|line| line.split_once(": "));
        let found = Forwarded::from_fields(fields.map(|(name, value)| (name, value.as_bytes())));
        let address = found.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        format!(
            "{address} {}",
            match found.transport {
                Some(Transport::Https) => "https",
                Some(Transport::Http) => "http",
                Some(Transport::Local) => "local",
                None => "-",
            }
        )
    }

    #[test]
    fn the_last_hop_counts() {
        for (head, found) in [
            ("Host: x", "- -"),
            ("X-Forwarded-For: 203.0.113.9", "203.0.113.9 -"),
            ("x-forwarded-for: 10.0.0.1, 203.0.113.9", "203.0.113.9 -"),
            ("X-Forwarded-For: 10.0.0.1 | X-Forwarded-For: 203.0.113.9", "203.0.113.9 -"),
            ("X-Forwarded-For: 203.0.113.9:4711", "203.0.113.9 -"),
            ("X-Forwarded-For: 2001:db8::1", "2001:db8::1 -"),
            ("X-Forwarded-For: [2001:db8::1]:4711", "2001:db8::1 -"),
            ("X-Forwarded-For: ::ffff:10.0.0.1", "10.0.0.1 -"),
            ("X-Forwarded-For: 10.0.0.1, unknown", "- -"),
            ("X-Forwarded-For: 10.0.0.1,", "- -"),
            ("X-Forwarded-Proto: https", "- https"),
            ("X-Forwarded-Proto: https, http", "- http"),
            ("X-Forwarded-Proto: HTTPS", "- https"),
            ("X-Forwarded-Proto: wss", "- -"),
            ("Forwarded: for=203.0.113.9;proto=https", "203.0.113.9 https"),
            ("Forwarded: For=10.0.0.1, for=\"[2001:db8::1]:4711\";proto=http;by=1.1.1.1", "2001:db8::1 http"),
            ("Forwarded: for=\"10.0.0.1, for=203.0.113.9", "- -"),
            ("Forwarded: for=\"10.0.0.1,x\", for=203.0.113.9", "203.0.113.9 -"),
            ("Forwarded: for=_hidden;proto=https", "- https"),
            ("Forwarded: proto=\"ht\\tps\"", "- https"),
            ("Forwarded: for=203.0.113.9 | X-Forwarded-For: 203.0.113.9 | X-Forwarded-Proto: https", "203.0.113.9 -"),
            (
                "Forwarded: for=203.0.113.9;proto=http | X-Forwarded-For: 203.0.113.9 | X-Forwarded-Proto: http",
                "203.0.113.9 http",
            ),
            ("Forwarded: for=unknown;proto=https | X-Forwarded-For: 10.0.0.1", "- -"),
            ("Forwarded: proto=https | X-Forwarded-For: 203.0.113.9", "- -"),
            ("Forwarded: for=203.0.113.9;proto=https;for=10.0.0.1", "- https"),
            ("Forwarded: for=203.0.113.9;proto=https | X-Forwarded-For: 10.0.0.1 | X-Forwarded-Proto: http", "- -"),
        ] {
            assert_eq!(read(head), found, "{head}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_without_a_panic(value: Vec<u8>, text in "\\PC{0,60}") {
            for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto"] {
                let _ = Forwarded::from_fields([(name, &value[..]), (name, text.as_bytes())].into_iter());
            }
        }

        #[test]
        fn what_the_client_puts_before_the_last_hop_changes_nothing(client in "[ -~&&[^\"]]{0,40}") {
            let last = "for=203.0.113.9;proto=https";
            let value = format!("{client}, {last}");
            let found = Forwarded::from_fields([("Forwarded", value.as_bytes())].into_iter());
            prop_assert_eq!(found, Forwarded::from_fields([("Forwarded", last.as_bytes())].into_iter()));
        }
    }
}
