//! Upgrading a store on a server while others use it.
//!
//! It is all one transaction, which first takes `history_head` for itself. Every transaction of keyward uses that table
//! before any other one, so that the migration waits until those that have begun are over, later ones wait until it is
//! over, and no one holds a table for which the migration waits while waiting for one that the migration has.
//!
//! Requests wait as long as it does, so each of its waits is short. Each is also shorter than the time after which a
//! server looks for deadlocks (`deadlock_timeout`, 1 s) and ends one of the transactions, which might be a request: other
//! programs do not keep to this order. If a wait was too short, the attempt is rolled back and repeated a moment later.
//!
//! **The rule of compatibility.** A migration adds tables, columns with a constant default, and indexes. It does not
//! rewrite a table: a transaction that began to read before would find it empty. It does not drop or rename anything
//! that an older keyward reads or writes. A migration that must do so raises `oldest_reader` or `oldest_writer` itself,
//! and the release notes say so.

use std::thread::sleep;
use std::time::Duration;

use super::super::wait::Deadline;
use super::super::{Client, CommitError, Server, role};
use super::{KNOWN, Known, MIGRATIONS, Migrated, statements, versions_of};
use crate::store::error::StoreError;
use crate::store::sqlite::Purpose;

/// How long to keep trying.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause before the next attempt, for others.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a statement waits for others.
const WAIT: &str = "SET LOCAL lock_timeout = '200ms'";

/// Upgrades the store to the schema of this program.
///
/// # Errors
/// [`StoreError::Forbidden`] for a role that does not own the tables; [`StoreError::Newer`] for a store that this
/// program must not change; [`StoreError::Locked`] if others kept a table in use the whole time.
pub(in crate::store) fn migrate(server: &Server) -> Result<Migrated, StoreError> {
    run(server, MIGRATIONS, KNOWN)
}

/// Upgrades the store to the last of these migrations.
pub(in crate::store::postgres) fn run(
    server: &Server,
    migrations: &[&str],
    known: Known,
) -> Result<Migrated, StoreError> {
    let client = server.connect()?;
    let deadline = Deadline::after(PATIENCE);
    loop {
        let done = attempt(&client, server, migrations, known);
        if done.is_err() {
            client.rollback();
        }
        match done {
            Err(StoreError::Locked(_)) if deadline.left().is_some() => sleep(PAUSE),
            Err(StoreError::Missing(_)) => return Err(role::missing_or_hidden_to(&client, server)?),
            done => return done,
        }
    }
}

fn attempt(client: &Client, server: &Server, migrations: &[&str], known: Known) -> Result<Migrated, StoreError> {
    client.begin_write()?;
    client.execute(WAIT, &[])?;
    let done = |from, to| Ok(Migrated { from, to });
    // Even a role that may only verify learns that there is nothing to do.
    let found = versions_of(client, server)?;
    // Even a schema too old for this program's statements is upgraded.
    let may_change = |found| Known { oldest: 0, ..known }.check(server.place(), found, Purpose::Change);
    may_change(found)?;
    if found.schema >= known.newest {
        client.rollback();
        return done(found.schema, found.schema);
    }
    check_owner(client, server)?;
    client.execute("LOCK TABLE history_head IN ACCESS EXCLUSIVE MODE", &[])?;
    // Another process may just have done it; then nothing is left to do, and the number stays.
    let found = versions_of(client, server)?;
    may_change(found)?;
    let before = usize::try_from(found.schema).unwrap_or(0);
    for migration in migrations.iter().skip(before) {
        for statement in statements(migration) {
            client.execute(&statement, &[])?;
        }
    }
    let to = found.schema.max(known.newest);
    client.execute("UPDATE store SET schema = $1", &[to.into()])?;
    client.commit().map_err(|error| match error {
        CommitError::Refused(error) => error,
        CommitError::Unheard(_) => StoreError::Unheard(server.place().to_owned()),
    })?;
    done(found.schema, to)
}

/// Only the owner may alter a table. The server would also say so, but not who the owner is.
fn check_owner(client: &Client, server: &Server) -> Result<(), StoreError> {
    let mut owner = None;
    client.query_each(
        "SELECT pg_get_userbyid(relowner)::text, pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'store'::regclass",
        &[],
        |row| {
            owner = (!row.get::<_, bool>(1)).then(|| row.get::<_, String>(0));
            Ok::<_, StoreError>(())
        },
    )?;
    let Some(owner) = owner else { return Ok(()) };
    let detail = format!("the tables belong to the role {owner}");
    Err(StoreError::Forbidden { path: server.place().to_owned(), role: server.role().to_owned(), detail })
}
