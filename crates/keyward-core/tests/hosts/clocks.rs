//! Changes have the server's time.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use keyward_core::store::{EventFilter, Stamp, Store, StoreError, Surroundings};

use crate::{Scene, mint};

/// The time of this machine, which is also the server's.
#[expect(clippy::disallowed_methods, reason = "the server has no other")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// The store, opened on a host whose clock is `off` seconds ahead.
fn on_a_host(scene: &Scene, off: i64) -> Store {
    let clock = move || now() + SignedDuration::from_secs(off);
    let around = Surroundings { clock: Some(Arc::new(clock)), ..Surroundings::default() };
    Store::connect(scene.url().parse().unwrap(), around).unwrap()
}

#[test]
#[ignore = "needs postgresql"]
fn a_change_has_the_time_of_the_server_and_a_clock_that_is_off_is_told() {
    let scene = Scene::new();
    for (off, told) in [(0, None), (1, None), (5, Some(5)), (-30, Some(-30))] {
        let mut store = on_a_host(&scene, off);
        let (key, _) = mint(&mut store, &format!("key{off}"), "");
        // Within the time the test itself may take.
        let age = now().duration_since(key.created_at);
        assert!(age.abs() < SignedDuration::from_secs(20), "{off}: {age:?}");
        let skew = store.take_news().clock_skew;
        match told {
            None => assert_eq!(skew, None, "{off}"),
            // The two clocks are read one after the other.
            Some(told) => assert!(skew.is_some_and(|skew| (skew - told).abs() <= 1), "{off}: {skew:?}"),
        }
    }
    let mut last = Timestamp::MIN;
    let store = scene.open();
    let in_order = |event: keyward_core::store::Event| {
        if event.action == "key.create" {
            assert!(event.at >= last, "whatever the clocks of the hosts say");
            last = event.at;
        }
        Ok::<_, StoreError>(())
    };
    store.view().unwrap().each_event(&EventFilter::default(), in_order).unwrap();
}

#[test]
#[ignore = "needs postgresql"]
fn with_a_clock_that_is_a_minute_off_nothing_is_changed() {
    let scene = Scene::new();
    let (key, _) = mint(&mut scene.open(), "one", "");
    for off in [90, -90] {
        let mut store = on_a_host(&scene, off);
        let stamp = Stamp { now: now(), actor: None };
        let refused = store.write(stamp, |changes| changes.delete_key(&key)).unwrap_err();
        assert!(matches!(refused, StoreError::ClockSkew { seconds, .. } if (seconds - off).abs() <= 1), "{refused:?}");
        assert!(store.view().unwrap().find("one").unwrap().is_some(), "it can be read all the same");
    }
}
