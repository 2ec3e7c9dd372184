//! What a database hides, or passes over, is neither missing nor done.

use std::path::Path;

use super::Database;
use crate::harness::{binary, finish, words};

/// The secret of a new key.
fn minted(database: &Database, name: &str) -> String {
    database.must("boss", &format!("create {name} --scope read --json")).json()["secret"].as_str().unwrap().to_owned()
}

fn verified(database: &Database, secret: &str) -> u8 {
    database.run_with("guard", "verify", secret).code
}

const CHANGES: [&str; 7] = [
    "disable a",
    "delete a --yes",
    "rotate a",
    "edit a --description other",
    "edit a --remove-scope read",
    "settings set query-credentials refuse",
    "create another",
];

#[test]
#[ignore = "needs postgresql"]
fn rows_that_a_policy_hides_are_damage() {
    let database = Database::new();
    let secret = minted(&database, "a");
    for table in ["key", "secret", "setting", "key_scope", "history", "history_head"] {
        database.sql(&format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"));
        let was = database.rows();
        // What does not look at the table may go on.
        let looks_at_it = |line: &str| match table {
            "key" | "secret" | "key_scope" => !line.starts_with("settings"),
            "setting" => ["settings", "create", "rotate"].iter().any(|verb| line.starts_with(verb)),
            _ => true,
        };
        for line in CHANGES.into_iter().filter(|line| looks_at_it(line)) {
            let output = database.run("boss", line);
            assert!(![0, 2, 70].contains(&output.code), "{table}, {line}: {output}");
        }
        for line in
            ["list", "list --json", "export", "history --check", "backup hidden.db", "store copy --to hidden.db"]
        {
            let output = database.run("boss", line);
            let is_whole = output.code == 0 && table != "key" && (line.starts_with("list") || line == "export");
            assert!(output.code != 0 || is_whole || line == "history --check", "{table}, {line}: {output}");
            assert!(!Path::new("hidden.db").exists(), "{table}, {line}");
        }
        assert_eq!(database.rows(), was, "{table}");
        // Not an answer about the credential: the store could not be used.
        let code = verified(&database, &secret);
        assert!(code == 6 || (code == 0 && table == "history"), "{table}: {code}");
        database.sql(&format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"));
    }
    assert_eq!(verified(&database, &secret), 0);
}

#[test]
#[ignore = "needs postgresql"]
fn a_change_that_the_database_passes_over_is_not_done() {
    let database = Database::new();
    let secret = minted(&database, "a");
    database.sql(
        "CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         GRANT EXECUTE ON FUNCTION public.nothing() TO PUBLIC",
    );
    for (table, event, lines) in [
        ("key", "UPDATE", &["disable a", "rotate a", "edit a --description other"][..]),
        ("key", "DELETE", &["delete a --yes"]),
        ("key", "INSERT", &["create another"]),
        ("secret", "UPDATE", &["rotate a"]),
        ("secret", "INSERT", &["create another", "rotate a"]),
        ("key_scope", "DELETE", &["edit a --remove-scope read"]),
        ("key_scope", "INSERT", &["edit a --scope write", "create another --scope read"]),
        ("setting", "INSERT", &["settings set query-credentials refuse"]),
        ("history", "INSERT", &["disable a", "delete a --yes", "create another"]),
        ("history_head", "UPDATE", &["disable a", "delete a --yes", "create another"]),
        ("role", "INSERT", &["role create r --rank 5"]),
        ("role", "DELETE", &["role delete viewer --yes"]),
        ("role", "UPDATE", &["role edit viewer --rank 5"]),
    ] {
        for kind in ["TRIGGER", "RULE"] {
            let plant = match kind {
                "TRIGGER" => {
                    format!("CREATE TRIGGER n BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION public.nothing()")
                }
                _ => format!("CREATE RULE n AS ON {event} TO {table} DO INSTEAD NOTHING"),
            };
            database.sql(&plant);
            let was = database.rows();
            for line in lines {
                let output = database.run("boss", line);
                assert!(![0, 2, 70].contains(&output.code), "{plant}, {line}: {output}");
                assert_eq!(database.rows(), was, "{plant}, {line}");
            }
            database.sql(&format!("DROP {kind} n ON {table}"));
        }
    }
    assert_eq!(verified(&database, &secret), 0);
}

#[test]
#[ignore = "needs postgresql"]
fn settings_of_a_role_that_make_the_store_unsafe_are_refused_and_others_do_nothing() {
    let database = Database::new();
    minted(&database, "a");
    database.sql("ALTER ROLE boss SET session_replication_role = replica");
    let output = database.run("boss", "delete a --yes --json");
    let error = output.error();
    assert_eq!((output.code, error["code"].as_str()), (6, Some("store_unwritable")), "{output}");
    assert!(error["hint"].as_str().unwrap().contains("RESET session_replication_role"), "{output}");
    database.sql("ALTER ROLE boss RESET session_replication_role; ALTER ROLE ann SET quote_all_identifiers = on");
    let output = database.must("ann", "doctor --json");
    let schema =
        output.json().as_array().unwrap().iter().find(|finding| finding["check"] == "schema").cloned().unwrap();
    assert_eq!(schema["level"], "ok", "{schema}");
}

#[test]
#[ignore = "needs postgresql"]
fn of_several_who_make_a_store_one_does() {
    let database = Database::without_store();
    let made = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(|| database.run("ann", "store init --json"))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(made.iter().filter(|output| output.code == 0).count(), 1, "{made:?}");
    for output in made.iter().filter(|output| output.code != 0) {
        assert_ne!(output.error()["code"], "bug", "{output}");
        assert!(output.stderr.contains("already a store"), "{output}");
    }
}

#[test]
#[ignore = "needs postgresql"]
fn a_database_that_cannot_hold_every_text_gets_no_store() {
    let database = Database::without_store();
    database.in_database(
        "postgres",
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' OWNER ann",
    );
    let store = database.shown("ann").replace("/keyward", "/latin");
    let output = finish(&mut binary(Path::new(&store), &words("store init --json")));
    assert_eq!(output.code, 6, "{output}");
    assert!(output.error()["hint"].as_str().unwrap().contains("ENCODING 'UTF8'"), "{output}");
}
