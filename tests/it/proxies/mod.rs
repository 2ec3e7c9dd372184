//! The printed examples, in the real proxies they are for: between real clients, the guard, and a service that records
//! every byte it receives. Only addresses are replaced.
//!
//! All proxies share one list of cases (`cases`); how a proxy differs is data, in its own file.

mod cases;
mod checks;
mod client;
mod lab;
mod printed;
mod recorder;
mod secure;
mod trouble;

mod apache;
mod caddy;
mod envoy;
mod haproxy;
mod nginx;

use std::process::Command;

use lab::{Example, Place};

/// A proxy, and how it differs from others.
pub struct Proxy {
    /// What `serve example` calls it.
    name: &'static str,
    /// Writes the files, and returns the command to start it.
    prepare: fn(&Example<'_>) -> Command,
    /// What happens to headers that some services take for ours.
    alias: Fate,
    /// What happens to a header of ours that a client sends and names in Connection.
    nominated_header: Fate,
    /// The status of a request with two Authorization headers.
    two_credentials: u16,
    /// The status of a request whose Connection names our headers.
    nominated: u16,
    /// The status of a request to upgrade to HTTP/2 (RFC 7540 section 3.2).
    h2c: u16,
    /// The status if the guard is down, hangs up, answers 500, or answers after more than five seconds.
    unanswered: [u16; 4],
    /// Whether clients get the body of a refusal.
    has_bodies: bool,
    /// The first line of the question about a POST of `/orders?page=2`.
    asks: &'static str,
    /// How many connections to the guard are enough for ten requests in sequence.
    connections: usize,
    /// What the service gets of a plain request, without our headers: the first line, then the others in order.
    service_gets: &'static str,
}

/// What happens to a header that a client has no business sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The guard sees it, and refuses.
    Refused,
    /// The proxy drops it.
    Dropped,
}

/// Which HTTP the clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
    /// HTTP/1.1 or HTTP/2, by TLS.
    Secure,
}

fn stands_the_tests(proxy: &Proxy) {
    for place in [Place::Tcp, Place::Unix] {
        cases::run(proxy, place);
    }
    trouble::run(proxy);
    secure::run(proxy);
}

/// Without any proxy.
#[test]
fn the_guard_ends_when_it_is_told_to() {
    for place in [Place::Tcp, Place::Unix] {
        let lab = lab::Lab::new(place);
        assert_eq!(lab.guard(&[]).stop(), Some(0));
    }
}

#[test]
#[ignore = "needs nginx, curl, openssl, node and python3-requests"]
fn nginx_with_its_example() {
    stands_the_tests(&nginx::PROXY);
}

#[test]
#[ignore = "needs caddy, curl, openssl, node and python3-requests"]
fn caddy_with_its_example() {
    stands_the_tests(&caddy::PROXY);
}

#[test]
#[ignore = "needs haproxy, curl, openssl, node and python3-requests"]
fn haproxy_with_its_example() {
    stands_the_tests(&haproxy::PROXY);
}

#[test]
#[ignore = "needs apache2, lua-socket, curl, openssl, node and python3-requests"]
fn apache_with_its_example() {
    stands_the_tests(&apache::PROXY);
}

#[test]
#[ignore = "needs envoy, curl, openssl, node and python3-requests"]
fn envoy_with_its_example() {
    stands_the_tests(&envoy::PROXY);
}
