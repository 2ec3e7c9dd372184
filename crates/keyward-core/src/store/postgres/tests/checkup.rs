//! What the doctor finds out about a server on its own.

use std::thread::sleep;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::schema::with_store;
use super::statements::pooler;
use super::*;
use crate::store::postgres::check_up;

#[expect(clippy::disallowed_methods, reason = "it is compared with the clock of the server")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[test]
#[ignore = "needs postgresql"]
fn clocks_that_disagree_are_told_by_how_much() {
    let postgres = with_store();
    let url = format!("postgres://ann@{}/keyward", postgres.socket_host());
    let server = server(&url, Surroundings::default());
    for seconds in [0, 90, -90] {
        let clock = || now() + SignedDuration::from_secs(seconds);
        let found = check_up(&server, &clock).unwrap();
        // This clock is ahead, so the server's is behind.
        let off = found.clock_ahead + SignedDuration::from_secs(seconds);
        assert!(off.abs() < SignedDuration::from_secs(1), "{off:?}");
        assert!(found.latency < Duration::from_secs(1), "{found:?}");
        assert!(!found.is_pooled && !found.is_too_old, "{found:?}");
    }
}

#[test]
#[ignore = "needs postgresql and pgbouncer"]
fn a_pooler_is_noticed_by_a_session_that_is_older_than_the_connection() {
    let postgres = with_store();
    let (_pooler, port) = pooler(&postgres);
    let server = server(&format!("postgres://ann@localhost:{port}/keyward?sslmode=disable"), with_password());
    // Every check works through it too.
    check_up(&server, &now).unwrap();
    sleep(Duration::from_secs(2));
    let found = check_up(&server, &now).unwrap();
    assert!(found.is_pooled, "{found:?}");
}
