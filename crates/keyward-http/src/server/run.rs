//! Start, reload and stop.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use keyward_core::rules::key::State;
use keyward_core::store::Filter;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};

use super::config::{Address, Config, Listen};
use super::connection::{Counted, Role, serve, turn_away};
use super::handle::Door;
use super::listen::{Inherited, ListenError, Socket};
use super::peer::Peer;
use super::shared::{KeyCounts, Settings, Shared};
use super::stream::{Parked, Stream};
use super::{Api, Options, StartError, Worker, systemd};
use crate::guard::Guard;
use crate::observe::Log;

/// How long what is being answered may take at the end.
const LAST: Duration = Duration::from_secs(5);
/// How often keys are counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(60);
/// After an accept that failed, because there are too many open files for example.
const PAUSE: Duration = Duration::from_millis(50);

/// Tells a server from outside what to do: from the handler of a signal, for example.
#[derive(Debug, Clone)]
pub struct Control(mpsc::UnboundedSender<Word>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Stop,
    Reload,
}

impl Control {
    /// Drain, stop, and write what was counted. The second time: at once.
    pub fn stop(&self) {
        let _ = self.0.send(Word::Stop);
    }

    /// Read the configuration again.
    pub fn reload(&self) {
        let _ = self.0.send(Word::Reload);
    }
}

/// A server that listens, and serves when it is run.
pub struct Server {
    shared: Arc<Shared>,
    options: Options,
    sockets: BTreeMap<String, Listening>,
    inherited: Inherited,
    words: mpsc::UnboundedReceiver<Word>,
    control: Control,
}

/// A socket that is listened at.
struct Listening {
    socket: Socket,
    role: Role,
    close: watch::Sender<bool>,
}

/// What a loop is told.
enum Job {
    Listen(Socket, Role, watch::Receiver<bool>),
    Serve(Parked, Role, Counted),
}

/// A loop, as the others see it.
struct Loop {
    jobs: mpsc::UnboundedSender<Job>,
    connections: AtomicUsize,
}

/// All loops: a connection goes to the one that has fewest.
type Loops = Arc<Vec<Loop>>;

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("sockets", &self.sockets.keys()).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens at all addresses of `config`. Nobody is answered before [`Server::run`].
    ///
    /// # Errors
    /// Where one of them cannot be listened at, or a file that is named cannot be read. Then nothing is listened at.
    pub fn bind(guard: Guard, config: Config, api: Arc<dyn Api>, mut options: Options) -> Result<Self, StartError> {
        let mut inherited = Inherited::take(options.socket_names.as_deref());
        let mut sockets = BTreeMap::new();
        for (key, address, role) in places(&config) {
            let socket = Socket::open(&address, &mut inherited)?;
            sockets.insert(key, Listening { socket, role, close: watch::channel(false).0 });
        }
        let settings = read_settings(config)?;
        options.workers = options.workers.max(1);
        let sink = std::mem::replace(&mut options.log, Box::new(std::io::sink()));
        let log = Log::start(sink, guard.clock().clone());
        let shared = Arc::new(Shared::new(guard, log, api, options.version, settings, options.workers));
        let (sender, words) = mpsc::unbounded_channel();
        Ok(Self { shared, options, sockets, inherited, words, control: Control(sender) })
    }

    /// Tells it what to do while it runs.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Where it listens: guard listeners first, as the system tells it.
    pub fn addresses(&self) -> Vec<String> {
        addresses(&self.sockets)
    }

    /// Serves until it is told to stop; then everything that was counted is written.
    ///
    /// # Errors
    /// Where the system gives no thread to serve on.
    pub fn run(self) -> Result<(), StartError> {
        raise_limit_of_files();
        let Self { shared, options, mut sockets, mut inherited, mut words, control: _control } = self;
        let (stop, stopped) = watch::channel(false);
        let mut loops = vec![];
        let mut inboxes = vec![];
        for _ in 0..options.workers {
            let (jobs, inbox) = mpsc::unbounded_channel();
            loops.push(Loop { jobs, connections: AtomicUsize::new(0) });
            inboxes.push(inbox);
        }
        let loops: Loops = Arc::new(loops);
        let mut threads: Vec<JoinHandle<()>> = vec![];
        for (number, inbox) in inboxes.into_iter().enumerate() {
            let (worker, loops, stopped) =
                (Worker { shared: Arc::clone(&shared), number }, Arc::clone(&loops), stopped.clone());
            let runtime = event_loop()?;
            let work = move || runtime.block_on(turn(worker, loops, inbox, stopped));
            let named = std::thread::Builder::new().name(format!("keyward-loop-{number}"));
            threads.push(named.spawn(work).map_err(StartError::Thread)?);
        }
        for listening in sockets.values() {
            announce(&loops, listening)?;
        }
        let shown = addresses(&sockets);
        let fields = [("listen", shown.clone().into()), ("version", shared.version.into())];
        shared.log.event("info", "start", &fields);
        systemd::ready(&format!("listening at {}", shown.join(", ")));

        let control = event_loop()?;
        control.block_on(async {
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
            systemd::stopping();
            shared.log.event("info", "stop", &[("drain_seconds", options.drain.as_secs_f64().into())]);
            let mut is_hurried = wait(options.drain, &mut words).await;
            // Listeners take in what waits at their doors, and close.
            for (_, listening) in std::mem::take(&mut sockets) {
                let _ = listening.close.send(true);
            }
            shared.is_closing.store(true, Ordering::Relaxed);
            let _ = stop.send(true);
            let steps = LAST.as_millis() / PAUSE.as_millis();
            for _ in 0..steps {
                if shared.connections.load(Ordering::Acquire) == 0 || is_hurried {
                    break;
                }
                is_hurried = wait(PAUSE, &mut words).await;
            }
        });
        // Without senders, the loops end, and with them what is left of the connections.
        drop(loops);
        drop(stop);
        for thread in threads {
            let _ = thread.join();
        }
        shared.guard.flush();
        if let Some(error) = shared.guard.counts().take_failure() {
            let writing = shared.guard.counts().writing();
            if writing.unrecorded > 0 {
                let code = shared.api.code_of(&error);
                let fields = [
                    ("code", code.into()),
                    ("message", error.to_string().into()),
                    ("unrecorded_uses", writing.unrecorded.into()),
                ];
                shared.log.event("error", "flush_error", &fields);
            }
        }
        shared.log.event("info", "stopped", &[]);
        shared.log.finish();
        Ok(())
    }
}

/// Where it listens, guard listeners first.
fn addresses(sockets: &BTreeMap<String, Listening>) -> Vec<String> {
    let mut all: Vec<_> = sockets
        .iter()
        .map(|(key, listening)| {
            let address = key.split_once(' ').map_or(key.as_str(), |(_, address)| address);
            (matches!(listening.role, Role::Admin), listening.socket.shown(address))
        })
        .collect();
    all.sort();
    all.into_iter().map(|(_, shown)| shown).collect()
}

fn event_loop() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)
}

/// Every place to listen at, by what tells it from the others.
fn places(config: &Config) -> Vec<(String, Address, Role)> {
    let guard = config.listen.iter().map(|Listen { address, api }| {
        let role = Role::Guard(Door { peer: Peer::Unix, api: *api });
        (format!("guard,{api},{address:?} {address}"), address.clone(), role)
    });
    let admin =
        config.admin.iter().map(|address| (format!("admin,{address:?} {address}"), address.clone(), Role::Admin));
    guard.chain(admin).collect()
}

/// The configuration, with the files that it names.
fn read_settings(config: Config) -> Result<Settings, StartError> {
    let secret = config.proxy_secret_file.as_deref().map(read_secret).transpose()?;
    Ok(Settings { config, secret })
}

fn read_secret(path: &Path) -> Result<Vec<u8>, StartError> {
    const SHORTEST: usize = 16;
    let text = std::fs::read(path).map_err(|source| StartError::File { path: path.to_owned(), source })?;
    let secret = text.trim_ascii();
    let is_visible = secret.iter().all(u8::is_ascii_graphic);
    if secret.len() < SHORTEST || !is_visible { Err(StartError::Secret(path.to_owned())) } else { Ok(secret.to_vec()) }
}

/// Hands a socket to all loops.
fn announce(loops: &Loops, listening: &Listening) -> Result<(), StartError> {
    for one in loops.iter() {
        let socket = listening.socket.try_clone().map_err(StartError::Thread)?;
        let _ = one.jobs.send(Job::Listen(socket, listening.role.clone(), listening.close.subscribe()));
    }
    Ok(())
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

/// Reads the configuration again, and takes it over whole or not at all. Listeners that are the same stay open.
fn reload(
    shared: &Shared,
    options: &Options,
    sockets: &mut BTreeMap<String, Listening>,
    inherited: &mut Inherited,
    loops: &Loops,
) {
    systemd::reloading();
    let result = (options.reload)().map_err(|error| error.to_string()).and_then(|config| {
        let settings = read_settings(config).map_err(|error| error.to_string())?;
        let wanted = places(&settings.config);
        let mut opened = vec![];
        for (key, address, role) in &wanted {
            if !sockets.contains_key(key) {
                // The same address with another role cannot be opened while it is open.
                let former = sockets.keys().find(|own| own.ends_with(&format!(" {address}"))).cloned();
                let former = former.and_then(|own| sockets.remove_entry(&own));
                let socket = match former {
                    Some((_, listening)) => {
                        let _ = listening.close.send(true);
                        listening.socket
                    }
                    None => Socket::open(address, inherited).map_err(|error: ListenError| error.to_string())?,
                };
                opened.push((key.clone(), Listening { socket, role: role.clone(), close: watch::channel(false).0 }));
            }
        }
        for (key, listening) in opened {
            announce(loops, &listening).map_err(|error| error.to_string())?;
            sockets.insert(key, listening);
        }
        sockets.retain(|key, listening| {
            let stays = wanted.iter().any(|(wanted, ..)| wanted == key);
            if !stays {
                let _ = listening.close.send(true);
            }
            stays
        });
        shared.replace(settings);
        Ok(())
    });
    if let Some(reopen) = &options.reopen_log {
        match reopen() {
            Ok(sink) => shared.log.write_to(sink),
            Err(error) => shared.log.event("error", "log_error", &[("message", error.to_string().into())]),
        }
    }
    match result {
        Ok(()) => shared.log.event("info", "reload", &[]),
        Err(message) => {
            shared.config_failures.fetch_add(1, Ordering::Relaxed);
            let fields = [("message", message.into()), ("kept", "the former configuration".into())];
            shared.log.event("error", "reload", &fields);
        }
    }
    systemd::ready("serving");
}

/// One event loop: it listens at what it is given, and serves what comes.
async fn turn(worker: Worker, loops: Loops, mut inbox: mpsc::UnboundedReceiver<Job>, stop: watch::Receiver<bool>) {
    // A handle of this loop must not keep it from ending: what is shadowed lives on, so it is dropped.
    let loops = {
        let weak = Arc::downgrade(&loops);
        drop(loops);
        weak
    };
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        let job = tokio::select! {
            job = inbox.recv() => job,
            _ = beat.tick() => {
                worker.shared.beats[worker.number].fetch_add(1, Ordering::Relaxed);
                continue;
            }
        };
        match job {
            None => return,
            Some(Job::Listen(socket, role, close)) => {
                tokio::spawn(accept(socket, role, worker.clone(), loops.clone(), close));
            }
            Some(Job::Serve(parked, role, counted)) => {
                if let Ok(stream) = Stream::unpark(parked) {
                    let (own, loops, stop) = (worker.clone(), loops.clone(), stop.clone());
                    tokio::spawn(async move {
                        let number = own.number;
                        serve(stream, role, own, stop).await;
                        drop(counted);
                        if let Some(loops) = loops.upgrade() {
                            loops[number].connections.fetch_sub(1, Ordering::Relaxed);
                        }
                    });
                }
            }
        }
    }
}

/// A listener of either kind.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Address(address.ip())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }
}

async fn accept(
    socket: Socket,
    role: Role,
    worker: Worker,
    loops: std::sync::Weak<Vec<Loop>>,
    mut close: watch::Receiver<bool>,
) {
    let listener = match socket {
        Socket::Tcp(socket) => TcpListener::from_std(socket).map(Listener::Tcp),
        Socket::Unix(socket, _) => UnixListener::from_std(socket).map(Listener::Unix),
    };
    let Ok(listener) = listener else { return };
    let mut is_closing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            // What waits at the door was accepted by the system already, and is served.
            _ = close.changed(), if !is_closing => {
                is_closing = true;
                continue;
            }
            () = std::future::ready(()), if is_closing => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let role = match &role {
                    Role::Guard(door) => Role::Guard(Door { peer, api: door.api }),
                    Role::Admin => Role::Admin,
                };
                let Some(counted) = Counted::new(&worker) else {
                    tokio::spawn(turn_away(stream));
                    continue;
                };
                let Some(loops) = loops.upgrade() else { return };
                hand_over(&loops, stream, role, counted);
            }
            // The client has gone again.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                worker.shared.log.event("error", "accept_error", &[("message", error.to_string().into())]);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Gives a connection to the loop that has fewest.
fn hand_over(loops: &Loops, stream: Stream, role: Role, counted: Counted) {
    let Some(one) = loops.iter().min_by_key(|one| one.connections.load(Ordering::Relaxed)) else { return };
    one.connections.fetch_add(1, Ordering::Relaxed);
    match stream.park() {
        Ok(parked) => drop(one.jobs.send(Job::Serve(parked, role, counted))),
        Err(_) => drop(one.connections.fetch_sub(1, Ordering::Relaxed)),
    }
}

/// What is done from time to time.
struct Upkeep {
    second: tokio::time::Interval,
    watchdog: Option<Duration>,
    passed: u64,
    beats: Vec<u64>,
}

impl Upkeep {
    fn new() -> Self {
        Self {
            second: tokio::time::interval(Duration::from_secs(1)),
            watchdog: systemd::watchdog(),
            passed: 0,
            beats: vec![],
        }
    }

    async fn next(&mut self) {
        self.second.tick().await;
    }

    fn work(&mut self, shared: &Arc<Shared>) {
        if self.passed.is_multiple_of(COUNT_EVERY.as_secs()) {
            let shared = Arc::clone(shared);
            // It takes as long as there are keys, and nobody waits for it.
            let _ = std::thread::Builder::new().name("keyward-keys".to_owned()).spawn(move || count_keys(&shared));
        }
        self.passed += 1;
        let _ = shared.look_at_store();
        if let Some(error) = shared.guard.counts().take_failure() {
            let code = shared.api.code_of(&error);
            let unrecorded = shared.guard.counts().writing().unrecorded;
            let fields =
                [("code", code.into()), ("message", error.to_string().into()), ("unrecorded_uses", unrecorded.into())];
            shared.log.event("error", "flush_error", &fields);
        }
        if let Some(every) = self.watchdog {
            // Only if every loop turns.
            let beats: Vec<_> = shared.beats.iter().map(|beat| beat.load(Ordering::Relaxed)).collect();
            if self.passed.is_multiple_of(every.as_secs().max(1)) {
                if self.beats.is_empty() || self.beats.iter().zip(&beats).all(|(before, now)| before != now) {
                    systemd::alive();
                }
                self.beats = beats;
            }
        }
    }
}

/// Counts keys by their states.
fn count_keys(shared: &Shared) {
    const DAY: i64 = 24 * 60 * 60;
    let now = keyward_core::rules::time::whole_seconds(shared.guard.clock().now());
    let count = || {
        let turn = shared.guard.gate().turn().ok()?;
        let view = turn.view().ok()?;
        let mut counts = KeyCounts::default();
        for state in State::ALL {
            let filter = Filter { state: Some(state), ..Filter::default() };
            counts.states.push((state.as_str(), view.count_keys(&filter, now, u64::MAX >> 1).ok()?));
        }
        for (name, days) in [("7d", 7), ("30d", 30)] {
            let by = now.as_second().saturating_add(days * DAY);
            let expires_by = jiff::Timestamp::from_second(by).ok();
            let filter = Filter { state: Some(State::Active), expires_by, ..Filter::default() };
            counts.expiring.push((name, view.count_keys(&filter, now, u64::MAX >> 1).ok()?));
        }
        Some(counts)
    };
    if let Some(counts) = count() {
        *shared.keys.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

/// Each connection is an open file. Where the system does not let there be as many as may connect, there are fewer.
fn raise_limit_of_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
