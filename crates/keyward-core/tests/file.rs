//! What only a store in a file has: older schemas.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::PathBuf;

use jiff::Timestamp;
use keyward_core::rules::calendar::Unit;
use keyward_core::rules::hashing::HashedSecret;
use keyward_core::rules::key::SecretState::{Current, Grace, Retired, Staged};
use keyward_core::rules::key::Settings;
use keyward_core::rules::names::{Name, Prefix};
use keyward_core::rules::token::Id;
use keyward_core::rules::usage::{Call, Calls};
use keyward_core::store::{ChainCheck, NewKey, NewSecret, Staging, Stamp, Store, StoreError, UsageQuery, Uses};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn stamp() -> Stamp<'static> {
    Stamp { now: at(1_000), actor: None }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    (folder, path)
}

fn secret(byte: u8) -> NewSecret {
    NewSecret { id: Id::from_random([byte; 8]), hash: HashedSecret::from_stored("made up".to_owned()) }
}

/// What the fourth schema added, taken away again.
const BACK_TO_3: &str = include_str!("back_to_3.sql");

/// What the third schema added, taken away after that.
const BACK_TO_2: &str = "
    UPDATE secret SET expires_at = 253402128000, staged = 0 WHERE staged = 1;
    DROP INDEX secret_current;
    CREATE UNIQUE INDEX secret_current ON secret (key) WHERE expires_at IS NULL;
    ALTER TABLE secret DROP COLUMN staged;
    ALTER TABLE key DROP COLUMN scope_count;
    ALTER TABLE key DROP COLUMN level_count;
    ALTER TABLE key DROP COLUMN address_count;
    ALTER TABLE key DROP COLUMN label_count;
    DROP INDEX history_by_secret;
    ALTER TABLE history DROP COLUMN secret_id;
    DROP TABLE reservation;
    PRAGMA user_version = 2;";

#[test]
fn an_older_store_is_brought_up_to_date() {
    for (version, back) in [
        (3, BACK_TO_3.to_owned()),
        (2, format!("{BACK_TO_3}{BACK_TO_2}")),
        (1, format!("{BACK_TO_3}{BACK_TO_2}DROP TABLE announced_secret; PRAGMA user_version = 1")),
    ] {
        let (_folder, path) = place();
        let mut store = Store::create(&path, at(0)).unwrap();
        let mut settings = Settings::with_prefix(Prefix::default());
        settings.scopes = ["a", "b"].map(|scope| scope.parse().unwrap()).into();
        settings.levels = ["l"].map(|level| level.parse().unwrap()).into();
        settings.allowed_ips = ["10.0.0.0/8", "::1/128", "192.0.2.0/24"].map(|network| network.parse().unwrap()).into();
        settings.labels = [("team".parse().unwrap(), "web".parse().unwrap())].into();
        let id = Id::from_random([9; 8]);
        let (key, bare) = store
            .write(stamp(), |changes| {
                let name = "k".parse().unwrap();
                let key =
                    changes.insert_key(&NewKey { id: &id, name: &name, settings: &settings, secret: &secret(1) })?;
                let (id, name) = (Id::from_random([10; 8]), "bare".parse().unwrap());
                let settings = Settings::with_prefix(Prefix::default());
                let bare =
                    changes.insert_key(&NewKey { id: &id, name: &name, settings: &settings, secret: &secret(5) })?;
                let key = changes.replace_secret(&key, &secret(2), at(2_000))?;
                changes.stage_secret(&key, &secret(3), Staging::Told)?;
                changes.delete_key(&bare)?;
                let mut uses = Uses::default();
                for second in [1, 3_599, 7_203] {
                    uses.add(&key.id, Call::Allowed, at(second), None);
                }
                changes.record_uses(&uses)?;
                Ok::<_, StoreError>((key, bare))
            })
            .unwrap();
        drop(store);
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.execute_batch(&back).unwrap();
        drop(conn);

        let mut store = Store::open(&path).unwrap();
        let found = store.view().unwrap().find("k").unwrap().unwrap();
        let states: Vec<_> = found.secrets.iter().map(|info| (info.state(at(1_000)), info.expires_at)).collect();
        let expected = [(Staged, None), (Current, None), (Grace, Some(at(2_000)))];
        assert_eq!(states, expected, "from {version}");
        assert_eq!(found.settings, settings);
        // Uses from before hours were kept count in the hour of the last use, so the sum is complete.
        assert_eq!((found.use_count, found.last_used_at, found.last_used_from), (3, Some(at(7_203)), None));
        let query = UsageQuery { key: Some(&key.id), since: at(0), by: Unit::Hour, top: 1 };
        let usage = store.view().unwrap().usage(&query).unwrap();
        assert_eq!(usage.periods, [(at(7_200), Calls { allowed: 3, forbidden: 0, limited: 0 })]);
        // Old events prove as much as new ones, and the columns match the details.
        assert_eq!(store.view().unwrap().check_history(|_| {}).unwrap(), ChainCheck::Intact { rows: 5 });
        assert!(store.view().unwrap().is_leftover(&secret(5).id).unwrap(), "the secret of {}", bare.name);
        assert!(
            !store.view().unwrap().is_leftover(&secret(1).id).unwrap()
                && !store.view().unwrap().is_leftover(&secret(8).id).unwrap()
        );
        store.write(stamp(), |changes| changes.promote_secret(&key, &secret(3).id)).unwrap();
        assert_eq!(store.view().unwrap().find("k").unwrap().unwrap().current_secret(), Some(&secret(3).id));
    }
}

/// A secret that ended without a grace period in an older store is over at any time; one with a grace period keeps it.
#[test]
fn what_an_older_store_kept_of_secrets_without_a_grace_stays_over() {
    let (_folder, path) = place();
    let mut store = Store::create(&path, at(0)).unwrap();
    let mut limits = store.view().unwrap().settings().unwrap();
    limits.max_lifetime = "365d".parse().ok();
    store.write(stamp(), |changes| changes.save_settings(&limits)).unwrap();
    let mut settings = Settings::with_prefix(Prefix::default());
    settings.expires_at = Some(at(10_000));
    let mut number = 0;
    let mut next = || {
        number += 1;
        secret(number)
    };
    // When each rotation happened, and when the previous secret ends.
    let stories: [(&str, &[(i64, i64)]); 5] = [
        ("at-once", &[(2_000, 2_000)]),
        ("grace", &[(2_000, 3_000)]),
        ("both", &[(2_000, 3_000), (2_500, 2_500)]),
        ("twice", &[(2_000, 2_000), (2_500, 4_000)]),
        ("promoted", &[]),
    ];
    for (name, rotations) in stories {
        let (first, name): (_, Name) = (next(), name.parse().unwrap());
        let id = Id::from_random([100 + first.id.as_str().as_bytes()[0]; 8]);
        let new = NewKey { id: &id, name: &name, settings: &settings, secret: &first };
        let mut key = store.write(stamp(), |changes| changes.insert_key(&new)).unwrap();
        for (now, end) in rotations {
            let stamp = Stamp { now: at(*now), actor: None };
            key = store.write(stamp, |changes| changes.replace_secret(&key, &next(), at(*end))).unwrap();
        }
        if rotations.is_empty() {
            let staged = next();
            store.write(stamp(), |changes| changes.stage_secret(&key, &staged, Staging::Quiet)).unwrap();
            let stamp = Stamp { now: at(2_000), actor: None };
            store.write(stamp, |changes| changes.promote_secret(&key, &staged.id)).unwrap();
        }
    }
    drop(store);
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch(BACK_TO_3).unwrap();
    drop(conn);

    let store = Store::open(&path).unwrap();
    let view = store.view().unwrap();
    for (name, before, later) in [
        ("at-once", vec![Current, Retired], vec![Current, Retired]),
        ("grace", vec![Current, Grace], vec![Current, Retired]),
        ("both", vec![Current, Retired, Retired], vec![Current, Retired, Retired]),
        ("twice", vec![Current, Grace, Retired], vec![Current, Grace, Retired]),
        ("promoted", vec![Current, Retired], vec![Current, Retired]),
    ] {
        let key = view.find(name).unwrap().unwrap();
        let states = |now| key.secrets.iter().map(|secret| secret.state(at(now))).collect::<Vec<_>>();
        assert_eq!((states(1), states(3_500)), (before, later), "{name}");
        assert_eq!(key.expiry_set_at, key.created_at);
    }
    assert_eq!(view.settings().unwrap().max_lifetime.map(|max| max.to_string()).as_deref(), Some("365d"));
    assert!(matches!(view.check_history(|_| {}).unwrap(), ChainCheck::Intact { .. }));
}
