//! A gate whose server is unavailable.

use std::thread;
use std::time::Duration;

use keyward_core::store::{Store, StoreError, Surroundings};
use keyward_core::verifier::{Gate, Options, Verdict, VerifyError};

use crate::cutter::{Cutter, Way};
use crate::server::Signal;
use crate::{Scene, at, credential, mint, request};

fn guard(url: &str) -> Gate {
    let mut options = Options::default();
    options.patience = Duration::from_millis(100);
    options.reconnects_beside = true;
    let store = Store::connect(url.parse().unwrap(), Surroundings::default()).unwrap();
    Gate::new(store, [7; 32], options).unwrap()
}

/// Whether the credential is allowed, or the error if it could not be checked.
fn ask(gate: &Gate, secret: &str) -> Result<bool, VerifyError> {
    let verdict = gate.ask(credential(secret), &request(), at(2_000));
    verdict.wait().map(|answer| answer.decision.is_allowed())
}

fn is_away(asked: &Result<bool, VerifyError>) -> bool {
    matches!(asked, Err(VerifyError::Store(StoreError::Server { .. })))
}

/// Asks until the server is back.
fn back(gate: &Gate, secret: &str) -> bool {
    (0..400).any(|_| {
        thread::sleep(Duration::from_millis(25));
        matches!(ask(gate, secret), Ok(true))
    })
}

#[test]
#[ignore = "needs postgresql"]
fn refuses_until_the_server_is_back_and_then_knows_what_was_changed() {
    let mut scene = Scene::new();
    let (key, secret) = mint(&mut scene.open(), "one", "");
    let gate = guard(&scene.url());
    assert!(ask(&gate, &secret).unwrap());
    scene.server.kill();
    for _ in 0..20 {
        let asked = ask(&gate, &secret);
        assert!(is_away(&asked), "{asked:?}");
    }
    scene.server.go_on();
    assert!(back(&gate, &secret));
    scene.open().write(crate::stamp(), |changes| changes.delete_key(&key)).unwrap();
    assert!(!ask(&gate, &secret).unwrap());
}

#[test]
#[ignore = "needs postgresql"]
fn a_connection_that_was_closed_is_made_again_and_nobody_notices() {
    let scene = Scene::new();
    let (_, secret) = mint(&mut scene.open(), "one", "");
    let gate = guard(&scene.url());
    assert!(ask(&gate, &secret).unwrap());
    scene.tell(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'keyward'",
    );
    thread::sleep(Duration::from_millis(200));
    assert!(ask(&gate, &secret).unwrap());
}

#[test]
#[ignore = "needs postgresql"]
fn a_silent_server_is_found_out_once_and_not_by_each_question() {
    let scene = Scene::new();
    let (_, secret) = mint(&mut scene.open(), "one", "");
    let gate = guard(&scene.url());
    assert!(ask(&gate, &secret).unwrap());
    scene.server.signal_all(Signal::STOP);
    assert!(is_away(&ask(&gate, &secret)));
    // The gate no longer contacts the server for each question; if it did, these would take minutes.
    for _ in 0..500 {
        assert!(is_away(&ask(&gate, &secret)));
    }
    scene.server.signal_all(Signal::CONT);
    assert!(back(&gate, &secret));
}

#[test]
#[ignore = "needs postgresql"]
fn what_was_known_can_be_asked_for_while_the_server_is_away_and_only_then() {
    let scene = Scene::new();
    let cutter = Cutter::before(&scene.server);
    let (_, known) = mint(&mut scene.open(), "one", "");
    let (_, limited) = mint(&mut scene.open(), "two", "10/1d");
    let (_, unknown) = mint(&mut scene.open(), "three", "");
    let gate = guard(&cutter.url());
    assert!(ask(&gate, &known).unwrap() && ask(&gate, &limited).unwrap());
    assert!(gate.stale_turn().is_none(), "the server is there");
    cutter.set(Way::Closed);
    assert!(is_away(&ask(&gate, &known)));
    let stale = |secret: &str| {
        let mut turn = gate.stale_turn().unwrap();
        assert!(turn.is_stale());
        match turn.ask(credential(secret), &request(), at(2_000)) {
            Verdict::Ready(answer) => answer.map(|answer| answer.decision.is_allowed()),
            other => other.wait().map(|answer| answer.decision.is_allowed()),
        }
    };
    assert!(stale(&known).unwrap());
    assert!(is_away(&stale(&unknown)), "nothing is known of it");
    assert!(stale(&limited).is_err(), "what others took of its limit is not known");
    cutter.set(Way::Open);
    assert!(back(&gate, &known));
    assert!(gate.stale_turn().is_none());
}

#[test]
#[ignore = "needs postgresql"]
fn far_away_is_not_away() {
    let scene = Scene::new();
    let cutter = Cutter::before(&scene.server);
    let (_, secret) = mint(&mut scene.open(), "one", "");
    cutter.set(Way::Slow);
    // They all want a connection, and each takes longer to open than anyone waits for a sign-in. A busy machine may make
    // it too long for all of a wait, so there are further attempts, each from the beginning.
    let attempt = || {
        let gate = guard(&cutter.url());
        let asked: Vec<_> = thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| ask(&gate, &secret))).collect();
            asking.into_iter().map(|asking| asking.join().unwrap()).collect()
        });
        if asked.iter().all(|asked| matches!(asked, Ok(true))) { Ok(gate) } else { Err(asked) }
    };
    let gate = (0..5).map(|_| attempt()).find(Result::is_ok).unwrap_or_else(attempt).unwrap();
    // Closed connections are opened again.
    scene.tell(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'keyward'",
    );
    thread::sleep(Duration::from_millis(100));
    assert!(matches!(ask(&gate, &secret), Ok(true)));
}
