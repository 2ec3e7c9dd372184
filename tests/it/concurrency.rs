//! Several processes on one store.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use keyward_core::store::{Stamp, Store, StoreError};

use crate::harness::{Over, Sandbox, finish_with};
use crate::surroundings::lengthen;

#[test]
fn of_many_that_create_one_name_exactly_one_wins() {
    // On a store that does not exist yet: they race for the store as well.
    let sandbox = Sandbox::empty();
    let children: Vec<_> = (0..8)
        .map(|_| sandbox.binary("create same --json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let (won, lost): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.status.success());
    assert_eq!(won.len(), 1, "{outputs:?}");
    for output in lost {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "who loses shows no secret: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("name_taken"), "{output:?}");
    }
    let document: serde_json::Value = serde_json::from_slice(&won[0].stdout).unwrap();
    let secret = document["secret"].as_str().unwrap();
    assert_eq!(finish_with(&mut sandbox.binary("verify -q"), secret.as_bytes()).code, 0);
}

#[test]
fn of_two_that_deliver_to_one_place_at_once_the_second_is_refused_before_its_command_starts() {
    let manifest = |command: &str| format!("[[key]]\nname = 'k'\ndeliver = {{ secret_to = '{command}' }}\n");
    for (first, second) in
        [("rotate k", "rotate k"), ("create k", "create k"), ("create k", "apply"), ("apply", "create k")]
    {
        let sandbox = Sandbox::new();
        if first == "rotate k" {
            finish_with(&mut sandbox.binary("create k"), b"");
        }
        let place = sandbox.path("place");
        let start = |line: &str, number: u32, wait: &str| {
            let begun = sandbox.path(&format!("begun{number}"));
            let command = format!("touch {}; {wait} cat > {}", begun.display(), place.display());
            let mut binary = if line == "apply" {
                let file = sandbox.path(&format!("{number}.toml"));
                std::fs::write(&file, manifest(&command)).unwrap();
                sandbox.binary(&format!("apply --json {}", file.display()))
            } else {
                let mut binary = sandbox.binary(&format!("{line} --json --secret-to"));
                binary.arg(command);
                binary
            };
            let binary = binary.env("PATH", "/usr/bin:/bin").stdout(Stdio::piped()).stderr(Stdio::piped());
            (binary.spawn().unwrap(), begun)
        };
        let go = sandbox.path("go");
        let (slow, begun) = start(first, 1, &format!("while [ ! -e {} ]; do sleep 0.02; done;", go.display()));
        while !begun.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let (other, other_begun) = start(second, 2, "");
        let other = other.wait_with_output().unwrap();
        std::fs::write(go, "").unwrap();
        let slow = slow.wait_with_output().unwrap();
        let what = format!("{first}, {second}: {slow:?} {other:?}");
        assert_eq!((slow.status.code(), other.status.code()), (Some(0), Some(1)), "{what}");
        assert!(String::from_utf8_lossy(&other.stderr).contains("\"conflict\""), "{what}");
        assert!(!other_begun.exists(), "its command was started: {what}");
        let secret = std::fs::read(&place).unwrap();
        assert_eq!(finish_with(&mut sandbox.binary("verify -q"), &secret).code, 0, "{what}");
    }
}

#[test]
fn many_that_take_over_one_empty_file_all_keep_their_keys() {
    let sandbox = Sandbox::empty();
    std::fs::write(sandbox.store(), "").unwrap();
    let children: Vec<_> =
        (0..8).map(|n| sandbox.binary(&format!("create k{n} -q")).stdout(Stdio::piped()).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(finish_with(&mut sandbox.binary("verify -q"), &output.stdout).code, 0);
    }
}

#[test]
fn uses_and_edits_at_once_lose_nothing() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("shared");
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (sandbox, secret) = (Paths::of(&sandbox), secret.clone());
            scope.spawn(move || {
                for round in 0..5 {
                    let verified = finish_with(&mut sandbox.binary("verify -q"), secret.as_bytes());
                    assert_eq!(verified.code, 0, "{verified}");
                    let edited =
                        finish_with(&mut sandbox.binary(&format!("edit shared --add-scope s{worker}-{round}")), b"");
                    assert_eq!(edited.code, 0, "{edited}");
                    let created = finish_with(&mut sandbox.binary(&format!("create k{worker}-{round}")), b"");
                    assert_eq!(created.code, 0, "{created}");
                    let created = created.stdout.trim_end().to_owned();
                    assert_eq!(finish_with(&mut sandbox.binary("verify -q"), created.as_bytes()).code, 0);
                }
            });
        }
    });
    let key = sandbox.run("show shared --json").json();
    assert_eq!((key["use_count"].as_u64(), key["scopes"].as_array().unwrap().len()), (Some(20), 20));
    assert_eq!(sandbox.run("list -q").stdout.lines().count(), 21);
    assert_eq!(sandbox.run("history --check").code, 0);
}

/// The part of a sandbox that threads can share.
struct Paths(std::path::PathBuf);

impl Paths {
    fn of(sandbox: &Sandbox) -> Self {
        Self(sandbox.store())
    }

    fn binary(&self, line: &str) -> std::process::Command {
        crate::harness::binary(&self.0, &crate::harness::words(line))
    }
}

/// A long history takes a while to check. It is checked again until changes came meanwhile, because a commit can take
/// longer than several checks where many tests wait for one disk.
#[test]
fn what_is_checked_while_others_write_is_of_one_moment() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    lengthen(&sandbox.store(), 5_000);
    let (path, now) = (sandbox.store(), sandbox.now());
    let (is_over, number) = (AtomicBool::new(false), AtomicU32::new(0));
    let write = || {
        let mut store = Store::open(&path).unwrap();
        while !is_over.load(Ordering::SeqCst) {
            let switched = store.write(Stamp { now, actor: None }, |changes| {
                let key = changes.find("deploy")?.unwrap();
                changes.switch_key(&key, !key.settings.enabled)
            });
            match switched {
                Ok(_) => number.fetch_add(1, Ordering::SeqCst),
                Err(StoreError::Locked(_)) => continue,
                Err(error) => return Err(error),
            };
        }
        Ok::<_, StoreError>(())
    };
    let (mut outputs, mut during) = (vec![], 0);
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        let writer = scope.spawn(write);
        for line in ["history --check", "doctor --json --fail-if-any", "history --check"].iter().cycle() {
            if during == 12 || writer.is_finished() {
                break;
            }
            let before = number.load(Ordering::SeqCst);
            outputs.push((line, sandbox.run(line)));
            during += u32::from(number.load(Ordering::SeqCst) > before);
        }
        drop(over);
        writer.join().unwrap().unwrap();
    });
    for (line, output) in outputs {
        if line.starts_with("doctor") {
            let findings = output.json();
            let found = findings.as_array().unwrap().iter().find(|found| found["check"] == "history").unwrap();
            assert_eq!(found["level"], "ok", "{output}");
        } else {
            assert_eq!(output.code, 0, "{output}");
        }
    }
}
