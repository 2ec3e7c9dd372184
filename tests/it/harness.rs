//! A world for each test.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Span, Timestamp};
use keyward_cli::terminal::Interrupts;
use keyward_cli::world::{StreamKinds, World};
use keyward_core::rules::hashing::Cost;
use keyward_core::store::{Stamp, Store, StoreSettings};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use regex::Regex;

/// A folder with a store, a clock and a generator. The store hashes at the lowest allowed cost, unlike a new store of
/// the real binary.
pub struct Sandbox {
    folder: tempfile::TempDir,
    /// The schema of its store, if the tests run with a database (`tests/on_a_server`).
    #[cfg(feature = "postgres")]
    schema: Option<String>,
    now: Arc<Mutex<Timestamp>>,
    /// Seconds that pass each time the clock is read.
    tick: Cell<i64>,
    random: Rc<RefCell<ChaCha20Rng>>,
    /// Whether the system's random source fails.
    pub has_no_random: Rc<Cell<bool>>,
}

/// The database for stores, each in its own schema.
#[cfg(feature = "postgres")]
fn server() -> Option<String> {
    std::env::var("KEYWARD_TEST_SERVER").ok()
}

#[cfg(feature = "postgres")]
fn schema() -> String {
    use std::sync::atomic::AtomicU32;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("s{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
}

impl Sandbox {
    /// With a store.
    pub fn new() -> Self {
        let sandbox = Self::empty();
        let now = sandbox.now();
        let mut store = sandbox.make(now);
        let mut settings = StoreSettings::default();
        settings.hash_cost = Cost::FLOOR;
        store.write(Stamp { now, actor: None }, |changes| changes.save_settings(&settings)).unwrap();
        sandbox
    }

    /// Without a store.
    pub fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            #[cfg(feature = "postgres")]
            schema: server().map(|_| schema()),
            now: Arc::new(Mutex::new("2026-01-31T12:00:00Z".parse().unwrap())),
            tick: Cell::new(0),
            random: Rc::new(RefCell::new(ChaCha20Rng::seed_from_u64(7))),
            has_no_random: Rc::default(),
        }
    }

    /// Another sandbox with a copy of this one's store, which must not be open.
    pub fn copy(&self) -> Self {
        let copy = Self::empty();
        std::fs::copy(self.store(), copy.store()).unwrap();
        copy.random.borrow_mut().clone_from(&self.random.borrow());
        copy
    }

    /// The name of the store on a command line: a file or a database.
    pub fn name(&self) -> OsString {
        #[cfg(feature = "postgres")]
        if let (Some(server), Some(schema)) = (server(), &self.schema) {
            return format!("{server}?schema={schema}").into();
        }
        self.store().into()
    }

    fn make(&self, now: Timestamp) -> Store {
        #[cfg(feature = "postgres")]
        if self.schema.is_some() {
            let url = self.name().into_string().unwrap().parse().unwrap();
            return Store::found(url, keyward_core::store::Surroundings::default(), now).unwrap();
        }
        Store::create(&self.store(), now).unwrap()
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("keys.db")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The message for an empty result, with the store that was searched.
    pub fn looked_at(&self, what: &str) -> String {
        format!("{what} (looked at the store {})", self.name().into_string().unwrap())
    }

    /// Everything in the folder, including the store, so that a test can check that nothing changed.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn add(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    add(&path, files);
                } else {
                    files.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        // Data left in a write-ahead log counts as if it were in the store.
        if self.path("keys.db-wal").exists() {
            let conn = rusqlite::Connection::open(self.store()).unwrap();
            conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
        }
        let mut files = BTreeMap::new();
        add(self.folder.path(), &mut files);
        files
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    /// Lets time pass.
    pub fn pass(&self, span: Span) {
        let later = self.now().to_zoned(jiff::tz::TimeZone::UTC).checked_add(span).unwrap();
        *self.now.lock().unwrap() = later.timestamp();
    }

    /// From now on, this many seconds pass each time the clock is read.
    pub fn tick(&self, seconds: i64) {
        self.tick.set(seconds);
    }

    /// Sets the clock.
    pub fn set_clock(&self, time: Timestamp) {
        *self.now.lock().unwrap() = time;
    }

    /// Runs a command line, split at white space, with nothing on stdin.
    pub fn run(&self, line: &str) -> Output {
        self.run_args(&words(line), b"")
    }

    /// The same with input on stdin.
    pub fn run_with(&self, line: &str, input: impl AsRef<[u8]>) -> Output {
        self.run_args(&words(line), input.as_ref())
    }

    pub fn run_args(&self, args: &[String], input: &[u8]) -> Output {
        self.run_in(args, input, &[], StreamKinds::default())
    }

    /// The same with these variables in the environment, and nothing on stdin.
    pub fn run_env(&self, line: &str, variables: &[(&str, &str)]) -> Output {
        self.run_in(&words(line), b"", variables, StreamKinds::default())
    }

    /// The same with an environment and other kinds of streams. `KEYWARD_STORE` names the store.
    pub fn run_in(&self, args: &[String], input: &[u8], variables: &[(&str, &str)], streams: StreamKinds) -> Output {
        let (stdout, stderr) = (Recorder::default(), Recorder::default());
        let exit = keyward_cli::run(self.world(args, input, variables, streams, Box::new(stdout.clone()), &stderr));
        Output { code: exit.0, stdout: stdout.text(), stderr: stderr.text() }
    }

    /// A run whose stdout fails the way `stdout` does.
    pub fn run_into(&self, line: &str, stdout: Box<dyn Write>) -> Output {
        let stderr = Recorder::default();
        let exit = keyward_cli::run(self.world(&words(line), b"", &[], StreamKinds::default(), stdout, &stderr));
        Output { code: exit.0, stdout: String::new(), stderr: stderr.text() }
    }

    /// A run that waits this long before it gets its input.
    pub fn run_slowly(&self, line: &str, input: &str, span: Span) -> Output {
        let (stdout, stderr) = (Recorder::default(), Recorder::default());
        let mut world = self.world(&words(line), b"", &[], StreamKinds::default(), Box::new(stdout.clone()), &stderr);
        let later = self.now().to_zoned(jiff::tz::TimeZone::UTC).checked_add(span).unwrap().timestamp();
        world.stdin = Box::new(SlowInput { now: Arc::clone(&self.now), later, input: io::Cursor::new(input.into()) });
        let exit = keyward_cli::run(world);
        Output { code: exit.0, stdout: stdout.text(), stderr: stderr.text() }
    }

    fn world(
        &self,
        args: &[String],
        input: &[u8],
        variables: &[(&str, &str)],
        streams: StreamKinds,
        stdout: Box<dyn Write>,
        stderr: &Recorder,
    ) -> World {
        let mut environment: HashMap<String, OsString> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        environment.entry("KEYWARD_STORE".to_owned()).or_insert_with(|| self.name());
        let (now, tick, random) = (Arc::clone(&self.now), self.tick.get(), Rc::clone(&self.random));
        let has_no_random = Rc::clone(&self.has_no_random);
        World {
            args: std::iter::once("keyward".into()).chain(args.iter().map(OsString::from)).collect(),
            environment: Box::new(move |name| environment.get(name).cloned()),
            clock: Arc::new(move || {
                let mut now = now.lock().unwrap();
                let read = *now;
                *now = read.checked_add(SignedDuration::from_secs(tick)).unwrap_or(read);
                read
            }),
            is_host_clock: false,
            random: Box::new(move |bytes| {
                if has_no_random.get() {
                    return Err(anyhow::anyhow!("made up for a test"));
                }
                random.borrow_mut().fill_bytes(bytes);
                Ok(())
            }),
            data_folder: Some(self.path("data")),
            program: None,
            stdin: Box::new(io::Cursor::new(input.to_vec())),
            stdout,
            stderr: Box::new(stderr.clone()),
            streams,
            interrupts: Arc::new(Interrupts::default()),
        }
    }

    /// Mints a key and returns its secret.
    pub fn mint(&self, line: &str) -> String {
        let output = self.run(&format!("create {line}"));
        assert_eq!(output.code, 0, "{output}");
        output.stdout.trim_end().to_owned()
    }

    /// Verifies a credential and returns the reason and the status from the JSON.
    pub fn reason(&self, flags: &str, credential: &str) -> String {
        let output = self.run_with(&format!("verify --json {flags}"), credential);
        let answer = output.json();
        let status = answer["status"].as_u64().unwrap();
        let code = match status {
            200 => 0,
            401 => 3,
            429 => 9,
            _ => 4,
        };
        assert_eq!((u64::from(output.code), answer["allowed"].as_bool()), (code, Some(status == 200)), "{output}");
        let failing: Vec<_> = answer["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["outcome"] == "fail")
            .map(|check| check["check"].as_str().unwrap())
            .collect();
        assert_eq!(*failing.first().unwrap_or(&"allowed"), answer["reason"].as_str().unwrap());
        if failing.is_empty() { "allowed".to_owned() } else { failing.join(" ") }
    }

    /// The real binary on this store.
    pub fn binary(&self, line: &str) -> Command {
        let mut command = binary(&self.store(), &words(line));
        command.env("KEYWARD_STORE", self.name());
        command
    }
}

/// The real binary on a store, in an otherwise empty environment.
pub fn binary(store: &Path, args: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
    command.args(args).env_clear().env("KEYWARD_STORE", store).env("TERM", "xterm-256color").stdin(Stdio::null());
    command
}

/// Runs the real binary and waits until it ends.
pub fn finish(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    Output {
        code: output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(255),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs it with input on stdin.
pub fn finish_with(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that needs no input may close it; that is not a test failure.
    let _ = child.stdin.take().unwrap().write_all(input);
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let code = child.wait().unwrap().code().and_then(|code| u8::try_from(code).ok()).unwrap_or(255);
    Output { code, stdout, stderr }
}

/// A pipe that accepts nothing until someone reads it: it is full of `x`.
pub fn full_pipe() -> (io::PipeReader, io::PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while Write::write(&mut writer, &[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

pub fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Replaces what looks like a secret. The secrets of tests are made up, and snapshots have none.
pub fn without_secrets(text: &str) -> String {
    Regex::new(r"[a-z][a-z0-9_]*_[0-9a-hjkmnp-tv-z]{12}_[0-9A-Za-z]{49}")
        .unwrap()
        .replace_all(text, "[secret]")
        .into_owned()
}

impl Output {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// The error object, which must be all of stderr.
    pub fn error(&self) -> serde_json::Value {
        let document: serde_json::Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self}"));
        document["error"].clone()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "code: {}", self.code)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            for line in without_secrets(text).lines() {
                writeln!(f, "{name}: {line}")?;
            }
        }
        Ok(())
    }
}

/// An input during which time passes.
struct SlowInput {
    now: Arc<Mutex<Timestamp>>,
    later: Timestamp,
    input: io::Cursor<Vec<u8>>,
}

impl Read for SlowInput {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        *self.now.lock().unwrap() = self.later;
        self.input.read(bytes)
    }
}

/// A stream that records what is written.
#[derive(Clone, Default)]
pub struct Recorder(Rc<RefCell<Vec<u8>>>);

impl Recorder {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ends other threads when its own ends, even if that one fails.
pub struct Over<'o>(pub &'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
