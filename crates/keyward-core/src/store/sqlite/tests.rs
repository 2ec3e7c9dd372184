//! How the file is written: what only the connection can show.

use jiff::Timestamp;

use crate::store::{Changes, Stamp, Store, StoreError};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn stamp() -> Stamp<'static> {
    Stamp { now: at(1_000), actor: None }
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(&folder.path().join("keys.db"), at(0)).unwrap();
    (folder, store)
}

fn pragma(conn: &rusqlite::Connection, name: &str) -> i64 {
    conn.pragma_query_value(None, name, |row| row.get(0)).unwrap()
}

#[test]
fn the_connection_is_set_up_for_safety() {
    let (_folder, store) = store();
    let conn = store.conn.file().unwrap().connection();
    let set = ["synchronous", "foreign_keys", "secure_delete"].map(|name| pragma(conn, name));
    assert_eq!(set, [2, 1, 1]);
    let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    assert!(conn.prepare("SELECT \"nosuch\" FROM key").is_err(), "a misspelt column is no text");
}

#[test]
fn only_what_is_written_lightly_does_not_wait_for_the_disk() {
    let (_folder, mut store) = store();
    let durability = |store: &Store| pragma(store.conn.file().unwrap().connection(), "synchronous");
    let inside =
        |changes: &Changes<'_>| Ok::<_, StoreError>(pragma(changes.conn().file().unwrap().connection(), "synchronous"));
    let (normal, full) = (1, 2);
    assert_eq!(store.write_lightly(stamp(), inside).unwrap(), normal);
    assert_eq!((store.write(stamp(), inside).unwrap(), durability(&store)), (full, full));
    let failed = store.write_lightly(stamp(), |_| Err::<(), _>(StoreError::KeyGone("one".parse().unwrap())));
    assert!(failed.is_err());
    assert_eq!(durability(&store), full);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.write_lightly::<(), StoreError>(stamp(), |_| std::panic::resume_unwind(Box::new(())))
    }));
    assert!(panicked.is_err());
    assert_eq!(durability(&store), full);
    store.write(stamp(), |changes| changes.release(&[])).unwrap();
}
