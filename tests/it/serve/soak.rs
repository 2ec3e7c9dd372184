//! A guard under load during changes of all kinds, reloads, backups and `apply`. An oracle knows the permitted answers
//! at each moment, and every answer must be one of them.
//!
//! It takes ten seconds by default. To run longer: `KEYWARD_SOAK_SECONDS=600 cargo test --test it -- soak`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Guard, question};
use crate::harness::Sandbox;

/// The answer to a key: the status and the reason.
type Right = (u16, &'static str);

const YES: Right = (200, "allowed");
const DISABLED: Right = (401, "key_disabled");
const NO_SCOPE: Right = (403, "scope_missing");
const WRONG: Right = (401, "not_genuine");

/// The permitted answers for each secret, and since when.
#[derive(Default)]
struct Oracle(Mutex<HashMap<String, Vec<State>>>);

/// A permitted answer: from the start of the change that causes it until the end of the next change.
struct State {
    right: Right,
    from: Instant,
    until: Option<Instant>,
}

impl Oracle {
    fn is_new(&self, secret: &str, right: Right) {
        let state = State { right, from: Instant::now(), until: None };
        self.0.lock().unwrap().insert(secret.to_owned(), vec![state]);
    }

    /// Makes a change that leads to a different answer.
    fn change(&self, secret: &str, right: Right, change: impl FnOnce()) {
        let state = State { right, from: Instant::now(), until: None };
        self.0.lock().unwrap().get_mut(secret).unwrap().push(state);
        change();
        let mut all = self.0.lock().unwrap();
        let states = all.get_mut(secret).unwrap();
        let before = states.len() - 2;
        states[before].until = Some(Instant::now());
        // No request takes this long.
        states.retain(|state| state.until.is_none_or(|until| until.elapsed() < Duration::from_secs(60)));
        drop(all);
        // For a while, only the new answer is permitted.
        std::thread::sleep(Duration::from_millis(20));
    }

    /// Whether this answer was permitted between these two moments.
    fn allows(&self, secret: &str, answer: (u16, &str), asked: Instant, answered: Instant) -> bool {
        let all = self.0.lock().unwrap();
        all[secret].iter().any(|state| {
            state.right == answer && state.from <= answered && state.until.is_none_or(|until| until >= asked)
        })
    }
}

fn seconds() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "how long a test takes, not what the program does")]
    let asked = std::env::var("KEYWARD_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(10))
}

fn memory_kib(guard: &Guard) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", guard.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn no_answer_is_wrong_while_everything_changes() {
    let sandbox = Sandbox::new();
    let run = |line: &str| {
        let output = sandbox.binary(line).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let oracle = Arc::new(Oracle::default());
    let mint = |name: &str| {
        let made: serde_json::Value =
            serde_json::from_str(&run(&format!("create {name} --scope rest --json"))).unwrap();
        made["secret"].as_str().unwrap().to_owned()
    };
    let secrets: Vec<String> = (0..6).map(|number| mint(&format!("key-{number}"))).collect();
    for secret in &secrets {
        oracle.is_new(secret, YES);
    }
    let forged = secrets[0].replace(&secrets[0][4..8], "zzzz");
    oracle.is_new(&forged, WRONG);
    let mut guard = Guard::configured(&sandbox, "log = \"none\"\n[policy.rest]\nscopes = [\"rest\"]\n");
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let allowed = Arc::new(AtomicU64::new(0));
    let askers: Vec<_> = (0..4)
        .map(|number| {
            let (oracle, stop, answered, allowed) = (oracle.clone(), stop.clone(), answered.clone(), allowed.clone());
            let mut all = secrets.clone();
            all.push(forged.clone());
            let mut wire = guard.connect();
            std::thread::spawn(move || {
                for turn in number.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let secret = &all[turn % all.len()];
                    let asked = Instant::now();
                    let answer = wire.ask(&question("rest", secret));
                    let now = Instant::now();
                    let (status, reason) = (answer.status, answer.only("x-keyward-reason"));
                    // Guessing is rate-limited; every other answer is exact.
                    let is_held_up = secret == all.last().unwrap() && reason == "too_many_failures";
                    let is_right = is_held_up || oracle.allows(secret, (status, reason), asked, now);
                    assert!(is_right, "{status} {reason} for key {}", turn % all.len());
                    answered.fetch_add(1, Ordering::Relaxed);
                    allowed.fetch_add(u64::from(status == 200), Ordering::Relaxed);
                }
            })
        })
        .collect();

    let (start, wanted) = (Instant::now(), seconds());
    let (mut round, mut early) = (0_u64, None);
    while start.elapsed() < wanted && !askers.iter().any(std::thread::JoinHandle::is_finished) {
        let number = usize::try_from(round % 6).unwrap();
        let (secret, name) = (&secrets[number], format!("key-{number}"));
        oracle.change(secret, DISABLED, || drop(run(&format!("disable {name}"))));
        oracle.change(secret, YES, || drop(run(&format!("enable {name}"))));
        oracle.change(secret, NO_SCOPE, || drop(run(&format!("edit {name} --remove-scope rest"))));
        match round % 3 {
            0 => oracle.change(secret, YES, || drop(run(&format!("edit {name} --add-scope rest")))),
            1 => {
                let manifest = sandbox.path("apply.toml");
                std::fs::write(&manifest, format!("[[key]]\nname = \"{name}\"\nscopes = [\"rest\"]\n")).unwrap();
                oracle.change(secret, YES, || drop(run(&format!("apply {}", manifest.display()))));
            }
            _ => {
                let backup = sandbox.path(&format!("backup-{round}.db"));
                run(&format!("backup {}", backup.display()));
                oracle.change(secret, YES, || drop(run(&format!("edit {name} --add-scope rest"))));
                std::fs::remove_file(backup).unwrap();
            }
        }
        guard.signal(Signal::HUP);
        round += 1;
        if start.elapsed() > wanted / 3 {
            early.get_or_insert_with(|| memory_kib(&guard));
        }
    }
    let (early, late) = (early.unwrap(), memory_kib(&guard));
    stop.store(true, Ordering::Relaxed);
    for asker in askers {
        asker.join().unwrap();
    }
    assert!(round > 2 && answered.load(Ordering::Relaxed) > 100, "{round} rounds, {answered:?} answers");
    assert!(late <= early + early / 5 + 2_048, "{early} KiB became {late} KiB in {round} rounds, {answered:?} answers");
    assert!(guard.stop().success());
    // The use counts match the allowed requests.
    let keys: serde_json::Value = serde_json::from_str(&run("list --json")).unwrap();
    let counted: u64 = keys.as_array().unwrap().iter().map(|key| key["use_count"].as_u64().unwrap()).sum();
    assert_eq!(counted, allowed.load(Ordering::Relaxed));
}
