//! Start and stop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::config::Config;
use super::listen::Inherited;
use super::listening::{Listening, addresses, listens_at, places, served};
use super::loops::{Loop, Loops, turn};
use super::processors::Processors;
use super::reload::reload;
use super::settings::{read_secret, read_settings};
use super::shared::Shared;
use super::upkeep::{Upkeep, tell_of_failure};
use super::{Api, Options, StartError, Worker, systemd};
use crate::guard::Guard;
use crate::observe::Log;

/// The longest time for answers in progress at the end.
const LAST: Duration = Duration::from_secs(5);
/// The longest time for the last write if the stop is urgent.
const HURRY: Duration = Duration::from_secs(1);
/// The longest time for telling clients that there are no more decisions.
const FAREWELL: Duration = Duration::from_millis(200);
/// How often to check whether all connections have ended.
const STEP: Duration = Duration::from_millis(50);

/// Controls a server from outside, for example from a signal handler.
#[derive(Debug, Clone)]
pub struct Control(mpsc::UnboundedSender<Word>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Stop,
    Reload,
}

impl Control {
    /// Drains, stops, and writes the counts. The second call stops at once.
    pub fn stop(&self) {
        let _ = self.0.send(Word::Stop);
    }

    /// Reads the configuration again.
    pub fn reload(&self) {
        let _ = self.0.send(Word::Reload);
    }
}

/// A server that is listening, and serves when it is run.
pub struct Server {
    shared: Arc<Shared>,
    options: Options,
    sockets: Vec<Listening>,
    inherited: Inherited,
    words: mpsc::UnboundedReceiver<Word>,
    control: Control,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on all addresses in `config`. Requests are answered only from [`Server::run`] on.
    ///
    /// # Errors
    /// If one of them cannot be listened on, or a named file cannot be read. Then it listens on none.
    pub fn bind(guard: Guard, config: Config, api: Arc<dyn Api>, mut options: Options) -> Result<Self, StartError> {
        let mut inherited = Inherited::take(options.socket_names.as_deref());
        let settings = read_settings(config)?;
        let mut sockets = vec![];
        for (address, duty) in places(&settings.config) {
            sockets.push(Listening::open(address, duty, &settings.config, &mut inherited)?);
        }
        options.workers = options.workers.max(1);
        let sink = std::mem::replace(&mut options.log, Box::new(std::io::sink()));
        let log = Log::start(sink, guard.clock().clone());
        let shared = Arc::new(Shared::new(guard, log, api, options.version, settings, options.workers));
        let (sender, words) = mpsc::unbounded_channel();
        Ok(Self { shared, options, sockets, inherited, words, control: Control(sender) })
    }

    /// Checks that the files named in a configuration can be used.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn check_files(config: &Config) -> Result<(), StartError> {
        config.proxy_secret_file.as_deref().map_or(Ok(()), |path| read_secret(path).map(drop))
    }

    /// Controls it while it runs.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The addresses on which it listens, as reported by the system: guard listeners first.
    pub fn addresses(&self) -> Vec<String> {
        addresses(&self.sockets)
    }

    /// Serves until it is told to stop; then all counts are written.
    ///
    /// # Errors
    /// If the system provides no thread to serve on.
    pub fn run(self) -> Result<(), StartError> {
        raise_limit_of_files();
        let Self { shared, options, mut sockets, mut inherited, mut words, control: _control } = self;
        let (stop, stopped) = watch::channel(false);
        let (loops, threads) = start_loops(&shared, options.workers, &stopped)?;
        for listening in &sockets {
            listening.announce(&loops, listening.copies(&loops).map_err(StartError::Thread)?);
        }
        let mut fields = served(&sockets, &shared.settings().config);
        let store = shared.guard.gate().path().display().to_string();
        fields.extend([("store", store.into()), ("version", shared.version.into())]);
        let stale_for = shared.guard.stale_for();
        if !stale_for.is_zero() {
            fields.push(("stale_for_seconds", stale_for.as_secs_f64().into()));
        }
        shared.log.event("info", "start", &fields);
        for name in inherited.unused() {
            let message = "systemd handed over this socket, but nothing accepts its connections, so clients hang; give each \
                           socket its own unit and FileDescriptorName, and name it with listen or admin";
            shared.log.event("warn", "socket_unused", &[("socket", name.into()), ("message", message.into())]);
        }
        systemd::ready(&listens_at(&sockets));

        let control = event_loop()?;
        let mut is_hurried = control.block_on(async {
            let mut upkeep = Upkeep::new();
            loop {
                let word = tokio::select! {
                    word = words.recv() => word,
                    () = upkeep.next() => {
                        upkeep.work(&shared);
                        continue;
                    }
                };
                match word {
                    Some(Word::Reload) => reload(&shared, &options, &mut sockets, &mut inherited, &loops),
                    Some(Word::Stop) | None => break,
                }
            }
            shared.is_draining.store(true, Ordering::Relaxed);
            systemd::stopping(options.drain.saturating_add(3 * LAST));
            shared.log.event("info", "stop", &[("drain_seconds", options.drain.as_secs_f64().into())]);
            let mut is_hurried = tokio::select! {
                is_hurried = wait(options.drain, &mut words) => is_hurried,
                () = upkeep.go_on(&shared) => false,
            };
            // Listeners accept what is already waiting, and close.
            for listening in std::mem::take(&mut sockets) {
                let _ = listening.close.send(true);
            }
            let _ = stop.send(true);
            let steps = LAST.as_millis() / STEP.as_millis();
            for _ in 0..steps {
                if shared.connections.load(Ordering::Acquire) == 0 || is_hurried {
                    break;
                }
                is_hurried = wait(STEP, &mut words).await;
            }
            // Requests still waiting for a decision get none, and are told so.
            shared.end();
            for _ in 0..FAREWELL.as_millis() / STEP.as_millis() {
                if shared.connections.load(Ordering::Acquire) > 0 {
                    tokio::time::sleep(STEP).await;
                }
            }
            is_hurried
        });
        // Without senders, the loops end, and the remaining connections with them.
        drop(loops);
        drop(stop);
        let (ended, mut end) = tokio::sync::oneshot::channel::<()>();
        let last = Arc::clone(&shared);
        // On its own thread: a locked store must not delay an urgent stop.
        let work = move || {
            for thread in threads {
                let _ = thread.join();
            }
            last.guard.flush();
            drop(last);
            drop(ended);
        };
        let is_under_way = std::thread::Builder::new().name("keyward-end".to_owned()).spawn(work).is_ok();
        control.block_on(async {
            let most = if is_hurried { HURRY } else { LAST };
            tokio::select! {
                _ = &mut end, if is_under_way => {}
                hurried = wait(most, &mut words) => is_hurried |= hurried,
            }
        });
        if let Some(error) = shared.guard.counts().take_failure() {
            tell_of_failure(&shared, &error);
        }
        shared.log.event("info", "stopped", &[]);
        shared.log.finish();
        Ok(())
    }
}

/// Starts the event loops, each on a thread of its own. They end when the caller drops them.
fn start_loops(
    shared: &Arc<Shared>,
    count: usize,
    stopped: &watch::Receiver<bool>,
) -> Result<(Loops, Vec<JoinHandle<()>>), StartError> {
    let (loops, inboxes): (Vec<_>, Vec<_>) = (0..count)
        .map(|_| {
            let (jobs, inbox) = mpsc::unbounded_channel();
            (Loop { jobs, connections: Arc::default() }, inbox)
        })
        .unzip();
    let loops: Loops = Arc::new(loops);
    let processors = Arc::new(Processors::for_each_of(count));
    let mut threads = vec![];
    for (number, inbox) in inboxes.into_iter().enumerate() {
        let worker = Worker { shared: Arc::clone(shared), number };
        let (loops, stopped, processors) = (Arc::downgrade(&loops), stopped.clone(), Arc::clone(&processors));
        let runtime = event_loop()?;
        let work = move || {
            if let Some(processors) = &*processors {
                processors.keep_to(number);
            }
            runtime.block_on(turn(worker, loops, inbox, stopped));
        };
        let named = std::thread::Builder::new().name(format!("keyward-loop-{number}"));
        threads.push(named.spawn(work).map_err(StartError::Thread)?);
    }
    Ok((loops, threads))
}

fn event_loop() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)
}

/// Waits, unless it is told to hurry.
async fn wait(time: Duration, words: &mut mpsc::UnboundedReceiver<Word>) -> bool {
    let hurry = async {
        while let Some(word) = words.recv().await {
            if word == Word::Stop {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::time::timeout(time, hurry).await.is_ok()
}

/// Each connection is an open file. If the system allows fewer than the connection limit, that is the limit.
fn raise_limit_of_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
