//! The schema of a store on a server, and its versions.
//!
//! Migrations are files that are only ever added. One is run by whoever owns the schema, and by no other verb. The table
//! `store` says which schema it has, and the least that a keyward has to know to read and to write it: hosts are brought
//! up to date one after the other.

use std::path::Path;

use jiff::Timestamp;

use super::{Client, CommitError, Server};
use crate::store::continuity::Known;
use crate::store::db::{Conn, Row};
use crate::store::directory::FIRST_ROLES;
use crate::store::error::StoreError;
use crate::store::moved::{self, Moved};
use crate::store::view::View;

/// The schema that this program writes.
pub(in crate::store) const VERSION: i64 = 1;
const FIRST: &str = include_str!("schema/0001.sql");

/// Makes a store in the database, in one transaction: its schema, if it is not there, its tables, and the roles that
/// every store begins with.
///
/// # Errors
/// [`StoreError::Foreign`], where something is in the schema already.
pub(in crate::store) fn found(server: &Server, now: Timestamp) -> Result<(), StoreError> {
    let client = server.connect()?;
    let made = make(&client, server, now);
    if made.is_err() {
        client.rollback();
    }
    made
}

fn make(client: &Client, server: &Server, now: Timestamp) -> Result<(), StoreError> {
    let schema = server.url().schema();
    client.begin_write()?;
    // The name is a plain identifier: the URL says so.
    client.execute(&format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\""), &[])?;
    let mut is_empty = true;
    let tables = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 LIMIT 1";
    client.query_each(tables, &[schema.into()], |_| {
        is_empty = false;
        Ok::<_, StoreError>(())
    })?;
    if !is_empty {
        return Err(StoreError::Foreign { path: server.place().to_owned(), what: "a schema with tables in it" });
    }
    for statement in statements(FIRST) {
        client.execute(statement, &[])?;
    }
    for (name, rank, manages_keys) in FIRST_ROLES {
        client.execute(
            "INSERT INTO role (name, rank, manages_keys, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)",
            &[name.into(), rank.into(), manages_keys.into(), now.into()],
        )?;
    }
    client.execute(
        "INSERT INTO history_head (one, seq, hash, store_id)
         VALUES (1, 0, decode(repeat('00', 32), 'hex'), replace(gen_random_uuid()::text, '-', ''))",
        &[],
    )?;
    client.commit().map_err(|error| match error {
        CommitError::Refused(error) | CommitError::Unheard(error) => error,
    })
}

/// The statements of a migration. None of them has a semicolon in a text.
fn statements(migration: &str) -> impl Iterator<Item = &str> {
    migration.split(';').map(str::trim).filter(|statement| !statement.is_empty())
}

/// Which store it is, and where it was moved to, where its schema is one that this program knows.
///
/// # Errors
/// [`StoreError::Missing`], where there is none; [`StoreError::Newer`].
pub(in crate::store) fn checked_identity(conn: &Conn) -> Result<(Known, Option<Moved>), StoreError> {
    let place: &Path = conn.place();
    // Both are of one moment.
    let _view = View::to_read(conn)?;
    let read = |row: &Row<'_>| Ok((row.integer(0)?, row.integer(1)?));
    match conn.optional("SELECT schema, oldest_writer FROM store", &[], read)? {
        None => Err(StoreError::Missing(place.to_owned())),
        Some((found, oldest)) if oldest > VERSION => {
            Err(StoreError::Newer { path: place.to_owned(), found, known: VERSION })
        }
        Some(_) => moved::identity(conn),
    }
}
