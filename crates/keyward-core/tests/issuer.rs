//! The issuer: a key exists if and only if its secret was delivered, and of two at once the second is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use jiff::{SignedDuration, Timestamp};
use keyward_core::issuer::{self, IssueError, LEASE, LONGEST_LEASE, Lease, Parcel, SEED_BYTES, Seed, StagedSecret};
use keyward_core::rules::hashing::Cost;
use keyward_core::rules::key::{Key, SecretState};
use keyward_core::rules::names::Name;
use keyward_core::rules::setting::Settings;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::{NewSecret, Staging, Stamp, Store, StoreError, StoreSettings, Subject};

fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

fn at(seconds: i64) -> Stamp<'static> {
    Stamp { now: now() + SignedDuration::from_secs(seconds), actor: None }
}

fn name() -> Name {
    "deploy".parse().unwrap()
}

fn seed(number: u8) -> Seed {
    Seed::new([number; SEED_BYTES])
}

/// A store that hashes at the lowest allowed cost.
fn store(folder: &tempfile::TempDir) -> Store {
    let mut store = Store::create(&folder.path().join("keys.db"), now()).unwrap();
    let mut settings = StoreSettings::default();
    settings.hash_cost = Cost::FLOOR;
    store.write(at(0), |changes| changes.save_settings(&settings)).unwrap();
    store
}

fn create(store: &mut Store, number: u8) -> (Key, String) {
    let settings = Settings::with_prefix("kw".parse().unwrap());
    let mut plain = String::new();
    let keep = |_: &Key, secret: &Secret| {
        plain.push_str(secret.expose());
        Ok::<_, &str>(())
    };
    let key = issuer::create(store, at(0), &name(), &settings, &seed(number), keep).unwrap();
    (key, plain)
}

fn state_of(store: &Store, key: &Key, secret: &str) -> Option<SecretState> {
    let id = Secret::parse(secret).unwrap().id().clone();
    let key = store.view().unwrap().key(&key.id).unwrap()?;
    key.secrets.iter().find(|known| known.id == id).map(|known| known.state(now()))
}

#[test]
fn a_key_exists_if_and_only_if_its_secret_was_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    let settings = Settings::with_prefix("kw".parse().unwrap());
    let refused = issuer::create(&mut store, at(0), &name(), &settings, &seed(1), |_, _| Err("nobody took it"));
    assert!(matches!(refused, Err(IssueError::NotDelivered("nobody took it"))), "{refused:?}");
    assert!(store.view().unwrap().named(&name()).unwrap().is_none());
    // The name is free at once.
    let (key, secret) = create(&mut store, 2);
    assert_eq!(state_of(&store, &key, &secret), Some(SecretState::Current));
}

#[test]
fn a_rotation_that_is_not_delivered_leaves_the_old_secret_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    let (key, old) = create(&mut store, 1);
    let grace = "0s".parse().unwrap();
    let mut seen = None;
    let refused = issuer::rotate(&mut store, at(0), &key, grace, &seed(2), |_, secret| {
        seen = Some(secret.expose().to_owned());
        Err(())
    });
    assert!(matches!(refused, Err(IssueError::NotDelivered(()))));
    assert_eq!(state_of(&store, &key, &old), Some(SecretState::Current));
    assert_eq!(state_of(&store, &key, &seen.unwrap()), None);
    let mut new = String::new();
    let rotated = issuer::rotate(&mut store, at(0), &key, grace, &seed(3), |_, secret| {
        new.push_str(secret.expose());
        Ok::<_, ()>(())
    });
    let key = rotated.unwrap();
    assert_eq!(state_of(&store, &key, &old), Some(SecretState::Retired));
    assert_eq!(state_of(&store, &key, &new), Some(SecretState::Current));
}

#[test]
fn while_a_secret_is_on_its_way_nobody_else_mints_for_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    let settings = Settings::with_prefix("kw".parse().unwrap());
    let path = store.path().to_owned();
    let made = issuer::create(&mut store, at(0), &name(), &settings, &seed(1), |_, _| {
        let mut other = Store::open(&path).unwrap();
        let refused = issuer::create(&mut other, at(0), &name(), &settings, &seed(2), |_, _| -> Result<(), ()> {
            panic!("its secret must not go out")
        });
        assert!(matches!(refused, Err(IssueError::Store(StoreError::Reserved { .. }))), "{refused:?}");
        Ok::<_, ()>(())
    });
    assert!(made.is_ok());
}

fn parcel(number: u8) -> Parcel {
    Parcel { subject: Subject::Name(name()), secret: seed(number).secret_id(), is_announced: false }
}

fn take(store: &mut Store, stamp: Stamp<'_>, number: u8) -> Result<Lease, StoreError> {
    Lease::take(store, stamp, vec![parcel(number)], &[], |_| Ok::<_, StoreError>(())).map(|((), lease)| lease)
}

#[test]
fn a_lease_ends_by_itself_and_lasts_as_long_as_it_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    let lease = take(&mut store, at(0), 1).unwrap();
    let (length, longest) = (LEASE.as_secs(), LONGEST_LEASE.as_secs());
    assert!(matches!(take(&mut store, at(length - 1), 2), Err(StoreError::Reserved { .. })));
    assert!(lease.renew(&mut store, at(length - 1).now).unwrap());
    assert!(matches!(take(&mut store, at(length + 1), 2), Err(StoreError::Reserved { .. })));
    assert!(!lease.renew(&mut store, at(longest + 1).now).unwrap(), "it was renewed for long enough");
    // It has ended by then, and another takes its place; the first does not come back.
    let other = take(&mut store, at(longest + 1), 2).unwrap();
    lease.renew(&mut store, at(longest).now).unwrap();
    assert!(matches!(take(&mut store, at(longest + 2), 3), Err(StoreError::Reserved { .. })));
    other.give_back(&mut store, at(longest + 2)).unwrap();
    take(&mut store, at(longest + 2), 3).unwrap();
}

#[test]
fn what_only_looked_whether_it_can_be_made_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    let head = store.view().unwrap().head().unwrap();
    let taken = Lease::take(&mut store, at(0), vec![parcel(1)], &[], |changes| {
        let draft = keyward_core::rules::directory::Draft {
            name: name(),
            description: None,
            facts: keyward_core::rules::directory::Facts::Group,
        };
        changes.insert_entry(&draft)
    });
    assert_eq!(taken.unwrap().0.draft.name, name());
    let view = store.view().unwrap();
    assert_eq!(view.head().unwrap(), head, "a lease moves no head");
    assert!(view.entries(keyward_core::rules::directory::Kind::Group).unwrap().is_empty());
}

#[test]
fn a_staged_secret_works_until_it_is_given_back_and_is_told_of_or_not() {
    for (staging, events) in [(Staging::Told, 2), (Staging::Quiet, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let (key, _) = create(&mut store, 1);
        let before = store.view().unwrap().head().unwrap().seq;
        let id: Id = seed(2).secret_id();
        let secret =
            NewSecret { id: id.clone(), hash: keyward_core::rules::hashing::HashedSecret::from_stored(String::new()) };
        let parcel = Parcel { subject: Subject::Key(key.id.clone()), secret: id.clone(), is_announced: false };
        let staged = StagedSecret { key: &key, secret: &secret, staging };
        let ((), lease) = Lease::take(&mut store, at(0), vec![parcel], &[staged], |_| Ok::<_, StoreError>(())).unwrap();
        assert_eq!(store.view().unwrap().presented(&id).unwrap().unwrap().secret.state(now()), SecretState::Staged);
        lease.give_back(&mut store, at(0)).unwrap();
        assert!(store.view().unwrap().presented(&id).unwrap().is_none());
        assert_eq!(store.view().unwrap().head().unwrap().seq - before, events, "{staging:?}");
    }
}
