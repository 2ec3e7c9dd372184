//! A server that stays silent or cannot be reached: every verb ends in time, no guard says yes, and everything recovers
//! when the server does.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::postgres::{Server, Signal};
use super::{Site, start, tell};
use crate::harness::{finish, finish_with};
use crate::serve::{Guard, LONG, Wire, eventually, question};

/// How long keyward waits for a host: for the connection, TLS, the sign-in and the first answer.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it waits for the answer to a statement.
const STATEMENT: Duration = Duration::from_millis(10_500);
/// The longest that a guard waits before it answers that it cannot tell.
const ANSWER: Duration = Duration::from_secs(1);
/// What a busy machine may add to each of these.
const BUSY: Duration = Duration::from_secs(2);

/// One line for each verb that needs the store. The last ones read a credential.
const VERBS: [&str; 24] = [
    "list",
    "show deploy",
    "history",
    "history --check",
    "usage",
    "doctor",
    "settings list",
    "export",
    "create new",
    "duplicate deploy new",
    "edit deploy --description x",
    "rotate deploy",
    "disable deploy",
    "enable deploy",
    "delete deploy --yes",
    "apply keys.toml --secrets-dir secrets",
    "settings set prefix new",
    "group create new",
    "user list",
    "tenant list",
    "role list",
    "backup backup.db",
    "store init",
    "verify",
];

/// What can happen to a server, or to the network path to it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    /// It is stopped, but the system still accepts connections for it.
    Stopped,
    /// Packets to it are lost.
    Lost,
    /// The cable is out.
    Cut,
    /// It has exited: connections fail at once.
    Gone,
}

impl Trouble {
    fn begin(self, server: &mut Server, site: &Site, hosts: &[usize]) {
        match self {
            Self::Stopped => server.signal_all(Signal::STOP),
            Self::Lost => hosts.iter().for_each(|host| site.host(*host).lose()),
            Self::Cut => hosts.iter().for_each(|host| site.host(*host).cut()),
            Self::Gone => server.kill(),
        }
    }

    fn end(self, server: &mut Server, site: &Site, hosts: &[usize]) {
        match self {
            Self::Stopped => server.signal_all(Signal::CONT),
            Self::Lost => hosts.iter().for_each(|host| site.host(*host).find()),
            Self::Cut => hosts.iter().for_each(|host| site.host(*host).join()),
            Self::Gone => server.go_on(),
        }
    }
}

/// Runs every verb at the same time on the first host: each exits with 6 within the connection deadline.
fn every_verb_ends(site: &Site, trouble: Trouble, secret: &str) {
    thread::scope(|scope| {
        for verb in VERBS {
            scope.spawn(move || {
                let start = Instant::now();
                let output = finish_with(&mut site.on(1, verb), secret.as_bytes());
                let took = start.elapsed();
                assert!(took < CONNECT + BUSY, "{trouble:?}, {verb}: {took:?}, {output}");
                assert_eq!(output.code, 6, "{trouble:?}, {verb}: {output}");
                // It says what to do next, and prints nothing that could be taken for an answer.
                assert!(output.stderr.contains("hint: ") && output.stdout.is_empty(), "{trouble:?}, {verb}: {output}");
            });
        }
    });
}

/// Asks a guard on several connections for this long. No answer is a yes, and each arrives in time.
fn says_that_it_cannot_tell(guard: &Guard, trouble: Trouble, secret: &str, time: Duration) {
    let end = Instant::now() + time;
    let ask = || {
        let mut wire = guard.connect();
        let mut answers = vec![];
        while Instant::now() < end {
            let start = Instant::now();
            wire.send(question("default", secret));
            let answer = wire.answer(false);
            let told = answer
                .as_ref()
                .map_or((0, "no answer".to_owned()), |answer| (answer.status, answer.reason().to_owned()));
            answers.push((start.elapsed(), told));
            if answer.is_none_or(|answer| answer.closes()) {
                wire = guard.connect();
            }
            thread::sleep(Duration::from_millis(20));
        }
        answers
    };
    let mut answers: Vec<_> = thread::scope(|scope| {
        let askers: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect()
    });
    answers.sort();
    let (half, longest) = (answers[answers.len() / 2].0, answers[answers.len() - 1].0);
    tell(&format!("{trouble:?}: {} answers, half of them within {half:?}, all within {longest:?}", answers.len()));
    let cannot_tell = (503, "store_unusable".to_owned());
    let others: Vec<_> = answers.iter().filter(|(_, told)| *told != cannot_tell).take(5).collect();
    assert!(others.is_empty(), "{trouble:?}: {others:?}, {}", guard.text());
    assert!(half <= ANSWER && longest <= ANSWER + BUSY, "{trouble:?}: {half:?}, {longest:?}, {}", guard.text());
    assert_eq!(guard.admin("/readyz").status, 503);
    assert_eq!(guard.admin("/livez").status, 200);
}

fn is_well(guard: &Guard, secret: &str) {
    let ask = || Wire::to(&guard.address).ask(&question("default", secret)).status;
    eventually(|| (ask() == 200).then_some(())).unwrap_or_else(|| panic!("{}", guard.text()));
    eventually(|| (guard.admin("/readyz").status == 200).then_some(())).unwrap_or_else(|| panic!("{}", guard.text()));
}

const TROUBLES: [Trouble; 4] = [Trouble::Stopped, Trouble::Lost, Trouble::Cut, Trouble::Gone];

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn every_verb_ends_in_its_time() {
    let (mut server, site) = start(1);
    let secret = site.mint("deploy");
    fs::write(site.path("keys.toml"), "[[key]]\nname = 'new'\n").unwrap();
    let before = site.must("history --json").stdout;
    for trouble in TROUBLES {
        trouble.begin(&mut server, &site, &[1]);
        every_verb_ends(&site, trouble, &secret);
        trouble.end(&mut server, &site, &[1]);
        assert_eq!(site.must("history --json").stdout, before, "{trouble:?}: nothing was changed");
    }
    assert!(!site.path("secrets").exists() && !site.path("backup.db").exists());
}

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn a_guard_says_that_it_cannot_tell_and_is_well_again() {
    let (mut server, site) = start(1);
    let secret = site.mint("deploy");
    let guard = site.guard(1);
    for trouble in TROUBLES {
        is_well(&guard, &secret);
        trouble.begin(&mut server, &site, &[1]);
        // Longer than a connection attempt takes, so that some ask during one. A refused attempt is repeated at once.
        let time = if trouble == Trouble::Gone { ANSWER } else { CONNECT + ANSWER };
        says_that_it_cannot_tell(&guard, trouble, &secret, time);
        trouble.end(&mut server, &site, &[1]);
        is_well(&guard, &secret);
    }
}

/// Every line is answered, with an error if the answer cannot be known; the next line may work again.
#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn a_batch_goes_on_when_the_server_does() {
    let (mut server, site) = start(1);
    let secret = site.mint("deploy");
    for trouble in [Trouble::Stopped, Trouble::Gone] {
        let mut batch = Batch::on(&site, 1);
        assert_eq!(batch.ask(&secret)["allowed"], true);
        trouble.begin(&mut server, &site, &[1]);
        for _ in 0..2 {
            let start = Instant::now();
            let answer = batch.ask(&secret);
            // A lost connection is reopened once per line.
            assert!(start.elapsed() < STATEMENT + CONNECT + BUSY, "{:?}: {answer}", start.elapsed());
            assert!(answer["error"].is_object() && answer["allowed"].is_null(), "{trouble:?}: {answer}");
        }
        trouble.end(&mut server, &site, &[1]);
        eventually(|| (batch.ask(&secret)["allowed"] == true).then_some(())).unwrap();
        assert_eq!(batch.end(), Some(6), "{trouble:?}: there was something that it could not tell");
    }
}

/// A server lost during a change: the wait for its answer also ends, and keyward says that nothing was changed.
#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn a_change_that_is_under_way_ends_too() {
    let (server, site) = start(1);
    let line = "create new --json --secret-to";
    let mut command = site.on(1, line);
    command.arg("touch begun; while [ ! -e go ]; do sleep 0.02; done; cat >/dev/null");
    let output = thread::scope(|scope| {
        let change = scope.spawn(move || finish(&mut command));
        eventually(|| site.path("begun").exists().then_some(())).unwrap();
        server.signal_all(Signal::STOP);
        fs::write(site.path("go"), "").unwrap();
        let start = Instant::now();
        let output = change.join().unwrap();
        // The wait for its turn, and the time to find that no server can be asked about the outcome.
        assert!(start.elapsed() < 2 * LONG + BUSY, "{:?}: {output}", start.elapsed());
        output
    });
    server.signal_all(Signal::CONT);
    assert_eq!(output.code, 6, "{output}");
    assert_ne!(output.error()["code"], "unknown_outcome", "no COMMIT was sent: {output}");
    assert_eq!(site.must("list -q").stdout, "");
}
