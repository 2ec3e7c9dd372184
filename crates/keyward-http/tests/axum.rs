//! The axum example, run unchanged: its own process, with a real store and real keys.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test ends at the first surprise, and runs a real process at the real time"
)]

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use keyward_core::issuer::{self, SEED_BYTES, Seed};
use keyward_core::rules::key::Settings;
use keyward_core::store::{Stamp, Store};

const SOURCE: &str = include_str!("../examples/axum.rs");

fn stamp() -> Stamp<'static> {
    Stamp { now: Timestamp::now(), actor: None }
}

fn mint(store: &mut Store, name: &str, scope: &str) -> String {
    let mut settings = Settings::with_prefix("kw".parse().unwrap());
    settings.scopes.insert(scope.parse().unwrap());
    let mut letters = name.bytes().cycle();
    let seed: [u8; SEED_BYTES] = std::array::from_fn(|_| letters.next().unwrap());
    let mut secret = String::new();
    issuer::create(store, stamp(), &name.parse().unwrap(), &settings, &Seed::new(seed), |_, plain| {
        secret.push_str(plain.expose());
        Ok::<_, Infallible>(())
    })
    .unwrap();
    secret
}

/// Where cargo puts the example that it builds for a test: beside the folder that the test is in.
fn example() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().and_then(Path::parent).unwrap().join("examples").join("axum");
    assert!(path.exists(), "{} is not there: cargo build -p keyward-http --example axum", path.display());
    path
}

/// The example, until the end of the test.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(store: &Path) -> Self {
        let mut child = Command::new(example()).arg(store).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap_or_default().to_owned();
        Self { child, address }
    }

    /// The status and the body of the answer.
    fn get(&self, header: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_example_lets_a_key_in_until_another_process_disables_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let mut store = Store::create(&path, Timestamp::now()).unwrap();
    let reader = format!("Authorization: Bearer {}\r\n", mint(&mut store, "reader", "read"));
    let writer = format!("X-Api-Key: {}\r\n", mint(&mut store, "writer", "write"));
    let service = Service::start(&path);
    assert!(service.address.starts_with("127.0.0.1:"), "{}", service.address);
    for _ in 0..2 {
        assert_eq!(service.get(&reader), (200, "Hello, reader\n".to_owned()));
    }
    for (header, status, reason) in [("", 401, "no_credential"), (writer.as_str(), 403, "scope_missing")] {
        let (found, body) = service.get(header);
        assert_eq!(found, status, "{body}");
        assert!(body.contains(&format!("\"reason\":\"{reason}\"")), "{body}");
    }
    let started = Instant::now();
    let uses = || store.view().unwrap().find("reader").unwrap().unwrap().use_count;
    while uses() != 2 {
        assert!(started.elapsed() < Duration::from_secs(30), "{} uses are counted", uses());
        std::thread::sleep(Duration::from_millis(50));
    }
    // The service runs in another process.
    let key = store.view().unwrap().find("reader").unwrap().unwrap();
    store.write(stamp(), |changes| changes.switch_key(&key, false)).unwrap();
    let (status, body) = service.get(&reader);
    assert!(status == 401 && body.contains("\"reason\":\"key_disabled\""), "{body}");
}

#[test]
fn the_example_is_short_and_does_not_panic() {
    assert!(SOURCE.lines().count() <= 25);
    assert!(!SOURCE.contains("unwrap") && !SOURCE.contains("expect"));
}
