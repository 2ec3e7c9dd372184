//! Which costs a refusal spends: only those of hashes in the store.

use std::collections::{BTreeMap, BTreeSet};

use keyward_core::rules::hashing::{Cost, HashedSecret};
use keyward_core::rules::token::Id;
use keyward_core::store::{Changes, NewKey, NewSecret, Staging, Store, StoreError};

use crate::{Fixture, at, name, settings, stamp};

fn cost(passes: u32) -> Cost {
    Cost { passes, ..Cost::FLOOR }
}

/// A made-up hash with this cost; it is never computed.
fn hash(passes: u32) -> HashedSecret {
    let tail = "BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    HashedSecret::from_stored(format!("$argon2id$v=19${}${tail}", cost(passes)))
}

fn secret(number: u64, passes: u32) -> NewSecret {
    NewSecret { id: secret_id(number), hash: hash(passes) }
}

fn secret_id(number: u64) -> Id {
    Id::from_random(number.to_be_bytes())
}

fn insert(changes: &Changes<'_>, number: u64, passes: u32) -> Result<(), StoreError> {
    let (key, id) = (name(&format!("k{number}")), Id::from_random((number + 1_000_000).to_be_bytes()));
    let new = NewKey { id: &id, name: &key, settings: &settings(), secret: &secret(number, passes) };
    changes.insert_key(&new).map(drop)
}

fn set_cost(store: &mut Store, passes: u32) {
    store
        .write(stamp(), |changes| {
            let mut settings = changes.settings()?;
            settings.hash_cost = cost(passes);
            changes.save_settings(&settings)
        })
        .unwrap();
}

fn former(store: &Store) -> BTreeSet<String> {
    let settings = store.view().unwrap().settings().unwrap();
    let found: BTreeSet<_> = settings.former_costs.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), settings.former_costs.len(), "each once");
    found
}

fn costs(passes: &[u32]) -> BTreeSet<String> {
    passes.iter().map(|&passes| cost(passes).to_string()).collect()
}

pub(crate) fn a_former_cost_ends_with_its_last_hash<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    set_cost(&mut store, 1);
    store.write(stamp(), |changes| (0..4).try_for_each(|number| insert(changes, number, 1))).unwrap();
    set_cost(&mut store, 2);
    assert_eq!(former(&store), costs(&[1]));
    // Renewed, in no order; deleted; and replaced, where the old hash stays in case its secret is presented.
    for number in [2, 0] {
        store.write(stamp(), |changes| changes.renew_hash(&secret_id(number), &hash(2))).unwrap();
        assert_eq!(former(&store), costs(&[1]), "{number}");
    }
    store.write(stamp(), |changes| changes.delete_key(&changes.find("k1")?.unwrap())).unwrap();
    assert_eq!(former(&store), costs(&[1]));
    store
        .write(stamp(), |changes| changes.replace_secret(&changes.find("k3")?.unwrap(), &secret(9, 2), at(1_000)))
        .unwrap();
    assert_eq!(former(&store), costs(&[1]));
    store.write(stamp(), |changes| changes.delete_key(&changes.find("k3")?.unwrap())).unwrap();
    assert_eq!(former(&store), costs(&[]));
    // What ends by itself is not recorded as anyone's action.
    let rows = store.view().unwrap().count_events().unwrap();
    store.write(stamp(), |changes| changes.renew_hash(&secret_id(0), &hash(2))).unwrap();
    assert_eq!(store.view().unwrap().count_events().unwrap(), rows);
    // A list from before costs were removed is cleaned up too.
    fixture.tamper("INSERT INTO setting VALUES ('former_costs', 'm=1024,t=7,p=1;m=1024,t=8,p=1')");
    store.write(stamp(), |changes| changes.delete_key(&changes.find("k2")?.unwrap())).unwrap();
    assert_eq!(former(&store), costs(&[]));
}

/// After any change, a refusal spends exactly the costs of the hashes: one too few tells an unknown id from a known
/// one, one too many wastes time.
pub(crate) fn the_former_costs_are_those_of_the_hashes_whatever_is_done<F: Fixture>() {
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let fixture = F::new();
    let mut store = fixture.open();
    let mut present = 1;
    set_cost(&mut store, present);
    // The costs of each key's secrets, the current one first.
    let mut keys: BTreeMap<u64, Vec<(u64, u32)>> = BTreeMap::new();
    let mut next = 0;
    for step in 0..600 {
        let chosen = keys.keys().nth(random(keys.len().max(1) as u64) as usize).copied();
        next += 1;
        // Someone who read the settings before they changed works with another cost.
        let passes = if random(8) == 0 { 1 + random(4) as u32 } else { present };
        match (random(12), chosen) {
            (0, _) => {
                present = 1 + random(4) as u32;
                set_cost(&mut store, present);
            }
            (1..=4, Some(key)) => {
                let secrets = keys.get_mut(&key).unwrap();
                let place = random(secrets.len() as u64) as usize;
                secrets[place].1 = passes;
                let id = secret_id(secrets[place].0);
                store.write(stamp(), |changes| changes.renew_hash(&id, &hash(passes))).unwrap();
            }
            (5 | 6, Some(key)) => {
                keys.remove(&key);
                store
                    .write(stamp(), |changes| changes.delete_key(&changes.find(&format!("k{key}"))?.unwrap()))
                    .unwrap();
            }
            (7, Some(key)) => {
                keys.get_mut(&key).unwrap().insert(0, (next, passes));
                let new = secret(next, passes);
                let named = format!("k{key}");
                store
                    .write(stamp(), |changes| changes.replace_secret(&changes.find(&named)?.unwrap(), &new, at(1_000)))
                    .unwrap();
            }
            (8, Some(key)) => {
                // Staged, then unstaged: its cost counts only while it is staged.
                let (new, named) = (secret(next, passes), format!("k{key}"));
                let key = store.view().unwrap().find(&named).unwrap().unwrap();
                store.write(stamp(), |changes| changes.stage_secret(&key, &new, Staging::Quiet)).unwrap();
                let spent = former(&store);
                assert!(passes == present || spent.contains(&cost(passes).to_string()), "{step}");
                store.write(stamp(), |changes| changes.unstage_secret(&key, &new.id, Staging::Quiet)).unwrap();
            }
            _ => {
                keys.insert(next, vec![(next, passes)]);
                store.write(stamp(), |changes| insert(changes, next, passes)).unwrap();
            }
        }
        let stored: BTreeSet<u32> = keys.values().flatten().map(|&(_, passes)| passes).collect();
        let expected: Vec<u32> = stored.into_iter().filter(|&passes| passes != present).collect();
        assert_eq!(former(&store), costs(&expected), "step {step}");
    }
}
