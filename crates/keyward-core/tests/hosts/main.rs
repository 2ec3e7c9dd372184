//! What only a store on a server guarantees: about several hosts, their clocks, and a network between them that may
//! fail. Tested against a real server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod away;
mod clocks;
mod commits;
mod counting;
mod cutter;
#[path = "../server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
mod server;

use std::convert::Infallible;

use jiff::Timestamp;
use keyward_core::issuer::{SEED_BYTES, Seed, create};
use keyward_core::rules::credential::{Credentials, parse_line};
use keyward_core::rules::decision::{Request, Transport};
use keyward_core::rules::hashing::Cost;
use keyward_core::rules::key::{Key, Settings};
use keyward_core::rules::names::Prefix;
use keyward_core::store::{Stamp, Store, StoreSettings, Surroundings};
use server::{OWNER, Server};

/// The current time in the tests, in seconds.
const NOW: i64 = 1_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn stamp() -> Stamp<'static> {
    Stamp { now: at(NOW), actor: None }
}

/// A server with an empty store.
struct Scene {
    server: Server,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { server: Server::start() };
        let mut store = Store::found(scene.url().parse().unwrap(), Surroundings::default(), at(0)).unwrap();
        let mut settings = StoreSettings::default();
        settings.hash_cost = Cost::FLOOR;
        store.write(stamp(), |changes| changes.save_settings(&settings)).unwrap();
        scene
    }

    fn url(&self) -> String {
        format!("postgres://{OWNER}@{}/keyward", self.server.socket_host())
    }

    /// A new connection to the store.
    fn open(&self) -> Store {
        Store::connect(self.url().parse().unwrap(), Surroundings::default()).unwrap()
    }

    /// Queries the tables directly.
    fn tell(&self, sql: &str) -> String {
        self.server.sql("keyward", &format!("SET search_path = keyward; {sql}"))
    }
}

/// Makes a key, and returns it with its secret. The bytes of both are derived from the name.
fn mint(store: &mut Store, name: &str, limits: &str) -> (Key, String) {
    let mut bytes = [0; SEED_BYTES];
    bytes.iter_mut().zip(name.bytes().cycle()).zip(1_u8..).for_each(|((byte, of), place)| *byte = of ^ place);
    let mut settings = Settings::with_prefix(Prefix::default());
    settings.limits = limits.parse().unwrap();
    let mut text = String::new();
    let key = create(store, stamp(), &name.parse().unwrap(), &settings, &Seed::new(bytes), |_, secret| {
        secret.expose().clone_into(&mut text);
        Ok::<_, Infallible>(())
    });
    (key.unwrap(), text)
}

fn credential(secret: &str) -> Credentials {
    parse_line(&format!("Authorization: Bearer {secret}"))
}

fn request() -> Request {
    Request::over(Transport::Https)
}
