//! What a proxy says about the request that it passed on: `Forwarded` (RFC 7239), or
//! `X-Forwarded-For` and `X-Forwarded-Proto`.
//!
//! Only the last hop counts: it was written by the proxy in front of the service, and everything before it may have
//! been written by the client. Only the headers that the operator says the proxy writes are read ([`Trust`]): a header
//! that the proxy passes on untouched comes from the client. If a header cannot be parsed, or the two families
//! disagree, the fact is unknown: a restriction that needs it then refuses, and [`Origin`] says why.

use std::net::IpAddr;
use std::str::FromStr;

use super::address::parse_address;
use super::http::{Transport, split_unquoted};
use super::names::InvalidText;
use super::text::shown;

const FORWARDED: &str = "Forwarded";
const FOR: &str = "X-Forwarded-For";
const PROTO: &str = "X-Forwarded-Proto";

/// How much of a header a message shows.
const MOST_SHOWN: usize = 60;

/// Which forwarding headers the proxy in front of a service writes.
///
/// ```
/// use keyward_core::rules::forwarded::Trust;
///
/// let trust: Trust = "for,proto".parse().unwrap();
/// assert!(trust.tells_address() && trust.tells_transport());
/// assert!(!"for".parse::<Trust>().unwrap().tells_transport());
/// assert!("for,forwarded".parse::<Trust>().is_err());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trust {
    forwarded: bool,
    address: bool,
    transport: bool,
}

impl Trust {
    /// None: nothing is read.
    pub const NONE: Self = Self { forwarded: false, address: false, transport: false };
    /// Both families, at least one of which the proxy writes. If a request has both, they count only if they agree: one
    /// of them may come from the client.
    pub const ALL: Self = Self { forwarded: true, address: true, transport: true };

    /// Whether the address of the caller is read from a header.
    pub fn tells_address(self) -> bool {
        self.forwarded || self.address
    }

    /// Whether the transport is read from a header.
    pub fn tells_transport(self) -> bool {
        self.forwarded || self.transport
    }
}

impl FromStr for Trust {
    type Err = InvalidText;

    /// `for`, `proto`, both separated by a comma, or only `forwarded`.
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let mut trust = Self::NONE;
        for word in text.split(',') {
            match word {
                "for" => trust.address = true,
                "proto" => trust.transport = true,
                "forwarded" if text == "forwarded" => trust.forwarded = true,
                _ => {
                    return Err(InvalidText::new(
                        "name what your proxy writes: for, proto, for,proto, or only forwarded",
                    ));
                }
            }
        }
        Ok(trust)
    }
}

/// Where a fact about a request comes from, or why no header gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// From elsewhere, or from nowhere: no header was present, and none was expected.
    #[default]
    Elsewhere,
    /// From this header.
    Taken(&'static str),
    /// This header was present, but is not trusted.
    NotTrusted(&'static str),
    /// This header was expected, but is missing.
    Missing(&'static str),
    /// The last entry of this header says nothing.
    Meaningless {
        /// The header.
        header: &'static str,
        /// The last entry, in a form that is safe in a message.
        last: String,
    },
    /// `Forwarded` and this header disagree.
    Disagreeing(&'static str),
}

/// What the last proxy says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarded {
    /// The address that the request came from.
    pub address: Option<IpAddr>,
    /// Which header says so, or why none does.
    pub address_from: Origin,
    /// How the request came.
    pub transport: Option<Transport>,
    /// Which header says so, or why none does.
    pub transport_from: Origin,
}

impl Forwarded {
    /// A reader of header fields that believes only what `trust` names.
    pub fn reader<'f>(trust: Trust) -> Reader<'f> {
        Reader { trust, forwarded: None, address: None, transport: None }
    }
}

/// Reads the header fields of a request, one after the other.
#[derive(Debug, Clone)]
pub struct Reader<'f> {
    trust: Trust,
    // The last line of each name. A later line continues the list of the one before (RFC 9110 section 5.3), and only the
    // end of the list counts.
    forwarded: Option<&'f [u8]>,
    address: Option<&'f [u8]>,
    transport: Option<&'f [u8]>,
}

/// One fact in one header.
struct Source<'f, T> {
    header: &'static str,
    line: Option<&'f [u8]>,
    is_trusted: bool,
    /// Reads the last entry.
    read: fn(&str) -> Option<T>,
}

impl<'f> Reader<'f> {
    /// Takes the next field.
    pub fn field(&mut self, name: &str, value: &'f [u8]) {
        let place = match () {
            () if name.eq_ignore_ascii_case(FORWARDED) => &mut self.forwarded,
            () if name.eq_ignore_ascii_case(FOR) => &mut self.address,
            () if name.eq_ignore_ascii_case(PROTO) => &mut self.transport,
            () => return,
        };
        *place = Some(value);
    }

    /// What they say together.
    pub fn finish(self) -> Forwarded {
        let Self { trust, forwarded, address: address_line, transport: transport_line } = self;
        // A family counts as present if one of its headers is: the other family cannot fill in what it omits.
        let is_customary = trust.address && address_line.is_some() || trust.transport && transport_line.is_some();
        let (address, address_from) = fact(
            is_customary,
            &Source::standard(forwarded, trust, |last| parameter(last, "for").and_then(|text| address(&text))),
            &Source { header: FOR, line: address_line, is_trusted: trust.address, read: address },
        );
        let (transport, transport_from) = fact(
            is_customary,
            &Source::standard(forwarded, trust, |last| parameter(last, "proto").and_then(|text| transport(&text))),
            &Source { header: PROTO, line: transport_line, is_trusted: trust.transport, read: transport },
        );
        Forwarded { address, address_from, transport, transport_from }
    }
}

/// Combines the two headers that may give a fact.
fn fact<T: PartialEq>(is_customary: bool, standard: &Source<'_, T>, customary: &Source<'_, T>) -> (Option<T>, Origin) {
    match (standard.line.filter(|_| standard.is_trusted), customary.line.filter(|_| customary.is_trusted)) {
        // If one of them is silent, the other may come from the client: with a proxy that writes one family but hides
        // the address, the client could claim any address in the other.
        (Some(line), other) if is_customary => {
            let one = standard.last(line).ok();
            match other.and_then(|line| customary.last(line).ok()).filter(|other| one.as_ref() == Some(other)) {
                Some(agreed) => (Some(agreed), Origin::Taken(customary.header)),
                None => (None, Origin::Disagreeing(customary.header)),
            }
        }
        (Some(line), _) => standard.told(line),
        (None, Some(line)) => customary.told(line),
        (None, None) => (None, standard.absence(customary)),
    }
}

impl<'f, T> Source<'f, T> {
    /// From `Forwarded`, which gives both facts.
    fn standard(line: Option<&'f [u8]>, trust: Trust, read: fn(&str) -> Option<T>) -> Self {
        Self { header: FORWARDED, line, is_trusted: trust.forwarded, read }
    }

    fn told(&self, line: &[u8]) -> (Option<T>, Origin) {
        match self.last(line) {
            Ok(fact) => (Some(fact), Origin::Taken(self.header)),
            Err(last) => (None, Origin::Meaningless { header: self.header, last }),
        }
    }

    /// The value of the last entry, or the entry itself, for a message.
    fn last(&self, line: &[u8]) -> Result<T, String> {
        let text = std::str::from_utf8(line).ok();
        let last = match text {
            Some(text) if self.header == FORWARDED => split_unquoted(text, ',').and_then(|items| items.last().copied()),
            Some(text) => text.rsplit(',').next(),
            None => None,
        };
        let last = last.map(str::trim);
        let shown_of = |last: &str| shown(last.as_bytes(), MOST_SHOWN);
        last.and_then(self.read).ok_or_else(|| last.map_or_else(|| shown(line, MOST_SHOWN), shown_of))
    }

    /// Why neither header gave the fact.
    fn absence(&self, other: &Self) -> Origin {
        let untrusted = [other, self].into_iter().find(|source| !source.is_trusted && source.line.is_some());
        let missing = [other, self].into_iter().find(|source| source.is_trusted);
        match (untrusted, missing) {
            (Some(source), _) => Origin::NotTrusted(source.header),
            (None, Some(source)) => Origin::Missing(source.header),
            (None, None) => Origin::Elsewhere,
        }
    }
}

/// A parameter in an element of `Forwarded: for=…;proto=…`. It may occur only once in an element (RFC 7239 section 4);
/// if it occurs twice, it says nothing.
fn parameter(element: &str, wanted: &str) -> Option<String> {
    let pairs = split_unquoted(element, ';')?;
    let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value);
    let value = values.next().map(|value| unquoted(value.trim()));
    value.filter(|_| values.next().is_none())
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

/// An address as proxies write it: `203.0.113.9`, `203.0.113.9:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
pub fn address(text: &str) -> Option<IpAddr> {
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

/// `http` and `https` in any letter case; anything else is unknown.
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

    fn read(head: &str, trust: Trust) -> Forwarded {
        let fields = head.split(" | ").filter_map(|line| line.split_once(": "));
        let mut reader = Forwarded::reader(trust);
        fields.for_each(|(name, value)| reader.field(name, value.as_bytes()));
        reader.finish()
    }

    fn facts(head: &str, trust: Trust) -> String {
        let found = read(head, trust);
        assert_eq!(found.address.is_some(), matches!(found.address_from, Origin::Taken(_)), "{found:?}");
        assert_eq!(found.transport.is_some(), matches!(found.transport_from, Origin::Taken(_)), "{found:?}");
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
            assert_eq!(facts(head, Trust::ALL), found, "{head}");
            assert_eq!(facts(head, Trust::NONE), "- -", "{head}");
        }
    }

    #[test]
    fn only_what_the_proxy_writes_is_read() {
        const BOTH: &str = "X-Forwarded-For: 10.0.0.1 | X-Forwarded-Proto: https | Forwarded: for=10.0.0.2;proto=http";
        for (trust, head, found) in [
            ("for,proto", BOTH, "10.0.0.1 https"),
            ("proto,for", BOTH, "10.0.0.1 https"),
            ("for", BOTH, "10.0.0.1 -"),
            ("proto", BOTH, "- https"),
            ("forwarded", BOTH, "10.0.0.2 http"),
            ("for,proto", "Forwarded: for=10.0.0.2;proto=http", "- -"),
            ("forwarded", "X-Forwarded-For: 10.0.0.1 | X-Forwarded-Proto: https", "- -"),
            ("for", "X-Forwarded-For: unknown | Forwarded: for=10.0.0.2", "- -"),
        ] {
            assert_eq!(facts(head, trust.parse().unwrap()), found, "{trust} {head}");
        }
        for text in ["", "for,", ",for", "FOR", "for,forwarded", "forwarded,proto", "forwarded,forwarded", "for proto"]
        {
            assert!(text.parse::<Trust>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_not_taken_is_known_with_its_reason() {
        let meaningless = |header, last: &str| Origin::Meaningless { header, last: last.to_owned() };
        let (all, customary) = (Trust::ALL, "for,proto".parse().unwrap());
        for (trust, head, origin) in [
            (all, "Host: x", Origin::Missing(FOR)),
            ("forwarded".parse().unwrap(), "Host: x", Origin::Missing(FORWARDED)),
            (Trust::NONE, "Host: x", Origin::Elsewhere),
            (Trust::NONE, "X-Forwarded-For: 10.0.0.1", Origin::NotTrusted(FOR)),
            (Trust::NONE, "Forwarded: for=10.0.0.1", Origin::NotTrusted(FORWARDED)),
            ("proto".parse().unwrap(), "x-forwarded-for: 10.0.0.1", Origin::NotTrusted(FOR)),
            (customary, "Forwarded: for=10.0.0.1", Origin::NotTrusted(FORWARDED)),
            (customary, "X-Forwarded-For: 10.0.0.1 | Forwarded: for=10.0.0.2", Origin::Taken(FOR)),
            (all, "X-Forwarded-For: a | X-Forwarded-For: ::ffff:10.1.2.3:123", meaningless(FOR, "::ffff:10.1.2.3:123")),
            (all, "X-Forwarded-For: 10.0.0.1, ", meaningless(FOR, "")),
            (all, "Forwarded: for=10.0.0.1, for=_x;by=y", meaningless(FORWARDED, "for=_x;by=y")),
            (all, "Forwarded: for=\"10.0.0.1, for=_x", meaningless(FORWARDED, "for=\"10.0.0.1, for=_x")),
            (all, "Forwarded: for=10.0.0.1 | X-Forwarded-For: 10.0.0.1", Origin::Taken(FOR)),
            (all, "Forwarded: for=10.0.0.1 | X-Forwarded-For: 10.0.0.2", Origin::Disagreeing(FOR)),
            (all, "Forwarded: for=10.0.0.1 | X-Forwarded-Proto: http", Origin::Disagreeing(FOR)),
        ] {
            assert_eq!(read(head, trust).address_from, origin, "{trust:?} {head}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_without_a_panic(value: Vec<u8>, text in "\\PC{0,60}") {
            for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto"] {
                let mut reader = Forwarded::reader(Trust::ALL);
                reader.field(name, &value);
                let _ = reader.clone().finish();
                reader.field(name, text.as_bytes());
                let _ = reader.finish();
            }
        }

        #[test]
        fn what_the_client_puts_before_the_last_hop_changes_nothing(client in "[ -~&&[^\"|]]{0,40}") {
            let last = "for=203.0.113.9;proto=https";
            let value = format!("{client}, {last}");
            let all = read(&format!("Forwarded: {value}"), Trust::ALL);
            prop_assert_eq!(all, read(&format!("Forwarded: {last}"), Trust::ALL));
        }
    }
}
