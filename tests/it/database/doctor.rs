//! What the doctor reports about a server.

use serde_json::Value;

use super::Database;

/// The findings of all checks.
fn doctor(database: &Database, user: &str) -> Vec<Value> {
    database.must(user, "doctor --json").json().as_array().unwrap().clone()
}

fn finding<'f>(findings: &'f [Value], check: &str) -> &'f Value {
    findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("{check}: {findings:?}"))
}

/// Only this is wrong.
fn assert_only(database: &Database, user: &str, check: &str, level: &str, words: &str) {
    let findings = doctor(database, user);
    let found = finding(&findings, check);
    assert_eq!(found["level"], level, "{found}");
    assert!(found["finding"].as_str().unwrap().contains(words), "{found}");
    for text in ["meaning", "remedy"] {
        assert!(!found[text].as_str().unwrap().is_empty(), "{found}");
    }
    let bad: Vec<_> = findings.iter().filter(|other| other["level"] != "ok" && other["check"] != check).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

/// A server that loses nothing in a power failure; other tests here do not need that.
fn sound() -> Database {
    let database = Database::new();
    database.server.set("fsync = on");
    database.must("ann", "settings set hash-parameters m=19456,t=2,p=1");
    database
}

#[test]
#[ignore = "needs postgresql"]
fn a_server_in_order_is_told_about_to_every_role() {
    let database = sound();
    for (user, expected) in [
        ("ann", "owns the tables, and can change the history"),
        ("postgres", "is a superuser"),
        ("boss", "the role boss has the rights to manage keys"),
        ("guard", "the role guard has the rights to verify"),
    ] {
        let findings = doctor(&database, user);
        let bad: Vec<_> = findings.iter().filter(|finding| finding["level"] != "ok").collect();
        assert!(bad.is_empty(), "{user}: {bad:?}");
        assert!(findings.iter().any(|finding| finding["finding"].as_str().unwrap().contains(expected)), "{findings:?}");
        for check in [
            "store",
            "server",
            "latency",
            "clock",
            "schema_version",
            "rights",
            "disk",
            "standbys",
            "collation",
            "sequences",
            "dead_rows",
            "integrity",
            "schema",
            "history",
        ] {
            finding(&findings, check);
        }
        for check in ["permissions", "file_system"] {
            assert!(findings.iter().all(|finding| finding["check"] != check), "{findings:?}");
        }
        let history = if user == "guard" { "not checked: this role may not read it" } else { "is intact: 2 rows" };
        assert!(finding(&findings, "history")["finding"].as_str().unwrap().contains(history), "{findings:?}");
        assert_eq!(database.run(user, "doctor --fail-if-any").code, 0);
    }
}

#[test]
#[ignore = "needs postgresql"]
fn what_is_wrong_with_a_server_is_told_with_a_remedy() {
    let database = sound();
    let (wrong, right) = ("fsync = off\nfull_page_writes = off", "fsync = on\nfull_page_writes = on");
    database.server.set(wrong);
    assert_only(&database, "boss", "disk", "problem", "fsync and full_page_writes off");
    database.server.set(right);
    for (check, level, wrong, right, words) in [
        (
            "rights",
            "problem",
            "REVOKE INSERT ON key FROM keyward_admin",
            "GRANT INSERT ON key TO keyward_admin",
            "lacks rights that keyward_admin has: INSERT on key",
        ),
        (
            "spare_rights",
            "warning",
            "GRANT UPDATE ON history TO boss",
            "REVOKE UPDATE ON history FROM boss",
            "has rights that keyward_admin has not: UPDATE on history",
        ),
        (
            "schema",
            "problem",
            "CREATE RULE r AS ON DELETE TO key DO INSTEAD NOTHING",
            "DROP RULE r ON key",
            "the rule key.r is not of keyward",
        ),
        (
            "schema_version",
            "warning",
            "UPDATE store SET schema = 9",
            "UPDATE store SET schema = 1",
            "has schema 9, and this keyward 1",
        ),
        (
            "integrity",
            "problem",
            "SET session_replication_role = replica; INSERT INTO key_scope VALUES (9, 'rest')",
            "DELETE FROM key_scope",
            "a row of key_scope refers to nothing",
        ),
    ] {
        database.sql(wrong);
        assert_only(&database, "boss", check, level, words);
        database.sql(right);
    }
    // A check that cannot run does not stop the others.
    database.sql("REVOKE SELECT ON secret FROM keyward_verify");
    assert_only(&database, "guard", "rights", "problem", "lacks rights that keyward_verify has: SELECT on secret");
    database.sql("GRANT SELECT ON secret TO keyward_verify");
    database.sql("ALTER TABLE key_label ALTER label TYPE text COLLATE \"default\"");
    let findings = doctor(&database, "boss");
    assert_eq!(finding(&findings, "collation")["level"], "problem", "{findings:?}");
    assert!(finding(&findings, "collation")["finding"].as_str().unwrap().contains("key_label.label"), "{findings:?}");
    database.sql("ALTER TABLE key_label ALTER label TYPE text COLLATE \"C\"");
    // Rows inserted with explicit ids.
    database.sql("INSERT INTO key_group (id, name, created_at, updated_at) VALUES (1, 'a', 0, 0)");
    assert_only(&database, "ann", "sequences", "problem", "another one in key_group");
    let remedy = finding(&doctor(&database, "ann"), "sequences")["remedy"].as_str().unwrap().to_owned();
    database.sql(&remedy);
    database.must("boss", "group create b");
    assert_eq!(finding(&doctor(&database, "ann"), "sequences")["level"], "ok");
    assert_eq!(database.run("boss", "doctor --fail-if-any").code, 0);
}

#[test]
#[ignore = "needs postgresql"]
fn a_history_that_somebody_changed_is_found() {
    let database = sound();
    database.must("boss", "create deploy --expires 90d");
    database.sql("UPDATE history SET action = 'key.edit' WHERE seq = 3");
    let check = database.run("boss", "history --check --json");
    assert_eq!((check.code, check.error()["code"].as_str()), (6, Some("store_corrupt")), "{check}");
    assert!(check.error()["message"].as_str().unwrap().contains("at row 3"), "{check}");
    assert_only(&database, "boss", "history", "problem", "at row 3");
}
