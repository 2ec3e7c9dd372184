//! A COMMIT that was sent and got no answer.

use keyward_core::rules::usage::Call;
use keyward_core::store::{Store, StoreError, Surroundings, Uses};
use keyward_core::verifier::{Gate, Options};

use crate::cutter::{Cutter, Way};
use crate::{Scene, at, credential, mint, request, stamp};

fn through(cutter: &Cutter) -> Store {
    Store::connect(cutter.url().parse().unwrap(), Surroundings::default()).unwrap()
}

#[test]
#[ignore = "needs postgresql"]
fn is_looked_for_and_found_or_not() {
    let scene = Scene::new();
    let cutter = Cutter::before(&scene.server);
    let mut store = through(&cutter);
    let (key, _) = mint(&mut store, "one", "");
    let delete = |store: &mut Store| store.write(stamp(), |changes| changes.delete_key(&key));

    cutter.set(Way::CutBefore);
    let lost = delete(&mut store).unwrap_err();
    assert!(matches!(lost, StoreError::Server { .. }), "it was not made: {lost:?}");
    assert!(!store.take_news().commit_confirmed_late);
    assert_eq!(scene.tell("SELECT count(*) FROM key"), "1");

    cutter.set(Way::CutAfter);
    delete(&mut store).unwrap();
    assert!(store.take_news().commit_confirmed_late, "it was made");
    assert!(!store.take_news().commit_confirmed_late, "told once");
    assert_eq!(scene.tell("SELECT count(*) FROM key"), "0");
    // And it continues on the connection that found this out.
    mint(&mut store, "two", "");
}

#[test]
#[ignore = "needs postgresql"]
fn of_which_nobody_can_be_asked_is_told_as_that() {
    let scene = Scene::new();
    let cutter = Cutter::before(&scene.server);
    let mut store = through(&cutter);
    let (key, _) = mint(&mut store, "one", "");
    cutter.set(Way::CutAfterAndClose);
    let unknown = store.write(stamp(), |changes| changes.delete_key(&key)).unwrap_err();
    assert!(matches!(unknown, StoreError::Unheard(_)), "{unknown:?}");
}

#[test]
#[ignore = "needs postgresql"]
fn of_uses_is_counted_once() {
    let scene = Scene::new();
    let cutter = Cutter::before(&scene.server);
    let (key, secret) = mint(&mut scene.open(), "one", "1000/1d");
    let gate = Gate::new(through(&cutter), [7; 32], Options::default()).unwrap();
    let mut recorder = gate.recorder(at(1)).unwrap();
    let mut used = 0;
    for (second, way, is_counted) in [
        (2, Way::Open, true),
        (3, Way::CutBefore, false),
        (4, Way::Open, true),
        (5, Way::CutAfter, false),
        (6, Way::Open, true),
        (7, Way::CutAfter, false),
        (8, Way::CutBefore, false),
        (9, Way::Open, true),
    ] {
        for _ in 0..3 {
            let answer = gate.ask(credential(&secret), &request(), at(second)).wait().unwrap();
            assert!(answer.decision.is_allowed());
            recorder.count(&answer, None, at(second));
            used += 1;
        }
        cutter.set(way);
        // The same call may find out that an unanswered commit was made.
        let flushed = recorder.flush(at(second));
        assert!(flushed.is_ok() || !is_counted, "{second}: {flushed:?}");
        if is_counted {
            assert_eq!(scene.tell("SELECT use_count FROM key_use"), used.to_string(), "{second}");
            assert_eq!(scene.tell("SELECT used FROM meter"), used.to_string(), "{second}");
            assert_eq!(scene.tell("SELECT allowed FROM usage"), used.to_string(), "{second}");
        }
    }
    // The server stays away for longer, and more uses arrive meanwhile.
    let mut count = |times: u64, way, second| {
        let mut further = Uses::default();
        (0..times).for_each(|_| further.add(&key.id, Call::Allowed, at(second), None));
        recorder.add(further);
        used += times;
        cutter.set(way);
        recorder.flush(at(second))
    };
    assert!(count(3, Way::CutAfterAndClose, 10).is_err());
    assert!(count(5, Way::Closed, 11).is_err());
    count(7, Way::Open, 12).unwrap();
    assert_eq!(scene.tell("SELECT use_count FROM key_use"), used.to_string());
}
