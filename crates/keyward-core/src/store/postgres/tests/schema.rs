//! The schema on a real server: its parts, unexpected changes to it, and the rights of each role.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::server::{OWNER, run};
use super::*;
use crate::store::postgres::{rights, schema};
use crate::store::{Freshness, ServerUrl, Stamp, Store, StoreSettings, grants};

/// A server with a store owned by `ann`.
pub(super) fn with_store() -> Postgres {
    let postgres = Postgres::start();
    Store::found(url(&postgres, "ann"), Surroundings::default(), Timestamp::UNIX_EPOCH).unwrap();
    postgres
}

pub(super) fn url(postgres: &Postgres, user: &str) -> ServerUrl {
    format!("postgres://{user}@{}/keyward", postgres.socket_host()).parse().unwrap()
}

fn store(postgres: &Postgres, user: &str) -> Store {
    Store::connect(url(postgres, user), Surroundings::default()).unwrap()
}

/// `UPDATE_EXPECT=1` writes what the server reports into the file.
#[test]
#[ignore = "needs postgresql"]
#[expect(clippy::disallowed_methods, reason = "as the tests of the command line do")]
fn the_parts_of_a_new_store_are_those_that_are_written_down() {
    let postgres = with_store();
    let client = over_socket(&postgres);
    let parts = schema::parts_found(&client, "keyward").unwrap();
    let lines: Vec<_> = parts.iter().map(|(part, definition)| format!("{part}\t{definition}\n")).collect();
    let text = lines.concat();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/postgres/schema/parts.txt");
        std::fs::write(file, &text).unwrap();
        return;
    }
    assert!(
        text == schema::PARTS,
        "schema/parts.txt is not that of the migrations; UPDATE_EXPECT=1 writes it:\n{text}"
    );
    // They are the same in a schema with another name.
    postgres.sql("keyward", "ALTER SCHEMA keyward RENAME TO \"select\"");
    let client = connect(&format!("{}?schema=select", url_text(&postgres, "ann")), Surroundings::default()).unwrap();
    assert!(schema::parts_found(&client, "select").unwrap() == parts);
}

#[test]
#[ignore = "needs postgresql"]
fn what_is_strange_about_a_schema_is_found() {
    let postgres = with_store();
    assert_eq!(store(&postgres, "ann").view().unwrap().strange_parts().unwrap(), [""; 0]);
    for (statement, back, expected) in [
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "DROP FUNCTION f",
            "the function f is not of keyward",
        ),
        ("CREATE TABLE t (n int)", "DROP TABLE t", "the table t is not of keyward"),
        ("CREATE VIEW v AS SELECT 1", "DROP VIEW v", "the view v is not of keyward"),
        (
            "CREATE RULE r AS ON DELETE TO key DO INSTEAD NOTHING",
            "DROP RULE r ON key",
            "the rule key.r is not of keyward",
        ),
        ("CREATE POLICY p ON secret USING (false)", "DROP POLICY p ON secret", "the policy secret.p is not of keyward"),
        (
            "ALTER TABLE key ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE key DISABLE ROW LEVEL SECURITY",
            "the row-level security of key is not of keyward",
        ),
        (
            "ALTER TABLE secret DISABLE TRIGGER ALL",
            "ALTER TABLE secret ENABLE TRIGGER ALL",
            "the switch that turns the references of secret off is not of keyward",
        ),
        ("DROP INDEX key_by_owner", "CREATE INDEX key_by_owner ON key (owner)", "the index key_by_owner is missing"),
        (
            "DROP INDEX key_by_owner; CREATE INDEX key_by_owner ON key (role)",
            "DROP INDEX key_by_owner; CREATE INDEX key_by_owner ON key (owner)",
            "the index key_by_owner was changed",
        ),
        ("ALTER TABLE key ADD more int", "ALTER TABLE key DROP more", "the column key.more is not of keyward"),
        (
            "ALTER TABLE key ALTER enabled DROP NOT NULL",
            "ALTER TABLE key ALTER enabled SET NOT NULL",
            "the column key.enabled was changed",
        ),
        (
            "ALTER TABLE key ALTER enabled SET DEFAULT 1",
            "ALTER TABLE key ALTER enabled DROP DEFAULT",
            "the column key.enabled was changed",
        ),
        (
            "ALTER TABLE key DROP CONSTRAINT key_enabled_check; ALTER TABLE key ADD CHECK (enabled IN (0, 1, 2))",
            "ALTER TABLE key DROP CONSTRAINT key_enabled_check; ALTER TABLE key ADD CHECK (enabled IN (0, 1))",
            "the constraint key.key_enabled_check was changed",
        ),
        ("ALTER TABLE usage SET UNLOGGED", "ALTER TABLE usage SET LOGGED", "the table usage was changed"),
        (
            "CREATE TABLE public.more () INHERITS (history)",
            "DROP TABLE public.more",
            "the table public.more with further rows of history is not of keyward",
        ),
        ("CREATE TYPE y AS ENUM ('a')", "DROP TYPE y", "the type y is not of keyward"),
    ] {
        let run = |sql: &str| postgres.sql("keyward", &format!("SET search_path = keyward; {sql}"));
        run(statement);
        let strange = store(&postgres, "ann").view().unwrap().strange_parts().unwrap();
        assert!(strange.iter().any(|part| part == expected) && strange.len() == 1, "{statement}: {strange:?}");
        run(back);
    }
    assert_eq!(store(&postgres, "ann").view().unwrap().strange_parts().unwrap(), [""; 0]);
}

#[test]
#[ignore = "needs postgresql"]
fn a_row_that_refers_to_nothing_is_found_in_every_table() {
    let postgres = with_store();
    let run = |sql: &str| {
        postgres.sql("keyward", &format!("SET search_path = keyward; SET session_replication_role = replica; {sql}"))
    };
    run("INSERT INTO key (id, public_id, name, read_only, require_secure, enabled, prefix, created_at, updated_at)
         VALUES (7, 'a', 'a', 0, 0, 1, 'kw', 0, 0); INSERT INTO \"user\" (id, name, enabled, created_at, updated_at)
         VALUES (7, 'a', 1, 0, 0)");
    assert_eq!(store(&postgres, "ann").view().unwrap().damage().unwrap(), None);
    for (bad, back, table) in [
        ("UPDATE key SET owner = 99", "UPDATE key SET owner = NULL", "key"),
        ("UPDATE \"user\" SET role = 99", "UPDATE \"user\" SET role = NULL", "user"),
        ("INSERT INTO key_scope VALUES (99, 'rest')", "DELETE FROM key_scope", "key_scope"),
        ("INSERT INTO usage VALUES (99, 0, 0, 0, 0)", "DELETE FROM usage", "usage"),
    ] {
        run(bad);
        let damage = store(&postgres, "ann").view().unwrap().damage().unwrap();
        assert_eq!(damage, Some(format!("a row of {table} refers to nothing")));
        run(back);
    }
    assert_eq!(store(&postgres, "ann").view().unwrap().damage().unwrap(), None);
}

/// Creates a member of one of the two roles, and signs in as it.
fn member(postgres: &Postgres, name: &str, of: &str) -> Client {
    postgres.sql("keyward", &format!("CREATE ROLE {name} LOGIN; GRANT {of} TO {name}"));
    connect(&url_text(postgres, name), Surroundings::default()).unwrap()
}

fn url_text(postgres: &Postgres, user: &str) -> String {
    format!("postgres://{user}@{}/keyward", postgres.socket_host())
}

/// Runs the output of `keyward store grants` with psql, as users do.
fn grant(postgres: &Postgres, user: &str) {
    let file = postgres.folder.file("grants.sql", &grants(&url(postgres, "ann")), 0o644);
    let mut psql = server::unprivileged(server::program("psql"));
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", "keyward", "-f"]).arg(file);
    psql.arg("-h").arg(postgres.folder.path()).args(["-p", &postgres.port.to_string()]);
    run(&mut psql);
}

#[test]
#[ignore = "needs postgresql"]
fn the_roles_have_exactly_the_rights_that_are_written_down() {
    let postgres = with_store();
    grant(&postgres, OWNER);
    // Again, as a role that cannot create roles, and after one of the two was given too many rights.
    postgres.sql(
        "keyward",
        "GRANT ALL ON ALL TABLES IN SCHEMA keyward TO keyward_verify; GRANT ALL ON SCHEMA keyward TO keyward_verify;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA keyward TO keyward_verify",
    );
    grant(&postgres, "ann");
    let privileges = rights::PRIVILEGES.map(|privilege| format!("('{privilege}')")).join(", ");
    for role in rights::ServerRole::ALL {
        let held = postgres.sql(
            "keyward",
            &format!(
                "SELECT name || ' on ' || relname FROM pg_class, (VALUES {privileges}) AS privilege (name)
                  WHERE relnamespace = 'keyward'::regnamespace AND relkind = 'r'
                    AND has_table_privilege('{}', pg_class.oid, name)",
                role.name()
            ),
        );
        let held: BTreeSet<_> = held.lines().map(str::to_owned).collect();
        let written =
            rights::of(role).flat_map(|(table, may)| may.iter().map(move |right| format!("{right} on {table}")));
        assert_eq!(held, written.collect(), "{role:?}");
        let may = |what: &str| postgres.sql("keyward", &format!("SELECT {what}")).replace('\n', "");
        let name = role.name();
        assert_eq!(may(&format!("has_schema_privilege('{name}', 'keyward', 'USAGE')")), "t");
        assert_eq!(may(&format!("has_schema_privilege('{name}', 'keyward', 'CREATE')")), "f");
        assert_eq!(may(&format!("has_sequence_privilege('{name}', 'keyward.secret_id_seq', 'USAGE')")), "f");
        // They get no rights on tables created later.
        postgres.sql("keyward", "SET ROLE ann; CREATE TABLE keyward.later (n int)");
        assert_eq!(may(&format!("has_table_privilege('{name}', 'keyward.later', 'SELECT')")), "f");
        postgres.sql("keyward", "DROP TABLE keyward.later");
        assert_eq!(may(&format!("rolcanlogin FROM pg_roles WHERE rolname = '{name}'")), "f");
    }
}

#[test]
#[ignore = "needs postgresql"]
fn nobody_but_the_owner_rewrites_the_history_and_who_verifies_locks_nothing() {
    let postgres = with_store();
    grant(&postgres, OWNER);
    let refused = |client: &Client, statement: &str| {
        client.begin_write().unwrap();
        let done = client.execute(statement, &[]);
        client.rollback();
        match done {
            Err(StoreError::Forbidden { role, detail, .. }) => format!("{role}: {detail}"),
            other => panic!("{statement}: {other:?}"),
        }
    };
    let admin = member(&postgres, "boss", "keyward_admin");
    for statement in [
        "UPDATE history SET action = 'x'",
        "DELETE FROM history",
        "TRUNCATE history",
        "SELECT 1 FROM history FOR UPDATE",
        "INSERT INTO history SELECT * FROM history ON CONFLICT (seq) DO UPDATE SET action = 'x'",
    ] {
        assert_eq!(refused(&admin, statement), "boss: permission denied for table history", "{statement}");
    }
    assert_eq!(refused(&admin, "DELETE FROM history_head"), "boss: permission denied for table history_head");
    assert_eq!(refused(&admin, "CREATE TABLE t ()"), "boss: permission denied for schema keyward");
    let guard = member(&postgres, "guard", "keyward_verify");
    for table in ["history_head", "store", "key", "secret"] {
        for lock in ["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"] {
            let statement = format!("SELECT 1 FROM {table} FOR {lock}");
            assert_eq!(refused(&guard, &statement), format!("guard: permission denied for table {table}"));
        }
        // A reader may take only the weakest lock, which does not block row changes.
        assert!(refused(&guard, &format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE")).contains("permission denied"));
    }
    for table in ["history", "reservation", "announced_secret"] {
        let told = refused(&guard, &format!("SELECT count(*) FROM {table}"));
        assert_eq!(told, format!("guard: permission denied for table {table}"));
    }
    // A role without rights gets an error about its rights, not a missing store.
    postgres.sql("keyward", "CREATE ROLE nobody_here LOGIN");
    match Store::connect(url(&postgres, "nobody_here"), Surroundings::default()) {
        Err(StoreError::Forbidden { role, detail, .. }) => {
            assert_eq!((role.as_str(), detail.as_str()), ("nobody_here", "permission denied for schema keyward"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "needs postgresql"]
fn who_may_not_read_the_history_sees_whether_it_goes_on() {
    let postgres = with_store();
    grant(&postgres, OWNER);
    postgres.sql("keyward", "CREATE ROLE guard LOGIN; GRANT keyward_verify TO guard");
    let mut guard = store(&postgres, "guard");
    let mut owner = store(&postgres, "ann");
    let mut change = |number: usize| {
        let settings = StoreSettings { prefix: format!("p{number}").parse().unwrap(), ..StoreSettings::default() };
        let stamp = Stamp { now: Timestamp::UNIX_EPOCH, actor: None };
        owner.write(stamp, |changes| changes.save_settings(&settings)).unwrap();
    };
    for number in 1..=3 {
        change(number);
        assert_eq!(guard.refresh().unwrap(), Freshness::Changed);
        assert_eq!(guard.refresh().unwrap(), Freshness::Same);
    }
    // A server that lost the last change, and one that has a different change instead.
    for lost in ["SET seq = 2, hash = (SELECT hash FROM keyward.history WHERE seq = 2)", "SET hash = sha256(hash)"] {
        let kept = postgres.sql("keyward", "SELECT seq, encode(hash, 'hex') FROM keyward.history_head");
        postgres.sql("keyward", &format!("UPDATE keyward.history_head {lost}"));
        assert!(matches!(guard.refresh(), Err(StoreError::Rewound(_))), "{lost}");
        let (seq, hash) = kept.split_once('|').unwrap();
        postgres
            .sql("keyward", &format!("UPDATE keyward.history_head SET seq = {seq}, hash = decode('{hash}', 'hex')"));
        guard = store(&postgres, "guard");
    }
    assert!(!postgres.log().contains("permission denied"), "{}", postgres.log());
}
