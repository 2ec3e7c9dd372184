//! How often a question allocates: a separate binary, because its allocator counts.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use allocation_counter::measure;
use jiff::Timestamp;
use keyward_core::rules::credential::parse_line;
use keyward_core::rules::decision::{Request, Transport, WantedRole};
use keyward_core::rules::hashing::{Cost, HashedSecret};
use keyward_core::rules::key::Settings;
use keyward_core::rules::names::Prefix;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::{NewKey, NewSecret, Stamp, Store};
use keyward_core::verifier::{Gate, Options};

/// The limit for an allowed question with its row and secret in memory.
const MOST: u64 = 4;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A made-up secret, and a gate that has seen it.
fn gate(folder: &tempfile::TempDir) -> (Gate, Secret) {
    let path = folder.path().join("keys.db");
    let secret = Secret::build(&Prefix::default(), Id::from_random([1; 8]), &[1; 32]);
    let hash = HashedSecret::new(&secret, [1; 16], Cost::default()).unwrap();
    let mut settings = Settings::with_prefix(Prefix::default());
    settings.scopes.insert("rest".parse().unwrap());
    settings.levels.insert("A/B".parse().unwrap());
    settings.allowed_ips.insert("10.0.0.0/8".parse().unwrap());
    settings.role = Some("editor".parse().unwrap());
    settings.read_only = true;
    settings.expires_at = Some(at(1_000));
    let new = NewKey {
        id: &Id::from_random([2; 8]),
        name: &"deploy".parse().unwrap(),
        settings: &settings,
        secret: &NewSecret { id: secret.id().clone(), hash },
    };
    let mut store = Store::create(&path, at(0)).unwrap();
    store.write(Stamp { now: at(0), actor: None }, |changes| changes.insert_key(&new)).unwrap();
    (Gate::new(store, [7; 32], Options::default()).unwrap(), secret)
}

#[test]
fn a_request_that_is_allowed_and_known_allocates_next_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (gate, secret) = gate(&folder);
    let mut request = Request::over(Transport::Https);
    request.method = Some("GET".parse().unwrap());
    request.ip = Some("10.1.2.3".parse().unwrap());
    request.scopes.push("rest".parse().unwrap());
    request.levels.push("A".parse().unwrap());
    request.role = Some(WantedRole { name: "viewer".parse().unwrap(), rank: Some(10) });
    let lines = [
        secret.expose().to_owned(),
        format!("deploy:{}", secret.expose()),
        format!("Authorization: Bearer {}", secret.expose()),
        format!("X-API-Key: {}", secret.expose()),
    ];
    for line in &lines {
        // The first time computes a hash and reads a row.
        for _ in 0..2 {
            assert!(gate.ask(parse_line(line), &request, at(10)).wait().unwrap().decision.is_allowed());
        }
        // Each connection rereads once after it notices that another one was opened.
        let ask = || {
            let mut is_allowed = false;
            let counted = measure(|| {
                let answer = gate.ask(parse_line(line), &request, at(10)).wait().unwrap();
                is_allowed = answer.decision.is_allowed();
            });
            assert!(is_allowed && counted.count_total > 0);
            counted.count_total
        };
        let least = (0..5).map(|_| ask()).min().unwrap();
        assert!(least <= MOST, "{least} allocations");
    }
}
