//! Files that are no store, not ours, or not safe: a clear error with code 6, and left as they were.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::harness::{Sandbox, binary, finish, finish_with, words};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_new_store_is_private_whatever_the_umask_is() {
    let sandbox = Sandbox::empty();
    for (umask, folder) in [("000", "a/b"), ("022", "c/d"), ("077", "e/f")] {
        let store = sandbox.path(folder).join("keys.db");
        let mut shell = Command::new("sh");
        let keyward = binary(&store, &[]);
        shell.arg("-c").arg(format!(
            "umask {umask}; {} create x --store {} >/dev/null",
            keyward.get_program().display(),
            store.display()
        ));
        let output = finish(&mut shell);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!((mode(&store), mode(store.parent().unwrap())), (0o600, 0o700), "umask {umask}");
        let left: Vec<_> =
            fs::read_dir(store.parent().unwrap()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left, ["keys.db"], "nothing else is left behind");
    }
}

#[test]
fn the_log_files_of_an_open_store_are_private_too() {
    let sandbox = Sandbox::new();
    let reader = rusqlite::Connection::open(sandbox.store()).unwrap();
    reader.query_row("SELECT count(*) FROM key", [], |row| row.get::<_, i64>(0)).unwrap();
    sandbox.mint("deploy");
    for name in ["keys.db-wal", "keys.db-shm"] {
        assert_eq!(mode(&sandbox.path(name)), 0o600, "{name}");
    }
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let sandbox = Sandbox::empty();
    let path = |name: &str| sandbox.path(name);
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("text"), "name,key\n".repeat(1000)).unwrap();
    fs::write(path("short"), "x").unwrap();
    let other = rusqlite::Connection::open(path("other.db")).unwrap();
    other.execute_batch("CREATE TABLE t (x); PRAGMA application_id = 7;").unwrap();
    drop(other);
    let plain = rusqlite::Connection::open(path("plain.db")).unwrap();
    plain.execute_batch("CREATE TABLE key (x);").unwrap();
    drop(plain);
    let newer = Sandbox::new();
    rusqlite::Connection::open(newer.store()).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    fs::copy(newer.store(), path("newer.db")).unwrap();
    fs::set_permissions(path("newer.db"), Permissions::from_mode(0o600)).unwrap();
    let damaged = Sandbox::new();
    damaged.mint("deploy");
    let mut bytes = fs::read(damaged.store()).unwrap();
    bytes.truncate(9000);
    fs::write(path("truncated.db"), bytes).unwrap();
    symlink(damaged.store(), path("link.db")).unwrap();

    for (name, code, says) in [
        ("folder", "store_foreign", "a folder"),
        ("text", "store_foreign", "no SQLite database"),
        ("short", "store_foreign", "no SQLite database"),
        ("other.db", "store_foreign", "another program's"),
        ("plain.db", "store_foreign", "another program's"),
        ("newer.db", "store_newer", "schema 99"),
        ("truncated.db", "store_corrupt", "damaged"),
        ("link.db", "store_insecure", "a link"),
        ("missing.db", "store_missing", "keyward create"),
        ("no/such/folder/keys.db", "store_missing", "keyward create"),
    ] {
        let before = fs::read(path(name)).ok();
        for line in ["list", "show x", "create x", "verify", "edit x --name y", "rotate x", "history --check"] {
            if code == "store_missing" && line == "create x" {
                continue;
            }
            let args = words(&format!("{line} --json --store {}", path(name).display()));
            let secret = "kw_000000000000_00000000000000000000000000000000000000000000xHrRW";
            let output = sandbox.run_args(&args, secret.as_bytes());
            assert_eq!((output.code, output.stdout.as_str()), (6, ""), "{name}: {line}: {output}");
            let error = output.error();
            assert_eq!(error["code"], code, "{name}: {line}: {output}");
            let text = format!("{} {}", error["message"], error["hint"]);
            assert!(text.contains(says) && !error["hint"].is_null(), "{name}: {line}: {text}");
        }
        assert_eq!(fs::read(path(name)).ok(), before, "{name} was changed");
    }
}

#[test]
fn an_empty_file_is_a_place_for_a_store() {
    let sandbox = Sandbox::empty();
    fs::write(sandbox.store(), "").unwrap();
    fs::set_permissions(sandbox.store(), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(sandbox.run("list").code, 6);
    assert_eq!(sandbox.run("create x").code, 0);
    assert_eq!((sandbox.run("list -q").stdout.as_str(), mode(&sandbox.store())), ("x\n", 0o600));
}

#[test]
fn a_store_that_others_can_write_is_not_trusted() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    fs::set_permissions(sandbox.store(), Permissions::from_mode(0o666)).unwrap();
    for line in ["create x", "verify", "list"] {
        let output = sandbox.run_with(&format!("{line} --json"), &secret);
        assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_insecure")), "{line}");
        assert!(output.stderr.contains("chmod 600"), "{output}");
    }
    fs::set_permissions(sandbox.store(), Permissions::from_mode(0o644)).unwrap();
    let output = sandbox.run_with("verify -q", &secret);
    assert_eq!(output.code, 0);
    assert!(output.stderr.contains("chmod 600"), "{output}");
}

/// The binary as a user who is not root: permissions mean nothing to root.
fn unprivileged(sandbox: &Sandbox, line: &str) -> Command {
    let keyward = sandbox.binary(line);
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(keyward.get_program());
        command
    } else {
        Command::new(keyward.get_program())
    };
    command.args(words(line)).env("KEYWARD_STORE", sandbox.store());
    command
}

#[test]
fn an_unreadable_store_is_no_answer() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    fs::set_permissions(sandbox.path(""), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(sandbox.store(), Permissions::from_mode(0o000)).unwrap();
    for line in ["verify --json", "list --json", "create x --json"] {
        let output = finish_with(&mut unprivileged(&sandbox, line), secret.as_bytes());
        assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_unwritable")), "{line}: {output}");
    }
}

#[test]
fn verify_works_on_a_store_that_it_cannot_write() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    fs::set_permissions(sandbox.path(""), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(sandbox.store(), Permissions::from_mode(0o444)).unwrap();
    let output = finish_with(&mut unprivileged(&sandbox, "verify --json"), secret.as_bytes());
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(output.json()["warnings"], serde_json::json!(["use_not_recorded"]));
    assert!(output.stderr.contains("the use was not recorded"), "{output}");
    let output = finish(&mut unprivileged(&sandbox, "create x --json"));
    assert_eq!(output.code, 6, "{output}");
    assert!(output.stderr.contains("store_unwritable"), "{output}");
    assert_eq!(sandbox.run("list -q").stdout, "deploy\n");
}
