//! A store is upgraded while others use it. No second schema exists yet, so the test makes one up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::schema::{url, with_store};
use super::*;
use crate::rules::credential::parse_line;
use crate::rules::decision::{Request, Transport};
use crate::rules::hashing::{Cost, HashedSecret};
use crate::rules::key::Settings;
use crate::rules::names::Prefix;
use crate::rules::token::{Id, Secret};
use crate::store::postgres::schema::{KnownSchemas, MIGRATIONS, Migrated, migrate_by};
use crate::store::{NewKey, NewSecret, Stamp, Store};
use crate::verifier::Verifier;

/// What a later keyward could need: a column in a table that everyone reads and writes, a table, and an index, in a
/// different order from the one in which requests use these tables.
const SECOND: &str = "
    -- Made up; nobody has it.
    ALTER TABLE usage ADD COLUMN made_up bigint NOT NULL DEFAULT 0;
    ALTER TABLE secret ADD COLUMN made_up text COLLATE \"C\" NOT NULL DEFAULT 'x';
    CREATE INDEX secret_by_made_up ON secret (made_up);
    ALTER TABLE key ADD COLUMN made_up bigint NOT NULL DEFAULT 0;
    CREATE TABLE made_up (key bigint PRIMARY KEY REFERENCES key (id) ON DELETE CASCADE);
    ALTER TABLE setting ADD COLUMN made_up bigint NOT NULL DEFAULT 0;";

const NEXT: KnownSchemas = KnownSchemas { newest: 2, oldest: 1 };

fn bring_up(postgres: &Postgres, user: &str, second: &str) -> Result<Migrated, StoreError> {
    let server = Server::new(url(postgres, user), Surroundings::default()).unwrap();
    migrate_by(&server, &[MIGRATIONS[0], second], NEXT)
}

fn open(postgres: &Postgres) -> Result<Store, StoreError> {
    Store::connect(url(postgres, "ann"), Surroundings::default())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn create(store: &mut Store, number: u64) -> Result<Secret, StoreError> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let id = |first| Id::from_random([&[first], &bytes[..7]].concat().try_into().unwrap());
    let secret = Secret::build(&Prefix::default(), id(1), &bytes);
    let hash = HashedSecret::new(&secret, [1; 16], Cost::FLOOR).unwrap();
    let first = NewSecret { id: secret.id().clone(), hash };
    let (id, name) = (id(2), format!("key-{number}").parse().unwrap());
    let new = NewKey { id: &id, name: &name, settings: &Settings::with_prefix(Prefix::default()), secret: &first };
    store.write(Stamp { now: at(1_000), actor: None }, |changes| changes.insert_key(&new))?;
    Ok(secret)
}

/// Repeats `f` until it is told to stop, and counts how often.
fn again_and_again(stop: &AtomicBool, done: &AtomicU64, mut f: impl FnMut() -> Result<(), String>) {
    while !stop.load(Ordering::Relaxed) {
        f().unwrap();
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Stops the other threads when its own ends, even by a panic.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
#[ignore = "needs postgresql"]
fn no_request_fails_while_a_store_is_brought_up_to_date() {
    const ROUNDS: usize = 4;
    let postgres = with_store();
    let secret = create(&mut open(&postgres).unwrap(), 0).unwrap();
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(1));
    let (answers, created) = (AtomicU64::new(0), AtomicU64::new(0));
    let verify = || {
        let mut verifier = Verifier::new(open(&postgres).unwrap()).unwrap();
        again_and_again(&stop, &answers, || {
            let request = Request::over(Transport::Https);
            let presented = parse_line(&format!("Authorization: Bearer {}", secret.expose()));
            let answer = verifier.verify(presented, &request, at(2_000)).map_err(|error| format!("{error:?}"))?;
            assert!(answer.decision.is_allowed());
            verifier.record(&answer, &request, || None, at(2_000)).map_err(|error| format!("{error:?}"))
        });
    };
    let write = || {
        again_and_again(&stop, &created, || {
            // Opens it each time, as a command does.
            let mut store = open(&postgres).map_err(|error| format!("{error:?}"))?;
            create(&mut store, next.fetch_add(1, Ordering::Relaxed)).map(drop).map_err(|error| format!("{error:?}"))
        });
    };
    let both = || (answers.load(Ordering::Relaxed), created.load(Ordering::Relaxed));
    thread::scope(|scope| {
        let _over = Over(&stop);
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(verify)).chain((0..2).map(|_| scope.spawn(write))).collect();
        let is_alive = || workers.iter().all(|worker| !worker.is_finished());
        // Both are at work before, in between and afterwards.
        let let_work = || {
            let before = both();
            while is_alive() && (both().0 < before.0 + 10 || both().1 < before.1 + 10) {
                thread::sleep(Duration::from_millis(1));
            }
        };
        // Undone, so that it happens again at other moments.
        let mut back = "SET lock_timeout = '200ms'; BEGIN; LOCK TABLE keyward.history_head; \
                        UPDATE keyward.store SET schema = 1; DROP TABLE keyward.made_up;"
            .to_owned();
        for table in ["usage", "secret", "key", "setting"] {
            back.push_str(&format!("ALTER TABLE keyward.{table} DROP COLUMN made_up;"));
        }
        back.push_str("COMMIT");
        for _ in 0..ROUNDS {
            let_work();
            assert_eq!(bring_up(&postgres, "ann", SECOND).unwrap(), Migrated { from: 1, to: 2 });
            let_work();
            assert!((0..100).any(|_| postgres.try_sql("keyward", &back)), "it cannot be taken back");
        }
    });
    assert!(!postgres.log().contains("deadlock detected"), "{}", postgres.log());
    assert_eq!(bring_up(&postgres, "ann", SECOND).unwrap(), Migrated { from: 1, to: 2 });
    // This program still works with it.
    create(&mut open(&postgres).unwrap(), u64::MAX).unwrap();
}

#[test]
#[ignore = "needs postgresql"]
fn a_store_is_brought_up_to_date_once_by_its_owner_and_whole() {
    let postgres = with_store();
    let schema = || postgres.sql("keyward", "SELECT schema FROM keyward.store");
    // No one else may.
    postgres.sql("keyward", "CREATE ROLE boss LOGIN; GRANT USAGE ON SCHEMA keyward TO boss; GRANT ALL ON ALL TABLES IN SCHEMA keyward TO boss");
    match bring_up(&postgres, "boss", SECOND) {
        Err(StoreError::Forbidden { role, detail, .. }) => {
            assert_eq!((role.as_str(), detail.as_str()), ("boss", "the tables belong to the role ann"));
        }
        other => panic!("{other:?}"),
    }
    // A failure midway leaves nothing behind.
    let broken = format!("{SECOND}; ALTER TABLE nothing ADD COLUMN n bigint");
    assert!(bring_up(&postgres, "ann", &broken).is_err());
    let strange = open(&postgres).unwrap().view().unwrap().strange_parts().unwrap();
    assert_eq!((schema().as_str(), strange), ("1", vec![]));
    // If several try at once, only one does it.
    let done: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| bring_up(&postgres, "ann", SECOND).unwrap())).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(done.iter().filter(|done| **done == Migrated { from: 1, to: 2 }).count(), 1, "{done:?}");
    assert_eq!(bring_up(&postgres, "ann", SECOND).unwrap(), Migrated { from: 2, to: 2 });
    assert_eq!(schema(), "2");
    // This program knows only schema 1, and has nothing to do.
    let present = Store::migrate(url(&postgres, "ann"), Surroundings::default()).unwrap();
    assert_eq!(present, Migrated { from: 2, to: 2 });
    assert_eq!(schema(), "2");
    // It does not upgrade a store that it must not write to.
    postgres.sql("keyward", "UPDATE keyward.store SET oldest_writer = 2");
    assert!(matches!(
        Store::migrate(url(&postgres, "ann"), Surroundings::default()),
        Err(StoreError::Newer { found: 2, known: 1, .. })
    ));
}

#[test]
#[ignore = "needs postgresql"]
fn who_knows_too_little_may_read_or_not_even_that() {
    let postgres = with_store();
    let set = |reader: i64, writer: i64| {
        let sql = format!("UPDATE keyward.store SET schema = 9, oldest_reader = {reader}, oldest_writer = {writer}");
        postgres.sql("keyward", &sql);
    };
    let read = || Store::connect_to_read(url(&postgres, "ann"), Surroundings::default());
    set(1, 1);
    create(&mut open(&postgres).unwrap(), 1).unwrap();
    set(1, 2);
    assert!(matches!(open(&postgres), Err(StoreError::Newer { found: 9, known: 1, .. })));
    assert_eq!(read().unwrap().view().unwrap().count_all_keys().unwrap(), 1);
    set(2, 2);
    assert!(matches!(read(), Err(StoreError::Newer { found: 9, known: 1, .. })));
    postgres.sql("keyward", "UPDATE keyward.store SET schema = 0, oldest_reader = 0, oldest_writer = 0");
    assert!(matches!(read(), Err(StoreError::NotMigrated { found: 0, needed: 1, .. })));
    postgres.sql("keyward", "DROP TABLE keyward.store");
    assert!(matches!(read(), Err(StoreError::Missing(_))));
}
