//! A keyward that holds the lock of the store is killed, stopped, or cut off. Processes that wait for the lock
//! continue in time, and no part of its change is made.

use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::postgres::{OWNER, Server, Signal, signal_to};
use super::psql::Psql;
use super::{Site, end, is_full, slow_down, start};
use crate::harness::{finish, finish_with};
use crate::serve::{LONG, eventually};

/// The number of keyward sessions that wait for a row lock.
fn waiting(server: &Server) -> usize {
    let those = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'ann' AND wait_event_type = 'Lock'";
    server.sql(OWNER, those).parse().unwrap()
}

fn until_it_waits(server: &Server, number: usize) {
    eventually(|| (waiting(server) == number).then_some(()))
        .unwrap_or_else(|| panic!("{} wait, not {number}: {}", waiting(server), server.log()));
}

fn begin(site: &Site, host: usize, line: &str) -> Child {
    site.on(host, line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, signal: Signal) {
    signal_to(i32::try_from(child.id()).unwrap(), signal);
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Killed,
    Stopped,
    CutOff,
}

/// It takes the lock, then waits for a row that another session has locked: whatever blocks it, it holds the lock.
#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn others_go_on_after_one_that_holds_the_lock() {
    let (server, site) = start(2);
    let secret = site.mint("deploy");
    for (round, fate) in [Fate::Killed, Fate::Stopped, Fate::CutOff].into_iter().enumerate() {
        let mut other = Psql::at(&server);
        // Does not block rows that refer to the key.
        other.run("BEGIN; SELECT 1 FROM keyward.key WHERE name = 'deploy' FOR NO KEY UPDATE");
        let holder = begin(&site, 1, "edit deploy --description never --json");
        until_it_waits(&server, 1);
        // Reading and verifying need no lock, and neither does counting the use.
        assert_eq!(site.verify(2, &secret), 0, "{fate:?}");
        let shown = finish(&mut site.on(2, "show deploy --json")).json();
        assert_eq!(shown["use_count"], round + 1, "{fate:?}");
        assert_eq!(waiting(&server), 1, "{fate:?}: it still holds the lock");
        match fate {
            Fate::Killed => signal(&holder, Signal::KILL),
            Fate::Stopped => signal(&holder, Signal::STOP),
            Fate::CutOff => site.host(1).cut(),
        }
        let changes: Vec<_> = (0..3).map(|n| format!("create {fate:?}-{n}").to_lowercase()).collect();
        thread::scope(|scope| {
            let site = &site;
            let others: Vec<_> =
                changes.iter().map(|line| scope.spawn(move || finish(&mut site.on(2, line)))).collect();
            // Only once they wait for it may it continue.
            until_it_waits(&server, 1 + changes.len());
            other.run("ROLLBACK");
            for other in others {
                let output = other.join().unwrap();
                assert_eq!(output.code, 0, "{fate:?}: {output}");
            }
        });
        match fate {
            Fate::Killed => {}
            Fate::Stopped => signal(&holder, Signal::CONT),
            Fate::CutOff => site.host(1).join(),
        }
        let output = end(holder);
        if fate != Fate::Killed {
            assert_eq!(output.code, 6, "{fate:?}: it is told that nothing came of it: {output}");
            assert_ne!(output.error()["code"], "unknown_outcome", "{fate:?}: no COMMIT was sent: {output}");
        }
        assert_eq!(site.must("show deploy --json").json()["description"], serde_json::Value::Null, "{fate:?}");
    }
    assert_eq!(site.must("list -q").stdout.lines().count(), 10);
    site.must("history --check");
}

/// A process that is stopped while it waits is given the lock without noticing.
#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn others_go_on_after_one_that_gets_the_lock_and_is_stopped() {
    let (server, site) = start(2);
    site.mint("deploy");
    let mut other = Psql::at(&server);
    other.run("BEGIN; SELECT 1 FROM keyward.history_head FOR UPDATE");
    let next = begin(&site, 1, "edit deploy --description never --json");
    until_it_waits(&server, 1);
    signal(&next, Signal::STOP);
    let last = begin(&site, 2, "edit deploy --description done");
    until_it_waits(&server, 2);
    other.run("ROLLBACK");
    let output = end(last);
    assert_eq!(output.code, 0, "{output}");
    signal(&next, Signal::CONT);
    let output = end(next);
    assert_eq!(output.code, 6, "{output}");
    assert_eq!(site.must("show deploy --json").json()["description"], "done");
}

/// At any moment: others wait less than their ten seconds, and the change is made completely or not.
#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn others_go_on_after_one_that_ends_or_stands_still_at_any_moment() {
    let (server, site) = start(2);
    slow_down(&server);
    site.mint("deploy");
    let secret = site.mint("other");
    let mut random = ChaCha20Rng::seed_from_u64(5);
    let rounds = if is_full() { 200 } else { 8 };
    let start = Instant::now();
    site.mint("measured");
    let time = start.elapsed();
    let (mut longest, mut after) = (Duration::ZERO, 0);
    for round in 0..rounds {
        let line = match round / 2 % 4 {
            0 => format!("create new-{round} --secret-file new-{round}"),
            1 => format!("edit deploy --description {round}"),
            2 => "rotate deploy".to_owned(),
            _ => format!("duplicate other new-{round} --secret-file new-{round}"),
        };
        let struck = begin(&site, 1, &line);
        // Mostly after the sign-in.
        thread::sleep(time.mul_f64(0.3 + 0.7 * f64::from(random.next_u32()) / f64::from(u32::MAX)));
        let how = if round % 2 == 0 { Signal::STOP } else { Signal::KILL };
        signal(&struck, how);
        let start = Instant::now();
        let output = finish(&mut site.on(2, &format!("edit other --description after-{round}")));
        longest = longest.max(start.elapsed());
        assert_eq!(output.code, 0, "{round}, {how:?} of {line}: {output}");
        assert!(start.elapsed() < LONG, "{round}, {how:?} of {line}: {:?}", start.elapsed());
        signal(&struck, Signal::KILL);
        after += u32::from(end(struck).code == 0);
        // The interrupted change is complete or was not made.
        if let Ok(secret) = std::fs::read_to_string(site.path(&format!("new-{round}"))) {
            let name = format!("new-{round}");
            let is_there = finish(&mut site.on(2, &format!("show {name}"))).code == 0;
            assert_eq!(site.opens(&secret, &name), is_there, "{round}, {how:?} of {line}");
        }
        assert_eq!(finish_with(&mut site.on(2, "verify -q"), secret.as_bytes()).code, 0);
    }
    println!("{rounds} were struck, {after} of them after their end; the next change took {longest:?} at most");
    site.must("history --check");
}
