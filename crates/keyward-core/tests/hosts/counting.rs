//! Uses and limits are counted without the lock of the store.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use keyward_core::rules::usage::Call;
use keyward_core::store::{Store, StoreError, Uses};
use keyward_core::verifier::{Gate, Options, Verifier};

use crate::{Scene, at, credential, mint, request, stamp};

/// Verifies once, as `verify` does, and returns whether it was allowed.
fn verify(store: Store, secret: &str, now: Timestamp) -> bool {
    let mut verifier = Verifier::new(store).unwrap();
    let mut answer = verifier.verify(credential(secret), &request(), now).unwrap();
    if verifier.is_limited(&answer, &request()) {
        verifier.admit(&mut answer, &request(), || None, now).unwrap();
    } else {
        verifier.record(&answer, &request(), || None, now).unwrap();
    }
    answer.decision.is_allowed()
}

#[test]
#[ignore = "needs postgresql"]
fn counting_waits_for_no_change_and_no_change_for_it() {
    let scene = Scene::new();
    let (_, secret) = mint(&mut scene.open(), "one", "");
    let (_, limited) = mint(&mut scene.open(), "two", "10/1d");
    let counted = scene.open().write(stamp(), |_| {
        // A change holds the lock the whole time.
        let (done, counted) = channel();
        let (one, two) = (scene.open(), scene.open());
        thread::spawn(move || done.send(verify(one, &secret, at(2_000)) && verify(two, &limited, at(2_000))));
        let counted = counted.recv_timeout(Duration::from_secs(5));
        Ok::<_, StoreError>(counted)
    });
    assert_eq!(counted.unwrap(), Ok(true));
    assert_eq!(scene.tell("SELECT sum(use_count) FROM key_use"), "2");
    assert_eq!(scene.tell("SELECT used FROM meter"), "1");
}

#[test]
#[ignore = "needs postgresql"]
fn who_counts_gives_way_to_whoever_deletes_in_another_order() {
    let scene = Scene::new();
    let keys: Vec<_> = (0..20).map(|number| mint(&mut scene.open(), &format!("key{number}"), "").0).collect();
    let all = || {
        let mut uses = Uses::default();
        for key in &keys {
            uses.add(&key.id, Call::Allowed, at(2_000), None);
        }
        uses
    };
    scene.open().write(stamp(), |changes| changes.record_uses(&all())).unwrap();
    let gate = Gate::new(scene.open(), [7; 32], Options::default()).unwrap();
    let mut recorder = gate.recorder(at(1_999)).unwrap();
    recorder.add(all());
    thread::scope(|scope| {
        let deletes = scope.spawn(|| {
            scene.open().write(stamp(), |changes| {
                for key in keys.iter().rev().take(10) {
                    changes.delete_key(key)?;
                    thread::sleep(Duration::from_millis(50));
                }
                Ok::<_, StoreError>(())
            })
        });
        thread::sleep(Duration::from_millis(200));
        recorder.flush(at(2_000)).unwrap();
        deletes.join().unwrap().unwrap();
    });
    assert_eq!(scene.tell("SELECT count(*), min(use_count), max(use_count) FROM key_use"), "10|2|2");
    assert!(!scene.server.log().contains("deadlock"), "{}", scene.server.log());
}

#[test]
#[ignore = "needs postgresql"]
fn many_who_count_many_keys_lose_nothing_and_do_not_wait_for_each_other_in_a_circle() {
    const KEYS: u8 = 120;
    let scene = Scene::new();
    let keys: Vec<_> = (0..KEYS).map(|number| mint(&mut scene.open(), &format!("key{number}"), "").0).collect();
    thread::scope(|scope| {
        for thread in 0..4_usize {
            let (keys, scene) = (&keys, &scene);
            scope.spawn(move || {
                let gate = Gate::new(scene.open(), [7; 32], Options::default()).unwrap();
                let mut recorder = gate.recorder(at(1)).unwrap();
                for round in 0..10 {
                    let mut uses = Uses::default();
                    for number in 0..keys.len() {
                        // Each thread starts with a different key.
                        let key = &keys[(number + 31 * thread) % keys.len()];
                        uses.add(&key.id, Call::Allowed, at(2_000 + round), None);
                    }
                    recorder.add(uses);
                    recorder.flush(at(2_000 + round)).unwrap();
                }
            });
        }
    });
    let expected = format!("{KEYS}|40|40");
    assert_eq!(scene.tell("SELECT count(*), min(use_count), max(use_count) FROM key_use"), expected);
    let log = scene.server.log();
    assert!(!log.contains("deadlock") && !log.contains("lock timeout"), "{log}");
}

#[test]
#[ignore = "needs postgresql"]
fn any_number_of_processes_stay_within_a_limit_together() {
    let scene = Scene::new();
    let (_, secret) = mint(&mut scene.open(), "one", "20/1d");
    let allowed = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    allowed.fetch_add(verify(scene.open(), &secret, at(2_000)).into(), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(allowed.into_inner(), 20);
    assert_eq!(scene.tell("SELECT allowed, limited FROM usage"), "20|20");
}

#[test]
#[ignore = "needs postgresql"]
fn guards_of_several_hosts_share_a_quota() {
    let scene = Scene::new();
    let (_, secret) = mint(&mut scene.open(), "one", "20/1d");
    let guards: Vec<_> = (0..3)
        .map(|_| {
            let gate = Gate::new(scene.open(), [7; 32], Options::default()).unwrap();
            let recorder = gate.recorder(at(1)).unwrap();
            (gate, recorder)
        })
        .collect();
    let mut allowed = 0;
    let mut guards = guards;
    for second in 0..40 {
        for (gate, recorder) in &mut guards {
            let now = at(2_000 + second);
            let answer = gate.ask(credential(&secret), &request(), now).wait().unwrap();
            allowed += u32::from(answer.decision.is_allowed());
            recorder.count(&answer, None, now);
            recorder.flush(now).unwrap();
        }
    }
    // Each writes its uses, and then reads those of the others; it does not know what they allow in between.
    assert!((20..=22).contains(&allowed), "{allowed}");
    assert_eq!(scene.tell("SELECT use_count FROM key_use"), allowed.to_string());
}
