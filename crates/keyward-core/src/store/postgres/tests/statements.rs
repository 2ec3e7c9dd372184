//! Statements, transactions, and what a session sets, also behind a pooler.

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::schema::with_store;
use super::server::{OWNER, free_port, unprivileged};
use super::*;
use crate::store::db::Value;
use crate::store::postgres::{CommitError, Deadlines};

fn with_table() -> Postgres {
    let postgres = Postgres::start();
    postgres.sql(
        "keyward",
        "CREATE SCHEMA keyward AUTHORIZATION ann; CREATE TABLE keyward.t (n bigint PRIMARY KEY, t text COLLATE \"C\", b bytea); \
         ALTER TABLE keyward.t OWNER TO ann; \
         CREATE TABLE keyward.history_head (); ALTER TABLE keyward.history_head OWNER TO ann",
    );
    postgres
}

fn insert(client: &Client, number: i64) -> Result<u64, StoreError> {
    client.execute("INSERT INTO t VALUES ($1, $2, $3)", &[number.into(), "text".into(), Value::Null])
}

fn count(client: &Client) -> String {
    tell(client, "SELECT count(*)::text FROM t")
}

#[test]
#[ignore = "needs postgresql"]
fn values_arrive_as_they_were_and_nulls_take_the_type_of_their_place() {
    let postgres = with_table();
    let client = over_socket(&postgres);
    client.begin_write().unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let sql = "INSERT INTO t VALUES ($1, $2, $3)";
    let rows: [[Value<'_>; 3]; 3] = [
        [i64::MIN.into(), "ü\u{1f}'\\".into(), Value::Bytes(&bytes)],
        [i64::MAX.into(), Value::Null, Value::Null],
        [true.into(), "".into(), Value::Bytes(&[])],
    ];
    for row in &rows {
        assert_eq!(client.execute(sql, row).unwrap(), 1);
    }
    assert_eq!(
        client.execute("UPDATE t SET b = coalesce($1, b) WHERE n > $2", &[Value::Null, 0.into_value()]).unwrap(),
        2
    );
    client.commit().unwrap();
    client.begin_read().unwrap();
    let mut found = vec![];
    let sql = "SELECT n, t, b FROM t WHERE $1::text IS NULL ORDER BY n LIMIT $2";
    client
        .query_each(sql, &[Value::Null, 10.into_value()], |row| {
            found.push((row.get::<_, i64>(0), row.get::<_, Option<String>>(1), row.get::<_, Option<Vec<u8>>>(2)));
            Ok::<_, StoreError>(())
        })
        .unwrap();
    client.commit().unwrap();
    assert_eq!(
        found,
        [
            (i64::MIN, Some("ü\u{1f}'\\".to_owned()), Some(bytes)),
            (1, Some(String::new()), Some(vec![])),
            (i64::MAX, None, None),
        ]
    );
}

trait IntoValue {
    fn into_value(self) -> Value<'static>;
}

impl IntoValue for i64 {
    fn into_value(self) -> Value<'static> {
        self.into()
    }
}

#[test]
#[ignore = "needs postgresql"]
fn transactions_are_made_whole_or_not_at_all() {
    let postgres = with_table();
    let client = over_socket(&postgres);
    client.begin_write().unwrap();
    assert!(client.begin_read().is_err());
    insert(&client, 1).unwrap();
    client.rollback();
    assert_eq!(count(&client), "0");
    client.begin_write().unwrap();
    insert(&client, 1).unwrap();
    assert!(matches!(insert(&client, 1), Err(StoreError::Bug(_))));
    // The server would say COMMIT, and mean ROLLBACK.
    assert!(matches!(client.commit(), Err(CommitError::Refused(_))));
    assert_eq!(count(&client), "0");
    // A part that was tried out and rolled back leaves the rest intact.
    client.begin_write().unwrap();
    insert(&client, 1).unwrap();
    client.execute("SAVEPOINT tried_out", &[]).unwrap();
    assert!(insert(&client, 1).is_err());
    client.execute("ROLLBACK TO tried_out", &[]).unwrap();
    client.execute("RELEASE tried_out", &[]).unwrap();
    client.commit().unwrap();
    assert_eq!(count(&client), "1");
    // A read transaction sees one moment and changes nothing.
    client.begin_read().unwrap();
    assert_eq!(count(&client), "1");
    let other = over_socket(&postgres);
    insert(&other, 2).unwrap();
    assert_eq!(count(&client), "1");
    let error = insert(&client, 3).unwrap_err();
    assert!(matches!(&error, StoreError::Server { detail, .. } if detail.contains("takes no changes")), "{error:?}");
    client.rollback();
    assert_eq!(count(&client), "2");
}

#[test]
#[ignore = "needs postgresql"]
fn what_the_server_refuses_is_told_by_what_a_person_would_do() {
    let postgres = with_table();
    postgres.sql("keyward", "CREATE TABLE keyward.private (a bigint); REVOKE ALL ON keyward.private FROM ann");
    let client = over_socket(&postgres);
    let refused = client.execute("SELECT * FROM private", &[]).unwrap_err();
    let told = refused.to_string();
    assert!(
        matches!(refused, StoreError::Forbidden { .. }) && told.contains("ann") && told.contains("private"),
        "{told}"
    );
    assert!(matches!(client.execute("SELECT * FROM away", &[]), Err(StoreError::Missing(_))));
    insert(&client, 1).unwrap();
    let other = over_socket(&postgres);
    other.begin_write().unwrap();
    other.execute("SELECT n FROM t FOR UPDATE", &[]).unwrap();
    client.begin_write().unwrap();
    for limit in ["lock_timeout", "statement_timeout"] {
        client.execute("SAVEPOINT s", &[]).unwrap();
        client.execute(&format!("SET LOCAL {limit} = 100"), &[]).unwrap();
        assert!(matches!(client.execute("SELECT n FROM t FOR UPDATE", &[]), Err(StoreError::Locked(_))), "{limit}");
        client.execute("ROLLBACK TO s", &[]).unwrap();
    }
    assert!(client.is_open() && !client.was_conflict());
    client.rollback();
    other.rollback();
    // A deadlock: one of the two must try again.
    insert(&client, 2).unwrap();
    postgres.set("deadlock_timeout = 100");
    let sql = "SELECT n FROM t WHERE n = $1 FOR UPDATE";
    for (client, number) in [(&client, 1_i64), (&other, 2)] {
        client.begin_write().unwrap();
        client.execute(sql, &[number.into()]).unwrap();
    }
    let met = move |client: &Client, number: i64| {
        let is_met = client.execute(sql, &[number.into()]).is_err_and(|error| matches!(error, StoreError::Locked(_)));
        client.rollback();
        is_met && client.was_conflict()
    };
    let waiting = std::thread::spawn(move || met(&other, 1));
    assert!(met(&client, 2) != waiting.join().unwrap());
}

#[test]
#[ignore = "needs postgresql"]
fn a_session_begins_with_its_settings_and_so_does_each_transaction() {
    let postgres = with_table();
    let setting = |client: &Client, name: &str| tell(client, &format!("SELECT current_setting('{name}')"));
    let settings = |client: &Client| {
        ["search_path", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
            .map(|name| setting(client, name))
    };
    postgres.sql(
        OWNER,
        "ALTER ROLE ann SET synchronous_commit = off; ALTER ROLE ann SET default_transaction_isolation = serializable",
    );
    let client = over_socket(&postgres);
    let usual = ["keyward, pg_temp", "10s", "10s", "5s"];
    assert_eq!(settings(&client), usual);
    assert_eq!(setting(&client, "synchronous_commit"), "on");
    assert_eq!(setting(&client, "transaction_isolation"), "read committed");
    assert_eq!(setting(&client, "client_encoding") + &setting(&client, "DateStyle"), "UTF8ISO, YMD");
    // As if a pooler had given it another client's session.
    client.execute("RESET ALL", &[]).unwrap();
    assert_eq!(setting(&client, "synchronous_commit"), "off");
    client.begin_write().unwrap();
    assert_eq!(settings(&client), usual);
    assert_eq!(setting(&client, "synchronous_commit"), "on");
    assert_eq!(setting(&client, "transaction_isolation"), "read committed");
    // The next user of the session finds it unchanged.
    client.commit().unwrap();
    assert_eq!(setting(&client, "synchronous_commit"), "off");
    client.begin_read().unwrap();
    assert_eq!(settings(&client), ["keyward, pg_temp", "0", "0", "0"]);
    assert_eq!(
        setting(&client, "transaction_isolation") + &setting(&client, "transaction_read_only"),
        "repeatable readon"
    );
    client.rollback();
    postgres.sql(OWNER, "ALTER ROLE ann SET synchronous_commit = remote_apply");
    let client = over_socket(&postgres);
    assert_eq!(setting(&client, "synchronous_commit"), "remote_apply");
    client.begin_write().unwrap();
    assert_eq!(setting(&client, "synchronous_commit"), "remote_apply");
}

/// A migration locks one table after another. A transaction that waits for it must not block it: all wait at the same
/// table, before they lock another.
#[test]
#[ignore = "needs postgresql"]
fn every_transaction_takes_the_head_of_the_history_first() {
    let postgres = with_store();
    let client = over_socket(&postgres);
    let held = || {
        let sql = "SELECT coalesce(string_agg(relation::regclass::text || ' ' || mode, ', ' ORDER BY relation::regclass::text), '')
                     FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation >= 16384";
        tell(&client, sql)
    };
    client.begin_read().unwrap();
    assert_eq!(held(), "history_head AccessShareLock");
    client.rollback();
    client.begin_copy(true).unwrap();
    assert_eq!(held(), "history_head AccessShareLock");
    client.rollback();
    client.begin_count().unwrap();
    assert_eq!(held(), "history_head AccessShareLock, key_use RowExclusiveLock");
    client.rollback();
    client.begin_change().unwrap();
    assert_eq!(held(), "history_head RowShareLock, history_head_pkey RowShareLock");
    client.rollback();
    // And waits there while a migration holds the lock.
    let migration = over_socket(&postgres);
    migration.begin_write().unwrap();
    migration.execute("LOCK TABLE history_head IN ACCESS EXCLUSIVE MODE", &[]).unwrap();
    for begin in [Client::begin_read, Client::begin_count, Client::begin_change] {
        client.set_deadlines(Deadlines { statement: Duration::from_millis(100), ..Deadlines::default() });
        assert!(begin(&client).is_err());
        assert_eq!(postgres.sql(OWNER, "SELECT 1"), "1");
    }
}

#[test]
#[ignore = "needs postgresql"]
fn rows_come_one_by_one_and_the_rest_can_be_left() {
    let postgres = with_table();
    let client = over_socket(&postgres);
    client.begin_read().unwrap();
    let sql = "SELECT n, repeat('x', 100) FROM generate_series(1::bigint, $1) n";
    let mut sum = 0;
    let state =
        format!("SELECT state FROM pg_stat_activity WHERE pid = {}", tell(&client, "SELECT pg_backend_pid()::text"));
    client
        .query_each(&sql.replace("100", "1000"), &[200_000.into_value()], |row| {
            let number: i64 = row.get(0);
            sum += number;
            // The server still has 10 of 200 MB to send: nothing was read ahead of this row.
            if number == 190_000 {
                assert_eq!(postgres.sql(OWNER, &state), "active");
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    assert_eq!(sum, 200_000 * 200_001 / 2);
    // A nested statement would wait for its own rows to end.
    let nested = client.query_each(sql, &[3.into_value()], |_| client.execute("SELECT 1", &[]).map(drop));
    assert!(matches!(nested, Err(StoreError::Bug(_))), "{nested:?}");
    assert!(client.is_open());
    let left = client.query_each(sql, &[1000.into_value()], |_| Err::<(), _>(StoreError::Nowhere));
    assert!(matches!(left, Err(StoreError::Nowhere)));
    assert_eq!(count(&client), "0");
    // If the rest takes too long, the connection is closed.
    let slow = "SELECT n, pg_sleep(0.001)::text FROM generate_series(1, 1000000) n";
    let left = client.query_each(slow, &[], |_| Err::<(), _>(StoreError::Nowhere));
    assert!(matches!(left, Err(StoreError::Nowhere)) && !client.is_open());
    // An error in the middle of the rows affects only the statement.
    let client = over_socket(&postgres);
    let mut rows = 0;
    let broken = client.query_each("SELECT 1 / (3000 - n) FROM generate_series(1, 5000) n", &[], |_| {
        rows += 1;
        Ok::<_, StoreError>(())
    });
    assert!(broken.is_err() && rows > 0 && client.is_open());
    assert_eq!(count(&client), "0");
}

pub(super) struct Pooler(Child);

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two server connections are shared: each transaction gets a free one.
pub(super) fn pooler(postgres: &Postgres) -> (Pooler, u16) {
    let port = free_port();
    let folder = postgres.folder.path().display();
    let users = postgres.folder.file("users", &format!("\"ann\" \"{PASSWORD}\"\n"), 0o644);
    let rules = format!(
        "[databases]\nkeyward = host={folder} port={} dbname=keyward\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
         default_pool_size = 2\nunix_socket_dir =\n",
        postgres.port,
        users.display()
    );
    let rules = postgres.folder.file("pgbouncer.ini", &rules, 0o644);
    let mut pgbouncer = unprivileged("/usr/sbin/pgbouncer");
    pgbouncer.arg("-q").arg(rules).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let pooler = Pooler(pgbouncer.spawn().unwrap());
    sleep(Duration::from_millis(500));
    (pooler, port)
}

#[test]
#[ignore = "needs postgresql and pgbouncer"]
fn behind_a_pooler_that_gives_each_transaction_another_session() {
    let postgres = with_table();
    let (_pooler, port) = pooler(&postgres);
    let url = format!("postgres://ann@localhost:{port}/keyward?sslmode=disable");
    let clients: Vec<_> = (0..8).map(|_| connect(&url, with_password()).unwrap()).collect();
    let mut kept = 0;
    for number in 0..160 {
        let client = &clients[number % clients.len()];
        client.begin_write().unwrap();
        insert(client, number.try_into().unwrap()).unwrap();
        if number % 4 == 3 {
            client.rollback();
        } else {
            client.commit().unwrap();
            kept += 1;
        }
        client.begin_read().unwrap();
        assert_eq!(count(client), kept.to_string());
        client.commit().unwrap();
    }
    assert_eq!(postgres.sql(OWNER, "SELECT count(*) <= 2 FROM pg_stat_activity WHERE usename = 'ann'"), "t");
    // Without a transaction too.
    assert_eq!(count(&clients[0]), "120");
}
