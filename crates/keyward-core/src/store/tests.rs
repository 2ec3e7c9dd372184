//! What only a look into the file can show. Commands are tested in `tests/`.

use super::*;
use crate::rules::hashing::{Cost, HashedSecret};
use crate::rules::key::Settings;
use crate::rules::names::Prefix;
use crate::rules::token::Secret;

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

/// A made-up secret.
fn secret(byte: u8) -> NewSecret {
    let plain = Secret::build(&Prefix::default(), Id::from_random([byte; 8]), &[byte; 32]);
    NewSecret { id: plain.id().clone(), hash: HashedSecret::new(&plain, [byte; 16], Cost::FLOOR).unwrap() }
}

fn insert(changes: &Changes<'_>, name: &str, byte: u8) -> Result<Key, StoreError> {
    let settings = Settings::with_prefix(Prefix::default());
    let (name, id) = (name.parse().unwrap(), Id::from_random([byte + 100; 8]));
    changes.insert_key(&NewKey { id: &id, name: &name, settings: &settings, secret: &secret(byte) })
}

#[test]
fn a_failed_change_leaves_nothing_and_a_rehearsal_neither() {
    let (_folder, mut store) = store();
    let failed: Result<(), StoreError> = store.write(stamp(), |changes| {
        insert(changes, "one", 1)?;
        Err(StoreError::KeyGone("one".parse().unwrap()))
    });
    assert!(failed.is_err());
    let rehearsed = store.rehearse(stamp(), |changes| insert(changes, "one", 1)).unwrap();
    assert_eq!(rehearsed.name.as_str(), "one");
    assert!(store.find("one").unwrap().is_none());
    assert_eq!(store.check_history(|_| {}).unwrap(), ChainCheck::Intact { rows: 0 });
    assert_eq!(store.write(stamp(), |changes| insert(changes, "one", 1)).unwrap(), rehearsed);
}

#[test]
fn a_setting_that_names_nothing_is_refused() {
    let (_folder, mut store) = store();
    for kind in ["group", "user", "role", "tenant"] {
        let result = store.write(stamp(), |changes| {
            let key = insert(changes, "one", 1)?;
            let mut settings = key.settings.clone();
            let name = Some("nosuch".parse().unwrap());
            match kind {
                "group" => settings.group = name,
                "user" => settings.owner = name,
                "role" => settings.role = name,
                _ => settings.tenant = name,
            }
            changes.update_key(&key, &key.name, &settings)
        });
        assert!(matches!(result, Err(StoreError::NoSuch { kind: found, .. }) if found == kind), "{kind}: {result:?}");
    }
}

/// Every row that is changed, removed, inserted or moved is noticed.
#[test]
fn the_chain_notices_tampering() {
    let tampering = [
        ("UPDATE history SET actor = 'someone' WHERE seq = 2", 2),
        ("UPDATE history SET at = at + 1 WHERE seq = 1", 1),
        ("UPDATE history SET subject_name = 'x' WHERE seq = 3", 3),
        ("UPDATE history SET detail = '{}' WHERE seq = 2", 2),
        ("UPDATE history SET secret_id = NULL WHERE seq = 2", 2),
        ("UPDATE history SET secret_id = '000000000000' WHERE seq = 3", 3),
        ("DELETE FROM history WHERE seq = 1", 1),
        ("DELETE FROM history WHERE seq = 2", 2),
        ("DELETE FROM history WHERE seq = 3", 3),
        ("DELETE FROM history", 1),
        ("DELETE FROM history_head", 4),
        (
            "INSERT INTO history SELECT 4, at, actor, action, subject_kind, subject_id, subject_name, detail, hash, secret_id FROM history WHERE seq = 3",
            4,
        ),
        (
            "UPDATE history SET seq = -seq WHERE seq IN (1, 2); UPDATE history SET seq = CASE seq WHEN -1 THEN 2 ELSE 1 END WHERE seq < 0",
            1,
        ),
    ];
    for (sql, row) in tampering {
        let (_folder, mut store) = store();
        for (name, byte) in [("one", 1), ("two", 2), ("three", 3)] {
            store.write(stamp(), |changes| insert(changes, name, byte)).unwrap();
        }
        assert_eq!(store.check_history(|_| {}).unwrap(), ChainCheck::Intact { rows: 3 });
        store.conn.execute_batch(sql).unwrap();
        let found = store.check_history(|_| {}).unwrap();
        assert!(matches!(found, ChainCheck::Broken { seq, .. } if seq == row), "{sql}: {found:?}");
    }
}

#[test]
fn deleting_a_key_takes_everything_that_hangs_on_it() {
    let (_folder, mut store) = store();
    let key = store.write(stamp(), |changes| insert(changes, "one", 1)).unwrap();
    store.write(stamp(), |changes| changes.record_use(&key)).unwrap();
    store.write(stamp(), |changes| changes.delete_key(&key)).unwrap();
    for table in ["key", "secret", "key_use", "key_scope"] {
        let rows: i64 = store.conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    // The use of a key that was deleted in the meantime is counted nowhere.
    store.write(stamp(), |changes| changes.record_use(&key)).unwrap();
    assert!(matches!(store.write(stamp(), |changes| changes.delete_key(&key)), Err(StoreError::KeyGone(_))));
}

#[test]
fn the_connection_is_set_up_for_safety() {
    let (_folder, store) = store();
    let pragma = |name: &str| store.conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((pragma("synchronous"), pragma("foreign_keys"), pragma("secure_delete")), (2, 1, 1));
    let mode: String = store.conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    assert!(store.conn.prepare("SELECT \"nosuch\" FROM key").is_err(), "a misspelt column is no text");
}

#[test]
fn only_what_is_written_lightly_does_not_wait_for_the_disk() {
    let (_folder, mut store) = store();
    let durability = |conn: &Connection| conn.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
    let inside = |changes: &Changes<'_>| changes.run(durability);
    let (normal, full) = (1, 2);
    assert_eq!(store.write_lightly(stamp(), inside).unwrap(), normal);
    assert_eq!((store.write(stamp(), inside).unwrap(), durability(&store.conn).unwrap()), (full, full));
    let failed = store.write_lightly(stamp(), |_| Err::<(), _>(StoreError::KeyGone("one".parse().unwrap())));
    assert!(failed.is_err());
    assert_eq!(durability(&store.conn).unwrap(), full);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.write_lightly::<(), StoreError>(stamp(), |_| std::panic::resume_unwind(Box::new(())))
    }));
    assert!(panicked.is_err());
    assert_eq!(durability(&store.conn).unwrap(), full);
    store.write(stamp(), |changes| insert(changes, "one", 1)).unwrap();
}

/// Of two rotations at once, the one that comes second takes its own secret back, which the first has given an end.
#[test]
fn a_staged_secret_goes_whatever_has_become_of_its_end() {
    let (_folder, mut store) = store();
    let key = store.write(stamp(), |changes| insert(changes, "k", 1)).unwrap();
    let staged = secret(2);
    store.write(stamp(), |changes| changes.stage_secret(&key, &staged, Staging::Told)).unwrap();
    let key = store.find("k").unwrap().unwrap();
    store.write(stamp(), |changes| changes.replace_secret(&key, &secret(3), at(1_000_000))).unwrap();
    assert!(store.presented(&staged.id).unwrap().is_some());
    let key = store.find("k").unwrap().unwrap();
    store.write(stamp(), |changes| changes.unstage_secret(&key, &staged.id, Staging::Told)).unwrap();
    assert!(store.presented(&staged.id).unwrap().is_none());
    store.write(stamp(), |changes| changes.unstage_secret(&key, &secret(3).id, Staging::Told)).unwrap();
    assert!(store.presented(&secret(3).id).unwrap().is_some(), "the current one stays");
}

#[test]
fn for_a_moment_the_store_stands_still() {
    let (_folder, store) = store();
    let mut other = Store::open(store.path()).unwrap();
    let count = || store.count_keys(&Filter::default(), at(0), 10).unwrap();
    let counted = store.at_one_moment(|| -> Result<_, StoreError> {
        let before = count();
        other.write(stamp(), |changes| insert(changes, "one", 1))?;
        Ok([before, count()])
    });
    assert_eq!((counted.unwrap(), count()), ([0, 0], 1));
}
