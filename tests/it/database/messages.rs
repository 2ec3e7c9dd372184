//! Error messages for a store in a database: they say what to do, in database terms.

use super::Database;
use crate::harness::Output;

/// Words that only fit a file.
const OF_FILES: [&str; 6] = ["the file", "fuser", "lsof", "chmod", "--store PATH", "create first-key"];

/// Checks the error as users see it.
fn assert_says(output: &Output, code: u8, words: &[&str]) {
    assert_eq!(output.code, code, "{output}");
    assert_eq!(output.stdout, "", "{output}");
    for word in words {
        assert!(output.stderr.contains(word), "{word}: {output}");
    }
    assert!(output.stderr.contains("\nhint: "), "{output}");
    for word in OF_FILES {
        assert!(!output.stderr.contains(word), "{word}: {output}");
    }
}

#[test]
#[ignore = "needs postgresql"]
fn where_there_is_no_store_it_is_said_how_to_make_one() {
    let database = Database::without_store();
    for line in
        ["list", "show x", "create x", "verify", "doctor", "history", "export", "settings list", "store migrate"]
    {
        let output = database.run_with("ann", line, "nothing");
        assert_says(&output, 6, &["there is no store at", "with the same --store: keyward store init"]);
    }
    // Grants are printed without contacting the server.
    database.must("ann", "store grants");
    database.sql("CREATE ROLE stranger LOGIN");
    let output = database.run("stranger", "store init");
    assert_says(&output, 1, &["permission denied for database keyward", "CREATE SCHEMA keyward AUTHORIZATION"]);
    // Owning the schema is enough.
    database.sql("CREATE SCHEMA keyward AUTHORIZATION stranger");
    database.must("stranger", "store init");
    let output = database.run("stranger", "store init");
    assert_says(&output, 1, &["there is already a store at", "schema=NAME"]);
    database.sql("CREATE SCHEMA other; CREATE TABLE other.t (n int)");
    let url = format!("{}?schema=other", database.shown("ann"));
    let output = database.run("ann", &format!("--store {url} store init"));
    assert_says(&output, 6, &["is a schema with tables in it", "schema=NAME"]);
}

#[test]
#[ignore = "needs postgresql"]
fn a_store_of_another_schema_is_left_alone_and_it_is_said_who_can_do_what() {
    let database = Database::new();
    let secret = database.must("ann", "create deploy").stdout;
    database.sql("UPDATE store SET schema = 2, oldest_writer = 2");
    database.must("boss", "list");
    for line in ["create x", "verify", "disable deploy", "store migrate"] {
        let output = database.run_with("ann", line, &secret);
        assert_says(
            &output,
            6,
            &["has schema 2, and this keyward knows schemas up to 1", "update keyward on this machine"],
        );
    }
    database.sql("UPDATE store SET oldest_reader = 2");
    assert_says(&database.run("boss", "list"), 6, &["update keyward on this machine"]);
    database.sql("UPDATE store SET schema = 0, oldest_reader = 0, oldest_writer = 0");
    let output = database.run("boss", "list");
    assert_says(&output, 6, &["has schema 0, and this keyward needs schema 1", "keyward store migrate"]);
    let output = database.run("boss", "store migrate");
    assert_says(&output, 1, &["the tables belong to the role ann", "sign in as the role that owns the tables"]);
    database.sql("UPDATE store SET schema = 1, oldest_reader = 1, oldest_writer = 1");
    let output = database.must("ann", "store migrate");
    assert_eq!(output.stderr, "the store has schema 1: nothing to do\n");
}

#[test]
#[ignore = "needs postgresql"]
fn what_somebody_did_to_the_tables_is_told_as_such() {
    let database = Database::new();
    database.must("ann", "create deploy");
    database.sql("UPDATE key SET prefix = ''");
    let output = database.run("boss", "show deploy");
    assert_says(&output, 6, &["is damaged", "keyward doctor", "newest backup of the database"]);
    let output = database.run("boss", "doctor --fail-if-any");
    assert_eq!(output.code, 8, "{output}");
    assert!(output.stdout.contains("the column prefix of a row holds a value"), "{output}");
    database.sql("UPDATE key SET prefix = 'kw'; DROP TABLE key_label CASCADE");
    assert_says(&database.run("boss", "list"), 6, &["hint: "]);
}

#[test]
#[ignore = "needs postgresql"]
fn who_holds_the_lock_can_be_found() {
    let database = Database::new();
    let holder = std::thread::scope(|scope| {
        let holding = scope.spawn(|| {
            database.sql(
                "SELECT pg_backend_pid(); BEGIN; SELECT seq FROM history_head FOR UPDATE; SELECT pg_sleep(12); COMMIT",
            )
        });
        while database.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(12)%'").as_str() < "2" {}
        let output = database.run("boss", "group create g");
        assert_says(&output, 6, &["is locked", "SELECT a.pid"]);
        let query = output.stderr.split_once("try again: ").unwrap().1.trim().to_owned();
        let told = database.sql(&query);
        (told, holding.join().unwrap())
    });
    let (told, holding) = holder;
    assert!(!told.is_empty() && holding.starts_with(told.split('|').next().unwrap()), "{told}: {holding}");
}

#[test]
#[ignore = "needs postgresql"]
fn what_is_only_of_a_database_is_refused_for_a_file() {
    let sandbox = crate::harness::Sandbox::new();
    let store = sandbox.store();
    for line in ["store init", "store migrate", "store grants"] {
        let output = sandbox.run(&format!("--store {} {line} --json", store.display()));
        let error = output.error();
        assert_eq!((output.code, error["code"].as_str()), (2, Some("usage")), "{line}: {output}");
        assert!(error["hint"].as_str().unwrap().contains("postgres://USER@HOST/DB"), "{error}");
    }
}
