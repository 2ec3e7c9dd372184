//! Ports for the tests' servers.
//!
//! A server that listens on port 0 gets an ephemeral port, and no one else can have it. A server that must be given its
//! port, or reuse it, gets one from below that range: no connection takes it meanwhile, and no other test of this run
//! gets it.

use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ephemeral ports of usual systems (ip(7): ip_local_port_range).
const FIRST: u16 = 10_240;
const LAST: u16 = 32_000;

/// How many were given out, counted from a start that differs between runs.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A free port at this address; `None` if this machine does not have the address.
pub fn free_port_at(address: IpAddr) -> Option<u16> {
    let start = u16::try_from(std::process::id() % u32::from(LAST - FIRST)).unwrap();
    for _ in FIRST..LAST {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(number)) % (LAST - FIRST);
        match TcpListener::bind((address, port)) {
            Ok(_) => return Some(port),
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => return None,
            Err(_) => {}
        }
    }
    panic!("all ports are taken");
}

/// A free port on loopback.
pub fn free_port() -> u16 {
    free_port_at(IpAddr::from([127, 0, 0, 1])).unwrap()
}

/// A text with other addresses. Each pair is an address and its replacement; a missing address is a bug in the test.
///
/// All are replaced at once, so a port that was put in is not taken for one to replace, and `:3000` is not found in
/// `:30001`.
pub fn with_addresses(text: &str, addresses: &[(&str, String)]) -> String {
    let whole = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_digit());
    for (from, _) in addresses {
        assert!(text.split(from).skip(1).any(whole), "{from} in {text}");
    }
    let (mut replaced, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        let found =
            addresses.iter().find_map(|(from, to)| Some((rest.strip_prefix(from).filter(|rest| whole(rest))?, to)));
        if let Some((after, to)) = found {
            replaced.push_str(to);
            rest = after;
        } else {
            replaced.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    replaced
}

#[test]
fn an_address_is_not_the_beginning_of_another() {
    let addresses = [(":80 {", "10.0.0.1:30007 {".to_owned()), (":3000", ":45678".to_owned())];
    let text = ":80 { ask 127.0.0.1:30005, then 127.0.0.1:3000 }";
    let expected = "10.0.0.1:30007 { ask 127.0.0.1:30005, then 127.0.0.1:45678 }";
    assert_eq!(with_addresses(text, &addresses), expected);
}
