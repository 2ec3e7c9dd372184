//! Sixteen processes on four hosts at once: what one reported holds for all that start later, and no change is lost.

use super::{is_full, start};
use crate::processes::{At, ROUNDS, all_work};

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn sixteen_processes_on_four_hosts_lose_nothing_that_they_were_told() {
    let (server, site) = start(4);
    let shared = site.mint("shared");
    let site = &site;
    let places: Vec<_> = (1..=4).map(|host| At(Box::new(move |line| site.on(host, line)))).collect();
    all_work(&places, if is_full() { ROUNDS } else { 1 }, &shared);
    let log = server.log();
    assert!(!log.contains("deadlock"), "{log}");
}
