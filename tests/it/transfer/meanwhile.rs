//! Other processes use a store while it is moved.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use keyward_core::rules::credential::parse_line;
use keyward_core::rules::decision::{Request, Transport};
use keyward_core::store::{Store, StoreError, Surroundings};
use keyward_core::verifier::{Gate, Options, VerifyError};

use super::{Scene, full_store};
use crate::harness::{Output, Over, binary, finish, finish_with, words};

const KEYS: u32 = 2_000;

/// Two processes make keys and one uses a key while the store is moved. Everything reported as done is there.
fn move_below_writers(scene: &Scene, from: &str, to: &str, secret: &str) {
    let (is_over, works) = (AtomicBool::new(false), [const { AtomicBool::new(false) }; 3]);
    let keyward = |line: &str| binary(Path::new(from), &words(line));
    let before = use_count(scene, from);
    let (made, used) = thread::scope(|scope| {
        let _over = Over(&is_over);
        let makers: Vec<_> = (0..2)
            .map(|maker| {
                let (is_over, keyward, works) = (&is_over, &keyward, &works[maker]);
                scope.spawn(move || {
                    let _over = Over(is_over);
                    let (mut made, mut number) = (BTreeSet::new(), 0);
                    while !is_over.load(Ordering::Relaxed) {
                        let name = format!("made-{maker}-{number}");
                        let output = finish(&mut keyward(&format!("create {name} --json")));
                        check_end(&output, is_over);
                        if output.code == 0 {
                            works.store(true, Ordering::Relaxed);
                            made.insert((name, output.json()["secret"].as_str().unwrap().to_owned()));
                        }
                        number += 1;
                    }
                    made
                })
            })
            .collect();
        let user = scope.spawn(|| {
            let _over = Over(&is_over);
            let mut used = 0;
            while !is_over.load(Ordering::Relaxed) {
                let output = finish_with(&mut keyward("verify --json"), secret.as_bytes());
                if output.code == 0 {
                    works[2].store(true, Ordering::Relaxed);
                    used += u64::from(!output.json()["warnings"].to_string().contains("use_not_recorded"));
                } else {
                    check_end(&output, &is_over);
                }
            }
            used
        });
        while !works.iter().all(|works| works.load(Ordering::Relaxed)) {
            assert!(!is_over.load(Ordering::Relaxed), "one of them has failed");
            thread::sleep(std::time::Duration::from_millis(10));
        }
        let moved = finish(&mut keyward(&format!("store move --to {to}")));
        assert_eq!(moved.code, 0, "{moved}");
        // Every process notices.
        let made: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
        (made.concat_all(), user.join().unwrap())
    });
    assert!(!made.is_empty() && used > 0);
    let there: BTreeSet<_> = scene.done(to, "list -q").lines().map(str::to_owned).collect();
    for (name, _) in &made {
        assert!(there.contains(name), "{name} was told as made, and is gone");
    }
    let kept = there.iter().filter(|name| name.starts_with("made-")).count();
    assert_eq!(made.len(), kept, "and nothing else is there");
    let secrets: Vec<_> = made.into_iter().map(|(_, secret)| secret).collect();
    for (reason, name) in scene.answers(to, &secrets) {
        assert_eq!(reason, "\"allowed\"", "{name}");
    }
    assert_eq!(use_count(scene, to), before + used, "each use that was told as recorded is counted");
    assert!(scene.done(to, "history --check").starts_with("the history is intact"));
    for name in there.iter().filter(|name| name.starts_with("made-")) {
        scene.done(to, &format!("delete {name} --yes"));
    }
}

trait ConcatAll<T> {
    fn concat_all(self) -> BTreeSet<T>;
}

impl<T: Ord> ConcatAll<T> for Vec<BTreeSet<T>> {
    fn concat_all(self) -> BTreeSet<T> {
        self.into_iter().flatten().collect()
    }
}

/// A refusal during the move says why; the first process refused because the store has moved ends the run.
fn check_end(output: &Output, is_over: &AtomicBool) {
    if output.code == 0 {
        return;
    }
    let code = output.error()["code"].as_str().unwrap().to_owned();
    assert!(output.code == 6 && ["store_moved", "store_locked"].contains(&code.as_str()), "{output}");
    let is_done = output.error()["message"].as_str().unwrap().contains("was moved");
    if is_done {
        is_over.store(true, Ordering::Relaxed);
    }
}

fn use_count(scene: &Scene, store: &str) -> u64 {
    scene.run(store, "show plain --json").json()["use_count"].as_u64().unwrap()
}

#[test]
#[ignore = "needs postgresql"]
fn who_writes_meanwhile_loses_nothing() {
    let scene = Scene::new();
    let (file, url) = (scene.file("keys.db"), scene.empty_store("s"));
    let secrets = full_store(&scene, &file, KEYS);
    move_below_writers(&scene, &file, &url, &secrets[0]);
    move_below_writers(&scene, &url, &file, &secrets[0]);
}

/// On a server, uses are counted without locking the store. A use being counted when the store is marked is waited for
/// and moved; a later one is refused, and not counted in the old place.
#[test]
#[ignore = "needs postgresql"]
fn a_use_is_counted_before_a_move_or_refused() {
    let scene = Scene::new();
    let (file, url) = (scene.file("keys.db"), scene.empty_store("s"));
    let secrets = full_store(&scene, &file, 3);
    let copy = scene.file("copy.db");
    scene.done(&file, &format!("store copy --to {url}"));
    let before = use_count(&scene, &url);
    let server = &scene.server;
    let is_waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let wait = || while server.sql("keyward", is_waiting) == "0" {};
    thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let count = "SET search_path = s; LOCK TABLE key_use IN ROW EXCLUSIVE MODE;
                         INSERT INTO key_use SELECT id, 7, 40, NULL FROM key WHERE name = 'plain'; SELECT pg_sleep(2)";
            server.sql("keyward", count)
        });
        while server.sql("keyward", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "0" {}
        scene.done(&url, &format!("store move --to {copy}"));
        counting.join().unwrap();
    });
    assert_eq!(use_count(&scene, &copy), before + 40);

    let again = scene.empty_store("again");
    scene.done(&file, &format!("store copy --to {again}"));
    let verifying = thread::scope(|scope| {
        let marking = scope.spawn(|| {
            let mark = "SET search_path = again; LOCK TABLE key_use IN SHARE MODE;
                        UPDATE history_head SET moved_to = 'there', is_moved = 1; SELECT pg_sleep(2)";
            server.sql("keyward", mark)
        });
        while server.sql("keyward", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "0" {}
        let verifying =
            scope.spawn(|| finish_with(&mut binary(Path::new(&again), &words("verify --json")), secrets[0].as_bytes()));
        wait();
        marking.join().unwrap();
        verifying.join().unwrap()
    });
    assert!(verifying.json()["warnings"].to_string().contains("use_not_recorded"), "{verifying}");
    assert_eq!(use_count(&scene, &again), before);
}

/// A service with the store open refuses from the next request on, and continues when the store is back.
#[test]
#[ignore = "needs postgresql"]
fn a_gate_refuses_what_was_moved_and_goes_on_when_it_is_back() {
    let scene = Scene::new();
    let (file, url) = (scene.file("keys.db"), scene.empty_store("s"));
    let secrets = full_store(&scene, &file, 3);
    let now = jiff::Timestamp::now();
    let asked = |gate: &Gate| {
        let answer = gate.ask(parse_line(&secrets[0]), &Request::over(Transport::Https), now).wait();
        answer.map(|answer| answer.decision.is_allowed())
    };
    let is_moved = |answer: &Result<bool, VerifyError>| {
        matches!(answer, Err(VerifyError::Store(StoreError::Moved { is_done: true, .. })))
    };
    let of_file = Gate::new(Store::open(Path::new(&file)).unwrap(), [1; 32], Options::default()).unwrap();
    let mut recorder = of_file.recorder(now).unwrap();
    let answer = of_file.ask(parse_line(&secrets[0]), &Request::over(Transport::Https), now).wait().unwrap();
    assert!(answer.decision.is_allowed());
    recorder.count(&answer, None, now);
    assert!(asked(&of_file).unwrap(), "from memory now");

    scene.done(&file, &format!("store move --to {url}"));
    assert!(is_moved(&asked(&of_file)), "{:?}", asked(&of_file));
    assert!(matches!(recorder.flush(now), Err(StoreError::Moved { .. })));
    assert!(recorder.is_behind(), "what was not written is not forgotten");

    let connect = || Store::connect(url.parse().unwrap(), Surroundings::default()).unwrap();
    let of_server = Gate::new(connect(), [1; 32], Options::default()).unwrap();
    assert!(asked(&of_server).unwrap());
    assert!(asked(&of_server).unwrap(), "from memory now");
    scene.done(&url, &format!("store move --to {file}"));
    assert!(is_moved(&asked(&of_server)), "{:?}", asked(&of_server));
    assert!(asked(&of_file).unwrap(), "the former file is the store again");
    recorder.flush(now).unwrap();
    assert!(matches!(
        Gate::new(connect(), [1; 32], Options::default()),
        Err(VerifyError::Store(StoreError::Moved { .. }))
    ));
}

/// A server lost midway leaves the target empty and the file unchanged.
#[test]
#[ignore = "needs postgresql"]
fn a_server_that_is_lost_in_the_middle_takes_nothing() {
    let scene = Scene::new();
    let (file, url) = (scene.file("keys.db"), scene.empty_store("s"));
    full_store(&scene, &file, KEYS);
    let mut command = binary(Path::new(&file), &words(&format!("store move --to {url} --json")));
    let (ended, was_struck) = thread::scope(|scope| {
        let moving = scope.spawn(|| finish(&mut command));
        // As soon as key rows are being copied.
        let strike = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                      WHERE query LIKE 'COPY %' AND query NOT LIKE 'COPY setting%' AND pid <> pg_backend_pid()";
        let mut was_struck = false;
        while !moving.is_finished() && !was_struck {
            was_struck = scene.server.sql("keyward", strike) != "0";
        }
        (moving.join().unwrap(), was_struck)
    });
    assert!(was_struck, "{ended}");
    assert_eq!((ended.code, ended.error()["code"].as_str()), (6, Some("store_unwritable")), "{ended}");
    assert_eq!(scene.server.sql("keyward", "SELECT count(*) FROM s.key"), "0");
    scene.done(&file, "create goes-on");
    scene.done(&file, &format!("store move --to {url}"));
}
