//! The server is killed during a change: a delivered secret works, an undelivered one does not exist, or keyward
//! reports an unknown outcome, which running the same command again resolves.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::postgres::{OWNER, Server};
use super::psql::Psql;
use super::{Site, end, is_full, slow_down, start, unheard};
use crate::harness::{Output, finish};
use crate::serve::eventually;

/// A command to interrupt. In its lines, `{k}` is a new key.
struct Case {
    /// Run first, without interruption.
    first: &'static str,
    line: &'static str,
    /// What a user runs next if it failed.
    again: &'static str,
    /// The keys that it creates or rotates, and the files that receive their secrets.
    keys: &'static [(&'static str, &'static str)],
    /// Whether a delivered secret can be taken back.
    can_take_back: bool,
}

const ONE: &[(&str, &str)] = &[("{k}", "to-{k}")];

const CASES: [Case; 5] = [
    Case {
        first: "",
        line: "create {k} --secret-file to-{k}",
        again: "create {k} --ensure --secret-file to-{k}",
        keys: ONE,
        can_take_back: true,
    },
    Case {
        first: "",
        line: "create {k} --secret-to cat>to-{k}",
        again: "create {k} --ensure --secret-to cat>to-{k}",
        keys: ONE,
        can_take_back: false,
    },
    Case {
        first: "create {k} --secret-file old-{k}",
        line: "rotate {k} --secret-file to-{k}",
        again: "rotate {k} --secret-file to-{k} --force",
        keys: ONE,
        can_take_back: true,
    },
    Case {
        first: "",
        line: "apply {k}.toml --secrets-dir .",
        again: "apply {k}.toml --secrets-dir .",
        keys: &[("{k}a", "{k}a"), ("{k}b", "{k}b")],
        can_take_back: true,
    },
    Case {
        first: "create {k} --secret-file old-{k}",
        line: "delete {k} --yes",
        again: "delete {k} --yes",
        keys: &[],
        can_take_back: true,
    },
];

fn begin(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The secret in a file, if it is there.
fn secret_in(path: PathBuf) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
}

fn is_there(site: &Site, key: &str) -> bool {
    site.must("list -q").stdout.lines().any(|name| name == key)
}

fn is_unknown(output: &Output) -> bool {
    output.code == 6 && output.error()["code"] == "unknown_outcome"
}

/// Checks that the state after an interrupted command is what it reported.
fn check(site: &Site, case: &Case, key: &str, output: &Output) {
    let old = secret_in(site.path(&format!("old-{key}")));
    for (name, file) in case.keys {
        let (name, file) = (name.replace("{k}", key), file.replace("{k}", key));
        let delivered = secret_in(site.path(&file));
        let works = delivered.as_ref().map(|secret| site.opens(secret, &name));
        match output.code {
            0 => assert_eq!(works, Some(true), "{name}: it is delivered, and works: {output}"),
            6 if is_unknown(output) => {
                // The new secret of a rotation works before it is delivered.
                assert!(old.is_none() || works != Some(false), "{name}: {output}");
            }
            6 => {
                let is_left = works.is_some() && case.can_take_back;
                assert!(!is_left && works != Some(true), "{name}: nothing is delivered: {output}");
                assert_eq!(is_there(site, &name), old.is_some(), "{name}: nothing was made: {output}");
                assert!(old.as_ref().is_none_or(|old| site.opens(old, &name)), "{name}: the old one works: {output}");
            }
            _ => panic!("{name}: {output}"),
        }
    }
    if case.keys.is_empty() && !is_unknown(output) {
        assert_eq!(is_there(site, key), output.code != 0, "{key}: {output}");
    }
}

/// Repeats the command, which succeeds: now every delivered secret works, and every key's secret was delivered.
fn settle(site: &Site, case: &Case, key: &str) {
    let output = finish(&mut site.on(1, &case.again.replace("{k}", key)));
    if case.keys.is_empty() {
        let is_gone = output.code == 0 || output.stderr.contains("no key");
        assert!(is_gone && !is_there(site, key), "{key}: {output}");
        return;
    }
    assert_eq!(output.code, 0, "{key}: {output}");
    for (name, file) in case.keys {
        let (name, file) = (name.replace("{k}", key), file.replace("{k}", key));
        let secret = secret_in(site.path(&file)).unwrap_or_else(|| panic!("{file}: {output}"));
        assert!(site.opens(&secret, &name), "{name}: {output}");
    }
}

fn prepare(site: &Site, case: &Case, key: &str) {
    fs::write(site.path(&format!("{key}.toml")), format!("[[key]]\nname = '{key}a'\n[[key]]\nname = '{key}b'\n"))
        .unwrap();
    if !case.first.is_empty() {
        site.must(&case.first.replace("{k}", key));
    }
}

/// Waits, up to a limit, until keyward is waiting for the answer to its COMMIT.
const IN_COMMIT: &str = "DO $$ BEGIN FOR i IN 1..5000 LOOP
    PERFORM pg_stat_clear_snapshot();
    EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'ann' AND query = 'COMMIT' AND state = 'active');
    PERFORM pg_sleep(0.001);
END LOOP; END $$";

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn the_server_is_killed_at_any_moment() {
    let (mut server, site) = start(1);
    slow_down(&server);
    let mut random = ChaCha20Rng::seed_from_u64(4);
    let times = CASES.each_ref().map(|case| {
        prepare(&site, case, "first");
        let start = Instant::now();
        let output = finish(&mut site.on(1, &case.line.replace("{k}", "first")));
        assert_eq!(output.code, 0, "{output}");
        let took = start.elapsed();
        finish(&mut site.on(1, "delete first --yes"));
        for name in ["to-first", "old-first"] {
            let _ = fs::remove_file(site.path(name));
        }
        took
    });
    let kills = if is_full() { 200 } else { 10 };
    let (mut done, mut failed, mut unknown, mut late) = (0, 0, 0, 0);
    for kill in 0..kills {
        let (case, time, key) = (&CASES[kill % CASES.len()], times[kill % CASES.len()], format!("k{kill}"));
        prepare(&site, case, &key);
        let mut watcher = Psql::at(&server);
        let struck = begin(site.on(1, &(case.line.replace("{k}", &key) + " --json")));
        if kill % 3 == 0 {
            watcher.run(IN_COMMIT);
        } else {
            // Usually after the sign-in; sometimes after the command has ended.
            thread::sleep(time.mul_f64(0.3 + 1.1 * f64::from(random.next_u32()) / f64::from(u32::MAX)));
        }
        server.kill();
        thread::sleep(Duration::from_millis(random.next_u64() % 300));
        server.go_on();
        let output = end(struck);
        done += u32::from(output.code == 0);
        failed += u32::from(output.code != 0);
        unknown += u32::from(is_unknown(&output));
        late += u32::from(output.stdout.contains("commit_confirmed_late"));
        check(&site, case, &key, &output);
        if output.code != 0 {
            settle(&site, case, &key);
        }
    }
    println!("{kills} kills: {done} done, {late} of them confirmed late; {failed} failed, {unknown} of them unknown");
    assert!(failed > 0);
    site.must("history --check");
}

/// Kills the server after it has committed but before it answers; the command already has a secret.
fn with_a_commit_that_nobody_hears_of(server: &mut Server, site: &Site, key: &str) -> Child {
    let mut create = site.on(1, &format!("create {key} --json --secret-to"));
    create.arg(format!("touch begun-{key}; while [ ! -e go-{key} ]; do sleep 0.02; done; cat >to-{key}"));
    let create = begin(create);
    eventually(|| site.path(&format!("begun-{key}")).exists().then_some(())).unwrap();
    server.set("synchronous_standby_names = 'nobody'");
    fs::write(site.path(&format!("go-{key}")), "").unwrap();
    eventually(|| (unheard(server) == 1).then_some(())).unwrap_or_else(|| panic!("{}", server.log()));
    server.sql(OWNER, "ALTER SYSTEM RESET synchronous_standby_names");
    server.kill();
    create
}

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn a_commit_that_nobody_heard_of_is_looked_for() {
    let (mut server, site) = start(1);
    let create = with_a_commit_that_nobody_hears_of(&mut server, &site, "soon");
    server.go_on();
    let output = end(create);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(output.json()["warnings"], serde_json::json!(["commit_confirmed_late"]), "{output}");
    assert!(site.opens(&secret_in(site.path("to-soon")).unwrap(), "soon"));

    let create = with_a_commit_that_nobody_hears_of(&mut server, &site, "late");
    let output = end(create);
    server.go_on();
    let (error, secret) = (output.error(), secret_in(site.path("to-late")).unwrap());
    assert_eq!((output.code, &error["code"]), (6, &"unknown_outcome".into()), "{output}");
    let (id, delivered) = (secret.split('_').nth(1).unwrap(), true);
    assert_eq!((&error["secret_id"], &error["delivered"]), (&id.into(), &delivered.into()), "{output}");
    // Nothing was undone, and running it again finds both key and secret.
    let again = finish(site.on(1, "create late --ensure --secret-to").arg("cat >to-late"));
    assert_eq!(again.code, 0, "{again}");
    assert!(site.opens(&secret_in(site.path("to-late")).unwrap(), "late"), "{again}");
    site.must("history --check");
}
