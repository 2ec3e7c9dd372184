//! The schema and its versions.
//!
//! **The rule of compatibility.** Migrations are files that are only ever added, and run in order
//! by their number, which SQLite keeps as `user_version`. A migration may add tables, columns with
//! a default, and indexes; it never drops or renames what an older keyward reads. A keyward that
//! meets a newer store leaves it alone.

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::store::directory::FIRST_ROLES;
use crate::store::history::secret_in;

/// What marks a file as a keyward store: `kwrd` in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x6b77_7264;

/// The migrations, in order; the first makes a new store.
const MIGRATIONS: [&str; 5] = [
    include_str!("0001.sql"),
    include_str!("0002.sql"),
    include_str!("0003.sql"),
    include_str!("0004.sql"),
    include_str!("0005.sql"),
];

/// The migration after which [`tell_secrets`] must run.
const TELLS_SECRETS: usize = 3;

/// The schema that a new store starts from.
pub(super) const FIRST_VERSION: i64 = 1;
/// The schema that this program writes: how many migrations there are.
pub(super) const VERSION: i64 = 5;

/// Turns an empty database into a store with its default roles, in one transaction. Harmless if another process just
/// did.
pub(super) fn create(conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    create_tables(conn, now)?;
    use_log(conn)
}

/// The same, without the log.
pub(super) fn create_tables(conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Exclusive)?;
    let is_empty: bool = tx.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    if is_empty {
        run(&tx, 0)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        for (name, rank, manages_keys) in FIRST_ROLES {
            tx.execute(
                "INSERT INTO role (name, rank, manages_keys, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)",
                (name, rank, manages_keys, now.as_second()),
            )?;
        }
    }
    tx.commit()
}

/// Switches the write-ahead log on, which the file remembers: readers and writers do not wait for each other. If
/// another process prevents it, the store works without the log until the next one tries.
pub(super) fn use_log(conn: &Connection) -> rusqlite::Result<()> {
    let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode == "wal" || conn.is_readonly("main")? {
        return Ok(());
    }
    match conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
        Err(rusqlite::Error::SqliteFailure(failure, _)) if failure.code == rusqlite::ErrorCode::DatabaseBusy => Ok(()),
        result => result,
    }
}

/// Brings an older store up to [`VERSION`]. Harmless if another process just did.
pub(super) fn migrate(conn: &Connection) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let done: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    run(&tx, done)?;
    tx.commit()
}

fn run(tx: &Transaction<'_>, done: i64) -> rusqlite::Result<()> {
    for (before, migration) in MIGRATIONS.iter().enumerate().skip(usize::try_from(done).unwrap_or(0)) {
        tx.execute_batch(migration)?;
        if before + 1 == TELLS_SECRETS {
            tell_secrets(tx)?;
        }
    }
    tx.pragma_update(None, "user_version", VERSION)
}

/// Fills in the secret of each event, from its detail.
fn tell_secrets(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut events = tx.prepare("SELECT seq, detail FROM history ORDER BY seq")?;
    let mut tell = tx.prepare("UPDATE history SET secret_id = ?2 WHERE seq = ?1")?;
    let mut rows = events.query([])?;
    while let Some(row) = rows.next()? {
        // A value that is not text names no secret, and a check of the history finds it.
        let secret = row.get_ref(1)?.as_str().ok().and_then(secret_in);
        if let Some(secret) = secret {
            tell.execute((row.get::<_, i64>(0)?, secret))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_old_history_tells_of_secrets_is_filled_in() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(MIGRATIONS[0]).unwrap();
        conn.execute_batch(MIGRATIONS[1]).unwrap();
        let details = [r#"{"secret":"je3absa2att2"}"#, r#"{"secret":7}"#, r#"{"name":"secret"}"#, r#"{"secret":"je3"#];
        for (seq, detail) in (1_i64..).zip(details) {
            conn.execute(
                "INSERT INTO history (seq, at, action, subject_kind, subject_name, detail, hash)
                 VALUES (?1, 0, 'key.create', 'key', 'a', ?2, zeroblob(32))",
                (seq, detail),
            )
            .unwrap();
        }
        conn.pragma_update(None, "user_version", 2).unwrap();
        migrate(&conn).unwrap();
        let mut told = conn.prepare("SELECT secret_id FROM history ORDER BY seq").unwrap();
        let told = told.query_map([], |row| row.get(0)).unwrap().collect::<Result<Vec<Option<String>>, _>>().unwrap();
        assert_eq!(told, [Some("je3absa2att2".to_owned()), None, None, None]);
    }
}
