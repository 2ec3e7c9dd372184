//! Tests with a real server, and with a fake one for what a real server never does.

mod checkup;
mod connecting;
mod deadlines;
mod migrating;
mod passwords;
mod plans;
mod schema;
#[path = "../../../../tests/server/mod.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
pub(in crate::store) mod server;
mod statements;

use std::path::Path;

use zeroize::Zeroizing;

use self::server::{Folder, PASSWORD, Server as Postgres};
use super::{Client, Server, Surroundings};
use crate::store::error::StoreError;

/// As with the password in `PGPASSWORD`.
fn with_password() -> Surroundings {
    Surroundings { password: Some(Zeroizing::new(PASSWORD.as_bytes().to_vec())), ..Surroundings::default() }
}

fn server(url: &str, around: Surroundings) -> Server {
    Server::new(url.parse().unwrap_or_else(|error| panic!("{url}: {error}")), around).unwrap()
}

/// Connects, and checks that no error contains any part of the password or the parameters.
fn connect(url: &str, around: Surroundings) -> Result<Client, StoreError> {
    let connected = server(url, around).connect();
    if let Err(error) = &connected {
        let told = format!("{error} {error:?}");
        assert!(!told.contains("geheim") && !told.contains("w\\ort") && !told.contains('?'), "{told}");
    }
    connected
}

fn over_socket(postgres: &Postgres) -> Client {
    connect(&format!("postgres://ann@{}/keyward", postgres.socket_host()), Surroundings::default()).unwrap()
}

fn detail(connected: Result<Client, StoreError>) -> String {
    match connected {
        Ok(client) => panic!("{client:?}"),
        Err(StoreError::Server { detail, remedy, .. }) => format!("{detail} ({remedy})"),
        Err(error) => panic!("{error:?}"),
    }
}

/// The first column of the only row, as text.
fn tell(client: &Client, sql: &str) -> String {
    let mut told = vec![];
    client
        .query_each(sql, &[], |row| {
            told.push(row.get::<_, String>(0));
            Ok::<_, StoreError>(())
        })
        .unwrap();
    told.concat()
}

fn encoded(path: &Path) -> String {
    path.to_str().unwrap().replace('/', "%2F")
}
