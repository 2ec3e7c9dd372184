//! Every engine understands every statement: a test runs them all, and compares the places that ran one with all such
//! places in the source.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use regex::Regex;

use super::db::spy::{self, Seen};
use super::meters::MeterId;
use super::sqlite::plan_tests::{live_and_die, name, secret, settings};
use super::{
    EventFilter, Filter, Imported, Imports, KnownSecret, Names, NewKey, NewSecret, Sort, Stamp, Store, StoreError,
    StoreSettings, Subject, Tally, UsageQuery, Uses,
};
use crate::rules::calendar::Unit;
use crate::rules::directory::{Draft, Facts, Kind};
use crate::rules::hashing::{Cost, HashedSecret, Memory};
use crate::rules::imported::{ImportedText, LookupKey, Origin};
use crate::rules::key::State;
use crate::rules::limits::{Meter, Whose};
use crate::rules::token::{Id, Secret};
use crate::rules::usage::Call;

/// Source paths for only one engine: none of their statements is shared. Copying between engines has its own tests.
const OF_ONE_ENGINE: [&str; 5] = ["db/", "postgres/", "sqlite/", "restore/", "transfer/"];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn stamp() -> Stamp<'static> {
    Stamp { now: at(1_000), actor: None }
}

/// Runs every read and every change that a store allows.
fn do_everything(store: &mut Store) -> Result<(), StoreError> {
    live_and_die(store)?;
    change(store)?;
    change_seldom(store)?;
    import(store)?;
    count(store)?;
    ask(store)
}

/// Changes that the life cycle of one key does not cover.
fn change(store: &mut Store) -> Result<(), StoreError> {
    let (id, leased) = (Id::from_random([11; 8]), secret(12).id);
    let mut plain = settings();
    (plain.group, plain.owner, plain.role, plain.tenant) = (None, None, None, None);
    let key = store.write(stamp(), |changes| {
        changes.reserve(&[(Subject::Name(name("leased")), &leased)], at(1_060))?;
        changes.renew(&[&leased], at(1_120))?;
        changes.is_reserved(&Subject::Name(name("leased")))?;
        changes.release(&[&leased])?;
        changes.insert_key(&NewKey { id: &id, name: &name("key"), settings: &plain, secret: &secret(13) })
    })?;
    store.write(stamp(), |changes| {
        let key = changes.switch_key(&key, false)?;
        let key = changes.switch_key(&key, true)?;
        changes.check_source(&key)?;
        changes.try_out(|changes| changes.switch_key(&key, false).map(drop))?;
        changes.save_settings(&StoreSettings { hash_cost: Cost::FLOOR, ..StoreSettings::default() })
    })
}

/// What happens after a rename, a parameter change, a process that dies midway, or damage.
fn change_seldom(store: &mut Store) -> Result<(), StoreError> {
    let real = Secret::build(&settings().prefix, Id::from_random([14; 8]), &[14; 32]);
    let hash = |cost| HashedSecret::new(&real, [1; 16], cost).unwrap();
    let first = NewSecret { id: real.id().clone(), hash: hash(Cost::default()) };
    let id = Id::from_random([15; 8]);
    let facts = Facts::User { role: None, tenant: None, enabled: true, limits: "".parse().unwrap() };
    let draft = Draft { name: name("former"), description: None, facts };
    store.write(stamp(), |changes| {
        let user = changes.insert_entry(&draft)?;
        changes.update_entry(&user, &Draft { name: name("later"), ..draft.clone() })?;
        let mut plain = crate::rules::key::Settings::with_prefix(settings().prefix);
        let key = changes.insert_key(&NewKey { id: &id, name: &name("hashed"), settings: &plain, secret: &first })?;
        changes.renew_hash(&first.id, &hash(Cost::FLOOR))?;
        plain.scopes.insert("owner".parse().unwrap());
        let refused = changes.update_key(&key, &name("hashed"), &plain);
        assert!(matches!(refused, Err(StoreError::ReservedWord { .. })), "{refused:?}");
        changes.reserve(&[(Subject::Name(name("leased")), &first.id)], at(1_060))
    })?;
    // As if the PID of the lease holder now belonged to another process.
    store.conn.execute("UPDATE reservation SET holder = holder || '0'", &[])?;
    store.write(stamp(), |changes| changes.reserve(&[(Subject::Name(name("leased")), &secret(16).id)], at(1_060)))?;
    store.write(stamp(), |changes| {
        #[cfg(feature = "postgres")]
        super::moved::set(changes.conn(), &super::moved::Moved { target: "elsewhere".into(), is_done: false })?;
        super::moved::clear(changes.conn())
    })?;
    super::directory::switch(&store.conn, Kind::User, &name("later"), false, at(1_000))
}

/// Secrets made by another system.
fn import(store: &mut Store) -> Result<(), StoreError> {
    let text = ImportedText::new("made-up-text-0001".to_owned().into()).unwrap();
    let hash = HashedSecret::new(&text, [1; 16], Cost::FLOOR).unwrap();
    let fast = HashedSecret::from_sha256(&text.sha256());
    let offered = LookupKey::new([7; 32]);
    store.write(stamp(), |changes| {
        let mut importing = changes.import(&offered)?;
        let key = importing.key().clone();
        let bucket = key.bucket(&text.sha256());
        let kinds =
            [(Origin::Secret, &hash, Some(bucket)), (Origin::Sha256, &fast, Some(bucket)), (Origin::Phc, &hash, None)];
        for (number, (origin, hash, bucket)) in (200_u8..).zip(kinds) {
            let secret = NewSecret { id: Id::from_random([number; 8]), hash: hash.clone() };
            let (id, named) = (Id::from_random([number + 20; 8]), name(&format!("imported-{number}")));
            let plain = crate::rules::key::Settings::with_prefix(crate::rules::names::Prefix::default());
            let new = NewKey { id: &id, name: &named, settings: &plain, secret: &secret };
            importing.add(&new, Imported { origin, bucket })?;
        }
        importing.end()?;
        for known in [KnownSecret::Text(&text), KnownSecret::Sha256(&text.sha256()), KnownSecret::Hash(&hash)] {
            let found = changes.key_with_secret(known, Some(&key), &mut Memory::default()).unwrap();
            assert!(found.is_some(), "{known:?}");
        }
        assert_eq!(changes.of_unknown_text("imported-202")?.len(), 1);
        changes.renew_imported(&Id::from_random([201; 8]), &hash, bucket)?;
        assert_eq!(changes.keys_with_same_secret(at(0))?, [(name("imported-200"), name("imported-201"))]);
        assert!(matches!(changes.settings()?.imports, Imports::Some { key: Some(_), has_unknown: true }));
        Ok::<_, StoreError>(())
    })
}

/// Uses and limits, for few keys and for many.
fn count(store: &mut Store) -> Result<(), StoreError> {
    let ids: Vec<_> = (1..=30).map(|number| Id::from_random([number + 100; 8])).collect();
    store.write(stamp(), |changes| {
        for (number, id) in ids.iter().enumerate() {
            let (named, first) = (name(&format!("many-{number}")), secret(number as u8 + 30));
            let settings = crate::rules::key::Settings::with_prefix(settings().prefix);
            changes.insert_key(&NewKey { id, name: &named, settings: &settings, secret: &first })?;
        }
        Ok::<_, StoreError>(())
    })?;
    let mut batches = super::counting::Batches::default();
    for number in [1, ids.len()] {
        let mut uses = Uses::default();
        ids[..number].iter().for_each(|id| uses.add(id, Call::Allowed, at(1_000), "203.0.113.9".parse().ok()));
        store.count(stamp(), |changes| changes.record_uses(&uses))?;
        store.count_batch(stamp(), &mut batches, &mut None, |changes| changes.record_uses(&uses))?;
        let of = |subject| MeterId { whose: Whose::Key, policy: None, subject, length: 60 };
        let meters: Vec<_> = (1_i64..).take(number).map(of).collect();
        store.count(stamp(), |changes| {
            let wanted: Vec<_> = meters.iter().collect();
            let found = changes.meters(&wanted)?;
            assert_eq!(found.len(), number);
            changes.save_meters(&wanted.iter().map(|id| (*id, Meter::default())).collect::<Vec<_>>())
        })?;
        store.view()?.meter(&meters[0])?;
    }
    Ok(())
}

fn ask(store: &Store) -> Result<(), StoreError> {
    use Names::{DisabledKeys, EnabledKeys, Groups, Keys, Labels, Levels, Roles, Scopes, Tenants, Users};
    let view = store.view()?;
    let id = Id::from_random([11; 8]);
    for filter in filters() {
        view.each_key::<StoreError>(&filter, at(5), |_| Ok(()))?;
        view.count_keys(&filter, at(5))?;
        view.has_key(&filter, at(5))?;
    }
    for filter in [
        EventFilter::default(),
        EventFilter {
            key: Some(id.clone()),
            named: Some("a".to_owned()),
            since: Some(at(0)),
            until: Some(at(9)),
            by: Some(name("a")),
            action: Some("key.create".to_owned()),
            limit: Some(3),
        },
        EventFilter { by: Some(name("owner")), action: Some("create".to_owned()), ..EventFilter::default() },
        EventFilter { action: Some("key".to_owned()), ..EventFilter::default() },
    ] {
        view.each_event::<StoreError>(&filter, |_| Ok(()))?;
        view.has_event(&filter)?;
    }
    for names in [Keys, EnabledKeys, DisabledKeys, Groups, Users, Roles, Tenants, Scopes, Levels, Labels] {
        view.names_starting(names, "a")?;
        view.names_starting(names, "a=b")?;
    }
    for kind in [Kind::Group, Kind::User, Kind::Role, Kind::Tenant] {
        view.entries(kind)?;
        view.entry(kind, &name("a"))?;
        view.names_of(kind)?;
    }
    for (key, since) in [(Some(&id), 0), (None, 0), (None, 1_000)] {
        view.usage(&UsageQuery { key, since: at(since), by: Unit::Hour, top: 3 })?;
    }
    view.subjects(&id)?;
    view.some_names()?;
    view.count_all_keys()?;
    view.keys_ever_named("key")?;
    view.key_that_had(&id)?;
    view.last_key_named("key")?;
    view.count_events()?;
    view.check_history(|_| ())?;
    view.tells_history()?;
    view.may_renew_hashes()?;
    view.keys_of_other_cost(Cost::default(), at(5))?;
    view.keys_with_staged_secrets()?;
    view.count_imported()?;
    view.keys_to_be_renewed(at(5))?;
    view.reserved_names()?;
    view.keys_without_end()?;
    view.tally(&mut Tally::new(at(0), [at(1_000)]), 10)?;
    view.authority(None)?;
    super::history::has_been_at(&store.conn, &view.head()?).map(drop)
}

/// Each filter and each sort order on its own.
fn filters() -> Vec<Filter> {
    let changes: [fn(&mut Filter); 28] = [
        |_| (),
        |f| f.name = "x*[a-c]?".to_owned().into(),
        |f| f.group = name("a").into(),
        |f| f.owner = name("a").into(),
        |f| f.role = name("a").into(),
        |f| f.tenant = name("a").into(),
        |f| f.scopes = vec!["rest".parse().unwrap()],
        |f| f.levels = vec!["a/b".parse().unwrap()],
        |f| f.labels = vec!["team=web".parse().unwrap(), "team".parse().unwrap()],
        |f| f.state = State::Active.into(),
        |f| f.state = State::Disabled.into(),
        |f| f.state = State::Expired.into(),
        |f| f.state = State::Suspended.into(),
        |f| f.expires_by = Some(at(9)),
        |f| f.unused_since = Some(at(9)),
        |f| f.sort = Sort::Created,
        |f| f.sort = Sort::Expires,
        |f| f.sort = Sort::Used,
        |f| f.sort = Sort::Uses,
        |f| (f.sort, f.reverse) = (Sort::Expires, true),
        |f| (f.sort, f.reverse) = (Sort::Used, true),
        |f| f.limit = Some(20),
        |f| f.enabled = Some(false),
        |f| f.search = Some("text".to_owned()),
        |f| f.name = "a*,!ab*".parse().unwrap(),
        |f| f.group = "a,none,!b,!none".parse().unwrap(),
        |f| (f.scopes, f.levels) = (vec!["a,none,!b".parse().unwrap()], vec!["!none".parse().unwrap()]),
        |f| (f.labels, f.never_expires) = (vec!["a,none,!b=c".parse().unwrap()], Some(true)),
    ];
    let with = |change: &fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    changes.iter().map(with).collect()
}

/// The statements that a store on this engine runs, by place.
pub(super) fn all_statements(store: &mut Store) -> Seen {
    spy::take();
    do_everything(store).unwrap();
    spy::take()
}

/// Text that marks a place as only for files, or only for servers.
#[cfg(feature = "postgres")]
const OF_A_FILE: [&str; 3] = ["?4, ?5 FROM {}", "{USED_AGAIN}", "{CALLED_AGAIN}"];
const OF_A_SERVER: [&str; 2] = ["has_table_privilege", "use_batch"];
/// The same for restoring, which only works on files.
const OF_A_RESTORE: [&str; 2] = ["randomblob", "ANOTHER_FILE"];
/// Source files only for servers.
const FOR_MANY: &str = "/many.rs";

/// The places in the source that run a statement on a connection, as file and line, except those of the other engine.
fn places(others: &[&str]) -> BTreeSet<(String, u32)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let call = Regex::new(r"\bconn(\(\))?\s*\.(execute|each|all|optional|alone)\(").unwrap();
    let mut places = BTreeSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let Some(file) = shared(&path, &root) {
                let text = std::fs::read_to_string(&path).unwrap();
                for found in call.captures_iter(&text) {
                    let line = text[..found.get(2).unwrap().start()].matches('\n').count();
                    let close: Vec<_> = text.lines().skip(line.saturating_sub(1)).take(6).collect();
                    let close = close.join("\n");
                    if !others.iter().chain(&OF_A_RESTORE).any(|other| close.contains(other)) {
                        places.insert((file.clone(), line as u32 + 1));
                    }
                }
            }
        }
    }
    places
}

/// The name of this source file, if it serves every engine.
fn shared(path: &Path, root: &Path) -> Option<String> {
    let file = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let is_source = path.extension().is_some_and(|end| end == "rs") && !file.contains("tests");
    (is_source && !OF_ONE_ENGINE.iter().any(|room| file.starts_with(room))).then_some(file)
}

/// Checks that no place was missed.
fn assert_complete(seen: &Seen, all: &BTreeSet<(String, u32)>) {
    let root = PathBuf::from("src/store");
    let ran: BTreeSet<_> = seen
        .keys()
        .filter_map(|(file, line)| {
            let file = file.split_once("src/store/").map_or(*file, |(_, file)| file);
            shared(&root.join(file), &root).map(|file| (file, *line))
        })
        .collect();
    assert!(all.len() > 80, "{all:?}");
    let missed: Vec<_> = all.difference(&ran).collect();
    assert!(missed.is_empty(), "nothing of the test runs these: {missed:?}");
}

#[test]
fn sqlite_understands_every_statement() {
    let seen = all_statements(&mut Store::in_memory(at(0)).unwrap());
    let mut all = places(&OF_A_SERVER);
    all.retain(|(file, _)| !file.ends_with(FOR_MANY));
    // Stores cannot move without server support.
    #[cfg(not(feature = "postgres"))]
    all.retain(|(file, _)| file != "moved.rs");
    assert_complete(&seen, &all);
}

#[cfg(feature = "postgres")]
#[test]
#[ignore = "needs postgresql"]
fn postgres_understands_every_statement() {
    let postgres = super::postgres::tests::server::Server::start();
    let url = || format!("postgres://ann@{}/keyward", postgres.socket_host()).parse().unwrap();
    let mut store = Store::found(url(), super::Surroundings::default(), at(0)).unwrap();
    let seen = all_statements(&mut store);
    assert_complete(&seen, &places(&OF_A_FILE));
}
