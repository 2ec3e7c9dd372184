//! Every 200 is counted exactly once, whatever happens to the server meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::postgres::OWNER;
use super::{Site, is_full, start, unheard};
use crate::harness::Over;
use crate::serve::{Guard, eventually, question};

const HOSTS: usize = 4;

/// What all guards answered.
#[derive(Default)]
struct Told {
    is_over: AtomicBool,
    allowed: [AtomicU64; HOSTS],
    others: AtomicU64,
    /// How often each key was allowed.
    keys: Mutex<BTreeMap<String, u64>>,
}

impl Told {
    /// Asks a guard about these keys in turn until it is over.
    fn ask(&self, guard: &Guard, number: usize, keys: &[(String, String)]) {
        let (mut wire, mut counts) = (guard.connect(), BTreeMap::<&str, u64>::new());
        for (name, secret) in keys.iter().cycle() {
            if self.is_over.load(SeqCst) {
                break;
            }
            wire.send(question("default", secret));
            let answer = wire.answer(false);
            let is_allowed = answer.as_ref().is_some_and(|answer| answer.status == 200);
            if is_allowed {
                *counts.entry(name).or_default() += 1;
                self.allowed[number].fetch_add(1, SeqCst);
            } else {
                self.others.fetch_add(1, SeqCst);
            }
            if answer.is_none_or(|answer| answer.closes()) {
                wire = guard.connect();
            }
            // Give the others a turn.
            thread::sleep(Duration::from_millis(if is_allowed { 1 } else { 10 }));
        }
        let mut keys = self.keys.lock().unwrap();
        for (name, count) in counts {
            *keys.entry(name.to_owned()).or_default() += count;
        }
    }

    /// Waits until every guard has allowed another request.
    fn goes_on(&self) {
        let before: Vec<_> = self.allowed.iter().map(|count| count.load(SeqCst)).collect();
        let all = || self.allowed.iter().zip(&before).all(|(now, before)| now.load(SeqCst) > *before).then_some(());
        eventually(all).unwrap_or_else(|| panic!("{before:?}, then {:?}", self.allowed));
    }
}

/// Keys, by name, with their secrets.
fn keys(site: &Site, number: usize) -> Vec<(String, String)> {
    let names: Vec<_> = (0..number).map(|number| format!("k{number}")).collect();
    let manifest: Vec<_> = names.iter().map(|name| format!("[[key]]\nname = '{name}'\n")).collect();
    fs::write(site.path("keys.toml"), manifest.concat()).unwrap();
    site.must("apply keys.toml --secrets-dir secrets");
    let secret = |name: &String| fs::read_to_string(site.path("secrets").join(name)).unwrap().trim_end().to_owned();
    names.iter().map(|name| (name.clone(), secret(name))).collect()
}

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn what_is_answered_is_counted_once_while_the_server_is_killed() {
    let (mut server, site) = start(HOSTS as u32);
    let (number, requests, kills) = if is_full() { (1_000, 25_000, 20) } else { (100, 2_000, 3) };
    let keys = keys(&site, number);
    let mut guards: Vec<_> = (1..=HOSTS).map(|host| site.guard(host)).collect();
    let told = Told::default();
    let mut random = ChaCha20Rng::seed_from_u64(9);
    let mut lost = 0;
    thread::scope(|scope| {
        let _over = Over(&told.is_over);
        for (number, guard) in guards.iter().enumerate() {
            let (told, keys) = (&told, &keys);
            // Half of them ask about the same key, half about all keys.
            scope.spawn(move || told.ask(guard, number, &keys[..1]));
            scope.spawn(move || told.ask(guard, number, keys));
        }
        for kill in 0..kills {
            told.goes_on();
            if kill % 2 == 0 {
                // In the middle of a commit, which is made; the others wait for its row locks.
                server.set("synchronous_standby_names = 'nobody'");
                eventually(|| (unheard(&server) > 0).then_some(())).unwrap();
                server.sql(OWNER, "ALTER SYSTEM RESET synchronous_standby_names");
                lost += unheard(&server);
            } else {
                thread::sleep(Duration::from_millis(random.next_u64() % 1_500));
            }
            server.kill();
            thread::sleep(Duration::from_millis(random.next_u64() % 500));
            server.go_on();
        }
        // As long as every guard keeps answering.
        while told.allowed.iter().any(|count| count.load(SeqCst) < requests) {
            told.goes_on();
        }
    });
    for guard in &mut guards {
        assert_eq!(guard.stop().code(), Some(0), "{}", guard.text());
    }
    let answered = told.keys.into_inner().unwrap();
    let sum: u64 = answered.values().sum();
    println!(
        "{sum} times 200, {} other answers, {kills} kills, {lost} commits that nobody heard of",
        told.others.into_inner()
    );
    assert!(sum >= requests * HOSTS as u64 && lost > 0);
    let counted = site.must("list --json").json();
    let counted: BTreeMap<_, _> = counted
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["name"].as_str().unwrap().to_owned(), key["use_count"].as_u64().unwrap()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let wrong: Vec<_> = answered
        .iter()
        .filter(|(name, count)| counted.get(*name) != Some(count))
        .map(|(name, count)| format!("{name}: {count} times 200, counted {:?}", counted.get(name)))
        .collect();
    assert!(
        wrong.is_empty() && counted.len() == answered.len(),
        "{} are wrong, such as {:?}",
        wrong.len(),
        wrong.first()
    );
    assert!(!server.log().contains("deadlock"), "{}", server.log());
}
