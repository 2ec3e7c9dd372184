//! What an attacker who can write the file puts into it: keyward obeys none of it, and the doctor finds it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Output, Sandbox, binary, finish};

fn sql(store: &Path, statements: &str) {
    let conn = rusqlite::Connection::open(store).unwrap();
    // As an attacker with SQLite's own shell would.
    conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    conn.execute_batch(statements).unwrap_or_else(|error| panic!("{statements}: {error}"));
}

fn finding(output: &Output, check: &str) -> Value {
    let findings = output.json();
    findings.as_array().unwrap().iter().find(|finding| finding["check"] == check).cloned().unwrap_or_default()
}

#[test]
fn triggers_and_views_are_not_obeyed() {
    for planted in [
        "CREATE TRIGGER t AFTER UPDATE ON key BEGIN UPDATE key SET enabled = 1; END",
        "CREATE TRIGGER t BEFORE UPDATE ON key BEGIN SELECT raise(IGNORE); END",
        "CREATE TRIGGER t AFTER INSERT ON history BEGIN UPDATE key SET enabled = 1; END",
        "CREATE TRIGGER t BEFORE DELETE ON key BEGIN SELECT raise(IGNORE); END",
        // A view in place of the table: its content is not read.
        "ALTER TABLE setting RENAME TO hidden;
         CREATE VIEW setting AS SELECT 'query_credentials' AS name, 'true' AS value",
    ] {
        let sandbox = Sandbox::new();
        let secret = sandbox.mint("a");
        sql(&sandbox.store(), planted);
        if planted.contains("VIEW") {
            assert_eq!(sandbox.run_with("verify --json", &secret).error()["code"], "store_corrupt");
            continue;
        }
        assert_eq!(sandbox.run("disable a").code, 0, "{planted}");
        assert_eq!(sandbox.reason("", &secret), "key_disabled", "{planted}");
        let schema = finding(&sandbox.run("doctor --json"), "schema");
        assert_eq!(schema["level"], "problem", "{planted}: {schema}");
        assert!(schema["finding"].as_str().unwrap().contains("the trigger t"), "{schema}");
        assert_eq!(sandbox.run("delete a --yes").code, 0, "{planted}");
        assert_eq!(sandbox.reason("", &secret), "not_genuine", "{planted}");
    }
}

#[test]
fn the_doctor_compares_the_whole_schema() {
    let sandbox = Sandbox::new();
    sandbox.mint("a");
    assert_eq!(finding(&sandbox.run("doctor --json"), "schema")["level"], "ok");
    for (change, says) in [
        ("CREATE TABLE more (x)", "the table more is not of keyward"),
        ("CREATE INDEX more ON key (description)", "the index more is not of keyward"),
        ("CREATE VIEW more AS SELECT 1", "the view more is not of keyward"),
        ("CREATE TRIGGER more AFTER INSERT ON history BEGIN SELECT 1; END", "the trigger more is not of keyward"),
        ("ALTER TABLE key ADD COLUMN more INTEGER", "the table key was changed"),
        ("DROP INDEX key_by_owner", "the index key_by_owner is missing"),
        (
            "DROP INDEX key_by_owner; CREATE INDEX key_by_owner ON key (owner) WHERE owner IS NULL",
            "the index key_by_owner was changed",
        ),
        ("ANALYZE", "the table sqlite_stat1 is not of keyward"),
        ("CREATE TABLE \"\u{1b}[2J\u{202e}\" (x)", "is not of keyward"),
    ] {
        let copy = sandbox.copy();
        sql(&copy.store(), change);
        let output = copy.run("doctor --json --fail-if-any");
        let schema = finding(&output, "schema");
        assert_eq!((output.code, schema["level"].as_str()), (8, Some("problem")), "{change}: {schema}");
        assert!(schema["finding"].as_str().unwrap().contains(says), "{change}: {schema}");
        let shown = copy.run("doctor");
        assert!(!shown.stdout.contains(['\u{1b}', '\u{202e}']), "{change}: {shown}");
    }
}

/// An index that omits a row, or lists one that does not exist, under keyward's definition.
#[test]
fn an_index_that_hides_a_row_is_found() {
    let sandbox = Sandbox::new();
    for line in ["user create ann", "group create ci"] {
        sandbox.run(line);
    }
    sandbox.mint("a --owner ann --group ci --scope rest --level A --label a=b --expires 90d");
    let indexes: Vec<(String, String, String)> = {
        let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
        let mut statement = conn
            .prepare("SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert!(indexes.len() > 15, "{indexes:?}");
    for (name, table, definition) in indexes {
        let copy = sandbox.copy();
        let rows: i64 = rusqlite::Connection::open(copy.store())
            .unwrap()
            .query_row(&format!("SELECT count(*) FROM \"{table}\""), [], |row| row.get(0))
            .unwrap();
        if rows == 0 {
            continue;
        }
        assert!(!definition.contains(" WHERE "), "{name} leaves rows out");
        // Built without rows, then given keyward's definition.
        let conn = rusqlite::Connection::open(copy.store()).unwrap();
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
        conn.execute_batch(&format!("DROP INDEX {name}; {definition} WHERE 0; PRAGMA writable_schema = ON")).unwrap();
        conn.execute("UPDATE sqlite_schema SET sql = ?1 WHERE name = ?2", (&definition, &name)).unwrap();
        drop(conn);
        let output = copy.run("doctor --json --fail-if-any");
        assert_eq!(
            (output.code, finding(&output, "integrity")["level"].as_str()),
            (8, Some("problem")),
            "{name}: {output}"
        );
        let output = copy.run(&format!("backup {} --json", copy.path("copy.db").display()));
        assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_corrupt")), "{name}: {output}");
        assert!(!copy.path("copy.db").exists(), "{name}");
    }
}

/// Removes the index from the schema, changes the table, and puts the index back.
#[test]
fn an_index_with_a_row_that_is_gone_is_found() {
    let sandbox = Sandbox::new();
    sandbox.run("user create ann");
    for name in ["a", "b", "c"] {
        sandbox.mint(&format!("{name} --owner ann --expires 90d"));
    }
    for name in ["key_by_owner", "key_by_expiry", "key_by_enabled", "secret_current", "history_by_secret"] {
        let copy = sandbox.copy();
        let conn = rusqlite::Connection::open(copy.store()).unwrap();
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
        let (table, root, definition): (String, i64, String) = conn
            .query_row("SELECT tbl_name, rootpage, sql FROM sqlite_schema WHERE name = ?1", [name], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        conn.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA writable_schema = ON").unwrap();
        conn.execute("DELETE FROM sqlite_schema WHERE name = ?1", [name]).unwrap();
        drop(conn);
        sql(&copy.store(), &format!("PRAGMA foreign_keys = OFF; DELETE FROM {table} WHERE rowid = 2"));
        let conn = rusqlite::Connection::open(copy.store()).unwrap();
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
        conn.execute_batch("PRAGMA writable_schema = ON").unwrap();
        conn.execute("INSERT INTO sqlite_schema VALUES ('index', ?1, ?2, ?3, ?4)", (name, &table, root, &definition))
            .unwrap();
        drop(conn);
        let integrity = finding(&copy.run("doctor --json"), "integrity");
        assert_eq!(integrity["level"], "problem", "{name}: {integrity}");
        assert!(integrity["finding"].as_str().unwrap().contains(name), "{name}: {integrity}");
    }
}

#[test]
fn a_wrong_number_of_the_schema_is_damage_and_no_bug() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    for (version, code) in [
        (i64::from(i32::MIN), "store_corrupt"),
        (-1, "store_corrupt"),
        (0, "store_corrupt"),
        (1, "store_corrupt"),
        (2, "store_corrupt"),
        (3, "store_corrupt"),
        (4, "store_corrupt"),
        (6, "store_newer"),
        (i64::from(i32::MAX), "store_newer"),
    ] {
        for line in [
            "list --json",
            "verify --json",
            "create b --json",
            "disable a --json",
            "doctor --json",
            "history --check --json",
        ] {
            let copy = sandbox.copy();
            sql(&copy.store(), &format!("PRAGMA user_version = {version}"));
            let before = fs::read(copy.store()).unwrap();
            let output = copy.run_with(line, &secret);
            assert_eq!((output.code, output.error()["code"].as_str()), (6, Some(code)), "{version}: {line}: {output}");
            assert_eq!(fs::read(copy.store()).unwrap(), before, "{version}: {line}");
        }
    }
}

#[test]
fn a_candidate_from_the_store_is_one_word_to_the_shell() {
    let sandbox = Sandbox::new();
    sandbox.run("create a --scope r$(id),r*,r;x,r`id`,rest");
    sql(&sandbox.store(), "INSERT INTO key_scope VALUES (1, 'r\u{1b}[2J'), (1, 'r\n--as x'), (1, 'r\u{202e}')");
    for (shell, expected) in [
        ("bash", vec![r"r\$\(id\)", r"r\*", r"r\;x", r"r\`id\`", "rest"]),
        ("powershell", vec!["'r$(id)'", "'r*'", "'r;x'", "'r`id`'", "rest"]),
        ("zsh", vec!["r$(id)", "r*", "r;x", "r`id`", "rest"]),
        ("fish", vec!["r$(id)", "r*", "r;x", "r`id`", "rest"]),
    ] {
        let words = ["--", "keyward", "list", "--scope", "r"].map(str::to_owned);
        let mut command = binary(&sandbox.store(), &words);
        command.env("KEYWARD_COMPLETE", shell).env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", "3");
        let output = finish(&mut command);
        let mut found: Vec<_> = output.stdout.lines().collect();
        found.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(found, expected, "{shell}");
    }
}

/// A system without random numbers is neither a bug in keyward nor an answer about a credential.
#[test]
fn without_random_numbers_nothing_is_made_and_everything_else_goes_on() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    // So that a verification tries to renew the hash.
    sandbox.run("settings set hash-parameters m=2048,t=1,p=1");
    sandbox.has_no_random.set(true);
    for (line, code) in [
        ("create b --json", (7, "not_delivered")),
        ("rotate a --json", (7, "not_delivered")),
        ("duplicate a b --json", (7, "not_delivered")),
        ("verify --batch --json", (6, "store_unwritable")),
    ] {
        let output = sandbox.run_with(line, &secret);
        assert_eq!((output.code, output.error()["code"].as_str()), (code.0, Some(code.1)), "{line}: {output}");
        assert!(output.stdout.is_empty() && output.stderr.contains("random"), "{line}: {output}");
    }
    assert_eq!(sandbox.run("list -q").stdout, "a\n");
    assert_eq!(sandbox.reason("", &secret), "allowed");
    assert_eq!(sandbox.run("show a --json").json()["use_count"], 1);
}
