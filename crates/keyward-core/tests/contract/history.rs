//! The history: a hash chain that reveals every change to its rows.

use keyward_core::store::{ChainCheck, EventFilter, Stamp, StoreError};

use crate::{Fixture, NOW, at, insert, name, stamp, use_once};

/// Every changed, removed, inserted or moved row is noticed.
pub(crate) fn the_chain_notices_tampering<F: Fixture>() {
    const COLUMNS: &str = "at, actor, action, subject_kind, subject_id, subject_name, detail, hash, secret_id";
    let insert_copy = format!("INSERT INTO history (seq, {COLUMNS}) SELECT 4, {COLUMNS} FROM history WHERE seq = 3");
    for (sql, row) in [
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
        (&insert_copy, 4),
        (
            "UPDATE history SET seq = -seq WHERE seq IN (1, 2);
             UPDATE history SET seq = CASE seq WHEN -1 THEN 2 ELSE 1 END WHERE seq < 0",
            1,
        ),
    ] {
        let place = F::new();
        let mut store = place.open();
        for (name, byte) in [("one", 1), ("two", 2), ("three", 3)] {
            store.write(stamp(), |changes| insert(changes, name, byte)).unwrap();
        }
        assert_eq!(store.view().unwrap().check_history(|_| {}).unwrap(), ChainCheck::Intact { rows: 3 });
        place.tamper(sql);
        let found = store.view().unwrap().check_history(|_| {}).unwrap();
        assert!(matches!(found, ChainCheck::Broken { seq, .. } if seq == row), "{sql}: {found:?}");
    }
}

pub(crate) fn a_check_of_the_history_is_of_one_moment<F: Fixture>() {
    let place = F::new();
    let (mut store, mut other) = (place.open(), place.open());
    for (name, byte) in [("one", 1), ("two", 2), ("three", 3)] {
        store.write(stamp(), |changes| insert(changes, name, byte)).unwrap();
    }
    let view = store.view().unwrap();
    let mut seen = 0;
    let found = view.check_history(|row| {
        seen += 1;
        // Another connection keeps writing.
        let name = format!("more-{row}");
        other.write(stamp(), |changes| insert(changes, &name, 10 + seen)).unwrap();
    });
    assert_eq!((found.unwrap(), seen), (ChainCheck::Intact { rows: 3 }, 3));
    // All answers of a view are from the same moment.
    assert_eq!((view.count_events().unwrap(), view.head().unwrap().seq), (3, 3));
    drop(view);
    assert_eq!(store.view().unwrap().check_history(|_| {}).unwrap(), ChainCheck::Intact { rows: 6 });
}

pub(crate) fn the_head_moves_with_every_change_and_with_nothing_else<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let head = || place.open().view().unwrap().head().unwrap();
    let start = head();
    assert_eq!((start.seq, start.hash), (0, [0; 32]));
    let key = store.write(stamp(), |changes| insert(changes, "k", 1)).unwrap();
    let first = head();
    assert!(first.seq == 1 && first.hash != start.hash);
    store.write(stamp(), |changes| use_once(changes, &key)).unwrap();
    store.rehearse(stamp(), |changes| changes.delete_key(&key)).unwrap();
    assert_eq!(head(), first);
    store.write(stamp(), |changes| changes.delete_key(&key)).unwrap();
    assert_eq!(head().seq, 2);
}

pub(crate) fn events_are_told_in_order_and_filtered<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let ann = name("ann");
    let (one, _) = store
        .write(stamp(), |changes| Ok::<_, StoreError>((insert(changes, "one", 1)?, insert(changes, "two", 2)?)))
        .unwrap();
    let later = Stamp { now: at(NOW + 10), actor: None };
    let one = store.write(later, |changes| changes.switch_key(&one, false)).unwrap();
    store.write(later, |changes| changes.delete_key(&one)).unwrap();
    let filter = EventFilter::default();
    for (what, filter, expected) in [
        ("all", filter.clone(), "1 2 3 4"),
        ("of a key that is gone", EventFilter { key: Some(one.id.clone()), ..filter.clone() }, "1 3 4"),
        ("since", EventFilter { since: Some(at(NOW + 1)), ..filter.clone() }, "3 4"),
        ("until", EventFilter { until: Some(at(NOW + 1)), ..filter.clone() }, "1 2"),
        ("by the owner", EventFilter { by: Some(name("owner")), ..filter.clone() }, "1 2 3 4"),
        ("by somebody", EventFilter { by: Some(ann), ..filter.clone() }, ""),
        ("an action", EventFilter { action: Some("key.disable".to_owned()), ..filter.clone() }, "3"),
        ("a verb", EventFilter { action: Some("create".to_owned()), ..filter.clone() }, "1 2"),
        ("a kind", EventFilter { action: Some("key".to_owned()), ..filter.clone() }, "1 2 3 4"),
        ("a part of a word", EventFilter { action: Some("able".to_owned()), ..filter.clone() }, ""),
        ("the newest", EventFilter { limit: Some(2), ..filter.clone() }, "3 4"),
        (
            "all at once",
            EventFilter {
                key: Some(one.id.clone()),
                since: Some(at(0)),
                by: Some(name("owner")),
                action: Some("key".to_owned()),
                limit: Some(1),
                ..filter
            },
            "4",
        ),
    ] {
        let mut seen = vec![];
        let told = store.view().unwrap().each_event(&filter, |event| {
            seen.push(event.seq.to_string());
            Ok::<_, StoreError>(())
        });
        told.unwrap();
        assert_eq!(seen.join(" "), expected, "{what}");
    }
}
