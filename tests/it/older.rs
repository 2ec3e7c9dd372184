//! A store with an older schema: a command that changes it upgrades it, one that only reads leaves it as it is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::{Sandbox, binary, finish, finish_with, words};
use crate::store_files::unprivileged;

const BACK_TO_3: &str = include_str!("../../crates/keyward-core/tests/back_to_3.sql");

fn sql(store: &Path, statements: &str) {
    rusqlite::Connection::open(store).unwrap().execute_batch(statements).unwrap();
}

fn version(store: &Path) -> i64 {
    rusqlite::Connection::open(store).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// A store with the third schema, and a secret in it.
fn older() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a --scope rest --label team=web");
    sql(&sandbox.store(), BACK_TO_3);
    (sandbox, secret)
}

const READING: [&str; 12] = [
    "list --json",
    "show a --json",
    "history --json",
    "history --check --json",
    "export",
    "settings list --json",
    "user list --json",
    "role show viewer --json",
    "doctor --json",
    "verify --no-record --json",
    "verify --at 2030-01-01 --json",
    "apply manifest.toml --dry-run",
];

#[test]
fn who_only_reads_leaves_the_file_as_it_is() {
    // As other programs may have left it, with the WAL on or off.
    for mode in ["wal", "delete"] {
        let (sandbox, secret) = older();
        sql(&sandbox.store(), &format!("PRAGMA journal_mode = {mode}"));
        fs::write(sandbox.path("manifest.toml"), finish(&mut sandbox.binary("export")).stdout).unwrap();
        let before = fs::read(sandbox.store()).unwrap();
        for line in READING {
            let output = finish_with(sandbox.binary(line).current_dir(sandbox.path("")), secret.as_bytes());
            assert_eq!(output.code, 0, "{mode}: {line}: {output}");
            assert!(fs::read(sandbox.store()).unwrap() == before, "{mode}: {line} wrote to the file");
        }
        let words = ["--", "keyward", "show", ""].map(str::to_owned);
        let mut complete = binary(&sandbox.store(), &words);
        complete.env("KEYWARD_COMPLETE", "fish").env("_CLAP_COMPLETE_INDEX", "2");
        assert!(finish(&mut complete).stdout.contains('a'));
        assert!(fs::read(sandbox.store()).unwrap() == before, "{mode}: a completion wrote to the file");
        assert_eq!(sandbox.run_with("verify --json", &secret).code, 0);
        assert_eq!(version(&sandbox.store()), 5, "who records a use brings it up to date");
    }
}

#[test]
fn a_backup_that_is_read_stays_as_it_was_written() {
    let sandbox = Sandbox::new();
    sandbox.mint("a");
    sandbox.run(&format!("backup {}", sandbox.path("copy.db").display()));
    let before = fs::read(sandbox.path("copy.db")).unwrap();
    for line in ["list --json", "show a --json", "doctor --json", "export"] {
        assert_eq!(finish(&mut binary(&sandbox.path("copy.db"), &words(line))).code, 0, "{line}");
        assert!(fs::read(sandbox.path("copy.db")).unwrap() == before, "{line}");
    }
}

#[test]
fn who_changes_it_brings_it_up_to_date() {
    for line in [
        "create b",
        "edit a --description x",
        "disable a",
        "user create ann",
        "settings set prefix app",
        "delete a --yes",
    ] {
        let (sandbox, _) = older();
        assert_eq!(sandbox.run(line).code, 0, "{line}");
        assert_eq!(version(&sandbox.store()), 5, "{line}");
        assert_eq!(sandbox.run("history --check").code, 0, "{line}");
        assert_eq!(sandbox.run("doctor --json").json()[4]["level"], "ok", "{line}");
    }
}

#[test]
fn one_that_cannot_be_written_can_be_read() {
    let (sandbox, secret) = older();
    for (path, mode) in [(sandbox.path(""), 0o555), (sandbox.store(), 0o444)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    for line in ["list --json", "show a --json", "history --check --json", "verify --json", "export"] {
        let output = finish_with(&mut unprivileged(&sandbox, line), secret.as_bytes());
        assert_eq!(output.code, 0, "{line}: {output}");
    }
    let output = finish(&mut unprivileged(&sandbox, "disable a --json"));
    assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_unwritable")), "{output}");
    fs::set_permissions(sandbox.path(""), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn one_that_is_too_large_to_be_copied_is_refused_with_what_to_do() {
    let (sandbox, secret) = older();
    sql(&sandbox.store(), "CREATE TABLE large (x); INSERT INTO large VALUES (zeroblob(270000000))");
    for line in ["list --json", "verify --no-record --json"] {
        let output = finish_with(&mut sandbox.binary(line), secret.as_bytes());
        assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_unwritable")), "{line}: {output}");
        assert!(output.stderr.contains("bring it up to date"), "{output}");
    }
    assert_eq!(version(&sandbox.store()), 3);
    let output = finish(&mut sandbox.binary("settings set prefix kw"));
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(finish(&mut sandbox.binary("list --json")).code, 0);
}

#[test]
fn what_stands_in_the_log_of_one_is_read_with_it() {
    let (sandbox, _) = older();
    let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
    conn.execute_batch("PRAGMA journal_mode = wal; UPDATE key SET description = 'from the log'").unwrap();
    let before = fs::read(sandbox.store()).unwrap();
    for _ in 0..2 {
        let output = finish(&mut sandbox.binary("show a --json"));
        assert_eq!(output.json()["description"], "from the log", "{output}");
        assert!(fs::read(sandbox.store()).unwrap() == before);
    }
}
