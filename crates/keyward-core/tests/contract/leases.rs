//! Leases on names and keys while a secret is being delivered.

use keyward_core::rules::key::Key;
use keyward_core::rules::token::Id;
use keyward_core::store::{Staging, Store, StoreError, Subject};

use crate::{Fixture, NOW, at, insert, name, secret, settings, stamp};

fn subject(named: &str) -> Subject {
    Subject::Name(name(named))
}

/// Takes a lease at `now` for a hundred seconds.
fn reserve(store: &mut Store, now: i64, subject: &Subject, secret: &Id) -> Result<(), StoreError> {
    let stamp = keyward_core::store::Stamp { now: at(now), actor: None };
    store.write_lightly(stamp, |changes| changes.reserve(&[(subject.clone(), secret)], at(now + 100)))
}

fn is_reserved<T: std::fmt::Debug>(result: Result<T, StoreError>, named: &str) {
    assert!(matches!(&result, Err(StoreError::Reserved { name, .. }) if name == named), "{result:?}");
}

pub(crate) fn of_two_who_want_a_name_the_second_is_refused<F: Fixture>() {
    let place = F::new();
    let (mut one, mut other) = (place.open(), place.open());
    reserve(&mut one, NOW, &subject("k"), &secret(1).id).unwrap();
    is_reserved(reserve(&mut other, NOW, &subject("k"), &secret(2).id), "k");
    reserve(&mut other, NOW, &subject("another"), &secret(2).id).unwrap();
    // The first may renew it as long as it likes.
    reserve(&mut one, NOW + 90, &subject("k"), &secret(1).id).unwrap();
    is_reserved(reserve(&mut other, NOW + 150, &subject("k"), &secret(2).id), "k");
    // Of several, none is taken if one cannot be.
    let both = [(subject("third"), &secret(3).id), (subject("k"), &secret(3).id)];
    is_reserved(other.write(stamp(), |changes| changes.reserve(&both, at(NOW + 100))), "k");
    reserve(&mut one, NOW, &subject("third"), &secret(4).id).unwrap();
}

pub(crate) fn a_lease_ends_by_itself_or_is_given_back<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    reserve(&mut store, NOW, &subject("k"), &secret(1).id).unwrap();
    is_reserved(reserve(&mut store, NOW + 99, &subject("k"), &secret(2).id), "k");
    reserve(&mut store, NOW + 100, &subject("k"), &secret(2).id).unwrap();
    store.write_lightly(stamp(), |changes| changes.release(&[&secret(2).id])).unwrap();
    reserve(&mut store, NOW + 100, &subject("k"), &secret(3).id).unwrap();
}

/// A lease taken before the clock went back ends far in the future: it would lock everyone out until then.
pub(crate) fn a_lease_of_a_clock_that_went_back_ends_too<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    for subject in [subject("k"), Subject::Key(secret(9).id)] {
        reserve(&mut store, NOW + 86_400, &subject, &secret(1).id).unwrap();
        let now = keyward_core::store::Stamp { now: at(NOW), actor: None };
        let is_reserved = store.write_lightly(now, |changes| changes.is_reserved(&subject)).unwrap();
        assert!(!is_reserved, "{subject:?}");
        reserve(&mut store, NOW, &subject, &secret(2).id).unwrap();
    }
    // A small difference is not a step: processes read the clock at different moments.
    reserve(&mut store, NOW + 300, &subject("l"), &secret(3).id).unwrap();
    is_reserved(reserve(&mut store, NOW, &subject("l"), &secret(4).id), "l");
}

fn prepared(store: &mut Store) -> Key {
    let key = store.write(stamp(), |changes| insert(changes, "old", 1)).unwrap();
    reserve(store, NOW, &Subject::Key(key.id.clone()), &secret(2).id).unwrap();
    reserve(store, NOW, &subject("new"), &secret(3).id).unwrap();
    key
}

pub(crate) fn a_lease_keeps_others_from_minting_and_from_nothing_else<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let key = prepared(&mut store);
    is_reserved(store.write(stamp(), |changes| insert(changes, "new", 4)), "new");
    is_reserved(store.write(stamp(), |changes| changes.update_key(&key, &name("new"), &settings())), "new");
    is_reserved(store.write(stamp(), |changes| changes.replace_secret(&key, &secret(4), at(NOW))), "old");
    is_reserved(store.write(stamp(), |changes| changes.stage_secret(&key, &secret(4), Staging::Told)), "old");
    is_reserved(store.write(stamp(), |changes| changes.promote_secret(&key, &secret(4).id)), "old");
    let mut other = settings();
    other.enabled = false;
    let key = store.write(stamp(), |changes| changes.update_key(&key, &name("renamed"), &other)).unwrap();
    store.write(stamp(), |changes| changes.delete_key(&key)).unwrap();
}

pub(crate) fn what_was_minted_ends_its_lease<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let key = prepared(&mut store);
    let key = store.write(stamp(), |changes| {
        insert(changes, "new", 3)?;
        changes.replace_secret(&key, &secret(2), at(NOW))
    });
    let key = key.unwrap();
    reserve(&mut store, NOW, &subject("new"), &secret(5).id).unwrap();
    let subject = Subject::Key(key.id.clone());
    reserve(&mut store, NOW, &subject, &secret(6).id).unwrap();
    // Staging is the middle of a rotation, and promotion its end.
    store.write(stamp(), |changes| changes.stage_secret(&key, &secret(6), Staging::Told)).unwrap();
    is_reserved(reserve(&mut store, NOW, &subject, &secret(7).id), "old");
    store.write(stamp(), |changes| changes.promote_secret(&key, &secret(6).id)).unwrap();
    reserve(&mut store, NOW, &subject, &secret(7).id).unwrap();
    // An expired lease does not block a late writer.
    let late = keyward_core::store::Stamp { now: at(NOW + 1_000), actor: None };
    store.write(late, |changes| insert(changes, "newer", 8)).unwrap();
    let key = store.view().unwrap().find("old").unwrap().unwrap();
    store.write(late, |changes| changes.replace_secret(&key, &secret(9), at(NOW + 1_000))).unwrap();
}

pub(crate) fn a_lease_leaves_no_trace_in_the_history<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    prepared(&mut store);
    assert_eq!(store.view().unwrap().head().unwrap().seq, 1);
    store.write_lightly(stamp(), |changes| changes.release(&[&secret(2).id])).unwrap();
    assert_eq!((store.view().unwrap().head().unwrap().seq, store.view().unwrap().count_events().unwrap()), (1, 1));
}

pub(crate) fn what_is_tried_out_is_taken_back_and_the_rest_stays<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    store
        .write(stamp(), |changes| {
            insert(changes, "before", 1)?;
            let key = changes.try_out(|changes| insert(changes, "tried", 2))?;
            assert_eq!(key.name.as_str(), "tried");
            let failed = changes.try_out(|changes| {
                insert(changes, "tried", 3)?;
                Err::<(), _>(StoreError::KeyGone(name("tried")))
            });
            assert!(matches!(failed, Err(StoreError::KeyGone(_))));
            changes.reserve(&[(subject("tried"), &secret(2).id)], at(NOW + 100))
        })
        .unwrap();
    assert!(
        store.view().unwrap().find("before").unwrap().is_some()
            && store.view().unwrap().find("tried").unwrap().is_none()
    );
    is_reserved(store.write(stamp(), |changes| insert(changes, "tried", 4)), "tried");
}
