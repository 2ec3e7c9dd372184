//! Traps: what others may leave where keyward works.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

use crate::harness::Sandbox;

fn refused(sandbox: &Sandbox, line: &str, code: (u8, &str)) {
    let output = sandbox.run(&format!("{line} --json"));
    assert_eq!((output.code, output.error()["code"].as_str()), (code.0, Some(code.1)), "{line}: {output}");
    assert!(!output.error()["hint"].is_null(), "{line}");
}

#[test]
#[ignore = "needs root"]
fn a_log_beside_the_store_is_believed_only_where_its_owner_could_write_the_store() {
    const INSECURE: (u8, &str) = (6, "store_insecure");
    for suffix in ["-wal", "-shm", "-journal"] {
        let sandbox = Sandbox::new();
        sandbox.mint("a");
        let log = sandbox.path(&format!("keys.db{suffix}"));
        let _ = std::fs::remove_file(&log);
        std::fs::write(&log, "made up").unwrap();
        chown(&log, Some(65_534), Some(65_534)).unwrap();
        refused(&sandbox, "list", INSECURE);
        refused(&sandbox, "create b", INSECURE);
        assert_eq!(sandbox.run_with("verify --json", "x").code, 6, "{suffix}");
        std::fs::remove_file(&log).unwrap();
        for trap in ["link", "pipe", "second name"] {
            let target = sandbox.path("target");
            std::fs::write(&target, "mine").unwrap();
            match trap {
                "link" => symlink(&target, &log).unwrap(),
                "pipe" => rustix::fs::mkfifoat(rustix::fs::CWD, &log, rustix::fs::Mode::from_raw_mode(0o600)).unwrap(),
                _ => std::fs::hard_link(&target, &log).unwrap(),
            }
            refused(&sandbox, "list", INSECURE);
            refused(&sandbox, "disable a", INSECURE);
            std::fs::remove_file(&log).unwrap();
            assert_eq!(std::fs::read(&target).unwrap(), b"mine");
        }
        assert_eq!(sandbox.run("list -q").stdout, "a\n");
    }
}

#[test]
fn another_programs_database_is_left_as_it_was() {
    let sandbox = Sandbox::empty();
    let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
    conn.execute_batch("PRAGMA journal_mode = persist; CREATE TABLE x (a); INSERT INTO x VALUES (1);").unwrap();
    drop(conn);
    std::fs::set_permissions(sandbox.store(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let before = sandbox.files();
    refused(&sandbox, "create a", (6, "store_foreign"));
    assert!(sandbox.files() == before);
    assert_eq!(std::fs::metadata(sandbox.store()).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn the_store_is_no_place_for_a_secret_and_a_log_no_place_for_a_backup() {
    let sandbox = Sandbox::new();
    sandbox.mint("a");
    let (folder, store) = (sandbox.path(""), sandbox.store());
    std::fs::create_dir(sandbox.path("d")).unwrap();
    for path in [store.clone(), folder.join("d/../keys.db"), folder.join("keys.db-wal"), folder.join("keys.db-journal")]
    {
        let path = path.display();
        refused(&sandbox, &format!("create b --secret-file {path} --force"), (7, "not_delivered"));
        refused(&sandbox, &format!("rotate a --secret-file {path} --force"), (7, "not_delivered"));
        refused(&sandbox, &format!("create b --env-file {path} --env-name A"), (7, "not_delivered"));
    }
    refused(&sandbox, &format!("create b --secret-file {}/.x.keyward", folder.display()), (7, "not_delivered"));
    refused(&sandbox, &format!("backup {}-journal", store.display()), (1, "output_failed"));
    assert_eq!(sandbox.run("list -q").stdout, "a\n");
}

#[test]
fn a_variable_that_was_left_set_answers_for_no_command() {
    let sandbox = Sandbox::new();
    let output = sandbox.run_env("verify", &[("KEYWARD_COMPLETE", "bash")]);
    assert_eq!(output.code, 3, "{output}");
    assert_eq!(sandbox.run_env("show nothing", &[("KEYWARD_COMPLETE", "1")]).code, 1);
}

#[test]
fn pages_replace_a_link_and_do_not_follow_it() {
    let sandbox = Sandbox::empty();
    std::fs::write(sandbox.path("mine"), "mine").unwrap();
    std::fs::create_dir(sandbox.path("man1")).unwrap();
    symlink(sandbox.path("mine"), sandbox.path("man1/keyward.1")).unwrap();
    assert_eq!(sandbox.run(&format!("man --dir {}", sandbox.path("man1").display())).code, 0);
    assert_eq!(std::fs::read(sandbox.path("mine")).unwrap(), b"mine");
    let page = std::fs::symlink_metadata(sandbox.path("man1/keyward.1")).unwrap();
    assert!(page.is_file() && page.mode() & 0o777 == 0o644);
}
