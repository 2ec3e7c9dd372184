//! Limits against a reference that is written from their definition: what each of several gates and one-shot verifiers
//! on one file may allow, at any clock that goes forward, whenever the gates write down what they have used.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

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

const TICKS: i128 = 10_000_000;
/// Long after the end of a case, so that the next one begins with nothing used.
const REST: i64 = 40 * 86_400;
const GATES: usize = 3;
/// The last actor asks one by one.
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
    /// Of which rates the gates keep something: of whose, the seconds, and the gate.
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
        let options = Options { threads: 1.try_into().unwrap(), queue: 4, is_background: false, takes: true };
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

    /// Asks for a key, and returns which of the checks of limits failed.
    fn ask(&mut self, actor: usize, key: usize, now: Timestamp) -> Vec<Reason> {
        let credential = parse_line(secret(u8::try_from(key + 1).unwrap()).expose());
        let mut request = Request::over(Transport::Https);
        request.tenant = Some(name("t"));
        let answer = if let Some((gate, recorder)) = self.gates.get_mut(actor) {
            let answer = gate.ask(credential, &request, now).wait().unwrap();
            recorder.count(&answer, now);
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

/// What the definition says of one limit.
struct Account {
    limit: Limit,
    /// What the store knows, and each gate that has taken one before.
    stored: Known,
    gates: [Option<Known>; GATES],
    /// Of each gate, what it has taken and not written down.
    unwritten: [u64; GATES],
    /// The most of that there ever was in each day or month.
    most_unwritten: HashMap<String, [u64; GATES]>,
    /// All that were allowed: by whom, when in ticks, and in which day or month.
    log: Vec<(usize, i128, String)>,
}

/// Of a quota the calendar day or month as people write it, and how many were allowed in it. Of a rate, the tick at
/// which its bucket will be empty.
#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    window: String,
    used: u64,
    empty_at: i128,
}

fn ticks(now: Timestamp) -> i128 {
    now.as_nanosecond().div_euclid(100)
}

impl Account {
    fn new(limit: Limit, keeps: impl Fn(usize) -> bool) -> Self {
        Self {
            limit,
            stored: Known::default(),
            gates: std::array::from_fn(|gate| keeps(gate).then(Known::default)),
            unwritten: [0; GATES],
            most_unwritten: HashMap::new(),
            log: vec![],
        }
    }

    /// `2026-01-31`, `2026-01`, or nothing for a rate.
    fn window(&self, now: Timestamp) -> String {
        let date = now.to_zoned(TimeZone::UTC).date().to_string();
        match self.limit.period().to_string().as_str() {
            "1d" => date,
            "1mo" => date[..7].to_owned(),
            _ => String::new(),
        }
    }

    /// A gate looks at the store only for what it keeps nothing of.
    fn known(&self, actor: usize, now: Timestamp) -> &Known {
        let own = self.gates.get(actor).and_then(Option::as_ref);
        own.filter(|own| own.window == self.window(now)).unwrap_or(&self.stored)
    }

    /// How long a bucket takes to lose one, rounded up.
    fn interval(&self) -> i128 {
        let period = i128::from(self.limit.period().seconds()) * TICKS;
        period.div_euclid(self.limit.count().into()) + i128::from(period.rem_euclid(self.limit.count().into()) > 0)
    }

    fn allows(&self, actor: usize, now: Timestamp) -> bool {
        let known = self.known(actor, now);
        match self.limit.burst() {
            None => known.window != self.window(now) || known.used < self.limit.count(),
            Some(burst) => {
                let level = (known.empty_at - ticks(now)).max(0);
                level + self.interval() <= self.interval() * i128::from(burst)
            }
        }
    }

    fn take(&mut self, actor: usize, now: Timestamp) {
        let (window, is_quota) = (self.window(now), self.limit.burst().is_none());
        let mut known = self.known(actor, now).clone();
        if is_quota && known.window != window {
            known = Known { window: window.clone(), ..Known::default() };
        }
        if self.gates.get(actor).and_then(Option::as_ref).is_some_and(|own| own.window != window) {
            self.unwritten[actor] = 0;
        }
        known.used += 1;
        known.empty_at = known.empty_at.max(ticks(now)) + self.interval();
        self.log.push((actor, ticks(now), window.clone()));
        match self.gates.get_mut(actor) {
            Some(gate) => {
                *gate = Some(known);
                self.unwritten[actor] += 1;
                let most = self.most_unwritten.entry(window).or_default();
                most[actor] = most[actor].max(self.unwritten[actor]);
            }
            None => self.stored = known,
        }
    }

    /// A gate writes down what it has taken, and learns what others have.
    fn flush(&mut self, gate: usize) {
        let Some(own) = self.gates[gate].clone().filter(|_| self.unwritten[gate] > 0) else { return };
        let taken = std::mem::take(&mut self.unwritten[gate]);
        if self.limit.burst().is_some() {
            self.stored.empty_at = self.stored.empty_at.max(own.empty_at);
        } else if own.window == self.stored.window {
            self.stored.used += taken;
        } else if own.window > self.stored.window {
            self.stored = own;
        }
        self.gates[gate] = Some(self.stored.clone());
    }

    /// How many were allowed in a day or a month.
    fn allowed_in(&self, window: &str) -> u64 {
        self.log.iter().filter(|(.., own)| own == window).count() as u64
    }

    /// In no stretch as long as the period has one process allowed more than the count and the burst; in no day and no
    /// month have all together allowed more than the count and what each gate took between two times that it wrote.
    fn check_promise(&self) {
        let Some(burst) = self.limit.burst() else {
            for (.., window) in &self.log {
                let late: u64 = self.most_unwritten.get(window).map_or(0, |all| all.iter().sum());
                assert!(self.allowed_in(window) <= self.limit.count() + late, "{} in {window}", self.limit);
            }
            return;
        };
        let length = i128::from(self.limit.period().seconds()) * TICKS;
        for actor in 0..ACTORS {
            let own: Vec<_> = self.log.iter().filter(|(who, ..)| *who == actor).map(|(_, at, _)| *at).collect();
            for (place, first) in own.iter().enumerate() {
                let within = own[place..].iter().take_while(|at| **at < first + length).count();
                assert!(within as u64 <= self.limit.count() + burst, "{} by {actor}", self.limit);
            }
        }
    }
}

fn some_limits() -> impl Strategy<Value = Limits> {
    let rate = (1u64..12, prop_oneof![Just("1s"), Just("7s"), Just("1m"), Just("1h")], prop::option::of(1u64..12))
        .prop_map(|(count, period, burst)| Limit::new(count, period.parse().unwrap(), burst).unwrap());
    let quota = (1u64..12, prop_oneof![Just("1d"), Just("1mo")])
        .prop_map(|(count, period)| Limit::new(count, period.parse().unwrap(), None).unwrap());
    prop::collection::vec(prop_oneof![rate, quota], 0..3).prop_map(|all| {
        let mut limits = Limits::default();
        all.into_iter().for_each(|limit| limits.put(limit));
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
        // The key, the user, and of the first key the tenant.
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

/// What stands in the store is what was allowed, and each limit held what it promises.
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

/// Runs as many cases as there are, or as `PROPTEST_CASES` says.
fn run(cases: u32, steps: impl Strategy<Value = Vec<Step>>) {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
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
    run(400, steps(0));
}
