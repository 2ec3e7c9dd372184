//! What guessing costs, and who is not held up by it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyward_core::rules::token::{Id, Secret};

use super::{Answer, Guard, Wire, eventually, head, question};
use crate::harness::{Over, Sandbox};

/// A secret with a valid checksum that is in no store.
fn forged(number: u32) -> String {
    let mut random = [7; 32];
    random[..4].copy_from_slice(&number.to_be_bytes());
    Secret::build(&"kw".parse().unwrap(), Id::from_random([9; 8]), &random).expose().to_owned()
}

/// Asks as a client at this address; without one, as an unknown client.
fn from(wire: &mut Wire, client: Option<&str>, secret: &str) -> Answer {
    let credential = format!("Bearer {secret}");
    let mut headers = vec![("X-Forwarded-Proto", "https"), ("Authorization", credential.as_str())];
    headers.extend(client.map(|client| ("X-Forwarded-For", client)));
    wire.ask(&head("GET", "/forward/default", &headers))
}

/// The threads of a process by name: their scheduling policies (proc_pid_stat(5), field 41) and the processors that
/// they may use (proc_pid_status(5)). Those that end meanwhile are left out.
fn threads(guard: &Guard) -> Vec<(String, u32, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", guard.pid().as_raw_nonzero())).unwrap();
    let thread = |task: PathBuf| {
        let read = |name: &str| std::fs::read_to_string(task.join(name)).ok();
        let (name, stat, status) = (read("comm")?, read("stat")?, read("status")?);
        let policy = stat.rsplit(')').next()?.split_whitespace().nth(38)?.parse().ok()?;
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"))?;
        Some((name.trim_end().to_owned(), policy, allowed.to_owned()))
    };
    tasks.filter_map(|task| thread(task.unwrap().path())).collect()
}

#[test]
fn hashes_take_idle_time_and_each_loop_has_a_processor() {
    const SCHED_IDLE: u32 = 5;
    let sandbox = Sandbox::new();
    let known = sandbox.mint("known");
    let guard = Guard::start(&sandbox, "");
    assert_eq!(guard.with("default", &known).status, 200);
    // As the guard counts them: within its quota of time, too.
    let count = std::thread::available_parallelism().unwrap().get();
    // A thread that has been started may not yet have run.
    let look = || {
        let threads = threads(&guard);
        let those = |name: &str| threads.iter().filter(|(own, ..)| own.starts_with(name)).collect::<Vec<_>>();
        let (idle, loops) = (those("keyward-idle"), those("keyward-loop"));
        let all = &those("keyward-hash").first()?.2;
        let taken: BTreeSet<_> = loops.iter().map(|(_, _, allowed)| allowed).collect();
        let is_placed = if available_processors(all) == count {
            taken.len() == count && taken.iter().all(|allowed| available_processors(allowed) == 1)
        } else {
            taken.iter().all(|allowed| *allowed == all)
        };
        let are_idle =
            idle.len() == count && idle.iter().all(|(_, policy, allowed)| *policy == SCHED_IDLE && allowed == all);
        let others_are_not = threads.iter().all(|(name, policy, _)| name == "keyward-idle" || *policy == 0);
        (is_placed && are_idle && others_are_not && loops.len() == count).then_some(())
    };
    assert_eq!(eventually(look), Some(()), "{:?}", threads(&guard));
}

/// How many processors a text such as `0-3,6` has.
fn available_processors(ranges: &str) -> usize {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1
    };
    ranges.split(',').map(count).sum()
}

#[test]
fn who_fails_too_often_waits_and_others_do_not() {
    let sandbox = Sandbox::new();
    let (known, fresh) = (sandbox.mint("known"), sandbox.mint("fresh"));
    let guard = Guard::start(&sandbox, "");
    let mut wire = guard.connect();
    let client = Some("203.0.113.9");
    assert_eq!(from(&mut wire, client, &known).status, 200);
    for number in 0..30 {
        // Half of them look like secrets, half do not.
        let secret = if number % 2 == 0 { forged(number) } else { format!("nothing-{number}") };
        assert_eq!(from(&mut wire, client, &secret).both(), (401, "not_genuine"), "{number}");
    }
    for secret in [forged(1_000), "nothing".to_owned(), fresh.clone(), forged(0)] {
        let answer = from(&mut wire, client, &secret);
        assert_eq!(answer.both(), (429, "too_many_failures"));
        assert!((1..=6).contains(&answer.only("retry-after").parse().unwrap()), "{answer:?}");
        assert_eq!(answer.all("www-authenticate"), [""; 0]);
    }
    // A secret that matched before still passes from there; other clients are not affected; only failures count.
    assert_eq!(from(&mut wire, client, &known).status, 200);
    assert_eq!(
        wire.ask(&head("GET", "/forward/default", &[("X-Forwarded-For", "203.0.113.9")])).reason(),
        "no_credential"
    );
    assert_eq!(from(&mut wire, Some("203.0.113.10"), &forged(0)).status, 401);
    assert_eq!(from(&mut wire, Some("203.0.113.10"), &fresh).status, 200);
    assert_eq!(from(&mut wire, client, &fresh).status, 200, "it is known by now");
    // The endpoints for nginx answer 403, and name the real status.
    let credential = format!("Bearer {}", forged(2_000));
    let answer =
        wire.ask(&head("GET", "/nginx/default", &[("X-Forwarded-For", "203.0.113.9"), ("Authorization", &credential)]));
    assert_eq!((answer.both(), answer.only("x-keyward-status")), ((403, "too_many_failures"), "429"));
    assert!(answer.body.is_empty() && !answer.only("retry-after").is_empty());
}

#[test]
fn a_subscriber_has_one_network() {
    let sandbox = Sandbox::new();
    let guard = Guard::start(&sandbox, "");
    let mut wire = guard.connect();
    for number in 0..30 {
        let client = format!("2001:db8:0:1::{number:x}");
        assert_eq!(from(&mut wire, Some(&client), &forged(number)).status, 401);
    }
    assert_eq!(from(&mut wire, Some("2001:db8:0:1:ffff::1"), &forged(100)).status, 429);
    assert_eq!(from(&mut wire, Some("2001:db8:0:2::1"), &forged(100)).status, 401);
    // A client that adds entries in front is still the same client.
    assert_eq!(from(&mut wire, Some("192.0.2.1, 2001:db8:0:1::1"), &forged(101)).status, 429);
}

#[test]
fn the_unknown_share_an_allowance() {
    let sandbox = Sandbox::new();
    let guard = Guard::start(&sandbox, "");
    let mut wire = guard.connect();
    let mut refused = 0;
    for number in 0..400 {
        let client = ["unknown", "_hidden", ""][number % 3];
        let answer = from(&mut wire, (number % 4 > 0).then_some(client), "nothing");
        refused += usize::from(answer.status == 429);
        if answer.status == 429 {
            assert_eq!(answer.only("retry-after"), "1");
        }
    }
    assert!((1..300).contains(&refused), "{refused}");
}

#[test]
fn a_wrong_credential_is_hashed_once() {
    let sandbox = Sandbox::new();
    let guard = Guard::start(&sandbox, "");
    let mut wire = guard.connect();
    let hashed = || {
        let metrics = guard.admin("/metrics").body;
        let line = "keyward_decision_seconds_count{path=\"hashed\"} ";
        metrics.lines().find_map(|text| text.strip_prefix(line)).unwrap().parse::<u64>().unwrap()
    };
    for number in 0..20 {
        assert_eq!(from(&mut wire, Some(&format!("10.0.0.{number}")), &forged(1)).both(), (401, "not_genuine"));
    }
    assert_eq!(hashed(), 1);
    // Until something changes: a key with this secret may have been added.
    assert_eq!(sandbox.run("group create ci").code, 0);
    assert_eq!(from(&mut wire, Some("10.0.1.1"), &forged(1)).status, 401);
    assert_eq!(hashed(), 2);
    // A secret that resembles a known one, such as by an extra letter, is never taken for it.
    let secret = sandbox.mint("deploy");
    assert_eq!(from(&mut wire, Some("10.0.1.2"), &secret).status, 200);
    assert_eq!(from(&mut wire, Some("10.0.1.3"), &format!("{secret}0")).status, 401);
}

#[test]
fn a_flood_overloads_nobody_but_itself() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let guard = Guard::start(&sandbox, "");
    let mut known = guard.connect();
    let genuine = question("default", &secret);
    assert_eq!(known.ask(&genuine).status, 200);
    let (overloaded, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        for thread in 0..160_u32 {
            let (guard, overloaded, is_over) = (&guard, &overloaded, &is_over);
            scope.spawn(move || {
                let mut wire = guard.connect();
                for number in 0..200 {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let client = format!("10.{thread}.{number}.1");
                    let answer = from(&mut wire, Some(&client), &forged(thread * 1_000 + number));
                    match answer.status {
                        401 => {}
                        503 => {
                            assert_eq!((answer.reason(), answer.only("retry-after")), ("overloaded", "1"));
                            overloaded.fetch_add(1, Ordering::Relaxed);
                        }
                        other => panic!("{other}: {answer:?}"),
                    }
                }
            });
        }
        eventually(|| (overloaded.load(Ordering::Relaxed) > 100).then_some(()));
        let mut slowest = Duration::ZERO;
        for _ in 0..200 {
            let start = Instant::now();
            assert_eq!(known.ask(&genuine).status, 200);
            slowest = slowest.max(start.elapsed());
        }
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    });
    assert!(overloaded.into_inner() > 0, "the queue was never full");
    // All places in the queue are given back.
    eventually(|| guard.admin("/metrics").body.contains("\nkeyward_hash_queue 0\n").then_some(())).unwrap();
}

#[test]
fn who_waits_for_a_hash_at_the_end_gets_an_answer_all_the_same() {
    let sandbox = Sandbox::new();
    let mut guard = Guard::start(&sandbox, "");
    let mut wires: Vec<_> = (0..60)
        .map(|number| {
            let (client, credential) = (format!("203.0.113.{number}"), format!("Bearer {}", forged(number)));
            let facts = [("X-Forwarded-For", client.as_str()), ("Authorization", &credential)];
            let mut wire = guard.connect();
            wire.send(head("GET", "/nginx/default", &facts));
            wire
        })
        .collect();
    guard.signal(rustix::process::Signal::TERM);
    guard.event("stop");
    guard.signal(rustix::process::Signal::TERM);
    let answers: Vec<_> = wires.iter_mut().map(|wire| wire.answer(false)).collect();
    for answer in &answers {
        let answer = answer.as_ref().unwrap_or_else(|| panic!("no answer: {}", guard.text()));
        assert!([(401, "not_genuine"), (503, "draining")].contains(&answer.both()), "{answer:?}");
        assert_eq!(answer.body, "", "as nginx wants it");
    }
    assert_eq!(guard.ended().code(), Some(0));
    let draining = answers.iter().flatten().filter(|answer| answer.status == 503).count();
    let logged = || guard.count(|line| line["reason"] == "draining");
    eventually(|| (logged() == draining).then_some(())).unwrap_or_else(|| panic!("{} of {draining}", logged()));
}
