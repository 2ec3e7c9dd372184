//! What the layer promises, tested with a service that counts its calls, and panics if it was not ready for one.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use jiff::Timestamp;
use keyward_core::issuer::{self, SEED_BYTES, Seed};
use keyward_core::rules::hashing::Cost;
use keyward_core::rules::key::Settings;
use keyward_core::store::{Stamp, Store};
use keyward_core::verifier::{Gate, Options};
use tower_service::Service;

use super::*;
use crate::clock::Clock;
use crate::{Guard, Policy};

mod answers;
mod promises;

fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

fn stamp() -> Stamp<'static> {
    Stamp { now: now(), actor: None }
}

/// A store, and a guard for it with a stopped clock.
struct Scene {
    folder: tempfile::TempDir,
    guard: Guard,
}

impl Scene {
    fn new() -> Self {
        Self::with_queue(8)
    }

    fn with_queue(queue: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.db");
        let mut store = Store::create(&path, now()).unwrap();
        set_cost(&mut store, Cost::FLOOR);
        let mut options = Options::default();
        (options.threads, options.queue) = (NonZeroUsize::MIN, queue);
        let gate = Gate::new(store, [7; 32], options).unwrap();
        Self { folder, guard: Guard::with_clock(gate, Clock::new(now, || Duration::ZERO), Duration::ZERO) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.db")
    }

    /// Mints a key, and returns its secret.
    fn mint(&self, name: &str, change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::with_prefix("kw".parse().unwrap());
        settings.scopes.insert("read".parse().unwrap());
        change(&mut settings);
        // Different names give different ids.
        let mut letters = name.bytes().cycle();
        let seed: [u8; SEED_BYTES] = std::array::from_fn(|_| letters.next().unwrap());
        let mut store = Store::open(&self.path()).unwrap();
        let mut secret = String::new();
        let deliver = |_: &_, plain: &keyward_core::rules::token::Secret| {
            secret.push_str(plain.expose());
            Ok::<_, Infallible>(())
        };
        let name = name.parse().unwrap();
        issuer::create(&mut store, stamp(), &name, &settings, &Seed::new(seed), deliver).unwrap();
        secret
    }

    fn reading(&self) -> GuardLayer {
        self.guard.policy(Policy::default().with_scope("read".parse().unwrap())).behind_tls()
    }
}

fn set_cost(store: &mut Store, cost: Cost) {
    let mut settings = store.view().unwrap().settings().unwrap();
    settings.hash_cost = cost;
    store.write(stamp(), |changes| changes.save_settings(&settings)).unwrap();
}

fn change(path: &Path, name: &str, enabled: bool) {
    let mut store = Store::open(path).unwrap();
    let key = store.view().unwrap().find(name).unwrap().unwrap();
    store.write(stamp(), |changes| changes.switch_key(&key, enabled)).unwrap();
}

/// A service that returns the name of the key. It must be ready before each call, and a clone is not ready yet.
#[derive(Debug, Default)]
struct Named {
    is_ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Clone for Named {
    fn clone(&self) -> Self {
        Self { is_ready: false, calls: Arc::clone(&self.calls) }
    }
}

impl<B> Service<Request<B>> for Named {
    type Response = Response<Vec<u8>>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(self.is_ready, "it was called before it was ready");
        self.is_ready = false;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let key = request.extensions().get::<VerifiedKey>();
        ready(match request.uri().path() {
            "/broken" => Err("broken"),
            _ => Ok(Response::new(key.map_or_else(|| b"nobody".to_vec(), |key| key.name().to_string().into_bytes()))),
        })
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn make_ready<S: Service<Request<()>>>(service: &mut S) {
    assert!(matches!(service.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(()))));
}

fn call(service: &mut Guarded<Named>, request: Request<()>) -> Result<Response<Vec<u8>>, &'static str> {
    make_ready(service);
    wait(service.call(request))
}

fn request(headers: &[(&str, &str)]) -> Request<()> {
    let request = Request::get("/orders").header("x-request-id", "r1");
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
}

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

/// An answer in one line: status, headers that depend on the reason, body.
fn told(response: &Response<Vec<u8>>) -> String {
    let header = |name: &str| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.map(|value| format!(" {name}: {value};")).unwrap_or_default()
    };
    let headers = ["www-authenticate", "retry-after", "x-keyward-reason"].map(header).concat();
    let body = String::from_utf8_lossy(response.body());
    format!("{}{headers} {body}", response.status().as_u16())
}
