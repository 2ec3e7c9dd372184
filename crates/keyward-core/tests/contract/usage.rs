//! Usage: how often, when last and from where, and how many calls per hour.

use jiff::Timestamp;
use keyward_core::rules::calendar::Unit;
use keyward_core::rules::key::Key;
use keyward_core::rules::usage::{Call, Calls};
use keyward_core::store::{Store, StoreSettings, Usage, UsageQuery, Uses};

use crate::{Fixture, NOW, at, insert, stamp, use_once};

const HOUR: i64 = 3_600;

fn record(store: &mut Store, calls: &[(&Key, Call, i64)]) {
    let mut uses = Uses::default();
    for (key, call, second) in calls {
        uses.add(&key.id, *call, at(*second), None);
    }
    store.write(stamp(), |changes| changes.record_uses(&uses)).unwrap();
}

fn keys(store: &mut Store, names: &[&str]) -> Vec<Key> {
    let numbers = 1..;
    let insert = |(name, byte): (&&str, u8)| store.write(stamp(), |changes| insert(changes, name, byte)).unwrap();
    names.iter().zip(numbers).map(insert).collect()
}

/// A query for all keys since the beginning.
fn all(by: Unit) -> UsageQuery<'static> {
    UsageQuery { key: None, since: Timestamp::MIN, by, top: 10 }
}

fn usage(store: &Store, query: &UsageQuery<'_>) -> Usage {
    store.view().unwrap().usage(query).unwrap()
}

/// The start of each period, and its allowed, forbidden and limited calls.
fn periods(usage: &Usage) -> Vec<(String, [u64; 3])> {
    let numbers = |calls: &Calls| [calls.allowed, calls.forbidden, calls.limited];
    usage.periods.iter().map(|(start, calls)| (start.to_string(), numbers(calls))).collect()
}

fn names(usage: &Usage) -> String {
    let tell = |key: &keyward_core::store::KeyUsage| format!("{} {}", key.name, key.calls.all());
    usage.keys.iter().map(tell).collect::<Vec<_>>().join(", ")
}

pub(crate) fn uses_are_counted_and_the_last_one_stays_the_last<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let key = keys(&mut store, &["one"]).remove(0);
    let address = |text: &str| Some(text.parse().unwrap());
    let mut uses = Uses::default();
    uses.add(&key.id, Call::Allowed, at(NOW + 5), address("::ffff:192.0.2.7"));
    uses.add(&key.id, Call::Allowed, at(NOW + 3), address("192.0.2.8"));
    // A refused request does not count as a use.
    uses.add(&key.id, Call::Forbidden, at(NOW + 9), address("192.0.2.9"));
    store.write(stamp(), |changes| changes.record_uses(&uses)).unwrap();
    // A clock that was set back does not move the last use into the past.
    store.write(stamp(), |changes| use_once(changes, &key)).unwrap();
    let stored = |store: &Store| {
        let key = store.view().unwrap().find("one").unwrap().unwrap();
        (key.use_count, key.last_used_at, key.last_used_from)
    };
    assert_eq!(stored(&store), (3, Some(at(NOW + 5)), address("192.0.2.7")));
    // Within one second the later use wins, even if its address is unknown.
    record(&mut store, &[(&key, Call::Allowed, NOW + 5)]);
    assert_eq!(stored(&store), (4, Some(at(NOW + 5)), None));
}

pub(crate) fn calls_are_kept_by_key_and_hour<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let keys = keys(&mut store, &["one", "two", "gone"]);
    let [one, two, gone] = [&keys[0], &keys[1], &keys[2]];
    store.write(stamp(), |changes| changes.delete_key(gone)).unwrap();
    record(
        &mut store,
        &[
            (one, Call::Allowed, 0),
            (one, Call::Limited, HOUR - 1),
            (one, Call::Allowed, HOUR),
            (one, Call::Forbidden, -1),
            (gone, Call::Allowed, 5),
        ],
    );
    record(&mut store, &[(one, Call::Allowed, 5), (two, Call::Forbidden, 7)]);
    let told = usage(&store, &all(Unit::Hour));
    assert_eq!(
        periods(&told),
        [
            ("1969-12-31T23:00:00Z".to_owned(), [0, 1, 0]),
            ("1970-01-01T00:00:00Z".to_owned(), [2, 1, 1]),
            ("1970-01-01T01:00:00Z".to_owned(), [1, 0, 0]),
        ]
    );
    assert_eq!((names(&told).as_str(), told.key_count), ("one 5, two 1", 2));
    assert_eq!(told.total(), Calls { allowed: 3, forbidden: 2, limited: 1 });
    assert_eq!(store.view().unwrap().key(&one.id).unwrap().unwrap().use_count, 3);
    assert_eq!(store.view().unwrap().key(&two.id).unwrap().unwrap().use_count, 0);
    let of_two = usage(&store, &UsageQuery { key: Some(&two.id), ..all(Unit::Hour) });
    assert_eq!((periods(&of_two).len(), names(&of_two).as_str()), (1, "two 1"));
    // Deleting a key deletes its usage.
    store.write(stamp(), |changes| changes.delete_key(one)).unwrap();
    assert_eq!(names(&usage(&store, &all(Unit::Hour))), "two 1");
}

pub(crate) fn usage_is_told_by_period_and_by_key<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let keys = keys(&mut store, &["b", "c", "a"]);
    let [b, c, a] = [&keys[0], &keys[1], &keys[2]];
    let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
    let (january, february, march) =
        (second("2026-01-31T23:59:59Z"), second("2026-02-01T00:00:00Z"), second("2026-03-10T12:30:00Z"));
    let calls = [(b, january), (b, february), (c, february), (a, march), (a, march), (a, march + 1), (c, march)];
    record(&mut store, &calls.map(|(key, second)| (key, Call::Allowed, second)));
    let told = |by, since: &str, top| {
        let told = usage(&store, &UsageQuery { since: since.parse().unwrap(), top, ..all(by) });
        let starts: Vec<_> = periods(&told).iter().map(|(start, calls)| format!("{start} {}", calls[0])).collect();
        (starts.join(", "), names(&told), told.key_count)
    };
    let three = |one: &str, two: &str, three: &str| [one, two, three].join(", ");
    for (by, since, top, starts, keys, count) in [
        (
            Unit::Month,
            "2026-01-15T00:00:00Z",
            9,
            three("2026-01-01T00:00:00Z 1", "2026-02-01T00:00:00Z 2", "2026-03-01T00:00:00Z 4"),
            "a 3, b 2, c 2",
            3,
        ),
        (
            Unit::Day,
            "2026-01-31T12:00:00Z",
            2,
            three("2026-01-31T00:00:00Z 1", "2026-02-01T00:00:00Z 2", "2026-03-10T00:00:00Z 4"),
            "a 3, b 2",
            3,
        ),
        (Unit::Day, "2026-02-02T00:00:00Z", 9, "2026-03-10T00:00:00Z 4".to_owned(), "a 3, c 1", 2),
        (Unit::Hour, "2026-03-10T12:59:59Z", 0, "2026-03-10T12:00:00Z 4".to_owned(), "", 2),
        (Unit::Hour, "2026-03-10T13:00:00Z", 9, String::new(), "", 0),
    ] {
        assert_eq!(told(by, since, top), (starts, keys.to_owned(), count), "{by} {since}");
    }
}

/// The rows of a few hours are looked up differently from those of many.
pub(crate) fn few_hours_of_many_are_told_alike<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let keys = keys(&mut store, &["one", "two"]);
    let calls: Vec<_> =
        (0..200_i64).map(|hour| (&keys[usize::from(hour % 3 == 0)], Call::Allowed, hour * HOUR + 9)).collect();
    record(&mut store, &calls);
    for hours in [1_i64, 3, 15, 16, 17, 18, 30, 200] {
        let wanted = &calls[calls.len() - usize::try_from(hours).unwrap()..];
        let query = UsageQuery { since: at((200 - hours) * HOUR), ..all(Unit::Hour) };
        let told = usage(&store, &query);
        let starts: Vec<_> = told.periods.iter().map(|(start, _)| start.as_second()).collect();
        assert_eq!(starts, wanted.iter().map(|(.., second)| second - 9).collect::<Vec<_>>());
        for key in &told.keys {
            let own = wanted.iter().filter(|(other, ..)| other.id == key.id).count();
            assert_eq!(key.calls.allowed, own as u64, "{hours}");
        }
        assert_eq!(told.keys.iter().map(|key| key.calls.allowed).sum::<u64>(), hours.unsigned_abs());
    }
}

pub(crate) fn usage_is_kept_as_long_as_it_is_said<F: Fixture>() {
    let place = F::new();
    let mut store = place.open();
    let keys = keys(&mut store, &["one", "two"]);
    let day = 24 * HOUR;
    let calls: Vec<_> =
        (0..10).flat_map(|number| keys.iter().map(move |key| (key, Call::Allowed, number * day))).collect();
    record(&mut store, &calls);
    let prune = |store: &mut Store, retention: Option<&str>, now: i64, most| {
        let mut settings = StoreSettings::default();
        settings.usage_retention = retention.map(|time| time.parse().unwrap());
        let stamp = keyward_core::store::Stamp { now: at(now), actor: None };
        store.write(stamp, |changes| changes.prune_usage(&settings, most)).unwrap();
        usage(store, &all(Unit::Day)).total().allowed
    };
    assert_eq!(prune(&mut store, None, 900 * day, 100), 20);
    assert_eq!(prune(&mut store, Some("400d"), 400 * day, 100), 20);
    assert_eq!(prune(&mut store, Some("400d"), 400 * day + HOUR, 100), 18);
    // A few at a time, the oldest first.
    assert_eq!(prune(&mut store, Some("1d"), 9 * day, 3), 15);
    let left = usage(&store, &all(Unit::Day));
    assert_eq!(periods(&left)[0], ("1970-01-03T00:00:00Z".to_owned(), [1, 0, 0]));
    assert_eq!(prune(&mut store, Some("1d"), 9 * day, 100), 4);
    // A cutoff before the earliest possible time removes nothing.
    assert_eq!(prune(&mut store, Some("9000y"), 9 * day, 100), 4);
    // The total number of uses is kept.
    assert_eq!(store.view().unwrap().key(&keys[0].id).unwrap().unwrap().use_count, 10);
}
