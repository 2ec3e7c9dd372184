//! Tests limits against a reference model written from their definition: what several gates and one-shot verifiers on
//! one file may allow, with any clock that goes forward, whenever the gates write their counts.

#[path = "limits_model/account.rs"]
mod account;

use std::cell::RefCell;
use std::collections::HashSet;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use account::Account;

use super::super::gate::{Gate, Options};
use super::super::{Recorder, Verifier};
use crate::rules::credential::parse_line;
use crate::rules::decision::{Outcome, Reason, Request, Transport};
use crate::rules::directory::{Draft, Facts, Kind};
use crate::rules::hashing::{Cost, HashedSecret};
use crate::rules::key::Settings;
use crate::rules::limits::{Limit, Limits, Whose};
use crate::rules::names::{Name, Prefix};
use crate::rules::token::{Id, Secret};
use crate::store::{Changes, MeterId, NewKey, NewSecret, Stamp, Store, StoreError};

/// Long after the end of a case, so that the next one begins with nothing used.
const REST: i64 = 40 * 86_400;
const GATES: usize = 3;
/// The last actor is a one-shot verifier.
const ACTORS: usize = GATES + 1;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn secret(number: u8) -> Secret {
    Secret::build(&Prefix::default(), Id::from_random([number; 8]), &[number; 32])
}

fn change(store: &mut Store, second: i64, f: impl FnOnce(&Changes<'_>) -> Result<(), StoreError>) {
    let stamp = Stamp { now: Timestamp::from_second(second).unwrap(), actor: None };
    store.write_lightly(stamp, f).unwrap();
}

/// A store with two keys of one user, of which the first works for a tenant.
struct World {
    _folder: tempfile::TempDir,
    store: Store,
    gates: Vec<(Gate, Recorder)>,
    single: Verifier,
    second: i64,
    /// For which rates the gates hold counts: whose, the seconds, and the gate.
    kept: HashSet<(usize, u64, usize)>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.db");
        let second = 1_767_225_600;
        let start = Timestamp::from_second(second).unwrap();
        let mut store = Store::create(&path, start).unwrap();
        let mut settings = store.view().unwrap().settings().unwrap();
        settings.hash_cost = Cost::FLOOR;
        change(&mut store, second, |changes| {
            changes.save_settings(&settings)?;
            for (kind, entry) in [(Kind::Tenant, "t"), (Kind::User, "u")] {
                changes.insert_entry(&Draft {
                    name: name(entry),
                    description: None,
                    facts: Facts::default_of(kind),
                })?;
            }
            for (number, tenant) in [(1, Some(name("t"))), (2, None)] {
                let hash = HashedSecret::new(&secret(number), [number; 16], Cost::FLOOR).unwrap();
                let first = NewSecret { id: secret(number).id().clone(), hash };
                let settings = Settings { owner: Some(name("u")), tenant, ..Settings::with_prefix(Prefix::default()) };
                let (id, name) = (Id::from_random([number + 100; 8]), name(&format!("k{number}")));
                changes.insert_key(&NewKey { id: &id, name: &name, settings: &settings, secret: &first })?;
            }
            Ok(())
        });
        let options = Options { threads: 1.try_into().unwrap(), queue: 4, ..Options::default() };
        let gate = || {
            let gate = Gate::new(Store::open(&path).unwrap(), [7; 32], options).unwrap();
            let recorder = gate.recorder(start).unwrap();
            (gate, recorder)
        };
        let gates = (0..GATES).map(|_| gate()).collect();
        let single = Verifier::new(Store::open(&path).unwrap()).unwrap();
        Self { _folder: folder, store, gates, single, second, kept: HashSet::new() }
    }

    /// Gives both keys, their user and the tenant these limits.
    fn limit(&mut self, limits: &[Limits; 4]) {
        self.second += REST;
        let second = self.second;
        let view = self.store.view().unwrap();
        let keys = ["k1", "k2"].map(|key| view.named(&name(key)).unwrap().unwrap());
        let entries = [Kind::User, Kind::Tenant].map(|kind| view.entries(kind).unwrap().remove(0));
        drop(view);
        change(&mut self.store, second, |changes| {
            for (key, limits) in keys.iter().zip(limits) {
                let settings = Settings { limits: limits.clone(), ..key.settings.clone() };
                changes.update_key(key, &key.name, &settings)?;
            }
            for (entry, own) in entries.iter().zip(&limits[2..]) {
                let mut draft = entry.draft.clone();
                match &mut draft.facts {
                    Facts::User { limits, .. } | Facts::Tenant { limits, .. } => limits.clone_from(own),
                    _ => {}
                }
                changes.update_entry(entry, &draft)?;
            }
            Ok(())
        });
    }

    /// Asks for a key, and returns which checks of limits failed.
    fn ask(&mut self, actor: usize, key: usize, now: Timestamp) -> Vec<Reason> {
        let credential = parse_line(secret(u8::try_from(key + 1).unwrap()).expose());
        let mut request = Request::over(Transport::Https);
        request.tenant = Some(name("t"));
        let answer = if let Some((gate, recorder)) = self.gates.get_mut(actor) {
            let answer = gate.ask(credential, &request, now).wait().unwrap();
            recorder.count(&answer, None, now);
            answer
        } else {
            let mut answer = self.single.verify(credential, &request, now).unwrap();
            self.single.admit(&mut answer, &request, || None, now).unwrap();
            answer
        };
        let failed = answer.decision.checks().iter().filter(|check| check.outcome == Outcome::Fail);
        failed.map(|check| check.reason).collect()
    }
}

fn some_limits() -> impl Strategy<Value = Limits> {
    let rate = (1u64..12, prop_oneof![Just("1s"), Just("7s"), Just("1m"), Just("1h")], prop::option::of(1u64..12))
        .prop_map(|(count, period, burst)| Limit::new(count, period.parse().unwrap(), burst).unwrap());
    let quota = (1u64..12, prop_oneof![Just("1d"), Just("1mo")])
        .prop_map(|(count, period)| Limit::new(count, period.parse().unwrap(), None).unwrap());
    prop::collection::vec(prop_oneof![rate, quota], 0..3).prop_map(|all| {
        let mut limits = Limits::default();
        for limit in all {
            limits.put(limit);
        }
        limits
    })
}

/// How many ticks pass, who acts, on which key, and whether a gate only writes.
type Step = (i64, usize, usize, bool);

fn steps(first: usize) -> impl Strategy<Value = Vec<Step>> {
    // Mostly moments, sometimes hours, seldom weeks.
    let gap = (0i64..10_000_000_000_000, 0u32..9).prop_map(|(gap, shift)| gap >> (shift * 5));
    prop::collection::vec((gap, first..ACTORS, 0usize..2, prop::bool::weighted(0.15)), 1..60)
}

fn compare(world: &mut World, limits: &[Limits; 4], steps: &[Step]) {
    world.limit(limits);
    let account = |place: usize, limit: &Limit| {
        let (seconds, is_rate) = (limit.period().seconds(), limit.burst().is_some());
        Account::new(*limit, |gate| is_rate && world.kept.contains(&(place, seconds, gate)))
    };
    let all = limits.iter().enumerate();
    let mut accounts: Vec<Vec<_>> =
        all.map(|(place, limits)| limits.iter().map(|limit| account(place, limit)).collect()).collect();
    let mut now = Timestamp::from_second(world.second).unwrap();
    for (gap, actor, key, writes) in steps {
        now += jiff::SignedDuration::from_nanos(gap * 100);
        if *writes && *actor < GATES {
            flush(world, &mut accounts, *actor, now);
            continue;
        }
        // The limits of the key, the user and, for the first key, the tenant.
        let of_key: &[usize] = if *key == 0 { &[0, 2, 3] } else { &[1, 2] };
        let refused = |is_quota: bool| {
            let all = of_key.iter().flat_map(|place| &accounts[*place]);
            all.filter(|account| account.limit.burst().is_none() == is_quota)
                .any(|account| !account.allows(*actor, now))
        };
        let expected: Vec<_> = [(false, Reason::RateLimited), (true, Reason::QuotaExceeded)]
            .into_iter()
            .filter(|(is_quota, _)| refused(*is_quota))
            .map(|(_, reason)| reason)
            .collect();
        assert_eq!(world.ask(*actor, *key, now), expected, "{now} by {actor}");
        if expected.is_empty() {
            for place in of_key {
                accounts[*place].iter_mut().for_each(|account| account.take(*actor, now));
            }
        }
    }
    for gate in 0..GATES {
        flush(world, &mut accounts, gate, now);
    }
    world.second = now.as_second();
    check_end(world, &accounts);
}

fn flush(world: &mut World, accounts: &mut [Vec<Account>], gate: usize, now: Timestamp) {
    world.gates[gate].1.flush(Timestamp::from_second(now.as_second()).unwrap()).unwrap();
    accounts.iter_mut().flatten().for_each(|account| account.flush(gate));
}

/// The store holds what was allowed, and each limit kept its promise.
fn check_end(world: &mut World, accounts: &[Vec<Account>]) {
    let view = world.store.view().unwrap();
    let subjects = [1, 2].map(|number| view.presented(secret(number).id()).unwrap().unwrap().subjects);
    let rows = [
        (Whose::Key, subjects[0].key),
        (Whose::Key, subjects[1].key),
        (Whose::User, subjects[0].user.unwrap()),
        (Whose::Tenant, subjects[0].tenant.unwrap()),
    ];
    for (place, ((whose, subject), all)) in rows.into_iter().zip(accounts).enumerate() {
        for account in all {
            account.check_promise();
            let length = account.limit.period().seconds();
            for gate in 0..GATES {
                if account.gates[gate].is_some() {
                    world.kept.insert((place, length, gate));
                }
            }
            let Some((.., window)) = account.log.last().filter(|_| account.limit.burst().is_none()) else { continue };
            let meter = view.meter(&MeterId { whose, policy: None, subject, length }).unwrap();
            assert_eq!(meter.used, account.allowed_in(window), "{} of {whose:?} in {window}", account.limit);
        }
    }
}

/// Runs this many cases, or as many as `PROPTEST_CASES` says.
fn run(cases: u32, steps: impl Strategy<Value = Vec<Step>>) {
    // The configuration comes from the variable, or holds proptest's default number.
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let config = ProptestConfig { cases: if default.cases == 256 { cases } else { default.cases }, ..default };
    let world = RefCell::new(World::new());
    let limits = [some_limits(), some_limits(), some_limits(), some_limits()];
    let result = TestRunner::new(config).run(&(limits, steps), |(limits, steps)| {
        compare(&mut world.borrow_mut(), &limits, &steps);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn one_after_the_other_is_exact() {
    run(60, steps(GATES));
}

#[test]
fn several_gates_and_single_questions_keep_what_limits_promise() {
    run(200, steps(0));
}
