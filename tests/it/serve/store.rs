//! What happens to the store while the guard serves: the guard never wrongly allows, never hangs, and recovers when the
//! store does.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Signal, geteuid};

use super::{Answer, Guard, Wire, eventually, head, question};
use crate::harness::{Sandbox, finish};

/// Longer than any answer may take.
const MOST: Duration = Duration::from_secs(10);

/// Asks on its own connection, and checks that the answer comes soon.
fn soon(guard: &Guard, secret: &str) -> Answer {
    let start = Instant::now();
    let answer = guard.with("default", secret);
    assert!(start.elapsed() < MOST, "{:?}: {answer:?}", start.elapsed());
    answer
}

/// A guard with a key that it already knows.
fn guarded() -> (Sandbox, Guard, String) {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let guard = Guard::start(&sandbox, "");
    assert_eq!(soon(&guard, &secret).status, 200);
    (sandbox, guard, secret)
}

/// The key cannot be checked: the answer, the log and the admin endpoints say so.
fn is_unusable(guard: &Guard, secret: &str, code: &str) {
    for _ in 0..20 {
        let answer = soon(guard, secret);
        assert_eq!((answer.both(), answer.only("retry-after")), ((503, "store_unusable"), "1"));
        assert!(!answer.body.contains("keys.db"), "{answer:?}");
    }
    let ready = guard.admin("/readyz");
    assert_eq!((ready.status, &ready.json()["checks"]["store"]), (503, &code.into()));
    guard.line(|line| line["event"] == "store_error" && line["code"] == code);
    guard.line(|line| line["event"] == "decision" && line["code"] == code && line["level"] == "error");
    assert!(guard.admin("/metrics").body.contains(&format!("keyward_store_errors_total{{code=\"{code}\"}}")));
    assert_eq!((guard.admin("/livez").status, guard.ask("/healthz", &[]).status), (200, 200));
}

/// It works again, without a restart.
fn is_well(guard: &Guard, secret: &str) {
    eventually(|| (soon(guard, secret).status == 200).then_some(())).unwrap_or_else(|| panic!("{}", guard.text()));
    assert_eq!(guard.admin("/readyz").status, 200);
    guard.event("store_recovered");
}

#[test]
fn a_store_that_is_gone_and_comes_back() {
    let (sandbox, guard, secret) = guarded();
    let away = sandbox.path("away");
    fs::create_dir(&away).unwrap();
    let files = ["keys.db", "keys.db-wal", "keys.db-shm"];
    let all = |from: &std::path::Path, to: &std::path::Path| {
        for name in files {
            let _ = fs::rename(from.join(name), to.join(name));
        }
    };
    all(&sandbox.path(""), &away);
    is_unusable(&guard, &secret, "store_missing");
    all(&away, &sandbox.path(""));
    is_well(&guard, &secret);
}

#[test]
fn another_store_at_its_path_has_its_own_keys() {
    let (sandbox, mut guard, secret) = guarded();
    let other = Sandbox::new();
    // Both generators start with the same seed, so their first secrets are equal.
    other.mint("first");
    assert_eq!(other.run("delete first --yes").code, 0);
    let theirs = other.mint("other");
    // The uses still to be written are of a key that the other store does not have.
    assert_eq!(soon(&guard, &secret).status, 200);
    fs::rename(other.store(), sandbox.store()).unwrap();
    // It takes effect at the very next question. More questions than this would look like guessing.
    for _ in 0..15 {
        assert_ne!(soon(&guard, &secret).status, 200);
    }
    eventually(|| (soon(&guard, &theirs).status == 200).then_some(())).unwrap_or_else(|| panic!("{}", guard.text()));
    assert_eq!(soon(&guard, &secret).both(), (401, "not_genuine"));
    assert_eq!(guard.stop().code(), Some(0));
    assert_eq!(sandbox.run("show other --json").json()["use_count"], 1);
    assert_eq!(sandbox.run("doctor").code, 0);
}

#[test]
fn a_restore_revokes_at_the_next_question() {
    let sandbox = Sandbox::new();
    let old = sandbox.mint("old");
    let backup = sandbox.path("backup.db");
    assert_eq!(sandbox.run(&format!("backup {}", backup.display())).code, 0);
    let new = sandbox.mint("new");
    let guard = Guard::start(&sandbox, "");
    assert_eq!((soon(&guard, &old).status, soon(&guard, &new).status), (200, 200));
    let output = finish(&mut sandbox.binary(&format!("restore {} --yes", backup.display())));
    assert_eq!(output.code, 0, "{output}");
    assert_ne!(soon(&guard, &new).status, 200);
    eventually(|| (soon(&guard, &old).status == 200).then_some(())).unwrap_or_else(|| panic!("{}", guard.text()));
    // An older state copied over the current one is not trusted.
    let (sandbox, guard, secret) = guarded();
    let copy = sandbox.path("copy.db");
    assert_eq!(sandbox.run(&format!("backup {}", copy.display())).code, 0);
    assert_eq!(sandbox.run("disable deploy").code, 0);
    assert_eq!(soon(&guard, &secret).both(), (401, "key_disabled"));
    let bytes = fs::read(&copy).unwrap();
    fs::write(sandbox.store(), bytes).unwrap();
    for _ in 0..50 {
        assert_ne!(soon(&guard, &secret).status, 200);
    }
}

#[test]
fn a_store_of_a_newer_keyward() {
    let (sandbox, guard, secret) = guarded();
    let schema = |text: &str| Connection::open(sandbox.store()).unwrap().execute_batch(text).unwrap();
    let known: i64 =
        Connection::open(sandbox.store()).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    schema(&format!("PRAGMA user_version = {}", known + 1));
    is_unusable(&guard, &secret, "store_newer");
    schema(&format!("PRAGMA user_version = {known}"));
    is_well(&guard, &secret);
}

#[test]
fn a_store_that_is_no_store_any_more() {
    let (sandbox, guard, secret) = guarded();
    let good = fs::read(sandbox.store()).unwrap();
    fs::write(sandbox.store(), vec![b'x'; good.len()]).unwrap();
    for _ in 0..20 {
        assert_eq!(soon(&guard, &secret).both(), (503, "store_unusable"));
    }
    assert_eq!(guard.admin("/readyz").status, 503);
    // A guard does not start with such a store.
    let output = finish(&mut sandbox.binary("serve --listen 127.0.0.1:0"));
    assert_eq!(output.code, 6, "{output}");
    fs::write(sandbox.store(), &good).unwrap();
    is_well(&guard, &secret);
}

#[test]
fn a_store_that_is_cut_off_or_damaged_inside_is_restored_from_a_backup() {
    for what in ["empty", "cut off", "torn"] {
        let (sandbox, guard, secret) = guarded();
        let other = sandbox.mint("other");
        let backup = sandbox.path("backup.db");
        assert_eq!(sandbox.run(&format!("backup {}", backup.display())).code, 0);
        let mut bytes = fs::read(&backup).unwrap();
        match what {
            "empty" => bytes.clear(),
            "cut off" => bytes.truncate(5_000),
            _ => bytes[4_096..].fill(0x5a),
        }
        fs::write(sandbox.store(), bytes).unwrap();
        let _ = fs::write(sandbox.path("keys.db-wal"), "");
        // A key that was not read before cannot be read now.
        for _ in 0..5 {
            let answer = soon(&guard, &other);
            assert_eq!(answer.both(), (503, "store_unusable"), "{what}: {answer:?}");
        }
        guard.line(|line| line["event"] == "decision" && line["reason"] == "store_unusable");
        guard.event("store_error");
        let output = finish(&mut sandbox.binary(&format!("restore {} --as-it-was --yes", backup.display())));
        assert_eq!(output.code, 0, "{what}: {output}");
        is_well(&guard, &secret);
        assert_eq!(soon(&guard, &other).status, 200, "{what}");
    }
}

#[test]
fn a_store_of_an_older_keyward_is_brought_up_to_date_where_it_is_found() {
    let (sandbox, guard, secret) = guarded();
    let old = sandbox.path("old.db");
    assert_eq!(sandbox.run(&format!("backup {}", old.display())).code, 0);
    let conn = Connection::open(&old).unwrap();
    conn.execute_batch(include_str!("../../../crates/keyward-core/tests/back_to_3.sql")).unwrap();
    drop(conn);
    fs::set_permissions(&old, Permissions::from_mode(0o600)).unwrap();
    for name in ["keys.db-wal", "keys.db-shm"] {
        let _ = fs::remove_file(sandbox.path(name));
    }
    fs::rename(&old, sandbox.store()).unwrap();
    eventually(|| (soon(&guard, &secret).status == 200).then_some(())).unwrap_or_else(|| panic!("{}", guard.text()));
    assert_eq!(guard.admin("/readyz").status, 200);
    assert_eq!(sandbox.run("doctor").code, 0);
}

#[test]
fn a_store_that_is_locked_altogether_is_waited_for_and_no_longer() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let conn = Connection::open(sandbox.store()).unwrap();
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let start = Instant::now();
    let output = finish(&mut sandbox.binary("serve --listen 127.0.0.1:0 --json"));
    assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_locked")), "{output}");
    // Ten seconds, counted in steps, each of which takes longer on a busy machine.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    drop(conn);
    let guard = Guard::start(&sandbox, "");
    assert_eq!(soon(&guard, &secret).status, 200);
}

#[test]
fn something_else_at_the_place_of_the_store() {
    let (sandbox, guard, secret) = guarded();
    let away = sandbox.path("away.db");
    fs::rename(sandbox.store(), &away).unwrap();
    fs::create_dir(sandbox.store()).unwrap();
    for _ in 0..5 {
        assert_eq!(soon(&guard, &secret).both(), (503, "store_unusable"));
    }
    guard.event("store_error");
    fs::remove_dir(sandbox.store()).unwrap();
    fs::rename(&away, sandbox.store()).unwrap();
    is_well(&guard, &secret);
}

#[test]
fn what_a_policy_asks_for_may_go_while_it_serves() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run("role create guest --rank 5").code, 0);
    let guest = sandbox.mint("guest --role editor");
    let guard = Guard::configured(&sandbox, "[policy.guest]\nrole = \"guest\"\n");
    assert_eq!(guard.with("guest", &guest).status, 200);
    assert_eq!(sandbox.run("role delete guest --yes").code, 0);
    assert_eq!(guard.with("guest", &guest).both(), (403, "role_too_low"));
    // The configuration can no longer be loaded, and the reload reports it.
    assert_eq!(guard.reload()["level"], "error");
    assert_eq!(sandbox.run("role create guest --rank 5").code, 0);
    assert_eq!(guard.with("guest", &guest).status, 200);
}

#[test]
fn a_store_that_may_not_be_read() {
    // Root can read everything.
    if geteuid().is_root() {
        return a_folder_that_others_can_write_to();
    }
    let (sandbox, guard, secret) = guarded();
    fs::set_permissions(sandbox.path(""), Permissions::from_mode(0o000)).unwrap();
    is_unusable(&guard, &secret, "store_unwritable");
    fs::set_permissions(sandbox.path(""), Permissions::from_mode(0o700)).unwrap();
    is_well(&guard, &secret);
}

/// The counterpart for root.
fn a_folder_that_others_can_write_to() {
    let (sandbox, guard, secret) = guarded();
    let link = sandbox.path("second");
    fs::hard_link(sandbox.store(), &link).unwrap();
    is_unusable(&guard, &secret, "store_insecure");
    fs::remove_file(&link).unwrap();
    is_well(&guard, &secret);
}

/// Holds the store's write lock: to the guard, this is another process.
fn hold(sandbox: &Sandbox) -> Connection {
    let conn = Connection::open(sandbox.store()).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    conn
}

#[test]
fn a_store_that_somebody_writes_to_for_long_is_read_meanwhile() {
    let (sandbox, mut guard, secret) = guarded();
    let holder = hold(&sandbox);
    let allowed = std::cell::Cell::new(1);
    // This outlasts the wait of a write, so the guard knows that writing fails.
    let ready = |status: &str| {
        eventually(|| {
            assert_eq!(soon(&guard, &secret).status, 200);
            allowed.set(allowed.get() + 1);
            (guard.admin("/readyz").json()["status"] == status).then_some(())
        })
        .unwrap_or_else(|| panic!("not {status}: {}", guard.text()));
    };
    ready("degraded");
    assert_eq!(guard.admin("/readyz").status, 200, "it decides");
    assert_eq!(guard.line(|line| line["event"] == "flush_error")["code"], "store_locked");
    let metrics = guard.admin("/metrics").body;
    assert!(!metrics.contains("\nkeyward_unrecorded_uses 0\n"), "{metrics}");
    drop(holder);
    ready("ready");
    guard.stop();
    assert_eq!(sandbox.run("show deploy --json").json()["use_count"], allowed.get(), "nothing is lost");
    assert_eq!(sandbox.run("doctor").code, 0);
}

#[test]
fn a_locked_store_does_not_hold_up_the_end() {
    let (sandbox, mut guard, secret) = guarded();
    // Earlier uses are written.
    eventually(|| (sandbox.run("show deploy --json").json()["use_count"] == 1).then_some(())).unwrap();
    let holder = hold(&sandbox);
    assert_eq!(soon(&guard, &secret).status, 200);
    let start = Instant::now();
    guard.signal(Signal::TERM);
    guard.event("stop");
    std::thread::sleep(Duration::from_millis(300));
    guard.signal(Signal::TERM);
    assert_eq!(guard.ended().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(holder);
    assert_eq!(sandbox.run("doctor").code, 0);
}

#[test]
fn a_change_by_another_process_holds_at_the_next_question() {
    let (sandbox, guard, secret) = guarded();
    let mut wires: Vec<_> = (0..8).map(|_| guard.connect()).collect();
    let question = question("default", &secret);
    let mut right = 0;
    for round in 0..125 {
        let (verb, expected) = if round % 2 == 0 { ("disable", 401) } else { ("enable", 200) };
        assert_eq!(sandbox.run(&format!("{verb} deploy -q")).code, 0);
        for wire in &mut wires {
            let answer = wire.ask(&question);
            assert_eq!(answer.status, expected, "{round}: {answer:?}");
            right += 1;
        }
    }
    assert_eq!(right, 1_000);
}

#[test]
fn kill_loses_a_second_and_the_store_stays_sound() {
    let (sandbox, mut guard, secret) = guarded();
    let mut wire = guard.connect();
    let question = question("default", &secret);
    let (start, mut recent, mut all) = (Instant::now(), vec![], 1_u64);
    while start.elapsed() < Duration::from_millis(2_500) {
        assert_eq!(wire.ask(&question).status, 200);
        all += 1;
        recent.push(Instant::now());
    }
    guard.signal(Signal::KILL);
    let killed = Instant::now();
    guard.ended();
    let counted = sandbox.run("show deploy --json").json()["use_count"].as_u64().unwrap();
    // One second, plus the time a write takes on a busy machine.
    let late = recent.iter().filter(|at| killed.duration_since(**at) < Duration::from_millis(1_400)).count() as u64;
    assert!(counted <= all && counted + late >= all, "{counted} of {all}, {late} of them late");
    let doctor = finish(&mut sandbox.binary("doctor"));
    assert_eq!(doctor.code, 0, "{doctor}");
}

#[test]
fn a_stop_under_load_answers_what_it_took_in_and_counts_it() {
    let (sandbox, mut guard, secret) = guarded();
    let question = question("default", &secret);
    let (allowed, is_over) = (AtomicUsize::new(1), AtomicBool::new(false));
    let address = guard.address.clone();
    std::thread::scope(|scope| {
        // Proxies keep connections alive, and drop one when an answer says `Connection: close`.
        for _ in 0..4 {
            scope.spawn(|| {
                while let Ok(mut wire) = Wire::try_to(&address) {
                    // Before the first answer, perhaps only the kernel has accepted the connection.
                    let mut is_first = true;
                    loop {
                        let answer = if wire.try_send(&question) { wire.answer(false) } else { None };
                        let Some(answer) = answer else {
                            assert!(is_first, "a request on a connection that was to go on");
                            break;
                        };
                        assert_eq!(answer.status, 200);
                        allowed.fetch_add(1, Ordering::Relaxed);
                        is_first = false;
                        if answer.closes() {
                            break;
                        }
                    }
                }
                assert!(is_over.load(Ordering::Relaxed), "nobody listens, and nobody has asked it to stop");
            });
        }
        // Others open a new connection each time.
        for _ in 0..2 {
            scope.spawn(|| {
                while let Ok(mut wire) = Wire::try_to(&address) {
                    let answer = if wire.try_send(&question) { wire.answer(false) } else { None };
                    let Some(answer) = answer else {
                        // It came too late: the guard had not accepted it.
                        assert!(is_over.load(Ordering::Relaxed));
                        continue;
                    };
                    assert_eq!(answer.status, 200);
                    allowed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _idle: Vec<_> = (0..20).map(|_| Wire::to(&address)).collect();
        std::thread::sleep(Duration::from_millis(700));
        is_over.store(true, Ordering::Relaxed);
        let start = Instant::now();
        assert_eq!(guard.stop().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(5), "idle connections hold it up: {:?}", start.elapsed());
    });
    let counted = sandbox.run("show deploy --json").json()["use_count"].as_u64().unwrap();
    assert_eq!(counted, allowed.into_inner() as u64, "none is lost");
}

#[test]
fn who_waits_at_the_door_at_the_end_is_let_in() {
    let (sandbox, mut guard, secret) = guarded();
    let path = sandbox.path("guard.sock");
    let mut other = Guard::spawn(sandbox.binary(&format!("serve --listen unix:{}", path.display())));
    assert_eq!(other.with("default", &secret).status, 200);
    for guard in [&mut guard, &mut other] {
        // While the guard is stopped, the kernel accepts them, and the signal to stop arrives.
        guard.signal(Signal::STOP);
        let mut waiting: Vec<_> = (0..900).map(|_| guard.connect()).collect();
        for wire in &mut waiting {
            wire.send(question("default", &secret));
        }
        guard.signal(Signal::TERM);
        guard.signal(Signal::CONT);
        for wire in &mut waiting {
            assert_eq!(wire.answer(false).map(|answer| answer.status), Some(200));
        }
        assert_eq!(guard.ended().code(), Some(0));
    }
    assert_eq!(sandbox.run("show deploy --json").json()["use_count"], 1_802);
}

#[test]
#[ignore = "needs unshare and mount"]
fn a_full_disk_loses_no_count() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let small = sandbox.path("small");
    fs::create_dir(&small).unwrap();
    // Only the shell and the guard see the mount, so the shell fills the disk and empties it.
    let script = "mount -t tmpfs -o size=1m,mode=700 tmpfs small && cp keys.db small/ && chmod 600 small/keys.db
        \"$KEYWARD\" --store small/keys.db serve --listen unix:$PWD/g --admin unix:$PWD/a & guard=$!
        trap 'kill $guard 2>/dev/null' EXIT
        while [ ! -e fill ]; do sleep 0.02; done; head -c 4M /dev/zero > small/fill 2>/dev/null; touch filled
        while [ ! -e empty ]; do sleep 0.02; done; rm small/fill; touch emptied
        while [ ! -e stop ]; do sleep 0.02; done; kill -TERM $guard; wait $guard
        \"$KEYWARD\" --store small/keys.db show deploy --json > shown; \"$KEYWARD\" --store small/keys.db doctor > doctor; echo $? > code";
    let mut command = Command::new("unshare");
    command.args(if geteuid().is_root() { &["--mount"][..] } else { &["--map-root-user", "--mount"] });
    command.args(["sh", "-c", script]).current_dir(sandbox.path("")).env("KEYWARD", env!("CARGO_BIN_EXE_keyward"));
    let mut child = command.env_remove("KEYWARD_STORE").stderr(Stdio::null()).spawn().unwrap();
    let place = |name: &str| format!("unix:{}", sandbox.path(name).display());
    let sign = |name: &str| fs::write(sandbox.path(name), "").unwrap();
    let wait = |name: &str| eventually(|| sandbox.path(name).exists().then_some(())).unwrap();
    let mut wire = eventually(|| Wire::try_to(&place("g")).ok()).unwrap();
    let mut ask = |number: usize| {
        for _ in 0..number {
            assert_eq!(wire.ask(&question("default", &secret)).status, 200);
        }
    };
    let status = || Wire::to(&place("a")).ask(&head("GET", "/readyz", &[])).json()["status"].clone();
    ask(10);
    sign("fill");
    wait("filled");
    ask(10);
    let is_degraded = eventually(|| (status() == "degraded").then_some(())).is_some();
    ask(10);
    sign("empty");
    wait("emptied");
    let is_ready = eventually(|| (status() == "ready").then_some(())).is_some();
    sign("stop");
    eventually(|| child.try_wait().unwrap()).unwrap();
    assert!(is_degraded && is_ready);
    let shown: serde_json::Value = serde_json::from_str(&fs::read_to_string(sandbox.path("shown")).unwrap()).unwrap();
    assert_eq!(shown["use_count"], 30);
    assert_eq!(fs::read_to_string(sandbox.path("code")).unwrap(), "0\n");
}
