//! What `disable` has reported holds on every host, for every later request.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use super::{Site, is_full, start, tell};
use crate::harness::Over;
use crate::serve::{Answer, Guard, Wire, eventually, question};

/// What clients were told.
#[derive(Default)]
struct Told {
    /// How many times `disable` and `enable` have reported success. While it is odd, a request that begins must not be
    /// allowed.
    switched: AtomicU64,
    is_over: AtomicBool,
    /// Answers to requests that began after `disable`, by guard.
    after: [AtomicU64; 3],
    /// Allowed requests since the key was enabled again, by guard.
    allowed: [AtomicU64; 3],
}

impl Told {
    /// Asks until it is over.
    fn ask(&self, guard: &Guard, number: usize, secret: &str) {
        let (mut wire, question) = (guard.connect(), question("default", secret));
        while !self.is_over.load(SeqCst) {
            let before = self.switched.load(SeqCst);
            let answer = wire.ask(&question);
            if self.switched.load(SeqCst) != before {
                // It overlapped a `disable` or `enable`.
            } else if before % 2 == 1 {
                assert_ne!(answer.status, 200, "guard {number}, asked after it was disabled: {answer:?}");
                // On a very busy machine, the guard may be unable to tell.
                self.after[number].fetch_add(u64::from(answer.status == 401), SeqCst);
            } else if answer.status == 200 {
                self.allowed[number].fetch_add(1, SeqCst);
            }
            if answer.closes() {
                wire = guard.connect();
            }
            // Let the others have their turn.
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn each_has(counts: &[AtomicU64; 3], number: u64) {
        let reached = || counts.iter().all(|count| count.load(SeqCst) >= number).then_some(());
        eventually(reached).unwrap_or_else(|| panic!("not {number} each: {counts:?}"));
    }
}

/// Disables the key this often, and returns how many later answers all guards gave.
fn revoke(site: &Site, guards: &[Guard; 3], secret: &str, clients: usize, rounds: u32, requests: u64) -> u64 {
    let told = Told::default();
    let (begun, mut counted) = (Instant::now(), 0);
    thread::scope(|scope| {
        for (number, guard) in guards.iter().enumerate() {
            for _ in 0..clients {
                let told = &told;
                scope.spawn(move || {
                    let _over = Over(&told.is_over);
                    told.ask(guard, number, secret);
                });
            }
        }
        let _over = Over(&told.is_over);
        for _ in 0..rounds {
            // Now their caches are warm.
            Told::each_has(&told.allowed, 30);
            site.must("disable deploy");
            told.switched.fetch_add(1, SeqCst);
            Told::each_has(&told.after, requests);
            counted += told.after.iter().map(|count| count.swap(0, SeqCst)).sum::<u64>();
            told.switched.fetch_add(1, SeqCst);
            told.allowed.iter().for_each(|count| count.store(0, SeqCst));
            site.must("enable deploy");
        }
    });
    tell(&format!("in {:?}: {counted} requests after {rounds} times `disable`, and none was allowed", begun.elapsed()));
    counted
}

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn what_comes_after_disable_is_refused_on_every_host() {
    let (_server, site) = start(4);
    let secret = site.mint("deploy");
    let guards = [2, 3, 4].map(|host| site.guard(host));
    let (rounds, requests) = if is_full() { (50, 500) } else { (10, 340) };
    assert!(revoke(&site, &guards, &secret, 2, rounds, requests) >= 10_000);
}

/// A server answer already on its way reflects the old store. It must not answer requests that arrive meanwhile.
#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn an_answer_that_was_on_its_way_is_not_for_those_who_asked_later() {
    let (server, site) = start(2);
    let secret = site.mint("deploy");
    let relay = site.relay(server.port);
    let guard = site.guard_of(2, &site.url_of(&[relay.port]));
    let question = question("default", &secret);
    let (mut first, mut others) = (guard.connect(), [(); 15].map(|()| guard.connect()));
    let (mut rounds, mut old, wanted) = (0, 0, if is_full() { 50 } else { 5 });
    while old < wanted && rounds < 10 * wanted {
        rounds += 1;
        // All its connections are open and know the key.
        eventually(|| {
            send_all(&mut others, &question);
            let told: Vec<_> = others.iter_mut().map(|wire| wire.answer(false).unwrap().status).collect();
            (told == [200; 15] && first.ask(&question).status == 200).then_some(())
        })
        .unwrap_or_else(|| panic!("{}", guard.text()));
        relay.hold(true);
        first.send(&question);
        // The server has answered by then, but the answer is held back.
        thread::sleep(Duration::from_millis(30));
        site.must("disable deploy");
        send_all(&mut others, &question);
        thread::sleep(Duration::from_millis(30));
        relay.hold(false);
        // The first request came earlier. If it waited too long for the server, the guard cannot tell.
        old += u32::from(first.answer(false).unwrap().status == 200);
        for wire in &mut others {
            let answer = wire.answer(false).unwrap();
            assert_ne!(answer.status, 200, "round {rounds}: {answer:?}");
        }
        site.must("enable deploy");
    }
    tell(&format!("in {rounds} rounds, {old} were answered of the store as it was, none of which had asked later"));
    assert_eq!(old, wanted, "{}", guard.text());
}

fn send_all(wires: &mut [Wire], question: &str) {
    for wire in wires {
        wire.send(question);
    }
}

fn ask(guard: &Guard, secret: &str) -> Answer {
    Wire::to(&guard.address).ask(&question("default", secret))
}

/// A host that is cut off says that it cannot tell, and learns of the change before it says anything else.
#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn a_host_that_is_cut_off_allows_nothing_that_was_disabled_meanwhile() {
    let (_server, site) = start(2);
    let secret = site.mint("deploy");
    let guard = site.guard(2);
    for is_lost in [false, true] {
        let host = site.host(2);
        eventually(|| (ask(&guard, &secret).status == 200).then_some(())).unwrap();
        if is_lost {
            host.lose();
        } else {
            host.cut();
        }
        site.must("disable deploy");
        let end = Instant::now() + Duration::from_secs(2);
        let mut number = 0;
        while Instant::now() < end {
            assert_eq!(ask(&guard, &secret).both(), (503, "store_unusable"));
            number += 1;
        }
        assert!(number > 0);
        if is_lost {
            host.find();
        } else {
            host.join();
        }
        let mut answers = vec![];
        let refused = eventually(|| {
            let answer = ask(&guard, &secret);
            answers.push(answer.status);
            (answer.status == 401).then_some(answer)
        });
        assert_eq!(refused.unwrap().reason(), "key_disabled");
        assert!(!answers.contains(&200), "{answers:?}");
        site.must("enable deploy");
    }
}
