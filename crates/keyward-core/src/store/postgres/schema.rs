//! The schema of a store on a server, and its versions.
//!
//! Migrations are files that are only ever added. Only the owner of the schema runs one, with its own command. The
//! table `store` says which schema the store has, and which one a keyward must know at least to read and to write it:
//! hosts are upgraded one after another.

mod migrate;
mod parts;
mod versions;

use jiff::Timestamp;

pub(in crate::store) use migrate::migrate;
#[cfg(test)]
pub(super) use migrate::run as migrate_by;
#[cfg(test)]
pub(super) use parts::{PARTS, found as parts_found};
pub(in crate::store) use parts::{dangling, strange_parts};
#[cfg(test)]
pub(super) use versions::Known as KnownSchemas;
use versions::{KNOWN, Known};
pub(in crate::store) use versions::{NEWEST, Versions};

use super::kind::Kind;
use super::{Client, CommitError, Server, role};
use crate::store::continuity::Known as KnownStore;
use crate::store::db::{Conn, Row};
use crate::store::directory::FIRST_ROLES;
use crate::store::error::StoreError;
use crate::store::moved::{self, Moved};
use crate::store::sqlite::Purpose;
use crate::store::view::View;

/// The migrations, in order; the first makes a new store.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("schema/0001.sql")];

/// The schemas before and after an upgrade; the same if there was nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// The schema before.
    pub from: i64,
    /// The schema now.
    pub to: i64,
}

/// Makes a store in the database, in one transaction: its schema, unless it exists, its tables, and the initial roles
/// of every store.
///
/// # Errors
/// [`StoreError::Exists`] if a store is in the schema already, [`StoreError::Foreign`] if something else is;
/// [`StoreError::Server`] for a server that cannot hold a store.
pub(in crate::store) fn found(server: &Server, now: Timestamp) -> Result<(), StoreError> {
    let client = server.connect()?;
    if let Some((detail, remedy)) = Kind::of(&client)?.unfit(server.url().hosts()) {
        return Err(StoreError::Server { path: server.place().to_owned(), detail, remedy });
    }
    let made = make(&client, server, now);
    if made.is_err() {
        client.rollback();
    }
    made
}

fn make(client: &Client, server: &Server, now: Timestamp) -> Result<(), StoreError> {
    let schema = server.url().schema();
    client.begin_write()?;
    // Of several who make a store at the same time, all but the first find one. Any number does; only this asks for it.
    client.query_each("SELECT pg_advisory_xact_lock(5241779086)", &[], |_| Ok::<_, StoreError>(()))?;
    match contents(client, schema)? {
        // If it exists, the right to make one is not needed. The name is a plain identifier: the URL was checked.
        Contents::NoSchema => client.execute(&format!("CREATE SCHEMA \"{schema}\""), &[]).map(drop)?,
        Contents::Nothing => {}
        Contents::Store => return Err(StoreError::Exists(server.place().to_owned())),
        Contents::Others => {
            return Err(StoreError::Foreign { path: server.place().to_owned(), what: "a schema with tables in it" });
        }
    }
    for migration in MIGRATIONS {
        for statement in statements(migration) {
            client.execute(&statement, &[])?;
        }
    }
    client.execute("UPDATE store SET schema = $1", &[NEWEST.into()])?;
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

/// What exists where a store is to be made.
enum Contents {
    NoSchema,
    Nothing,
    Store,
    /// Tables of another program.
    Others,
}

fn contents(client: &Client, schema: &str) -> Result<Contents, StoreError> {
    let mut found = Contents::NoSchema;
    let sql = "SELECT count(c.oid), count(*) FILTER (WHERE c.relname IN ('store', 'history_head'))
                 FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid
                WHERE n.nspname = $1 GROUP BY n.oid";
    client.query_each(sql, &[schema.into()], |row| {
        found = match (row.get::<_, i64>(0), row.get::<_, i64>(1)) {
            (0, _) => Contents::Nothing,
            (_, 2) => Contents::Store,
            _ => Contents::Others,
        };
        Ok::<_, StoreError>(())
    })?;
    Ok(found)
}

/// The statements of a migration, without its comments. None of them contains a semicolon or two hyphens in a string.
fn statements(migration: &str) -> Vec<String> {
    let lines = migration.lines().map(|line| line.split("--").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// What the store says about its schema, within the client's transaction.
pub(super) fn versions_of(client: &Client, server: &Server) -> Result<Versions, StoreError> {
    let mut found = None;
    client.query_each("SELECT schema, oldest_reader, oldest_writer FROM store", &[], |row| {
        found = Some(Versions { schema: row.get(0), oldest_reader: row.get(1), oldest_writer: row.get(2) });
        Ok::<_, StoreError>(())
    })?;
    found.ok_or_else(|| StoreError::Missing(server.place().to_owned()))
}

/// The identity of the store, if this program knows its schema and may use it for the purpose.
///
/// # Errors
/// [`StoreError::Missing`] if there is none; [`StoreError::Newer`], [`StoreError::NotMigrated`];
/// [`StoreError::Forbidden`] for a role that may not see whether there is one.
pub(in crate::store) fn checked_identity(
    conn: &Conn,
    server: &Server,
    purpose: Purpose,
) -> Result<(KnownStore, Option<Moved>), StoreError> {
    let identified = identity(conn, server, purpose);
    match identified {
        Err(StoreError::Missing(_)) => Err(role::missing_or_hidden(conn, server)?),
        identified => identified,
    }
}

fn identity(conn: &Conn, server: &Server, purpose: Purpose) -> Result<(KnownStore, Option<Moved>), StoreError> {
    // All of it shows one moment.
    let _view = View::to_read(conn)?;
    let read = |row: &Row<'_>| {
        Ok(Versions { schema: row.integer(0)?, oldest_reader: row.integer(1)?, oldest_writer: row.integer(2)? })
    };
    match conn.optional("SELECT schema, oldest_reader, oldest_writer FROM store", &[], read)? {
        None => Err(StoreError::Missing(server.place().to_owned())),
        Some(found) => {
            KNOWN.check(server.place(), found, purpose)?;
            moved::identity(conn)
        }
    }
}
