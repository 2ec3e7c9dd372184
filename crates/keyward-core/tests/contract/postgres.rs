//! Stores in databases of one real server, shared by all tests of this binary.

#[path = "../server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
mod server;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use keyward_core::store::{Store, Surroundings};

use crate::{Fixture, at};
use server::Server;

/// A separate schema in a shared database.
pub(crate) struct OnServer {
    running: Arc<Running>,
    schema: String,
}

/// A server ends with the thread that started it, so that is no test's thread. It stops with the last test that uses
/// it.
struct Running {
    host: String,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(&Server) + Send>;

static RUNNING: Mutex<Weak<Running>> = Mutex::new(Weak::new());
static NEXT: AtomicU32 = AtomicU32::new(0);

fn running() -> Arc<Running> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Running::start());
        *running = Arc::downgrade(&started);
        started
    })
}

impl Running {
    fn start() -> Self {
        let (jobs, todo) = channel::<Job>();
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            let server = Server::start();
            tell.send(server.socket_host()).unwrap();
            for job in todo {
                job(&server);
            }
        });
        Self { host: told.recv().unwrap(), jobs: Some(jobs), thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl OnServer {
    fn url(&self) -> String {
        format!("postgres://{}@{}/keyward?schema={}", server::OWNER, self.running.host, self.schema)
    }
}

impl Fixture for OnServer {
    fn new() -> Self {
        let place = Self { running: running(), schema: format!("s{}", NEXT.fetch_add(1, Ordering::Relaxed)) };
        Store::found(place.url().parse().unwrap(), Surroundings::default(), at(0)).unwrap();
        place
    }

    fn open(&self) -> Store {
        Store::connect(self.url().parse().unwrap(), Surroundings::default()).unwrap()
    }

    fn tamper(&self, sql: &str) {
        let sql = format!("SET search_path = {}; SET session_replication_role = replica; {sql}", self.schema);
        let (done, waiting) = channel();
        let job: Job = Box::new(move |server| {
            server.sql("keyward", &sql);
            let _ = done.send(());
        });
        self.running.jobs.as_ref().unwrap().send(job).unwrap();
        waiting.recv().unwrap();
    }
}
