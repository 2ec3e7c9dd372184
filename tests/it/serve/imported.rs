//! Another system's keys behind the guard, with the secrets that their clients already have.

use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_core::rules::fingerprint::{self, to_hex};
use serde_json::json;

use super::world::World;

/// Made up.
const TEXT: &str = "client-one-9f8c1b7e42d04c6f";
const OTHER: &str = "client-two:3e5a,77c0d1b2a4f6";

fn import(world: &World, records: &[serde_json::Value]) {
    let lines = records.iter().map(|record| format!("{record}\n")).collect::<Vec<_>>().concat();
    let output = world.sandbox.run_with("import -", lines);
    assert_eq!(output.code, 0, "{output}");
}

fn sha256(text: &str) -> String {
    to_hex(&fingerprint::sha256(text))
}

#[test]
fn an_imported_secret_opens_every_endpoint_and_is_renewed() {
    let world = World::new();
    // The guard is already running: imported keys count from the next request on.
    for endpoint in ["forward", "nginx", "original", "envoy"] {
        assert_eq!(world.at(endpoint, "default", Some(TEXT), &[]).status, 401);
    }
    import(&world, &[json!({"name": "one", "secret": TEXT}), json!({"name": "two", "sha256": sha256(OTHER)})]);
    for endpoint in ["forward", "nginx", "original", "envoy"] {
        for (name, text) in [("one", TEXT), ("two", OTHER)] {
            for _ in 0..2 {
                let answer = world.at(endpoint, "default", Some(text), &[]);
                assert_eq!((answer.status, answer.only("x-keyward-name")), (200, name), "{endpoint}: {answer:?}");
            }
        }
        let wrong = world.at(endpoint, "default", Some("client-one-9f8c1b7e42d04c60"), &[]);
        assert_eq!((wrong.status, wrong.reason()), (401, "not_genuine"), "{endpoint}: {wrong:?}");
    }
    let is_renewed = || world.sandbox.run("show two --json").json()["secrets"][0]["renewed"] == true;
    for _ in 0..100 {
        if is_renewed() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(is_renewed());
    assert_eq!(world.at("forward", "default", Some(OTHER), &[]).status, 200);
    world.sandbox.run("disable two");
    let disabled = world.at("forward", "default", Some(OTHER), &[]);
    assert_eq!((disabled.status, disabled.reason()), (401, "key_disabled"));
}

#[test]
fn a_basic_of_another_system_is_one() {
    let world = World::new();
    import(&world, &[json!({"name": "one", "secret": TEXT})]);
    let own = world.sandbox.mint("own");
    for (pair, status) in [
        (format!("client:{TEXT}"), 200),
        (format!("{TEXT}:"), 200),
        ("client:a-password-of-another-0001".to_owned(), 401),
        (format!("client:{own}"), 200),
    ] {
        let basic = format!("Basic {}", STANDARD.encode(&pair));
        let answer = world.at("forward", "default", None, &[("Authorization", &basic)]);
        assert_eq!(answer.status, status, "{pair}: {answer:?}");
    }
}
