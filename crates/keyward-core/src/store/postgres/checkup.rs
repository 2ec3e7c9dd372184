//! What the doctor checks about the server, over a separate connection: none of it belongs to a moment of the store,
//! and a refused query ends no other one.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::kind::Kind;
use super::role::{self, RoleCheckup};
use super::schema::NEWEST;
use super::server::Peer;
use super::{Client, Server};
use crate::store::error::StoreError;

/// What was found about the store's server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerCheckup {
    /// The server that answered.
    pub peer: Peer,
    /// Whether it is a PostgreSQL older than keyward supports.
    pub is_too_old: bool,
    /// The time of the fastest answer.
    pub latency: Duration,
    /// How far the clock of the server is ahead of this host's; negative if it is behind.
    pub clock_ahead: SignedDuration,
    /// The schemas of the store and of this program.
    pub schema: SchemaCheckup,
    /// The signed-in role.
    pub role: RoleCheckup,
    /// How the server protects against loss.
    pub durability: Durability,
    /// Text columns that are not compared byte by byte, as in `key.name`.
    pub other_collations: Vec<String>,
    /// Tables whose next row would get an existing number.
    pub late_sequences: Vec<String>,
    /// What the uses of keys left in `key_use`.
    pub uses: DeadRows,
    /// Whether there is a pooler in between: the session on the server is older than the connection.
    pub is_pooled: bool,
}

/// The schema of the store, and which keyward may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaCheckup {
    /// The schema of the store.
    pub found: i64,
    /// The newest schema that this program knows.
    pub known: i64,
    /// The oldest schema that a keyward must know to read the store.
    pub oldest_reader: i64,
    /// The oldest schema that a keyward must know to write it.
    pub oldest_writer: i64,
}

/// What happens to a commit when the power fails or the server is lost. A setting is `None` if the server does not have
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Durability {
    /// Whether commits are written to the disk.
    pub fsync: Option<bool>,
    /// Whether a half-written page is repaired.
    pub full_page_writes: Option<bool>,
    /// What sessions of keyward wait for: `on` or `remote_apply`, whatever the server's own setting is.
    pub synchronous_commit: Option<String>,
    /// The standbys that a commit waits for; empty if none.
    pub synchronous_standbys: Option<String>,
    /// How many standbys are connected, as far as this role can see.
    pub standbys: u64,
}

/// Live and dead rows of a table, by the server's own estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeadRows {
    /// Live rows.
    pub live: u64,
    /// Dead rows: leftovers of former versions.
    pub dead: u64,
}

/// How many answers are timed.
const ROUNDS: usize = 5;
/// How much older than the connection a session must be, in seconds: less may be the clock.
const OLDER: f64 = 1.0;

/// Checks the server. `clock` is the clock of this host.
///
/// # Errors
/// If it cannot be connected to, or does not answer.
pub(in crate::store) fn check_up(server: &Server, clock: &dyn Fn() -> Timestamp) -> Result<ServerCheckup, StoreError> {
    let begun = clock();
    let client = server.connect()?;
    // Only about the kind of connection: whether a change is waiting does not matter here.
    client.begin_read()?;
    let age = one(
        &client,
        "SELECT extract(epoch FROM clock_timestamp() - backend_start)::float8 FROM pg_stat_activity WHERE pid = pg_backend_pid()",
        |row| row.get::<_, Option<f64>>(0),
    )?;
    let (latency, clock_ahead) = pace(&client, clock)?;
    let connected = clock().duration_since(begun).as_secs_f64();
    let kind = Kind::of(&client)?;
    let checkup = ServerCheckup {
        peer: client.peer().clone(),
        is_too_old: kind.is_too_old(),
        latency,
        clock_ahead,
        schema: schema(&client, server)?,
        role: role::check_up(&client, server)?,
        durability: durability(&client)?,
        other_collations: other_collations(&client, server)?,
        late_sequences: late_sequences(&client)?,
        uses: uses(&client)?,
        is_pooled: age.flatten().is_some_and(|age| age > connected + OLDER),
    };
    client.rollback();
    Ok(checkup)
}

/// The result of `read` for the first row.
fn one<T>(client: &Client, sql: &str, read: impl Fn(&tokio_postgres::Row) -> T) -> Result<Option<T>, StoreError> {
    let mut found = None;
    client.query_each(sql, &[], |row| {
        found.get_or_insert_with(|| read(row));
        Ok::<_, StoreError>(())
    })?;
    Ok(found)
}

/// The fastest of several answers, and how far the clocks were apart then: half of its time is the way there.
fn pace(client: &Client, clock: &dyn Fn() -> Timestamp) -> Result<(Duration, SignedDuration), StoreError> {
    let mut best: Option<(SignedDuration, SignedDuration)> = None;
    for _ in 0..ROUNDS {
        let asked = clock();
        let told =
            one(client, "SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000000) AS bigint)", |row| {
                row.get::<_, i64>(0)
            })?;
        let took = clock().duration_since(asked);
        let Some(told) = told.and_then(|microseconds| Timestamp::from_microsecond(microseconds).ok()) else { continue };
        let ahead = told.duration_since(asked) - took / 2;
        if best.is_none_or(|(least, _)| took < least) {
            best = Some((took, ahead));
        }
    }
    let (latency, ahead) = best.unwrap_or_default();
    Ok((latency.unsigned_abs(), ahead))
}

fn schema(client: &Client, server: &Server) -> Result<SchemaCheckup, StoreError> {
    let versions = super::schema::versions_of(client, server)?;
    Ok(SchemaCheckup {
        found: versions.schema,
        known: NEWEST,
        oldest_reader: versions.oldest_reader,
        oldest_writer: versions.oldest_writer,
    })
}

fn durability(client: &Client) -> Result<Durability, StoreError> {
    let settings = one(
        client,
        "SELECT current_setting('fsync', true), current_setting('full_page_writes', true),
                current_setting('synchronous_commit', true), current_setting('synchronous_standby_names', true),
                (SELECT count(*) FROM pg_stat_replication)",
        |row| {
            let switch = |column| row.get::<_, Option<&str>>(column).map(|value| value == "on");
            let text = |column| row.get::<_, Option<String>>(column);
            Durability {
                fsync: switch(0),
                full_page_writes: switch(1),
                synchronous_commit: text(2),
                synchronous_standbys: text(3),
                standbys: row.get::<_, i64>(4).try_into().unwrap_or(0),
            }
        },
    )?;
    let nothing = || Durability {
        fsync: None,
        full_page_writes: None,
        synchronous_commit: None,
        synchronous_standbys: None,
        standbys: 0,
    };
    Ok(settings.unwrap_or_else(nothing))
}

/// Names must compare byte by byte, as in filters and lists.
fn other_collations(client: &Client, server: &Server) -> Result<Vec<String>, StoreError> {
    let mut found = vec![];
    client.query_each(
        "SELECT c.relname || '.' || a.attname
           FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind = 'r'
           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           JOIN pg_collation l ON l.oid = a.attcollation
          WHERE n.nspname = $1 AND l.collname NOT IN ('C', 'POSIX') ORDER BY 1",
        &[server.url().schema().into()],
        |row| {
            found.push(row.get(0));
            Ok::<_, StoreError>(())
        },
    )?;
    Ok(found)
}

/// Tables that number their rows from a sequence; the others do it themselves. A role that may not see a sequence
/// learns nothing about it.
const NUMBERED: [&str; 3] = ["key_group", "role", "secret"];

fn late_sequences(client: &Client) -> Result<Vec<String>, StoreError> {
    let mut late = vec![];
    for table in NUMBERED {
        // A refused query would end all others.
        let may_read = format!("SELECT has_table_privilege('{table}', 'SELECT')");
        if one(client, &may_read, |row| row.get::<_, bool>(0))? != Some(true) {
            continue;
        }
        // The name comes quoted, as it stands in a statement.
        let its = format!("pg_get_serial_sequence('{table}', 'id')");
        let may_read = format!("SELECT {its} WHERE has_sequence_privilege({its}, 'SELECT')");
        let Some(sequence) = one(client, &may_read, |row| row.get::<_, String>(0))? else { continue };
        // Until it has been called, the next number is the last one itself.
        let sql = format!(
            "SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END <= (SELECT coalesce(max(id), 0) FROM {table})
               FROM {sequence}"
        );
        if one(client, &sql, |row| row.get::<_, bool>(0))? == Some(true) {
            late.push(table.to_owned());
        }
    }
    Ok(late)
}

fn uses(client: &Client) -> Result<DeadRows, StoreError> {
    let sql = "SELECT n_live_tup, n_dead_tup FROM pg_stat_user_tables WHERE relid = to_regclass('key_use')";
    let number = |row: &tokio_postgres::Row, column| row.get::<_, i64>(column).try_into().unwrap_or(0);
    let found = one(client, sql, |row| DeadRows { live: number(row, 0), dead: number(row, 1) })?;
    Ok(found.unwrap_or_default())
}
