//! If the server is silent or lost, every wait times out, and a connection in an unknown state is not reused.

#![allow(clippy::disallowed_methods, reason = "how long it takes is what is tested")]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::schema::with_store;
use super::server::{OWNER, Signal, signal_to};
use super::*;
use crate::store::postgres::{CommitError, Deadlines};

const SHORT: Duration = Duration::from_millis(400);

fn soon<T>(what: impl FnOnce() -> T) -> T {
    let before = Instant::now();
    let done = what();
    let took = before.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    done
}

fn in_short(client: &Client) {
    client.set_deadlines(Deadlines { statement: SHORT, rows: SHORT, commit: SHORT });
}

fn backend(client: &Client) -> i32 {
    tell(client, "SELECT pg_backend_pid()::text").parse().unwrap()
}

fn silent(error: &StoreError) -> bool {
    matches!(error, StoreError::Server { detail, .. } if detail.contains("it did not answer within"))
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for mode in ["disable", "verify-full"] {
        let url = format!("postgres://ann@127.0.0.1:{port}/keyward?connect_timeout=1&sslmode={mode}");
        let told = soon(|| detail(connect(&url, with_password())));
        assert!(told.contains("it did not answer within 1 s"), "{mode}: {told}");
    }
}

#[test]
#[ignore = "needs postgresql"]
fn a_server_that_is_stopped_is_left_and_used_again_when_it_goes_on() {
    let postgres = Postgres::start();
    let tcp = format!("postgres://ann@localhost:{}/keyward?sslmode=disable&connect_timeout=1", postgres.port);
    let socket = format!("postgres://ann@{}/keyward?connect_timeout=1", postgres.socket_host());
    postgres.signal(Signal::STOP);
    for url in [&tcp, &socket] {
        let told = soon(|| detail(connect(url, with_password())));
        assert!(told.contains("it did not answer within 1 s"), "{told}");
    }
    postgres.signal(Signal::CONT);
    for url in [&tcp, &socket] {
        connect(url, with_password()).unwrap();
    }
}

/// Only the last host is up, and the others do not exceed their timeout.
#[test]
#[ignore = "needs postgresql"]
fn a_silent_host_does_not_keep_anybody_from_the_next() {
    let postgres = Postgres::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    let url = format!("postgres://ann@{silent},{}/keyward?sslmode=disable&connect_timeout=1", postgres.socket_host());
    soon(|| connect(&url, Surroundings::default())).unwrap();
}

#[test]
#[ignore = "needs postgresql"]
fn each_wait_for_a_silent_session_ends_and_closes_the_connection() {
    let postgres = with_store();
    postgres.sql("keyward", "CREATE TABLE t (a bigint); GRANT ALL ON t TO ann");
    let stopped = |prepare: &dyn Fn(&Client)| {
        let client = over_socket(&postgres);
        let pid = backend(&client);
        in_short(&client);
        prepare(&client);
        signal_to(pid, Signal::STOP);
        (client, pid)
    };

    let (client, pid) = stopped(&|_| ());
    let error = soon(|| client.execute("SELECT 1", &[])).unwrap_err();
    assert!(silent(&error) && !client.is_open(), "{error:?}");
    // It stays closed even when the server runs again.
    signal_to(pid, Signal::CONT);
    assert!(!client.is_open() && soon(|| client.begin_read()).is_err());

    let (client, pid) = stopped(&|client| client.begin_read().unwrap());
    let error = soon(|| client.query_each("SELECT 1", &[], |_| Ok::<_, StoreError>(()))).unwrap_err();
    assert!(silent(&error) && !client.is_open(), "{error:?}");
    signal_to(pid, Signal::CONT);

    // As far as the client knows, the server is waiting for another change.
    let (client, pid) = stopped(&|client| client.begin_write().unwrap());
    let error = soon(|| client.execute("INSERT INTO public.t VALUES (1)", &[])).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)) && !client.is_open(), "{error:?}");
    soon(|| client.rollback());
    signal_to(pid, Signal::CONT);

    let (client, pid) = stopped(&|client| {
        client.begin_write().unwrap();
        client.execute("INSERT INTO public.t VALUES (2)", &[]).unwrap();
    });
    let error = soon(|| client.commit()).unwrap_err();
    assert!(matches!(&error, CommitError::Unheard(error) if silent(error)) && !client.is_open(), "{error:?}");
    signal_to(pid, Signal::CONT);
    // The change was made after all, which is why keyward must not claim otherwise.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(postgres.sql("keyward", "SELECT a FROM t"), "2");
}

#[test]
#[ignore = "needs postgresql"]
fn rows_that_stop_coming_end_the_wait() {
    let postgres = with_store();
    let client = over_socket(&postgres);
    let pid = backend(&client);
    in_short(&client);
    client.begin_read().unwrap();
    let mut rows = 0;
    let ended = soon(|| {
        client.query_each("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)", &[], |_| {
            rows += 1;
            if rows == 10 {
                signal_to(pid, Signal::STOP);
            }
            Ok::<_, StoreError>(())
        })
    });
    signal_to(pid, Signal::CONT);
    assert!(ended.is_err_and(|error| silent(&error)) && rows >= 10 && !client.is_open(), "{rows}");
}

#[test]
#[ignore = "needs postgresql"]
fn a_server_that_is_killed_is_an_error_and_a_new_client_finds_it_again() {
    let mut postgres = Postgres::start();
    let url = format!("postgres://ann@localhost:{}/keyward?sslmode=disable", postgres.port);
    let client = connect(&url, with_password()).unwrap();
    client.begin_write().unwrap();
    postgres.kill();
    let error = soon(|| client.execute("SELECT 1", &[])).unwrap_err();
    assert!(matches!(&error, StoreError::Server { detail, .. } if detail == "it closed the connection"), "{error:?}");
    assert!(!client.is_open() && client.execute("SELECT 1", &[]).is_err());
    assert!(detail(connect(&url, with_password())).contains("nobody listens there"));
    postgres.go_on();
    assert_eq!(tell(&connect(&url, with_password()).unwrap(), "SELECT 'there'"), "there");
}

#[test]
#[ignore = "needs postgresql"]
fn what_the_server_says_when_it_ends_a_session_is_told() {
    let postgres = Postgres::start();
    // During a query, and before one.
    for pause in [0, 200] {
        let client = over_socket(&postgres);
        postgres.sql(OWNER, &format!("SELECT pg_terminate_backend({})", backend(&client)));
        std::thread::sleep(Duration::from_millis(pause));
        let told = client.execute("SELECT 1", &[]).unwrap_err().to_string();
        assert!(told.contains("terminating connection due to administrator command") && !client.is_open(), "{told}");
    }

    // A connection is known to be closed before the first query.
    let client = over_socket(&postgres);
    assert!(client.is_open());
    postgres.sql(OWNER, &format!("SELECT pg_terminate_backend({})", backend(&client)));
    std::thread::sleep(Duration::from_millis(200));
    assert!(!client.is_open());

    // A change that timed out waiting for its own process was certainly not made.
    let client = over_socket(&postgres);
    client.begin_write().unwrap();
    client.execute("SET LOCAL idle_in_transaction_session_timeout = 100", &[]).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    let error = client.commit().unwrap_err();
    assert!(matches!(&error, CommitError::Refused(StoreError::Server { .. })) && !client.is_open(), "{error:?}");
}

#[test]
#[ignore = "needs postgresql"]
fn a_client_goes_to_another_thread_and_works_in_a_runtime() {
    let postgres = Postgres::start();
    let client = over_socket(&postgres);
    let told = std::thread::spawn(move || tell(&client, "SELECT 'moved'")).join().unwrap();
    assert_eq!(told, "moved");
    // A service opens its store at startup, inside its runtime, where no other runtime can be entered.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(async { tell(&over_socket(&postgres), "SELECT 'within'") }), "within");
}
