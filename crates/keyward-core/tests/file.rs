//! What only a store in a file has: older schemas.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::PathBuf;

use jiff::Timestamp;
use keyward_core::rules::hashing::HashedSecret;
use keyward_core::rules::key::{SecretState, Settings};
use keyward_core::rules::names::Prefix;
use keyward_core::rules::token::Id;
use keyward_core::store::{ChainCheck, NewKey, NewSecret, Staging, Stamp, Store, StoreError};

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

/// What the third schema added, taken away again.
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
        let expected =
            [(SecretState::Staged, None), (SecretState::Current, None), (SecretState::Grace, Some(at(2_000)))];
        assert_eq!(states, expected, "from {version}");
        assert_eq!(found.settings, settings);
        // What was written then proves as well as what is written now, and the columns say what the details say.
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
