//! What the gate guarantees, tested without a clock, with pools blocked on purpose.

use std::path::Path;
use std::pin::Pin;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use std::path::PathBuf;

use super::*;
use crate::rules::credential::{Credentials, parse_line};
use crate::rules::decision::{Reason, Transport};
use crate::rules::hashing::{Cost, HashedSecret};
use crate::rules::key::Settings;
use crate::rules::key::tests::at;
use crate::rules::names::Prefix;
use crate::rules::token::{Id, Secret};
use crate::store::{NewKey, NewSecret, Stamp, StoreSettings};
use crate::verifier::epoch::Written;

/// Blocks threads of the pool until dropped, even if the test fails.
struct Held(Arc<Barrier>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.wait();
    }
}

struct Scene {
    folder: tempfile::TempDir,
    gate: Gate,
}

/// A made-up secret.
fn secret(number: u8) -> Secret {
    Secret::build(&Prefix::default(), Id::from_random([number; 8]), &[number; 32])
}

fn credential(number: u8) -> Credentials {
    parse_line(secret(number).expose())
}

fn write(path: &Path, change: impl FnOnce(&crate::store::Changes<'_>) -> Result<(), StoreError>) {
    Store::open(path).unwrap().write(Stamp { now: at(1), actor: None }, change).unwrap();
}

fn scene(threads: usize, queue: usize) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let mut store = Store::create(&path, at(0)).unwrap();
    let mut settings = store.view().unwrap().settings().unwrap();
    settings.hash_cost = Cost::FLOOR;
    store
        .write(Stamp { now: at(0), actor: None }, |changes| {
            changes.save_settings(&settings)?;
            for number in 1..=4 {
                let hash = HashedSecret::new(&secret(number), [number; 16], Cost::FLOOR).unwrap();
                let first = NewSecret { id: secret(number).id().clone(), hash };
                changes.insert_key(&NewKey {
                    id: &Id::from_random([number + 100; 8]),
                    name: &format!("k{number}").parse().unwrap(),
                    settings: &Settings::with_prefix(Prefix::default()),
                    secret: &first,
                })?;
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    let options = Options { threads: threads.try_into().unwrap(), queue, ..Options::default() };
    let gate = Gate::new(Store::open(&path).unwrap(), [7; 32], options).unwrap();
    Scene { folder, gate }
}

impl Scene {
    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.db")
    }

    fn ask(&self, credential: Credentials) -> Verdict {
        self.gate.ask(credential, &Request::over(Transport::Https), at(10))
    }

    fn answer(&self, number: u8) -> Answer {
        self.ask(credential(number)).wait().unwrap()
    }

    /// Blocks all threads of the pool.
    fn hold(&self, threads: usize) -> Held {
        let (held, free) = (Arc::new(Barrier::new(threads + 1)), Arc::new(Barrier::new(threads + 1)));
        for _ in 0..threads {
            let (held, free) = (Arc::clone(&held), Arc::clone(&free));
            let job = move |_: &mut dyn Hasher| {
                held.wait();
                free.wait();
            };
            self.gate.0.pool.submit(Box::new(job)).unwrap();
        }
        held.wait();
        Held(free)
    }
}

fn is_ready(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Ready(Ok(answer)) if answer.decision.is_allowed())
}

#[test]
fn a_full_pool_refuses_and_a_known_credential_never_waits() {
    let scene = scene(2, 1);
    assert!(scene.answer(1).decision.is_allowed());
    let free = scene.hold(2);
    let waiting = scene.ask(credential(2));
    assert!(matches!(waiting, Verdict::Hashing(_)));
    for unknown in [credential(3), credential(99)] {
        assert!(matches!(scene.ask(unknown), Verdict::Ready(Err(VerifyError::Overloaded))));
    }
    assert!(is_ready(&scene.ask(credential(1))), "while every thread is held and the queue is full");
    drop(free);
    assert!(waiting.wait().unwrap().decision.is_allowed());
    assert!(scene.answer(3).decision.is_allowed());
}

#[test]
fn a_change_counts_in_a_store_that_has_lost_its_history() {
    let mut scene = scene(1, 4);
    let path = scene.path();
    let others = |sql: &str| rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    others("DELETE FROM history; DELETE FROM history_head");
    scene.gate = Gate::new(Store::open(&path).unwrap(), [7; 32], Options::default()).unwrap();
    for _ in 0..3 {
        assert!(scene.answer(1).decision.is_allowed());
    }
    others("UPDATE key SET enabled = 0 WHERE name = 'k1'");
    for _ in 0..3 {
        assert_eq!(scene.answer(1).decision.reason(), Some(Reason::KeyDisabled));
    }
    others("UPDATE key SET enabled = 1 WHERE name = 'k1'");
    assert!(scene.answer(1).decision.is_allowed());
}

#[test]
fn one_hash_answers_all_who_ask_about_a_credential() {
    let scene = scene(1, 2);
    let free = scene.hold(1);
    let waiting: Vec<_> = (0..100).map(|_| scene.ask(credential(1))).collect();
    assert!(waiting.iter().all(|verdict| matches!(verdict, Verdict::Hashing(_))));
    let other = scene.ask(credential(2));
    assert!(matches!(other, Verdict::Hashing(_)), "there is room for another key");
    assert!(matches!(scene.ask(credential(3)), Verdict::Ready(Err(VerifyError::Overloaded))));
    drop(free);
    for verdict in waiting.into_iter().chain([other]) {
        assert!(verdict.wait().unwrap().decision.is_allowed());
    }
    assert!(scene.answer(3).decision.is_allowed(), "what was refused can be asked again");
}

#[test]
fn what_is_not_genuine_is_hashed_once_until_something_changes() {
    let scene = scene(1, 4);
    assert!(scene.answer(1).decision.is_allowed() && is_ready(&scene.ask(credential(1))));
    let another = Secret::build(&Prefix::default(), Id::from_random([1; 8]), &[9; 32]);
    let wrong = [secret(99).expose().to_owned(), another.expose().to_owned(), format!("other:{}", secret(1).expose())];
    for round in 0..3 {
        for line in &wrong {
            let verdict = scene.ask(parse_line(line));
            assert!(matches!(verdict, Verdict::Hashing(_)), "{line} in round {round}");
            let answers = [verdict.wait().unwrap(), scene.ask(parse_line(line)).wait().unwrap()];
            assert!(matches!(scene.ask(parse_line(line)), Verdict::Ready(Ok(_))), "{line} in round {round}");
            for answer in answers {
                assert_eq!(answer.decision.reason(), Some(Reason::NotGenuine));
                assert!(answer.key().is_none());
            }
        }
        // The second time, the writer records no history.
        match round {
            0 => write(&scene.path(), |changes| {
                changes.save_settings(&StoreSettings { query_credentials: false, ..changes.settings()? })
            }),
            _ => drop(
                rusqlite::Connection::open(scene.path())
                    .unwrap()
                    .execute("UPDATE key SET enabled = 0 WHERE name = 'k2'", [])
                    .unwrap(),
            ),
        }
    }
    assert!(is_ready(&scene.ask(parse_line(&format!("k1:{}", secret(1).expose())))));
    // What cannot be a keyward secret costs nothing.
    assert!(matches!(scene.ask(parse_line("hello")), Verdict::Ready(Ok(answer)) if !answer.decision.is_allowed()));
}

#[test]
fn many_threads_share_a_gate() {
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let scene = scene(2, 64);
    is_shared(&scene.gate);
    let allowed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (gate, allowed) = (scene.gate.clone(), &allowed);
            scope.spawn(move || {
                for number in 0..40 {
                    let answer =
                        gate.ask(credential((thread + number) % 4 + 1), &Request::over(Transport::Https), at(10));
                    allowed.fetch_add(usize::from(answer.wait().unwrap().decision.is_allowed()), SeqCst);
                }
            });
        }
    });
    assert_eq!(allowed.into_inner(), 320);
    assert!((1..=4).all(|number| is_ready(&scene.ask(credential(number)))));
}

#[test]
fn a_gate_that_is_dropped_ends_its_threads_and_gives_up_what_waits() {
    let scene = scene(1, 4);
    let front = Arc::downgrade(&scene.gate.0.front);
    let free = scene.hold(1);
    let waiting = scene.ask(credential(1));
    let other = scene.gate.clone();
    drop(scene.gate);
    assert!(front.upgrade().is_some(), "a clone is left");
    thread::scope(|scope| {
        scope.spawn(move || drop(other));
        assert!(matches!(waiting.wait(), Err(VerifyError::GivenUp)));
        drop(free);
    });
    assert!(front.upgrade().is_none());
}

#[test]
fn a_thread_that_panics_is_an_error_and_goes_on() {
    let scene = scene(1, 4);
    let (promise, hashing) = Hashing::new();
    let job = move |_: &mut dyn Hasher| {
        let _promise = promise;
        std::panic::resume_unwind(Box::new("on purpose"));
    };
    scene.gate.0.pool.submit(Box::new(job)).unwrap();
    assert!(matches!(hashing.wait(), Err(VerifyError::GivenUp)));
    assert!(scene.answer(1).decision.is_allowed());
}

#[test]
fn an_answer_can_be_awaited() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let scene = scene(1, 4);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let free = scene.hold(1);
    let Verdict::Hashing(mut hashing) = scene.ask(credential(1)) else { panic!("it is decided already") };
    let mut poll = || Pin::new(&mut hashing).poll(&mut Context::from_waker(&waker));
    assert!(poll().is_pending() && poll().is_pending());
    drop(free);
    // Once the only thread has done a later job, it has done this one.
    drop(scene.answer(2));
    assert_eq!(count.0.load(SeqCst), 1);
    assert!(matches!(poll(), Poll::Ready(Ok(answer)) if answer.decision.is_allowed()));
}

#[test]
fn what_others_change_counts_at_the_next_question() {
    let scene = scene(1, 4);
    assert!(scene.answer(1).decision.is_allowed());
    let set = |enabled: bool| {
        write(&scene.path(), |changes| {
            let key = Store::open(&scene.path())?.view()?.named(&"k1".parse().unwrap())?.unwrap();
            changes.update_key(&key, &key.name, &Settings { enabled, ..key.settings.clone() }).map(drop)
        });
    };
    set(false);
    assert_eq!(scene.answer(1).decision.reason(), Some(Reason::KeyDisabled));
    set(true);
    assert!(scene.answer(1).decision.is_allowed());
    // The same next to the recorder's own commits, whichever comes first.
    let mut recorder = scene.gate.recorder(at(10)).unwrap();
    for flush_first in [true, false] {
        recorder.count(&scene.answer(1), None, at(11));
        if flush_first {
            recorder.flush(at(11)).unwrap();
        }
        set(false);
        recorder.flush(at(12)).unwrap();
        assert_eq!(scene.answer(1).decision.reason(), Some(Reason::KeyDisabled), "{flush_first}");
        set(true);
        assert!(scene.answer(1).decision.is_allowed());
    }
}

#[test]
fn the_recorder_does_not_empty_the_cache_of_rows() {
    let scene = scene(1, 4);
    let mut recorder = scene.gate.recorder(at(10)).unwrap();
    let row = |number| Arc::clone(scene.answer(number).presented().unwrap());
    drop((row(1), row(2)));
    let (idle, used) = (row(2), row(1));
    for round in 1..=40 {
        recorder.count(&scene.answer(1), None, at(10 + round));
        recorder.flush(at(10 + round)).unwrap();
        // The unused row is still the one first read, and the other one's count has increased.
        assert!(Arc::ptr_eq(&idle, &row(2)), "{round}");
        let key = &row(1).key;
        assert_eq!((key.use_count, key.last_used_at), (round.cast_unsigned(), Some(at(10 + round))));
    }
    assert_eq!(used.key.use_count, 0, "what was told stays as it was told");
    let stored = Store::open(&scene.path()).unwrap().view().unwrap().named(&"k1".parse().unwrap()).unwrap().unwrap();
    assert_eq!((stored.use_count, stored.last_used_at), (40, Some(at(50))));
    // Another program's change is noticed, even without an event and when the recorder has written too.
    let others = |sql: &str| rusqlite::Connection::open(scene.path()).unwrap().execute_batch(sql).unwrap();
    others("UPDATE key SET enabled = 0 WHERE name = 'k2'");
    assert_eq!(scene.answer(2).decision.reason(), Some(Reason::KeyDisabled));
    let answer = scene.answer(1);
    others("UPDATE key SET enabled = 1 WHERE name = 'k2'");
    recorder.count(&answer, None, at(60));
    recorder.flush(at(60)).unwrap();
    assert!(scene.answer(2).decision.is_allowed());
}

#[test]
fn what_is_read_while_a_recorder_writes_is_not_kept() {
    let scene = scene(1, 4);
    let connections = &scene.gate.0.front.connections;
    let commits = &connections.commits;
    let rows = || [(); 2].map(|()| Arc::clone(scene.answer(1).presented().unwrap()));
    let is_kept = |rows: [Arc<crate::store::Presented>; 2]| Arc::ptr_eq(&rows[0], &rows[1]);
    commits.start();
    assert!(!is_kept(rows()), "its uses may be in it already, and would be added once more");
    connections.finish(Written::Nothing, false);
    assert!(is_kept(rows()));
    // A reader that missed many commits does not know what was written.
    let before = rows();
    for _ in 0..40 {
        commits.start();
        connections.finish(Written::Nothing, false);
    }
    let after = rows();
    assert!(!Arc::ptr_eq(&before[0], &after[0]) && is_kept(after));
}

#[test]
fn settings_are_read_again_with_the_rows() {
    let scene = scene(1, 4);
    let url = || parse_line(&format!("https://a.example/?_auth_key={}", secret(1).expose()));
    assert!(scene.ask(url()).wait().unwrap().decision.is_allowed());
    let mut settings = Store::open(&scene.path()).unwrap().view().unwrap().settings().unwrap();
    settings.query_credentials = false;
    write(&scene.path(), |changes| changes.save_settings(&settings).map(drop));
    assert_eq!(scene.ask(url()).wait().unwrap().decision.reason(), Some(Reason::NoCredential));
}

#[test]
fn a_failed_flush_keeps_what_was_counted() {
    let scene = scene(1, 4);
    let mut recorder = scene.gate.recorder(at(10)).unwrap();
    recorder.count(&scene.answer(1), None, at(10));
    let conn = rusqlite::Connection::open(scene.path()).unwrap();
    conn.execute_batch("CREATE INDEX no ON key_use (abs(-9223372036854775808 + use_count * 0))").unwrap();
    assert!(!recorder.is_due(at(10)) && recorder.is_due(at(11)));
    assert!(recorder.flush(at(11)).is_err() && recorder.is_behind());
    assert!(!recorder.is_due(at(11)) && recorder.is_due(at(12)));
    recorder.count(&scene.answer(1), None, at(12));
    conn.execute_batch("DROP INDEX no").unwrap();
    recorder.flush(at(12)).unwrap();
    assert!(!recorder.is_behind());
    let stored = Store::open(&scene.path()).unwrap().view().unwrap().named(&"k1".parse().unwrap()).unwrap().unwrap();
    assert_eq!((stored.use_count, stored.last_used_at), (2, Some(at(12))));
}

#[test]
fn a_renewed_hash_is_read_again_and_renewed_once() {
    let scene = scene(1, 4);
    assert!(!scene.answer(1).wants_renewal());
    let mut settings = Store::open(&scene.path()).unwrap().view().unwrap().settings().unwrap();
    settings.hash_cost = Cost { passes: 2, ..Cost::FLOOR };
    write(&scene.path(), |changes| changes.save_settings(&settings).map(drop));
    let mut recorder = scene.gate.recorder(at(10)).unwrap();
    let (one, other) = (scene.answer(1), scene.answer(1));
    assert!(one.wants_renewal() && other.wants_renewal());
    recorder.renew(&one, [1; 16], at(10)).unwrap();
    let hash = || scene.answer(1).presented().unwrap().hash.as_phc().to_owned();
    let first = hash();
    assert!(first.contains("t=2") && !scene.answer(1).wants_renewal());
    recorder.renew(&other, [2; 16], at(10)).unwrap();
    assert_eq!(hash(), first);
}

#[test]
fn a_former_cost_is_not_spent_any_more_once_its_last_hash_is_renewed() {
    let scene = scene(1, 4);
    let mut settings = Store::open(&scene.path()).unwrap().view().unwrap().settings().unwrap();
    settings.hash_cost = Cost { passes: 2, ..Cost::FLOOR };
    write(&scene.path(), |changes| changes.save_settings(&settings));
    let mut recorder = scene.gate.recorder(at(10)).unwrap();
    let former = || scene.gate.turn().unwrap().reader.as_ref().unwrap().settings().former_costs.clone();
    for number in 1..=4 {
        assert_eq!(former(), [Cost::FLOOR], "{number}");
        let answer = scene.answer(number);
        recorder.renew(&answer, [number; 16], at(10)).unwrap();
    }
    assert_eq!(former(), []);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "that nobody waits is what is tested")]
fn nobody_waits_twice_for_a_store_that_stays_locked() {
    let scene = scene(1, 1);
    // A long turn keeps the former file open while another one takes its place.
    let (turn, other_turn) = (scene.gate.turn().unwrap(), scene.gate.turn().unwrap());
    drop(other_turn);
    let other = scene.folder.path().join("other.db");
    std::fs::copy(scene.path(), &other).unwrap();
    std::fs::rename(&other, scene.path()).unwrap();
    // The first one waits a second; later ones must not wait too.
    let start = std::time::Instant::now();
    for _ in 0..50 {
        assert!(matches!(scene.gate.turn(), Err(StoreError::Locked(_))));
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    drop(turn);
    assert!(!matches!(scene.gate.turn(), Err(StoreError::Locked(_))));
}
