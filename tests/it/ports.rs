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
