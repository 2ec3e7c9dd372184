//! Filters: which keys a list shows, in which order, and how many there are.

use keyward_core::rules::directory::{Draft, Facts};
use keyward_core::rules::key::State;
use keyward_core::rules::limits::Limits;
use keyward_core::store::{Filter, Names, Sort, Stamp, Store, StoreError, Tally};

use crate::{Fixture, NOW, at, insert_with, name, settings, stamp, use_once};

/// Keys that differ in every field that filters use.
fn prepared<F: Fixture>(place: &F) -> Store {
    let mut store = place.open();
    let made = store.write(stamp(), |changes| {
        for (named, facts) in [
            ("g", Facts::Group),
            ("acme", Facts::Tenant { enabled: false, limits: Limits::default() }),
            ("ann", Facts::User { role: None, tenant: None, enabled: true, limits: Limits::default() }),
        ] {
            changes.insert_entry(&Draft { name: name(named), description: None, facts })?;
        }
        let mut full = settings();
        full.group = Some(name("g"));
        full.description = Some("Backups of the night".parse().unwrap());
        full.owner = Some(name("ann"));
        full.role = Some(name("editor"));
        full.scopes = ["rest", "ui"].map(|scope| scope.parse().unwrap()).into();
        full.levels = ["api/read".parse().unwrap()].into();
        full.labels = [("team".parse().unwrap(), "web".parse().unwrap())].into();
        insert_with(changes, "ci/full", 1, &full)?;
        let mut suspended = settings();
        suspended.tenant = Some(name("acme"));
        suspended.scopes = ["rest".parse().unwrap()].into();
        insert_with(changes, "ci/suspended", 2, &suspended)?;
        // Of the reasons that a key does not work, expiry comes first.
        let mut expired = settings();
        (expired.expires_at, expired.enabled) = (Some(at(NOW)), false);
        insert_with(changes, "expired", 3, &expired)?;
        let mut soon = settings();
        soon.expires_at = Some(at(NOW + 100));
        let soon = insert_with(changes, "Soon", 4, &soon)?;
        let mut disabled = settings();
        (disabled.enabled, disabled.tenant) = (false, Some(name("acme")));
        insert_with(changes, "disabled", 5, &disabled)?;
        use_once(changes, &soon)
    });
    made.unwrap();
    store
}

fn listed(store: &Store, filter: &Filter) -> String {
    let mut names = vec![];
    let view = store.view().unwrap();
    view.each_key(filter, at(NOW), |key| {
        assert!(filter.state.takes(false, |state| *state == key.state(at(NOW))), "{}", key.name);
        names.push(key.name.to_string());
        Ok::<_, StoreError>(())
    })
    .unwrap();
    let all = Filter { limit: None, ..filter.clone() };
    let count = view.count_keys(&all, at(NOW)).unwrap();
    assert!(filter.limit.is_some() || count == names.len() as u64, "{count}: {names:?}");
    assert_eq!(view.has_key(filter, at(NOW)).unwrap(), count > 0);
    names.join(" ")
}

pub(crate) fn every_filter_lets_through_what_it_says<F: Fixture>() {
    let place = F::new();
    let store = prepared(&place);
    let with = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    for (what, filter, expected) in vec![
        // Names compare byte by byte: capitals come first.
        ("all", Filter::default(), "Soon ci/full ci/suspended disabled expired"),
        ("a pattern", with(|f| f.name = "ci/*".to_owned().into()), "ci/full ci/suspended"),
        ("a pattern with a set", with(|f| f.name = "[Ss]oon".to_owned().into()), "Soon"),
        ("another case", with(|f| f.name = "soon".to_owned().into()), ""),
        ("a group", with(|f| f.group = name("g").into()), "ci/full"),
        ("an owner", with(|f| f.owner = name("ann").into()), "ci/full"),
        ("a role", with(|f| f.role = name("editor").into()), "ci/full"),
        ("a tenant", with(|f| f.tenant = name("acme").into()), "ci/suspended disabled"),
        ("a scope", with(|f| f.scopes = vec!["rest".parse().unwrap()]), "ci/full ci/suspended"),
        ("two scopes", with(|f| f.scopes = vec!["rest".parse().unwrap(), "ui".parse().unwrap()]), "ci/full"),
        ("a level above", with(|f| f.levels = vec!["api".parse().unwrap()]), "ci/full"),
        ("a level beside", with(|f| f.levels = vec!["ap".parse().unwrap()]), ""),
        ("a label", with(|f| f.labels = vec!["team=web".parse().unwrap()]), "ci/full"),
        ("any value of a label", with(|f| f.labels = vec!["team".parse().unwrap()]), "ci/full"),
        ("active", with(|f| f.state = State::Active.into()), "Soon ci/full"),
        ("disabled", with(|f| f.state = State::Disabled.into()), "disabled"),
        ("expired", with(|f| f.state = State::Expired.into()), "expired"),
        ("suspended", with(|f| f.state = State::Suspended.into()), "ci/suspended"),
        ("soon", with(|f| f.expires_by = Some(at(NOW + 100))), "Soon"),
        ("unused", with(|f| f.unused_since = Some(at(NOW))), "Soon ci/full ci/suspended disabled expired"),
        ("unused for longer", with(|f| f.unused_since = Some(at(NOW - 1))), ""),
        ("all of them", with(|f| (f.scopes, f.group) = (vec!["ui".parse().unwrap()], name("g").into())), "ci/full"),
        ("from the end", with(|f| f.reverse = true), "expired disabled ci/suspended ci/full Soon"),
        ("a few", with(|f| f.limit = Some(2)), "Soon ci/full"),
        ("one of two patterns", with(|f| f.name = "S*,*/full".parse().unwrap()), "Soon ci/full"),
        ("no such pattern", with(|f| f.name = "!ci/*,!S*".parse().unwrap()), "disabled expired"),
        ("a pattern but one", with(|f| f.name = "ci/*,!*/full".parse().unwrap()), "ci/suspended"),
        ("no group", with(|f| f.group = "none".parse().unwrap()), "Soon ci/suspended disabled expired"),
        ("another group, or none", with(|f| f.group = "!g".parse().unwrap()), "Soon ci/suspended disabled expired"),
        ("any group", with(|f| f.group = "!none".parse().unwrap()), "ci/full"),
        (
            "an owner or none",
            with(|f| f.owner = "none,ann".parse().unwrap()),
            "Soon ci/full ci/suspended disabled expired",
        ),
        ("what is not there", with(|f| f.owner = "bob".parse().unwrap()), ""),
        (
            "not what is not there",
            with(|f| f.role = "!bob,!editor".parse().unwrap()),
            "Soon ci/suspended disabled expired",
        ),
        (
            "no tenant and no owner",
            with(|f| (f.tenant, f.owner) = ("none".parse().unwrap(), "none".parse().unwrap())),
            "Soon expired",
        ),
        ("one of two scopes", with(|f| f.scopes = vec!["ui,other".parse().unwrap()]), "ci/full"),
        (
            "a scope and not another",
            with(|f| f.scopes = vec!["rest".parse().unwrap(), "!ui".parse().unwrap()]),
            "ci/suspended",
        ),
        ("no scope", with(|f| f.scopes = vec!["none".parse().unwrap()]), "Soon disabled expired"),
        ("any scope", with(|f| f.scopes = vec!["!none".parse().unwrap()]), "ci/full ci/suspended"),
        ("not a level", with(|f| f.levels = vec!["!api".parse().unwrap()]), "Soon ci/suspended disabled expired"),
        ("no level", with(|f| f.levels = vec!["none".parse().unwrap()]), "Soon ci/suspended disabled expired"),
        ("not a label", with(|f| f.labels = vec!["!team=web".parse().unwrap()]), "Soon ci/suspended disabled expired"),
        (
            "a label with another value",
            with(|f| f.labels = vec!["team".parse().unwrap(), "!team=web".parse().unwrap()]),
            "",
        ),
        ("any label", with(|f| f.labels = vec!["!none".parse().unwrap()]), "ci/full"),
        ("two states", with(|f| f.state = "active,suspended".parse().unwrap()), "Soon ci/full ci/suspended"),
        ("not active", with(|f| f.state = "!active".parse().unwrap()), "ci/suspended disabled expired"),
        ("not enabled", with(|f| f.enabled = Some(false)), "disabled expired"),
        ("never expires", with(|f| f.never_expires = Some(true)), "ci/full ci/suspended disabled"),
        ("expires", with(|f| f.never_expires = Some(false)), "Soon expired"),
        ("a text in the name", with(|f| f.search = Some("SO".to_owned())), "Soon"),
        ("a text in the description", with(|f| f.search = Some("of the Ni".to_owned())), "ci/full"),
        ("a text in a label", with(|f| f.search = Some("eam".to_owned())), "ci/full"),
        ("a text in the value of a label", with(|f| f.search = Some("WE".to_owned())), "ci/full"),
        ("a text that means something to a database", with(|f| f.search = Some("%".to_owned())), ""),
        ("by creation", with(|f| f.sort = Sort::Created), "Soon ci/full ci/suspended disabled expired"),
        ("by expiry", with(|f| f.sort = Sort::Expires), "expired Soon ci/full ci/suspended disabled"),
        ("by use", with(|f| f.sort = Sort::Used), "ci/full ci/suspended disabled expired Soon"),
        (
            "by use, from the end",
            with(|f| (f.sort, f.reverse) = (Sort::Used, true)),
            "Soon expired disabled ci/suspended ci/full",
        ),
    ] {
        assert_eq!(listed(&store, &filter), expected, "{what}");
    }
}

pub(crate) fn keys_are_counted_by_their_states_a_part_at_a_time<F: Fixture>() {
    let place = F::new();
    let mut store = prepared(&place);
    for most in [1, 2, 5, 100] {
        let mut tally = Tally::new(at(NOW), [99, 100].map(|second| at(NOW + second)));
        let mut parts = 1;
        while store.view().unwrap().tally(&mut tally, most).unwrap() {
            parts += 1;
        }
        assert_eq!(parts, 5 / most + 1, "{most}");
        for (state, count) in tally.states() {
            let filter = Filter { state: state.into(), ..Filter::default() };
            assert_eq!(count, store.view().unwrap().count_keys(&filter, at(NOW)).unwrap(), "{state}");
        }
        assert_eq!(tally.expiring().collect::<Vec<_>>(), [0, 1]);
    }
    // Concurrent deletions and additions block no one, and nothing is counted twice.
    let mut tally = Tally::new(at(NOW), []);
    assert!(store.view().unwrap().tally(&mut tally, 2).unwrap());
    let changed = store.write(stamp(), |changes| {
        changes.delete_key(&changes.find("ci/full")?.unwrap())?;
        changes.delete_key(&changes.find("Soon")?.unwrap())?;
        insert_with(changes, "later", 6, &settings())
    });
    changed.unwrap();
    while store.view().unwrap().tally(&mut tally, 2).unwrap() {}
    assert_eq!(tally.states().map(|(_, count)| count).collect::<Vec<_>>(), [2, 1, 1, 1]);
}

pub(crate) fn names_are_completed_from_their_start<F: Fixture>() {
    let place = F::new();
    let store = prepared(&place);
    let view = store.view().unwrap();
    for (names, start, expected) in [
        (Names::Keys, "ci/", "ci/full ci/suspended"),
        (Names::Keys, "", "Soon ci/full ci/suspended disabled expired"),
        (Names::Groups, "g", "g"),
        (Names::Users, "a", "ann"),
        (Names::Roles, "ed", "editor"),
        (Names::Tenants, "b", ""),
        (Names::Scopes, "r", "rest"),
        (Names::Levels, "api", "api/read"),
        (Names::EnabledKeys, "ci/", "ci/full ci/suspended"),
        (Names::DisabledKeys, "", "disabled expired"),
        (Names::Labels, "t", "team="),
        (Names::Labels, "team=", "team=web"),
        (Names::Labels, "team=x", ""),
    ] {
        assert_eq!(view.names_starting(names, start).unwrap().join(" "), expected, "{names:?} {start}");
    }
}

pub(crate) fn a_time_later_other_keys_have_expired<F: Fixture>() {
    let place = F::new();
    let mut store = prepared(&place);
    let later = Stamp { now: at(NOW + 100), actor: None };
    let expired = Filter { state: State::Expired.into(), ..Filter::default() };
    let seen = store.write(later, |changes| changes.count_keys(&expired, at(NOW + 100))).unwrap();
    assert_eq!(seen, 2);
}
