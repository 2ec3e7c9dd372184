//! Start, reload and stop.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use keyward_core::rules::key::State;
use keyward_core::store::{Filter, StoreError};
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
/// How long the last writing may take where somebody is in a hurry.
const HURRY: Duration = Duration::from_secs(1);
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
    sockets: Vec<Listening>,
    inherited: Inherited,
    words: mpsc::UnboundedReceiver<Word>,
    control: Control,
}

/// What is answered at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    Guard { api: bool },
    Admin,
}

impl Duty {
    /// What it means for whoever is at the other end.
    fn towards(self, peer: Peer) -> Role {
        match self {
            Self::Guard { api } => Role::Guard(Door { peer, api }),
            Self::Admin => Role::Admin,
        }
    }
}

/// A socket that is listened at.
#[derive(Debug)]
struct Listening {
    address: Address,
    duty: Duty,
    socket: Socket,
    /// Ends those who accept, and their connections.
    close: watch::Sender<bool>,
}

/// What a loop is told.
enum Job {
    Listen(Socket, Duty, watch::Receiver<bool>),
    Serve(Parked, Role, Place, watch::Receiver<bool>),
}

/// A loop, as the others see it.
struct Loop {
    jobs: mpsc::UnboundedSender<Job>,
    connections: Arc<AtomicUsize>,
}

/// A connection's place in the counts: of all, and of its loop's. Both are given back when it is dropped, wherever.
struct Place {
    _counted: Counted,
    of_loop: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of_loop.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All loops: a connection goes to the one that has fewest.
type Loops = Arc<Vec<Loop>>;

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens at all addresses of `config`. Nobody is answered before [`Server::run`].
    ///
    /// # Errors
    /// Where one of them cannot be listened at, or a file that is named cannot be read. Then nothing is listened at.
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

    /// Whether the files that a configuration names can be used.
    ///
    /// # Errors
    /// As [`Server::bind`] has it.
    pub fn check_files(config: &Config) -> Result<(), StartError> {
        config.proxy_secret_file.as_deref().map_or(Ok(()), |path| read_secret(path).map(drop))
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
            loops.push(Loop { jobs, connections: Arc::default() });
            inboxes.push(inbox);
        }
        let loops: Loops = Arc::new(loops);
        let mut threads: Vec<JoinHandle<()>> = vec![];
        for (number, inbox) in inboxes.into_iter().enumerate() {
            // Only the starter keeps the loops: when it lets go of them, they end.
            let (worker, loops, stopped) =
                (Worker { shared: Arc::clone(&shared), number }, Arc::downgrade(&loops), stopped.clone());
            let runtime = event_loop()?;
            let work = move || runtime.block_on(turn(worker, loops, inbox, stopped));
            let named = std::thread::Builder::new().name(format!("keyward-loop-{number}"));
            threads.push(named.spawn(work).map_err(StartError::Thread)?);
        }
        for listening in &sockets {
            listening.announce(&loops, listening.copies(&loops).map_err(StartError::Thread)?);
        }
        let shown = addresses(&sockets);
        let fields = [("listen", shown.clone().into()), ("version", shared.version.into())];
        shared.log.event("info", "start", &fields);
        systemd::ready(&format!("listening at {}", shown.join(", ")));

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
            systemd::stopping();
            shared.log.event("info", "stop", &[("drain_seconds", options.drain.as_secs_f64().into())]);
            let mut is_hurried = wait(options.drain, &mut words).await;
            // Listeners take in what waits at their doors, and close.
            for listening in std::mem::take(&mut sockets) {
                let _ = listening.close.send(true);
            }
            let _ = stop.send(true);
            let steps = LAST.as_millis() / PAUSE.as_millis();
            for _ in 0..steps {
                if shared.connections.load(Ordering::Acquire) == 0 || is_hurried {
                    break;
                }
                is_hurried = wait(PAUSE, &mut words).await;
            }
            is_hurried
        });
        // Without senders, the loops end, and with them what is left of the connections.
        drop(loops);
        drop(stop);
        let (ended, mut end) = tokio::sync::oneshot::channel::<()>();
        let last = Arc::clone(&shared);
        // On a thread of its own: a store that somebody has locked keeps nobody from being in a hurry.
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

/// Tells the log what could not be written.
fn tell_of_failure(shared: &Shared, error: &StoreError) {
    let unrecorded = shared.guard.counts().writing().unrecorded;
    let code = shared.api.code_of(error);
    let fields = [("code", code.into()), ("message", error.to_string().into()), ("unrecorded_uses", unrecorded.into())];
    shared.log.event("error", "flush_error", &fields);
}

/// Where it listens, guard listeners first.
fn addresses(sockets: &[Listening]) -> Vec<String> {
    let mut all: Vec<_> = sockets.iter().collect();
    all.sort_by_key(|listening| listening.duty == Duty::Admin);
    all.into_iter().map(|listening| listening.socket.shown(&listening.address)).collect()
}

fn event_loop() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)
}

/// Every place to listen at.
fn places(config: &Config) -> Vec<(Address, Duty)> {
    let guard = config.listen.iter().map(|Listen { address, api }| (address.clone(), Duty::Guard { api: *api }));
    guard.chain(config.admin.iter().map(|address| (address.clone(), Duty::Admin))).collect()
}

impl Listening {
    fn open(address: Address, duty: Duty, config: &Config, inherited: &mut Inherited) -> Result<Self, ListenError> {
        let socket = Socket::open(&address, inherited)?;
        let listening = Self { address, duty, socket, close: watch::channel(false).0 };
        // Where a socket that was handed over listens is known only now.
        if duty != Duty::Admin && config.trust.is_empty() && !listening.socket.is_local() {
            let address = listening.socket.shown(&listening.address);
            listening.give_back(inherited);
            return Err(ListenError::Untrusted(address));
        }
        Ok(listening)
    }

    /// Gives a socket back that was handed over: it can be had again at the next reload.
    fn give_back(self, inherited: &mut Inherited) {
        if let Address::Inherited(name) = self.address {
            inherited.take_back(name, self.socket);
        }
    }

    /// The socket once for each loop.
    fn copies(&self, loops: &Loops) -> std::io::Result<Vec<Socket>> {
        loops.iter().map(|_| self.socket.try_clone()).collect()
    }

    /// Hands the copies to the loops.
    fn announce(&self, loops: &Loops, copies: Vec<Socket>) {
        for (one, socket) in loops.iter().zip(copies) {
            let _ = one.jobs.send(Job::Listen(socket, self.duty, self.close.subscribe()));
        }
    }
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
fn reload(shared: &Shared, options: &Options, sockets: &mut Vec<Listening>, inherited: &mut Inherited, loops: &Loops) {
    systemd::reloading();
    let result = (options.reload)().map_err(|error| error.to_string()).and_then(|config| {
        shared.check_against_store(&config).map_err(|error| error.to_string())?;
        let settings = read_settings(config).map_err(|error| error.to_string())?;
        let change = Change::plan(&settings.config, sockets, inherited, loops).map_err(|error| error.to_string())?;
        change.make(sockets, inherited, loops);
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
        Ok(()) => shared.log.event("info", "reload", &[("listen", addresses(sockets).into())]),
        Err(message) => {
            shared.config_failures.fetch_add(1, Ordering::Relaxed);
            let fields = [("message", message.into()), ("kept", "the former configuration".into())];
            shared.log.event("error", "reload", &fields);
        }
    }
    systemd::ready("serving");
}

/// What a reload does to the sockets. Everything that can fail is done when it is planned.
struct Change {
    /// What is listened at from then on: a socket that there is, by its place, or another one. With the copies for the
    /// loops where they have to be told.
    wanted: Vec<(Source, Address, Duty, Option<Vec<Socket>>)>,
}

enum Source {
    Present(usize),
    Opened(Listening),
}

impl Change {
    fn plan(
        config: &Config,
        sockets: &[Listening],
        inherited: &mut Inherited,
        loops: &Loops,
    ) -> Result<Self, StartError> {
        let mut change = Self { wanted: vec![] };
        let result = change.fill(config, sockets, inherited, loops);
        if let Err(error) = result {
            for (source, ..) in change.wanted {
                if let Source::Opened(listening) = source {
                    listening.give_back(inherited);
                }
            }
            return Err(error);
        }
        Ok(change)
    }

    fn fill(
        &mut self,
        config: &Config,
        sockets: &[Listening],
        inherited: &mut Inherited,
        loops: &Loops,
    ) -> Result<(), StartError> {
        for (address, duty) in places(config) {
            let present = sockets.iter().position(|listening| listening.address.is_at_the_place_of(&address));
            let source = match present {
                Some(place) if duty != Duty::Admin && config.trust.is_empty() && !sockets[place].socket.is_local() => {
                    return Err(ListenError::Untrusted(sockets[place].socket.shown(&address)).into());
                }
                Some(place) => Source::Present(place),
                None => Source::Opened(Listening::open(address.clone(), duty, config, inherited)?),
            };
            let copies = match &source {
                Source::Present(place) if sockets[*place].duty == duty => Ok(None),
                Source::Present(place) => sockets[*place].copies(loops).map(Some),
                Source::Opened(listening) => listening.copies(loops).map(Some),
            };
            let (copies, failure) = match copies {
                Ok(copies) => (copies, None),
                Err(error) => (None, Some(error)),
            };
            self.wanted.push((source, address, duty, copies));
            if let Some(error) = failure {
                return Err(StartError::Thread(error));
            }
        }
        self.permit(sockets)
    }

    /// Gives sockets that stay the permissions that they are to have from now on; where that fails, those that they had.
    fn permit(&self, sockets: &[Listening]) -> Result<(), StartError> {
        let mut done: Vec<(&Address, &Address)> = vec![];
        for (source, wanted, ..) in &self.wanted {
            let Source::Present(place) = source else { continue };
            let present = &sockets[*place].address;
            if present == wanted {
                continue;
            }
            if let Err(error) = Socket::permit(present, wanted) {
                for (present, wanted) in done {
                    let _ = Socket::permit(wanted, present);
                }
                return Err(error.into());
            }
            done.push((present, wanted));
        }
        Ok(())
    }

    fn make(self, sockets: &mut Vec<Listening>, inherited: &mut Inherited, loops: &Loops) {
        let mut present: Vec<_> = std::mem::take(sockets).into_iter().map(Some).collect();
        for (source, address, duty, copies) in self.wanted {
            let listening = match source {
                Source::Opened(listening) => Some(listening),
                // It is the same, perhaps with other permissions.
                Source::Present(place) if copies.is_none() => {
                    present[place].take().map(|former| Listening { address, ..former })
                }
                Source::Present(place) => present[place].take().map(|former| {
                    let _ = former.close.send(true);
                    Listening { address, duty, socket: former.socket, close: watch::channel(false).0 }
                }),
            };
            let Some(listening) = listening else { continue };
            if let Some(copies) = copies {
                listening.announce(loops, copies);
            }
            sockets.push(listening);
        }
        for listening in present.into_iter().flatten() {
            let _ = listening.close.send(true);
            listening.give_back(inherited);
        }
    }
}

/// One event loop: it listens at what it is given, and serves what comes.
async fn turn(
    worker: Worker,
    loops: Weak<Vec<Loop>>,
    mut inbox: mpsc::UnboundedReceiver<Job>,
    stop: watch::Receiver<bool>,
) {
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
            Some(Job::Listen(socket, duty, close)) => {
                tokio::spawn(accept(socket, duty, worker.clone(), loops.clone(), close));
            }
            Some(Job::Serve(parked, role, place, close)) => {
                if let Ok(stream) = Stream::unpark(parked) {
                    let (own, stop) = (worker.clone(), stop.clone());
                    tokio::spawn(async move {
                        serve(stream, role, own, [stop, close]).await;
                        drop(place);
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
    async fn accept(&self) -> std::io::Result<(Parked, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream).park()?, Peer::Address(address.ip())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream).park()?, Peer::Unix))
            }
        }
    }

    /// Closes the door. Those who stand before it are let in: for them, the system has opened it already.
    fn close(self, mut let_in: impl FnMut(Parked, Peer)) -> std::io::Result<()> {
        match self {
            Self::Tcp(listener) => {
                let listener = listener.into_std()?;
                while let Ok((stream, address)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    let_in(Parked::Tcp(stream), Peer::Address(address.ip()));
                }
            }
            Self::Unix(listener) => {
                let listener = listener.into_std()?;
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    let_in(Parked::Unix(stream), Peer::Unix);
                }
            }
        }
        Ok(())
    }
}

async fn accept(socket: Socket, duty: Duty, worker: Worker, loops: Weak<Vec<Loop>>, mut close: watch::Receiver<bool>) {
    let listener = match socket {
        Socket::Tcp(socket) => TcpListener::from_std(socket).map(Listener::Tcp),
        Socket::Unix(socket, _) => UnixListener::from_std(socket).map(Listener::Unix),
    };
    let Ok(listener) = listener else { return };
    let closed = close.clone();
    let let_in = |parked: Parked, peer: Peer| {
        let is_stranger = duty != Duty::Admin && !peer.is_trusted(&worker.shared.settings().config.trust);
        let role = duty.towards(peer);
        match Counted::new(&worker, is_stranger) {
            Some(counted) => {
                if let Some(loops) = loops.upgrade() {
                    hand_over(&loops, parked, role, counted, closed.clone());
                }
            }
            None => {
                if let Ok(stream) = Stream::unpark(parked) {
                    tokio::spawn(turn_away(stream));
                }
            }
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            _ = close.changed() => {
                let _ = listener.close(let_in);
                return;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((parked, peer)) => let_in(parked, peer),
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
fn hand_over(loops: &[Loop], parked: Parked, role: Role, counted: Counted, close: watch::Receiver<bool>) {
    let Some(one) = loops.iter().min_by_key(|one| one.connections.load(Ordering::Relaxed)) else { return };
    one.connections.fetch_add(1, Ordering::Relaxed);
    let place = Place { _counted: counted, of_loop: Arc::clone(&one.connections) };
    let _ = one.jobs.send(Job::Serve(parked, role, place, close));
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
            tell_of_failure(shared, &error);
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
