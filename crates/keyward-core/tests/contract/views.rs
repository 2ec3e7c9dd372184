//! Views: whatever others write, a view shows the state of one moment.

use keyward_core::store::{ChainCheck, Filter, Freshness, StoreError};

use crate::{Fixture, NOW, at, insert, name, stamp};

pub(crate) fn a_view_is_of_one_moment<F: Fixture>() {
    let place = F::new();
    let (store, mut other) = (place.open(), place.open());
    let view = store.view().unwrap();
    let count = || view.count_keys(&Filter::default(), at(NOW)).unwrap();
    assert_eq!(count(), 0);
    let key = other.write(stamp(), |changes| insert(changes, "one", 1)).unwrap();
    assert_eq!((count(), view.head().unwrap().seq, view.count_events().unwrap()), (0, 0, 0));
    assert!(view.find("one").unwrap().is_none() && view.key(&key.id).unwrap().is_none());
    assert_eq!(view.check_history(|_| {}).unwrap(), ChainCheck::Intact { rows: 0 });
    // A second view, opened while the first lives, shows the same.
    assert!(store.view().unwrap().find("one").unwrap().is_none());
    assert_eq!(count(), 0);
    drop(view);
    assert!(store.view().unwrap().find("one").unwrap().is_some());
}

pub(crate) fn a_view_hinders_nobody_and_waits_for_nobody<F: Fixture>() {
    let place = F::new();
    let (store, mut other) = (place.open(), place.open());
    let view = store.view().unwrap();
    assert!(view.find("one").unwrap().is_none());
    other
        .write(stamp(), |changes| {
            insert(changes, "one", 1)?;
            // An unfinished write is not visible.
            assert!(view.find("one")?.is_none());
            assert!(place.open().view()?.find("one")?.is_none());
            Ok::<_, StoreError>(())
        })
        .unwrap();
}

pub(crate) fn a_walk_through_all_keys_can_end_early<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    for (named, byte) in [("a", 1), ("b", 2), ("c", 3)] {
        store.write(stamp(), |changes| insert(changes, named, byte)).unwrap();
    }
    let mut seen = vec![];
    let view = store.view().unwrap();
    let ended = view.each_key(&Filter::default(), at(NOW), |key| {
        seen.push(key.name.to_string());
        if seen.len() == 2 { Err(StoreError::KeyGone(name("enough"))) } else { Ok(()) }
    });
    assert!(matches!(ended, Err(StoreError::KeyGone(_))));
    assert_eq!(seen, ["a", "b"]);
    // It left nothing open.
    assert!(view.find("c").unwrap().is_some());
    drop(view);
    store.write(stamp(), |changes| insert(changes, "d", 4)).unwrap();
}

pub(crate) fn another_connection_notices_a_change<F: Fixture>() {
    let place = F::new();
    let (mut store, mut other) = (place.open(), place.open());
    assert_eq!(store.refresh().unwrap(), Freshness::Same);
    other.write(stamp(), |changes| insert(changes, "one", 1)).unwrap();
    assert_eq!(store.refresh().unwrap(), Freshness::Changed);
    assert_eq!(store.refresh().unwrap(), Freshness::Same);
    store.write(stamp(), |changes| insert(changes, "two", 2)).unwrap();
    assert_eq!(store.refresh().unwrap(), Freshness::Same, "what it wrote itself");
}
