//! How SQLite finds what a command asks for: every statement that the store runs, with its plan.
//!
//! Tables that grow with the number of keys are searched by index. Only commands about all keys read them whole, and
//! then in the wanted order, so that nothing is sorted and a limit can end the read early.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rusqlite::trace::{TraceEvent, TraceEventCodes};

use jiff::Timestamp;

use crate::rules::directory::{Draft, Facts};
use crate::rules::hashing::HashedSecret;
use crate::rules::key::{Settings, State};
use crate::rules::names::{Name, Prefix};
use crate::rules::token::Id;
use crate::rules::usage::Call;
use crate::store::{
    Filter, Names, NewKey, NewSecret, Sort, Staging, Stamp, Store, StoreError, StoreSettings, Subject, Tally, Uses,
};

const SORTED: &str = "USE TEMP B-TREE FOR ORDER BY";

type Statements = Arc<Mutex<BTreeSet<String>>>;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A store that records the statements it runs.
fn watched() -> (Store, Statements) {
    let mut store = Store::in_memory(at(0)).unwrap();
    let seen = Statements::default();
    let into = Arc::clone(&seen);
    let note = move |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(_, sql) = event {
            into.lock().unwrap().insert(sql.to_owned());
        }
    };
    store.conn.file_mut().unwrap().connection_mut().trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note)).unwrap();
    (store, seen)
}

/// The full scans and sorts in the statements that `run` executes.
fn read_whole(run: impl FnOnce(&mut Store)) -> Vec<String> {
    const GROWING: [&str; 17] = [
        "key",
        "k",
        "secret",
        "s",
        "key_scope",
        "key_level",
        "key_address",
        "key_label",
        "key_use",
        "u",
        "usage",
        "history",
        "announced_secret",
        "user",
        "o",
        "e",
        "reservation",
    ];
    let (mut store, seen) = watched();
    run(&mut store);
    let statements = std::mem::take(&mut *seen.lock().unwrap());
    let wanted = ["SELECT", "UPDATE", "DELETE", "INSERT"];
    let mut found = vec![];
    for sql in statements.iter().filter(|sql| wanted.iter().any(|verb| sql.trim_start().starts_with(verb))) {
        let mut explain =
            store.conn.file().unwrap().connection().prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let parameters = explain.parameter_count();
        let nothing = std::iter::repeat_n(rusqlite::types::Null, parameters);
        let steps = explain.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
        for step in steps.map(Result::unwrap) {
            let mut words = step.split(' ');
            let is_scan = words.next() == Some("SCAN") && words.next().is_some_and(|table| GROWING.contains(&table));
            // Nearly all events are about keys.
            let is_scan = is_scan || step == "SEARCH history USING INDEX history_by_subject (subject_kind=?)";
            if is_scan || step.contains("AUTOMATIC") || step == SORTED {
                found.push(step);
            }
        }
    }
    found
}

pub(in crate::store) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(in crate::store) fn secret(byte: u8) -> NewSecret {
    NewSecret { id: Id::from_random([byte; 8]), hash: HashedSecret::from_stored("made up".to_owned()) }
}

fn drafts() -> [Draft; 4] {
    let draft = |facts| Draft { name: name("a"), description: None, facts };
    let user =
        Facts::User { role: Some(name("a")), tenant: Some(name("a")), enabled: true, limits: "".parse().unwrap() };
    [
        Facts::Role { rank: 1, manages_keys: true },
        Facts::Tenant { enabled: true, limits: "".parse().unwrap() },
        Facts::Group,
        user,
    ]
    .map(draft)
}

/// Settings with a value in every field.
pub(in crate::store) fn settings() -> Settings {
    let mut settings = Settings::with_prefix(Prefix::default());
    settings.group = Some(name("a"));
    settings.owner = Some(name("a"));
    settings.role = Some(name("a"));
    settings.tenant = Some(name("a"));
    settings.scopes.insert("rest".parse().unwrap());
    settings.levels.insert("a/b".parse().unwrap());
    settings.allowed_ips.insert("10.0.0.0/8".parse().unwrap());
    settings.labels.insert("team".parse().unwrap(), "web".parse().unwrap());
    settings.expires_at = Some(at(2_000));
    settings
}

/// A key with a secret, and everything that can be done with both.
pub(in crate::store) fn live_and_die(store: &mut Store) -> Result<(), StoreError> {
    let by = name("a");
    let stamp = Stamp { now: at(1_000), actor: None };
    let mut uses = Uses::default();
    let id = Id::from_random([1; 8]);
    let new = NewKey { id: &id, name: &name("key"), settings: &settings(), secret: &secret(2) };
    let key = store.write(stamp, |changes| {
        drafts().iter().try_for_each(|draft| changes.insert_entry(draft).map(drop))?;
        changes.announce(&[&new.secret.id])?;
        changes.reserve(&[(Subject::Name(name("key")), &new.secret.id)], at(1_060))?;
        changes.insert_key(&new)
    })?;
    store.write(Stamp { actor: Some(&by), ..stamp }, |changes| {
        let key = changes.update_key(&key, &name("other"), &Settings::with_prefix(Prefix::default()))?;
        changes.replace_secret(&key, &secret(3), at(3_000))?;
        let key = changes.key(&id)?.ok_or(StoreError::KeyGone(name("other")))?;
        changes.stage_secret(&key, &secret(4), Staging::Told)?;
        changes.unstage_secret(&key, &secret(4).id, Staging::Told)?;
        changes.stage_secret(&key, &secret(5), Staging::Quiet)?;
        changes.promote_secret(&key, &secret(5).id)?;
        uses.add(&id, Call::Allowed, at(1_000), None);
        changes.record_uses(&uses)?;
        changes.prune_usage(&StoreSettings::default(), 10)?;
        changes.renew_hash(&secret(5).id, &secret(6).hash)?;
        changes.withdraw(&[&secret(7).id])?;
        changes.release(&[&secret(7).id])?;
        changes.head()?;
        changes.find("nobody").map(drop)
    })?;
    for wanted in ["other", "nobody"] {
        let view = store.view()?;
        view.find(wanted)?;
        view.named(&name(wanted))?;
        view.is_leftover(&secret(9).id)?;
        view.id_is_taken(&id)?;
        view.presented(&secret(5).id)?;
        view.rank_of(&name(wanted))?;
        view.authority(Some(&name(wanted)))?;
        view.last_key_named(wanted)?;
        view.settings()?;
        view.head()?;
        view.tally(&mut Tally::new(at(0), []), 10)?;
    }
    store.write(stamp, |changes| {
        for draft in drafts().iter().rev() {
            let entry = changes.required_entry(draft.facts.kind(), &draft.name)?;
            changes.update_entry(&entry, &Draft { description: "d".parse().ok(), ..draft.clone() })?;
            changes.delete_entry(&changes.required_entry(draft.facts.kind(), &draft.name)?, true)?;
        }
        changes.delete_key(&changes.key(&id)?.ok_or(StoreError::KeyGone(name("other")))?)
    })
}

#[test]
fn what_is_about_one_key_reads_no_table_whole() {
    let mut found = read_whole(|store| live_and_die(store).unwrap());
    // The history records the keys of a deleted group in order.
    found.retain(|step| step != SORTED);
    assert_eq!(found, [""; 0]);
}

#[test]
fn completion_searches_by_what_was_typed() {
    use Names::{Groups, Keys, Levels, Roles, Scopes, Tenants, Users};
    for names in [Keys, Groups, Users, Roles, Tenants, Scopes, Levels] {
        assert_eq!(
            read_whole(|store| drop(store.view().unwrap().names_starting(names, "a").unwrap())),
            [""; 0],
            "{names:?}"
        );
    }
}

/// A filter, and its full scans and sorts.
#[test]
fn lists_search_by_their_filters() {
    const BY_NAME: &str = "SCAN k USING INDEX sqlite_autoindex_key_2";
    // This index holds only these.
    let with = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    for (what, filter, whole) in [
        ("all", Filter::default(), vec![BY_NAME]),
        ("from the end", with(|f| f.reverse = true), vec![BY_NAME]),
        ("a few", with(|f| f.limit = Some(20)), vec![BY_NAME]),
        ("name", with(|f| f.name = "x*".to_owned().into()), vec![]),
        ("group", with(|f| f.group = name("a").into()), vec![SORTED]),
        ("owner", with(|f| f.owner = name("a").into()), vec![SORTED]),
        ("role", with(|f| f.role = name("a").into()), vec![SORTED]),
        ("tenant", with(|f| f.tenant = name("a").into()), vec![SORTED]),
        ("scope", with(|f| f.scopes = vec!["rest".parse().unwrap()]), vec![SORTED]),
        ("level", with(|f| f.levels = vec!["a/b".parse().unwrap()]), vec![SORTED]),
        ("label", with(|f| f.labels = vec!["team=web".parse().unwrap()]), vec![SORTED]),
        ("any label", with(|f| f.labels = vec!["team".parse().unwrap()]), vec![SORTED]),
        ("expiry", with(|f| f.expires_by = Some(at(9))), vec![SORTED]),
        ("disabled", with(|f| f.state = State::Disabled.into()), vec![]),
        ("expired", with(|f| f.state = State::Expired.into()), vec![SORTED]),
        // Most keys are active and older than that, and suspension is stored elsewhere: these filters are about all
        // keys.
        ("one of two owners", with(|f| f.owner = "a,b".parse().unwrap()), vec![SORTED]),
        ("one of two scopes", with(|f| f.scopes = vec!["a,b".parse().unwrap()]), vec![SORTED]),
        ("two names", with(|f| f.name = "a,b".parse().unwrap()), vec![SORTED]),
        ("active", with(|f| f.state = State::Active.into()), vec![BY_NAME]),
        ("suspended", with(|f| f.state = State::Suspended.into()), vec![BY_NAME]),
        ("unused", with(|f| f.unused_since = Some(at(9))), vec![BY_NAME]),
        ("the oldest", with(|f| f.sort = Sort::Created), vec!["SCAN k USING INDEX key_by_creation"]),
        ("the next to expire", with(|f| f.sort = Sort::Expires), vec!["SCAN k USING INDEX key_by_expiry"]),
        // Keys that were never used are in no index.
        ("the longest unused", with(|f| f.sort = Sort::Used), vec!["SCAN k", SORTED]),
    ] {
        let list =
            |store: &mut Store| store.view().unwrap().each_key::<StoreError>(&filter, at(5), |_| Ok(())).unwrap();
        assert_eq!(read_whole(list), whole, "{what}");
    }
}
