//! Ports for servers of the tests.
//!
//! What listens at port 0 gets one of those that the system also gives to connections, and nobody else can have it. A server
//! that has to be told its port, or to come back at it, gets one from below these: no connection takes it meanwhile, and no
//! other test of this run is given it.

use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what systems give to connections (ip(7): ip_local_port_range).
const FIRST: u16 = 10_240;
const LAST: u16 = 32_000;

/// How many were given out, counted from a place that differs from one run to the next.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port at which nobody listens, at this address; `None` where there is no such address.
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

/// A port at which nobody listens, on loopback.
pub fn free_port() -> u16 {
    free_port_at(IpAddr::from([127, 0, 0, 1])).unwrap()
}
