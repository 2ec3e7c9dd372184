//! Missing rows. A missing row that a key refers to or counts may have been a restriction, so the key decides nothing
//! and nothing is made from it; it can be viewed, disabled and deleted.

use keyward_core::rules::directory::{Draft, Facts, Kind};
use keyward_core::rules::key::{Key, Settings};
use keyward_core::rules::limits::Limits;
use keyward_core::store::{Filter, Staging, Store, StoreError};

use crate::{Fixture, NOW, at, insert, insert_with, name, secret, settings, stamp};

/// What a tool that ignores references does, and what is then reported about the key `k`.
const LOSSES: [(&str, &str); 10] = [
    ("DELETE FROM \"user\"; DELETE FROM tenant", "its owner is missing, its tenant is missing"),
    ("DELETE FROM \"user\"", "its owner is missing"),
    ("DELETE FROM tenant", "its tenant is missing"),
    ("DELETE FROM key_group", "its group is missing"),
    ("DELETE FROM role WHERE name = 'editor'", "its role is missing"),
    ("DELETE FROM role WHERE name = 'admin'", "its owner's role is missing"),
    ("DELETE FROM key_scope WHERE scope = 'rest'", "it has 1 scope of 2"),
    ("DELETE FROM key_level", "it has 0 levels of 1"),
    ("DELETE FROM key_address", "it has 0 networks of 1"),
    ("DELETE FROM key_label WHERE label = 'team'", "it has 0 labels of 1"),
];

/// Settings with every field set.
fn full() -> Settings {
    let mut settings = settings();
    settings.group = Some(name("g"));
    settings.owner = Some(name("ann"));
    settings.role = Some(name("editor"));
    settings.tenant = Some(name("acme"));
    settings.scopes = ["rest", "ui"].map(|scope| scope.parse().unwrap()).into();
    settings.levels = ["api/read".parse().unwrap()].into();
    settings.allowed_ips = ["10.0.0.0/8".parse().unwrap()].into();
    settings.labels = [("team".parse().unwrap(), "web".parse().unwrap())].into();
    settings
}

/// A store with the full key `k` and the key `other`, which stays intact.
fn prepared<F: Fixture>(place: &F) -> (Store, Key) {
    let mut store = place.open();
    let ann = Facts::User { role: Some(name("admin")), tenant: None, enabled: false, limits: Limits::default() };
    let key = store.write(stamp(), |changes| {
        for (named, facts) in
            [("g", Facts::Group), ("acme", Facts::Tenant { enabled: true, limits: Limits::default() }), ("ann", ann)]
        {
            changes.insert_entry(&Draft { name: name(named), description: None, facts })?;
        }
        insert(changes, "other", 2)?;
        insert_with(changes, "k", 1, &full())
    });
    (store, key.unwrap())
}

fn is_damage<T: std::fmt::Debug>(result: Result<T, StoreError>, what: &str) {
    let says = |detail: &str| detail.contains("the key k: ") && detail.contains(what);
    assert!(matches!(&result, Err(StoreError::Corrupt { detail, .. }) if says(detail)), "{what}: {result:?}");
}

pub(crate) fn nothing_is_decided_or_made_of_a_damaged_key<F: Fixture>() {
    for (loss, what) in LOSSES {
        let place = F::new();
        let (mut store, before) = prepared(&place);
        assert_eq!(before.damage, None);
        place.tamper(loss);
        let key = store.view().unwrap().find("k").unwrap().unwrap();
        assert_eq!(key.damage.as_deref(), Some(what), "{loss}");
        is_damage(store.view().unwrap().presented(&secret(1).id), what);
        is_damage(store.view().unwrap().check_whole(&key), what);
        let mut changed = key.settings.clone();
        changed.description = Some("d".parse().unwrap());
        is_damage(store.write(stamp(), |changes| changes.update_key(&key, &key.name, &changed)), what);
        is_damage(store.write(stamp(), |changes| changes.update_key(&key, &key.name, &key.settings)), what);
        is_damage(store.write(stamp(), |changes| changes.update_key(&key, &name("new"), &key.settings)), what);
        is_damage(store.write(stamp(), |changes| changes.replace_secret(&key, &secret(3), at(NOW))), what);
        is_damage(store.write(stamp(), |changes| changes.stage_secret(&key, &secret(3), Staging::Told)), what);
        is_damage(store.write(stamp(), |changes| changes.promote_secret(&key, &secret(3).id)), what);
        is_damage(store.write(stamp(), |changes| changes.check_source(&before)), what);
        is_damage(store.write(stamp(), |changes| changes.switch_key(&key, true)), what);
        // Other keys work as before.
        assert!(store.view().unwrap().presented(&secret(2).id).unwrap().is_some());
    }
}

pub(crate) fn a_damaged_key_is_shown_switched_off_and_deleted<F: Fixture>() {
    for (loss, what) in LOSSES {
        let place = F::new();
        let (mut store, _) = prepared(&place);
        place.tamper(loss);
        let mut seen = vec![];
        store
            .view()
            .unwrap()
            .each_key(&Filter::default(), at(NOW), |key| {
                seen.push((key.name.to_string(), key.damage));
                Ok::<_, StoreError>(())
            })
            .unwrap();
        assert_eq!(seen, [("k".to_owned(), Some(what.to_owned())), ("other".to_owned(), None)], "{loss}");
        let key = store.view().unwrap().find("k").unwrap().unwrap();
        let key = store.write(stamp(), |changes| changes.switch_key(&key, false)).unwrap();
        // What was missing is still missing: disabling the key did not make it look intact.
        assert_eq!((key.settings.enabled, key.damage.as_deref()), (false, Some(what)), "{loss}");
        is_damage(store.write(stamp(), |changes| changes.switch_key(&key, true)), what);
        store.write(stamp(), |changes| changes.delete_key(&key)).unwrap();
        assert!(store.view().unwrap().find("k").unwrap().is_none());
    }
}

pub(crate) fn a_row_too_many_is_damage_too<F: Fixture>() {
    let place = F::new();
    let (store, _) = prepared(&place);
    place.tamper("INSERT INTO key_scope SELECT id, 'more' FROM key WHERE name = 'k'");
    is_damage(store.view().unwrap().presented(&secret(1).id), "it has 3 scopes of 2");
}

pub(crate) fn switching_a_key_touches_nothing_else<F: Fixture>() {
    let place = F::new();
    let (mut store, before) = prepared(&place);
    for enabled in [false, true] {
        let key = store.view().unwrap().find("k").unwrap().unwrap();
        let after = store.write(stamp(), |changes| changes.switch_key(&key, enabled)).unwrap();
        let mut expected = before.settings.clone();
        expected.enabled = enabled;
        assert_eq!((&after.settings, after.revision), (&expected, key.revision + 1));
        // The second time, nothing changes and nothing is recorded.
        let again = store.write(stamp(), |changes| changes.switch_key(&after, enabled)).unwrap();
        assert_eq!(again, after);
    }
    let mut actions = vec![];
    store
        .view()
        .unwrap()
        .each_event(&keyward_core::store::EventFilter { key: Some(before.id), ..Default::default() }, |event| {
            actions.push(event.action);
            Ok::<_, StoreError>(())
        })
        .unwrap();
    assert_eq!(actions, ["key.create", "key.disable", "key.enable"]);
}

pub(crate) fn nothing_is_made_of_a_user_whose_role_or_tenant_is_missing<F: Fixture>() {
    for (loss, what) in [("DELETE FROM role WHERE name = 'admin'", "role"), ("DELETE FROM tenant", "tenant")] {
        let place = F::new();
        let mut store = place.open();
        let facts = Facts::User {
            role: Some(name("admin")),
            tenant: Some(name("acme")),
            enabled: true,
            limits: Limits::default(),
        };
        let user = Draft { name: name("ann"), description: None, facts };
        let entry = store.write(stamp(), |changes| {
            let facts = Facts::Tenant { enabled: true, limits: Limits::default() };
            changes.insert_entry(&Draft { name: name("acme"), description: None, facts })?;
            changes.insert_entry(&user)
        });
        assert_eq!(entry.unwrap().damage, None);
        place.tamper(loss);
        let entry = store.view().unwrap().entry(Kind::User, &name("ann")).unwrap().unwrap();
        assert_eq!(entry.damage, Some(format!("its {what} is missing")));
        // They may do nothing: what they make would have no tenant, or no role to restrict it.
        assert!(
            matches!(store.view().unwrap().authority(Some(&name("ann"))), Err(StoreError::Corrupt { .. })),
            "{loss}"
        );
        let mut described = entry.draft.clone();
        described.description = Some("d".parse().unwrap());
        for draft in [&entry.draft, &described] {
            let changed = store.write(stamp(), |changes| changes.update_entry(&entry, draft));
            assert!(matches!(changed, Err(StoreError::Corrupt { .. })), "{loss}: {changed:?}");
        }
        let mut off = entry.draft.clone();
        off.facts.set_enabled(false);
        let after = store.write(stamp(), |changes| changes.update_entry(&entry, &off)).unwrap();
        assert_eq!((after.draft, &after.damage), (off, &entry.damage), "{loss}");
        let deleted = store.write(stamp(), |changes| changes.delete_entry(&entry, false));
        assert_eq!(deleted.unwrap(), 0);
    }
}
