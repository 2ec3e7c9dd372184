//! Files that are not stores, not ours, or not safe: a clear error with code 6, and the file is left unchanged.

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
        ("text", "store_foreign", "not an SQLite database"),
        ("short", "store_foreign", "not an SQLite database"),
        ("other.db", "store_foreign", "another program's"),
        ("plain.db", "store_foreign", "another program's"),
        ("newer.db", "store_newer", "schema 99"),
        ("truncated.db", "store_corrupt", "damaged"),
        ("link.db", "store_insecure", "a link"),
        ("missing.db", "store_missing", "keyward --store"),
        ("no/such/folder/keys.db", "store_missing", "keyward --store"),
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
    for (mode, says) in
        [(0o644, "others can read it"), (0o640, "others can read it"), (0o660, "its group can change the keys")]
    {
        fs::set_permissions(sandbox.store(), Permissions::from_mode(mode)).unwrap();
        let output = sandbox.run_with("verify", &secret);
        assert_eq!(output.code, 0);
        assert!(output.stderr.contains(says) && output.stderr.contains("chmod 600"), "{output}");
    }
}

#[test]
fn a_folder_in_which_anyone_can_replace_the_store_is_not_trusted() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    for (mode, code) in [(0o777, 6), (0o1777, 0), (0o755, 0)] {
        fs::set_permissions(sandbox.path(""), Permissions::from_mode(mode)).unwrap();
        assert_eq!(sandbox.run_with("verify -q", &secret).code, code, "{mode:o}");
        assert_eq!(sandbox.run(&format!("create k{mode}")).code, code, "{mode:o}");
    }
}

#[test]
fn a_damaged_store_is_said_to_be_damaged() {
    for sql in [
        "UPDATE key SET name = 'a b'",
        "UPDATE key SET created_at = 9223372036854775807",
        "UPDATE secret SET public_id = 'x'",
        "DROP TABLE key_use",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = -1",
        "INSERT INTO setting VALUES ('hash_cost', 'm=99999999,t=2,p=1')",
    ] {
        let sandbox = Sandbox::new();
        let secret = sandbox.mint("deploy");
        rusqlite::Connection::open(sandbox.store())
            .unwrap()
            .execute_batch(&sql.replace("INSERT", "INSERT OR REPLACE"))
            .unwrap();
        let outputs = [sandbox.run("list --json"), sandbox.run_with("verify --json", &secret)];
        assert!(outputs.iter().any(|output| output.code == 6), "{sql}: {} {}", outputs[0], outputs[1]);
        for output in outputs.iter().filter(|output| ![0, 3].contains(&output.code)) {
            assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_corrupt")), "{sql}: {output}");
            assert!(!output.stderr.contains("CREATE TABLE"), "{output}");
        }
    }
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
    conn.execute_batch("UPDATE history_head SET seq = 9223372036854775807").unwrap();
    assert_eq!(sandbox.run("disable deploy --json").error()["code"], "store_corrupt");
}

#[test]
#[ignore = "needs unshare and mount"]
fn a_disk_that_is_too_small_for_a_store_leaves_none() {
    let sandbox = Sandbox::empty();
    let keyward = sandbox.binary("");
    for kilobytes in (40..400).step_by(20) {
        let script = format!(
            "mount -t tmpfs -o size={kilobytes}k,mode=700 tmpfs {folder} && cd {folder} && export KEYWARD_STORE={folder}/k.db
             {keyward} create a --json > /dev/null; first=$?
             mount -o remount,size=10m {folder}
             {keyward} create b --json > /dev/null || exit 90
             {keyward} list -q | tr '\\n' ' '; {keyward} history --check -q > /dev/null || exit 91
             ls -A; exit $first",
            folder = sandbox.path("").display(),
            keyward = keyward.get_program().display(),
        );
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        let output = finish(command.args(["--mount", "sh", "-c", &script]));
        let (code, names) = if output.code == 0 { (0, "a b ") } else { (6, "b ") };
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (code, format!("{names}k.db\n").as_str()),
            "{kilobytes}k: {output}"
        );
        if code == 6 {
            assert!(output.stderr.contains("disk is full"), "{kilobytes}k: {output}");
        }
    }
}

/// The binary as a user other than root, because root ignores permissions.
pub(crate) fn unprivileged(sandbox: &Sandbox, line: &str) -> Command {
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
    assert_eq!(output.json()["warnings"], serde_json::json!(["store_permissions", "use_not_recorded"]));
    let output = finish_with(&mut unprivileged(&sandbox, "verify"), secret.as_bytes());
    assert!(output.stderr.contains("the use was not recorded"), "{output}");
    let output = finish(&mut unprivileged(&sandbox, "create x --json"));
    assert_eq!(output.code, 6, "{output}");
    assert!(output.stderr.contains("store_unwritable"), "{output}");
    assert_eq!(sandbox.run("list -q").stdout, "deploy\n");
}
