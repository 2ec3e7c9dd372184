//! Changes: all or none, each with its row in the history, and none leaves anything half done.

use keyward_core::rules::directory::{Draft, Facts, Kind};
use keyward_core::rules::key::SecretState;
use keyward_core::rules::limits::Limits;
use keyward_core::store::{ChainCheck, Staging, Stamp, StoreError};

use crate::{Fixture, NOW, at, insert, insert_with, name, secret, settings, stamp, use_once};

pub(crate) fn a_failed_change_leaves_nothing_and_a_rehearsal_neither<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let failed: Result<(), StoreError> = store.write(stamp(), |changes| {
        insert(changes, "one", 1)?;
        Err(StoreError::KeyGone(name("one")))
    });
    assert!(failed.is_err());
    let rehearsed = store.rehearse(stamp(), |changes| insert(changes, "one", 1)).unwrap();
    assert_eq!(rehearsed.name.as_str(), "one");
    let view = store.view().unwrap();
    assert!(view.find("one").unwrap().is_none());
    assert_eq!(view.check_history(|_| {}).unwrap(), ChainCheck::Intact { rows: 0 });
    drop(view);
    assert_eq!(store.write(stamp(), |changes| insert(changes, "one", 1)).unwrap(), rehearsed);
}

pub(crate) fn a_change_sees_what_was_changed_before_it<F: Fixture>() {
    let place = F::new();
    place
        .open()
        .write(stamp(), |changes| {
            assert_eq!(changes.head()?.seq, 0);
            insert(changes, "one", 1)?;
            assert!(changes.find("one")?.is_some());
            assert_eq!((changes.head()?.seq, changes.count_events()?), (1, 1));
            assert!(matches!(insert(changes, "one", 2), Err(StoreError::NameTaken { .. })));
            Ok::<_, StoreError>(())
        })
        .unwrap();
}

pub(crate) fn a_setting_that_names_nothing_is_refused<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    for kind in ["group", "user", "role", "tenant"] {
        let result = store.write(stamp(), |changes| {
            let key = insert(changes, "one", 1)?;
            let mut settings = key.settings.clone();
            let nobody = Some(name("nosuch"));
            match kind {
                "group" => settings.group = nobody,
                "user" => settings.owner = nobody,
                "role" => settings.role = nobody,
                _ => settings.tenant = nobody,
            }
            changes.update_key(&key, &key.name, &settings)
        });
        assert!(matches!(result, Err(StoreError::NoSuch { kind: found, .. }) if found == kind), "{kind}: {result:?}");
    }
}

pub(crate) fn every_setting_is_read_as_it_was_written<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let mut wanted = settings();
    wanted.description = Some("what it is for".parse().unwrap());
    wanted.group = Some(name("g"));
    wanted.owner = Some(name("ann"));
    wanted.role = Some(name("editor"));
    wanted.tenant = Some(name("acme"));
    wanted.scopes = ["a", "b"].map(|scope| scope.parse().unwrap()).into();
    wanted.levels = ["x/y", "x"].map(|level| level.parse().unwrap()).into();
    wanted.allowed_ips = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap()).into();
    wanted.labels = ["a", "b"].map(|label| (label.parse().unwrap(), "v".parse().unwrap())).into();
    (wanted.read_only, wanted.require_secure, wanted.enabled) = (true, false, false);
    wanted.expires_at = Some(at(NOW + 1));
    wanted.prefix = "live".parse().unwrap();
    store
        .write(stamp(), |changes| {
            for (named, facts) in [
                ("g", Facts::Group),
                ("acme", Facts::Tenant { enabled: false, limits: Limits::default() }),
                (
                    "ann",
                    Facts::User { role: Some(name("viewer")), tenant: None, enabled: true, limits: Limits::default() },
                ),
            ] {
                changes.insert_entry(&Draft { name: name(named), description: None, facts })?;
            }
            insert_with(changes, "full", 1, &wanted)
        })
        .unwrap();
    let bare = store.write(stamp(), |changes| insert(changes, "bare", 2)).unwrap();
    let full = store.view().unwrap().find("full").unwrap().unwrap();
    assert_eq!((&full.settings, full.standing.tenant_enabled, full.damage.as_deref()), (&wanted, false, None));
    assert_eq!(full.standing.owner_role, Some((name("viewer"), 10)));
    // The two swap settings, and nothing of the old ones is left.
    let full = store.write(stamp(), |changes| changes.update_key(&full, &full.name, &bare.settings)).unwrap();
    let bare = store.write(stamp(), |changes| changes.update_key(&bare, &bare.name, &wanted)).unwrap();
    assert_eq!((&full.settings, &bare.settings), (&settings(), &wanted));
}

pub(crate) fn deleting_a_key_takes_everything_that_hangs_on_it<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let key = store.write(stamp(), |changes| insert(changes, "one", 1)).unwrap();
    store.write(stamp(), |changes| use_once(changes, &key)).unwrap();
    store.write(stamp(), |changes| changes.delete_key(&key)).unwrap();
    let view = store.view().unwrap();
    assert!(view.presented(&secret(1).id).unwrap().is_none() && view.is_leftover(&secret(1).id).unwrap());
    assert!(!view.id_is_taken(&key.id).unwrap() && !view.id_is_taken(&secret(1).id).unwrap());
    assert_eq!(view.last_key_named("one").unwrap(), Some(key.id.clone()));
    drop(view);
    // A use of a key deleted in the meantime is not counted.
    store.write(stamp(), |changes| use_once(changes, &key)).unwrap();
    assert!(matches!(store.write(stamp(), |changes| changes.delete_key(&key)), Err(StoreError::KeyGone(_))));
    let again = store.write(stamp(), |changes| insert(changes, "one", 1)).unwrap();
    assert_eq!((again.use_count, again.last_used_at), (0, None));
}

pub(crate) fn a_rotation_has_one_current_secret_at_every_moment<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let key = store.write(stamp(), |changes| insert(changes, "k", 1)).unwrap();
    store.write(stamp(), |changes| changes.stage_secret(&key, &secret(2), Staging::Told)).unwrap();
    let states = |now: i64| {
        let key = store.view().unwrap().find("k").unwrap().unwrap();
        key.secrets.iter().map(|secret| secret.state(at(now))).collect::<Vec<_>>()
    };
    assert_eq!(states(NOW), [SecretState::Staged, SecretState::Current]);
    let mut store = place.open();
    store.write(stamp(), |changes| changes.promote_secret(&key, &secret(2).id)).unwrap();
    assert_eq!(states(NOW), [SecretState::Current, SecretState::Retired]);
    // A caller with the older key would rotate a secret that is no longer current.
    let late = store.write(stamp(), |changes| changes.replace_secret(&key, &secret(3), at(NOW)));
    assert!(matches!(late, Err(StoreError::SecretChanged(_))), "{late:?}");
    let key = store.view().unwrap().find("k").unwrap().unwrap();
    assert_eq!(key.current_secret(), Some(&secret(2).id));
    store.write(stamp(), |changes| changes.replace_secret(&key, &secret(3), at(NOW + 10))).unwrap();
    assert_eq!(states(NOW), [SecretState::Current, SecretState::Grace, SecretState::Retired]);
    assert_eq!(states(NOW + 10), [SecretState::Current, SecretState::Retired, SecretState::Retired]);
}

/// Of two concurrent rotations, the second withdraws its own secret, though the first has given it an expiry.
pub(crate) fn a_staged_secret_goes_whatever_has_become_of_its_end<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let key = store.write(stamp(), |changes| insert(changes, "k", 1)).unwrap();
    let staged = secret(2);
    store.write(stamp(), |changes| changes.stage_secret(&key, &staged, Staging::Told)).unwrap();
    store.write(stamp(), |changes| changes.replace_secret(&key, &secret(3), at(1_000_000))).unwrap();
    let presented = store.view().unwrap().presented(&staged.id).unwrap().unwrap();
    assert_eq!(presented.secret.state(at(NOW)), SecretState::Grace);
    store.write(stamp(), |changes| changes.unstage_secret(&key, &staged.id, Staging::Told)).unwrap();
    assert!(store.view().unwrap().presented(&staged.id).unwrap().is_none());
    store.write(stamp(), |changes| changes.unstage_secret(&key, &secret(3).id, Staging::Told)).unwrap();
    assert!(store.view().unwrap().presented(&secret(3).id).unwrap().is_some(), "the current one stays");
}

/// A secret staged and then withdrawn cannot become current: the key keeps its own.
pub(crate) fn what_is_no_longer_staged_is_not_promoted<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let key = store.write(stamp(), |changes| insert(changes, "k", 1)).unwrap();
    store.write(stamp(), |changes| changes.stage_secret(&key, &secret(2), Staging::Told)).unwrap();
    store.write(stamp(), |changes| changes.unstage_secret(&key, &secret(2).id, Staging::Told)).unwrap();
    let promoted = store.write(stamp(), |changes| changes.promote_secret(&key, &secret(2).id));
    assert!(matches!(promoted, Err(StoreError::SecretChanged(_))), "{promoted:?}");
    assert_eq!(store.view().unwrap().find("k").unwrap().unwrap().current_secret(), Some(&secret(1).id));
}

pub(crate) fn an_announced_secret_is_a_leftover_until_its_key_is_there<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let is_leftover = |byte| place.open().view().unwrap().is_leftover(&secret(byte).id).unwrap();
    store.write(stamp(), |changes| changes.announce(&[&secret(1).id, &secret(2).id, &secret(1).id])).unwrap();
    assert_eq!([1, 2, 3].map(is_leftover), [true, true, false]);
    store
        .write(stamp(), |changes| {
            insert(changes, "k", 1)?;
            changes.withdraw(&[&secret(2).id])
        })
        .unwrap();
    assert_eq!([1, 2, 3].map(is_leftover), [false, false, false]);
}

pub(crate) fn who_acts_may_do_what_their_role_allows<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    store
        .write(stamp(), |changes| {
            for (named, role) in [("ed", "editor"), ("vi", "viewer")] {
                let facts =
                    Facts::User { role: Some(name(role)), tenant: None, enabled: true, limits: Limits::default() };
                changes.insert_entry(&Draft { name: name(named), description: None, facts })?;
            }
            let mut admin = settings();
            admin.role = Some(name("admin"));
            insert_with(changes, "high", 1, &admin)
        })
        .unwrap();
    let high = store.view().unwrap().find("high").unwrap().unwrap();
    let mut act = |who: &str, f: &dyn Fn(&keyward_core::store::Changes<'_>) -> Result<(), StoreError>| {
        let who = name(who);
        store.write(Stamp { now: at(NOW), actor: Some(&who) }, |changes| f(changes))
    };
    for (who, may_mint) in [("ed", true), ("vi", false), ("nobody", false)] {
        let minted = act(who, &|changes| changes.try_out(|changes| insert(changes, "k", 2)).map(drop));
        assert_eq!(minted.is_ok(), may_mint, "{who}: {minted:?}");
        // A key with a higher role is out of reach for every change.
        for touched in [
            act(who, &|changes| changes.switch_key(&high, false).map(drop)),
            act(who, &|changes| changes.delete_key(&high)),
            act(who, &|changes| changes.stage_secret(&high, &secret(3), Staging::Told)),
            act(who, &|changes| changes.check_source(&high)),
            act(who, &|changes| changes.save_settings(&changes.settings()?)),
            act(who, &|changes| {
                changes.delete_entry(&changes.required_entry(Kind::User, &name("vi"))?, false).map(drop)
            }),
        ] {
            assert!(matches!(touched, Err(StoreError::Denied(_))), "{who}: {touched:?}");
        }
    }
}

pub(crate) fn what_is_in_use_stays_or_goes_with_its_keys<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let group = store.write(stamp(), |changes| {
        changes.insert_entry(&Draft { name: name("g"), description: None, facts: Facts::Group })?;
        let mut settings = settings();
        settings.group = Some(name("g"));
        insert_with(changes, "k", 1, &settings)?;
        changes.required_entry(Kind::Group, &name("g"))
    });
    let group = group.unwrap();
    let refused = store.write(stamp(), |changes| changes.delete_entry(&group, false));
    assert!(matches!(refused, Err(StoreError::InUse { keys: 1, users: 0, .. })), "{refused:?}");
    assert_eq!(store.write(stamp(), |changes| changes.delete_entry(&group, true)).unwrap(), 1);
    let view = store.view().unwrap();
    assert!(view.find("k").unwrap().is_none() && view.entry(Kind::Group, &name("g")).unwrap().is_none());
}
