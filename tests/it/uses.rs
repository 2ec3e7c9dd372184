//! What counting a use costs, and what it leaves on disk.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::harness::{Sandbox, finish, finish_with};
use crate::store_files::unprivileged;

/// Intercepts libc calls, and adds a byte to a file whenever the program waits for the disk.
const COUNTER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
static void count(void) {
    int file = open(getenv("COUNT"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (write(file, "x", 1) != 1) abort();
    close(file);
}
int fsync(int fd) { count(); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
int fdatasync(int fd) { count(); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
"#;

#[test]
#[ignore = "needs cc"]
fn a_use_waits_for_no_disk() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    let (source, library, count) = (sandbox.path("count.c"), sandbox.path("count.so"), sandbox.path("count"));
    fs::write(&source, COUNTER).unwrap();
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    assert_eq!(finish(&mut compile).code, 0);
    let waits = |line: &str| {
        let _ = fs::remove_file(&count);
        let mut command = sandbox.binary(line);
        let output = finish_with(command.env("LD_PRELOAD", &library).env("COUNT", &count), secret.as_bytes());
        assert_eq!(output.code, 0, "{line}: {output}");
        fs::read(&count).map_or(0, |bytes| bytes.len())
    };
    assert!(waits("edit a --description x") > 0, "it counts");
    // The WAL has to be created, and is checkpointed when it grows long.
    let all: Vec<_> = (0..200).map(|_| waits("verify -q")).collect();
    let (those, total) = (all.iter().filter(|&&number| number > 0).count(), all.iter().sum::<usize>());
    assert!(those <= 1 + 2 * 3 && total < 40, "{all:?}");
    assert!(fs::metadata(sandbox.path("keys.db-wal")).unwrap().len() < 1_200_000);
    for line in ["verify -q --no-record", "list -q", "show a --json"] {
        assert_eq!(waits(line), 0, "{line}: who only reads waits for nothing");
    }
    assert_eq!(sandbox.run("show a --json").json()["use_count"], 200);
    // A change checkpoints and removes it.
    assert!(waits("edit a --description y") > 0);
    assert!(!sandbox.path("keys.db-wal").exists());
    assert_eq!(sandbox.run("show a --json").json()["use_count"], 200);
}

#[test]
fn who_may_only_read_the_store_reads_it_with_the_log_that_uses_left() {
    for mode_before in [0o644, 0o600] {
        let sandbox = Sandbox::new();
        let secret = sandbox.mint("a");
        fs::set_permissions(sandbox.path(""), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(sandbox.store(), Permissions::from_mode(mode_before)).unwrap();
        assert_eq!(finish_with(&mut sandbox.binary("verify -q"), secret.as_bytes()).code, 0);
        assert!(sandbox.path("keys.db-wal").exists());
        fs::set_permissions(sandbox.store(), Permissions::from_mode(0o644)).unwrap();
        let ask = || finish_with(&mut unprivileged(&sandbox, "verify --json"), secret.as_bytes());
        if mode_before == 0o600 {
            let refused = ask();
            assert_eq!(refused.code, 6, "{refused}");
            assert!(refused.stderr.contains("give them the mode of the store"), "{refused}");
            // The next process with write access fixes the mode.
            assert_eq!(finish_with(&mut sandbox.binary("verify -q"), secret.as_bytes()).code, 0);
        }
        let output = ask();
        assert_eq!(output.code, 0, "{mode_before:o}: {output}");
        assert!(output.json()["key"]["use_count"].as_u64().unwrap() >= 1, "{output}");
        sandbox.run("disable a");
        assert_eq!(ask().json()["reason"], "key_disabled");
    }
}

/// The user belongs to the store's group, but their new files get a different group.
#[test]
#[ignore = "needs root and setpriv"]
fn a_log_that_is_left_belongs_to_the_group_of_the_store() {
    use std::os::unix::fs::chown;
    const SERVICE: u32 = 2000;
    const OWN: u32 = 2001;
    const SHARED: u32 = 3000;
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    for (path, mode) in [(sandbox.path(""), 0o750), (sandbox.store(), 0o640)] {
        chown(&path, Some(SERVICE), Some(SHARED)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let as_user = |user: u32, group: u32, groups: &str| {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={group}"), format!("--groups={groups}")]);
        command.arg(env!("CARGO_BIN_EXE_keyward")).args(["verify", "-q"]).env("KEYWARD_STORE", sandbox.store());
        finish_with(&mut command, secret.as_bytes()).code
    };
    for groups in ["3000", "2001"] {
        for _ in 0..3 {
            assert_eq!(as_user(SERVICE, OWN, groups), 0, "{groups}");
            assert_eq!(as_user(65_534, SHARED, "3000"), 0, "who may read the store, {groups}");
        }
    }
    assert_eq!(sandbox.run("show a --json").json()["use_count"], 6);
}
