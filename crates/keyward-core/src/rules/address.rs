//! IP networks that a key may be used from.
//!
//! Stricter than the usual parsers on purpose: `010.0.0.0/8` is octal to some programs and decimal to others, and
//! `10.1.2.3/8` contradicts itself. Both are refused, and the error names the spelling that was probably meant. An IPv4
//! address written as IPv6 (`::ffff:10.0.0.1`, RFC 4291 section 2.5.5.2) is the IPv4 address, in a network as well as
//! in a request.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::names::InvalidText;

/// A network in CIDR notation (RFC 4632, RFC 4291), without host bits. A single address is a network too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

impl Cidr {
    /// Whether `address` lies in this network; IPv4-mapped IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether every address of `other` lies in this network.
    pub fn includes(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }
}

impl FromStr for Cidr {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address = parse_address(address)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => most,
            Some(digits) => parse_length(digits, most)?,
        };
        let (address, length) = unmapped(address, length);
        let network =
            IpNet::new(address, length).map_err(|_| InvalidText::new("the number after the / is too large"))?;
        if network.network() != address {
            return Err(InvalidText::new(format!(
                "{network} has host bits set: the network is {}, the single address {address}",
                network.trunc()
            )));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Parses the address of a caller. Comparisons treat IPv4-mapped IPv6 as IPv4.
///
/// # Errors
/// Refuses zone ids (`fe80::1%eth0`), ports, leading zeros and everything else that is not a plain address: such an
/// address cannot be compared safely.
pub fn parse_address(text: &str) -> Result<IpAddr, InvalidText> {
    if text.contains('%') {
        return Err(InvalidText::new("an address with a zone id (%…) cannot be compared: leave it out"));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address);
    }
    let leading_zero = text.split('.').any(|part| part.len() > 1 && part.starts_with('0'));
    if leading_zero && !text.contains(':') {
        return Err(InvalidText::new(
            "a number with a leading zero is octal to some programs: write it without the zero",
        ));
    }
    Err(InvalidText::new("not an IP address: write it like 203.0.113.9 or 2001:db8::1"))
}

fn parse_length(digits: &str, most: u8) -> Result<u8, InvalidText> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    match digits.parse::<u8>() {
        Ok(length) if plain && !leading_zero && length <= most => Ok(length),
        _ => Err(InvalidText::new(format!(
            "after the / comes the length of the network, a number from 0 to {most} without a leading zero"
        ))),
    }
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn unmapped(address: IpAddr, length: u8) -> (IpAddr, u8) {
    match (address.to_canonical(), length.checked_sub(96)) {
        (canonical @ IpAddr::V4(_), Some(length)) if address.is_ipv6() => (canonical, length),
        _ => (address, length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_strictly() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), shown);
        }
        for (text, says) in [
            ("10.1.2.3/8", "the network is 10.0.0.0/8"),
            ("010.0.0.0/8", "leading zero"),
            ("10.0.0.0/08", "from 0 to 32 without a leading zero"),
            ("10.0.0.0/33", "from 0 to 32"),
            ("10.0.0.0/+8", "from 0 to 32"),
            ("10.0.0.0/", "from 0 to 32"),
            ("2001:db8::/129", "from 0 to 128"),
            ("fe80::1%eth0", "zone id"),
            ("localhost", "not an IP address"),
            ("10.0.0", "not an IP address"),
            ("", "not an IP address"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_the_ipv4_address() {
        let network: Cidr = "10.0.0.0/8".parse().unwrap();
        for (address, inside) in [
            ("10.200.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.1", false),
            ("::a00:1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(network.contains(parse_address(address).unwrap()), inside, "{address}");
        }
        let all_of_ipv6: Cidr = "::/0".parse().unwrap();
        assert!(!all_of_ipv6.contains(parse_address("::ffff:10.0.0.1").unwrap()));
    }
}
