//! A process may be killed at any moment (SIGKILL, the OOM killer): what it leaves is consistent, and the next run
//! continues from there. Power cuts are not tested here: they need a disk that loses writes.
//!
//! The kills come at random moments, spread over the time that an undisturbed command takes. The generator is
//! seeded, but timing still varies: a failure reports what was killed, and when, and keeps the folder.
//! `KEYWARD_CRASH_SEED` chooses other moments.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use regex::Regex;
use serde_json::{Value, json};

use crate::harness::{Output, binary, finish, finish_with, words};

/// The lowest hash cost, so that kills also hit the moments between the steps, not only the hashing.
const CHEAP: &str = "settings set hash-parameters m=1024,t=1,p=1";
const WORKERS: u64 = 2;

static SECRET: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[a-z][a-z0-9]*_([0-9a-hjkmnp-tv-z]{12})_[0-9A-Za-z]{49}").unwrap());

/// A store, and what is needed to kill the commands that use it.
struct Bench {
    folder: tempfile::TempDir,
    store: PathBuf,
    seed: u64,
    random: ChaCha20Rng,
    /// How long each kind of command takes, and how many kills were tried since that was measured.
    times: HashMap<&'static str, (Duration, u32)>,
    spread: Spread,
    last: String,
}

/// How far the processes had got.
#[derive(Debug, Default, Clone, Copy)]
struct Spread {
    /// They finished before the kill, or were not killed, to measure how long they take.
    finished: u32,
    /// Nothing had changed yet.
    before: u32,
    /// The secret was being delivered, and the store was unchanged.
    between: u32,
    /// The store had changed.
    after: u32,
}

impl Spread {
    fn kills(&self) -> u32 {
        self.before + self.between + self.after
    }

    fn count(&mut self, struck: &Struck, delivered: bool, committed: bool) {
        let counter = match (struck.killed, delivered, committed) {
            (false, ..) => &mut self.finished,
            (true, _, true) => &mut self.after,
            (true, true, false) => &mut self.between,
            (true, false, false) => &mut self.before,
        };
        *counter += 1;
    }

    fn plus(self, other: Self) -> Self {
        Self {
            finished: self.finished + other.finished,
            before: self.before + other.before,
            between: self.between + other.between,
            after: self.after + other.after,
        }
    }
}

/// How a command that was to be killed ended.
struct Struck {
    killed: bool,
    stdout: String,
}

impl Bench {
    fn new(number: u64) -> Self {
        let seed = std::env::var("KEYWARD_CRASH_SEED").map_or(7, |seed| seed.parse().unwrap()) + number;
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("keys.db");
        let bench = Self {
            folder,
            store,
            seed,
            random: ChaCha20Rng::seed_from_u64(seed),
            times: HashMap::new(),
            spread: Spread::default(),
            last: String::new(),
        };
        bench.must(CHEAP);
        bench
    }

    fn path(&self, name: impl Display) -> PathBuf {
        self.folder.path().join(name.to_string())
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.next_u64() as usize % bound
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }

    /// Runs a line, which must succeed.
    fn must(&self, line: &str) -> Output {
        let output = finish(&mut binary(&self.store, &words(line)));
        assert_eq!(output.code, 0, "{line}: {output}");
        output
    }

    /// Runs a command and kills it at a random moment. Now and then it is left to finish.
    fn strike(&mut self, kind: &'static str, mut command: Command) -> Struck {
        let (out, err) = (self.path("out"), self.path("err"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap()).process_group(0);
        let delay = match self.times.get_mut(kind) {
            Some((time, strikes @ 0..6)) => {
                *strikes += 1;
                // Mostly after the process has started; sometimes after it has finished.
                let first = if strikes.is_multiple_of(3) { 0.0 } else { 0.5 };
                let part = f64::from(self.random.next_u32()) / f64::from(u32::MAX);
                Some(time.mul_f64(first + part * (1.2 - first)))
            }
            _ => None,
        };
        self.last = format!("{kind}, killed after {delay:?}: {command:?}");
        let start = Instant::now();
        let mut child = command.spawn().unwrap();
        if let Some(delay) = delay {
            thread::sleep(delay);
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        if delay.is_none() {
            self.times.insert(kind, (start.elapsed(), 0));
        }
        let killed = status.signal() == Some(9);
        assert!(killed || status.success(), "{status}: {}", fs::read_to_string(&err).unwrap());
        // Processes that it started may still be running.
        while killed && is_alive(child.id()) {
            thread::sleep(Duration::from_millis(1));
        }
        Struck { killed, stdout: fs::read_to_string(&out).unwrap() }
    }

    /// Opens the store as the next command would, checks it, and returns the keys and the number of events.
    fn look(&self) -> (Vec<Value>, i64) {
        self.must("history --check");
        let keys = self.must("list --json").json();
        let conn = rusqlite::Connection::open(&self.store).unwrap();
        let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        assert!(!conn.prepare("PRAGMA foreign_key_check").unwrap().exists([]).unwrap());
        let events = conn.query_row("SELECT count(*) FROM history", [], |row| row.get(0)).unwrap();
        (keys.as_array().unwrap().clone(), events)
    }

    /// Whether a secret opens this key.
    fn opens(&self, secret: &str, key: &str) -> bool {
        let output = finish_with(&mut binary(&self.store, &words("verify --no-record --json")), secret.as_bytes());
        output.code == 0 && output.json()["key"]["name"] == key
    }
}

impl Drop for Bench {
    #[allow(clippy::print_stderr, reason = "the test has failed")]
    fn drop(&mut self) {
        if thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("seed {}, folder {}, {}", self.seed, self.folder.path().display(), self.last);
        }
    }
}

/// Whether this process group still has a process that is not a zombie.
fn is_alive(group: u32) -> bool {
    let group = group.to_string();
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        matches!(fields[..], [state, _, of, ..] if of == group && state != "Z")
    })
}

fn on_all_workers(work: impl Fn(u64) -> Spread + Sync) -> Spread {
    thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..WORKERS).map(|number| scope.spawn(move || work(number))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).fold(Spread::default(), Spread::plus)
    })
}

/// How a place holds a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Alone on its line, in a file of mode 0600.
    File,
    /// As `KEY`, between other lines, in a file of mode 0600.
    Dotenv,
    /// Appended, between two lines that cannot be guessed.
    Step,
    /// The secret and nothing else.
    Bare,
    /// One per line, as each run printed it.
    Printed,
}

const DOTENV: &str = "# ours\nA=1\nKEY=none\nB='2 3'\n";
const STEP: &str = "X=1\n";

impl Form {
    /// What the file holds before there is a key.
    fn start(self) -> Option<&'static str> {
        match self {
            Self::Dotenv => Some(DOTENV),
            Self::Step => Some(STEP),
            Self::File | Self::Bare | Self::Printed => None,
        }
    }

    /// The secrets in a file of this form, which is complete or does not exist.
    fn secrets(self, path: &Path) -> Vec<String> {
        let Ok(text) = fs::read_to_string(path) else {
            assert_eq!(self.start(), None, "{} is gone", path.display());
            return vec![];
        };
        let secret = SECRET.as_str();
        let whole = match self {
            Self::File => format!("{secret}\n"),
            Self::Dotenv => DOTENV.replace("none", &format!("(none|{secret})")),
            Self::Step => format!("{STEP}(KEY<<keyward_[0-9a-f]{{32}}\n{secret}\nkeyward_[0-9a-f]{{32}}\n)*"),
            Self::Bare => format!("({secret})?"),
            Self::Printed => format!("({secret}\n)*"),
        };
        assert!(Regex::new(&format!("^{whole}$")).unwrap().is_match(&text), "{}: {text:?}", path.display());
        if matches!(self, Self::File | Self::Dotenv) {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600, "{}", path.display());
        }
        SECRET.find_iter(&text).map(|found| found.as_str().to_owned()).collect()
    }
}

/// A command to be killed. In its lines, `{k}` is a key that did not exist before, and `{d}` a new folder.
struct Case {
    what: &'static str,
    /// Run first; it leaves the key's secret in its place or in `old`.
    first: &'static str,
    line: &'static str,
    /// What a person would run next.
    again: &'static str,
    /// What is added to the key's name, and where its secret goes.
    places: &'static [(&'static str, &'static str, Form)],
}

const MANIFEST: &str = r#"
[[group]]
name = "{k}"
[[key]]
name = "{k}a"
group = "{k}"
deliver = { secret_file = "{d}/a" }
[[key]]
name = "{k}b"
deliver = { env_file = "{d}/b", env_name = "KEY" }
[[key]]
name = "{k}c"
deliver = { secret_to = "cat > {d}/c" }
[[key]]
name = "{k}d"
deliver = { github_env = "KEY" }
[[key]]
name = "{k}e"
deliver = { github_output = "KEY" }
"#;

const CASES: [Case; 21] = {
    const ENSURE_FILE: &str = "create {k} --ensure --rotate-if-missing --secret-file {d}/to";
    const ENSURE_DOTENV: &str = "create {k} --ensure --rotate-if-missing --env-file {d}/to --env-name KEY";
    const OLD: &str = "create {k} --secret-file {d}/old";
    const fn case(
        what: &'static str,
        first: &'static str,
        line: &'static str,
        again: &'static str,
        form: &'static [(&'static str, &'static str, Form)],
    ) -> Case {
        Case { what, first, line, again, places: form }
    }
    const FILE: &[(&str, &str, Form)] = &[("", "to", Form::File)];
    const DOTENV: &[(&str, &str, Form)] = &[("", "to", Form::Dotenv)];
    const BARE: &[(&str, &str, Form)] = &[("", "to", Form::Bare)];
    const ENV: &[(&str, &str, Form)] = &[("", "github_env", Form::Step)];
    const OUTPUT: &[(&str, &str, Form)] = &[("", "github_output", Form::Step)];
    const PRINTED: &[(&str, &str, Form)] = &[("", "printed", Form::Printed)];
    [
        case("create", "", "create {k}", "create {k} --ensure", PRINTED),
        case("rotate", OLD, "rotate {k}", "rotate {k}", PRINTED),
        case("create to a file", "", "create {k} --secret-file {d}/to", ENSURE_FILE, FILE),
        case("rotate to a new file", OLD, "rotate {k} --secret-file {d}/to", ENSURE_FILE, FILE),
        case(
            "create over a file",
            "create {k}x --secret-file {d}/to",
            "create {k} --secret-file {d}/to --force",
            "create {k} --ensure --secret-file {d}/to --force --rotate-if-missing",
            FILE,
        ),
        case(
            "rotate over a file",
            "create {k} --secret-file {d}/to",
            "rotate {k} --secret-file {d}/to --force",
            "rotate {k} --secret-file {d}/to --force",
            FILE,
        ),
        case(
            "rotate over a file, then ensure",
            "create {k} --secret-file {d}/to",
            "rotate {k} --secret-file {d}/to --force",
            ENSURE_FILE,
            FILE,
        ),
        case("create to a dotenv file", "", "create {k} --env-file {d}/to --env-name KEY", ENSURE_DOTENV, DOTENV),
        case(
            "rotate in a dotenv file",
            "create {k} --env-file {d}/to --env-name KEY",
            "rotate {k} --env-file {d}/to --env-name KEY",
            "rotate {k} --env-file {d}/to --env-name KEY",
            DOTENV,
        ),
        case(
            "rotate in a dotenv file, then ensure",
            "create {k} --env-file {d}/to --env-name KEY",
            "rotate {k} --env-file {d}/to --env-name KEY",
            ENSURE_DOTENV,
            DOTENV,
        ),
        case(
            "create to a command",
            "",
            "create {k} --secret-to cat>{d}/to",
            "create {k} --ensure --secret-to cat>{d}/to",
            BARE,
        ),
        case(
            "rotate to a command",
            "create {k} --secret-to cat>{d}/to",
            "rotate {k} --secret-to cat>{d}/to",
            "rotate {k} --secret-to cat>{d}/to",
            BARE,
        ),
        case("create for steps", "", "create {k} --github-env KEY", "create {k} --ensure --github-env KEY", ENV),
        case("rotate for steps", OLD, "rotate {k} --github-env KEY", "rotate {k} --github-env KEY", ENV),
        case(
            "create an output",
            "",
            "create {k} --github-output KEY",
            "create {k} --ensure --github-output KEY",
            OUTPUT,
        ),
        case("rotate an output", OLD, "rotate {k} --github-output KEY", "rotate {k} --github-output KEY", OUTPUT),
        case("ensure a new key in a file", "", ENSURE_FILE, ENSURE_FILE, FILE),
        case("ensure what is missing from a file", OLD, ENSURE_FILE, ENSURE_FILE, FILE),
        case("ensure what is missing from a dotenv file", OLD, ENSURE_DOTENV, ENSURE_DOTENV, DOTENV),
        case(
            "apply into a folder",
            "",
            "apply {d}.toml --secrets-dir {d}",
            "apply {d}.toml --secrets-dir {d}",
            &[("a", "{k}a", Form::File), ("b", "{k}b", Form::File), ("c", "{k}c", Form::File)],
        ),
        case(
            "apply to places",
            "",
            "apply {d}.toml",
            "apply {d}.toml",
            &[
                ("a", "a", Form::File),
                ("b", "b", Form::Dotenv),
                ("c", "c", Form::Bare),
                ("d", "github_env", Form::Step),
                ("e", "github_output", Form::Step),
            ],
        ),
    ]
};

/// One run of a case.
struct Scene<'c> {
    case: &'c Case,
    folder: PathBuf,
    key: String,
}

impl Scene<'_> {
    fn fill(&self, text: &str) -> String {
        text.replace("{d}", self.folder.to_str().unwrap()).replace("{k}", &self.key)
    }

    fn command(&self, bench: &Bench, line: &str) -> Command {
        let mut command = binary(&bench.store, &words(&self.fill(line)));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("GITHUB_ENV", self.folder.join("github_env"));
        command.env("GITHUB_OUTPUT", self.folder.join("github_output"));
        command
    }

    /// Keeps what was printed, if that is where the secret goes.
    fn keep(&self, printed: &str) {
        if self.case.places[0].2 == Form::Printed {
            let path = self.folder.join("printed");
            fs::write(&path, fs::read_to_string(&path).unwrap_or_default() + printed).unwrap();
        }
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(&self.folder).unwrap().map(|file| file.unwrap());
        files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
    }

    fn places(&self) -> impl Iterator<Item = (String, String, Form)> {
        self.case.places.iter().map(|(suffix, file, form)| (format!("{}{suffix}", self.key), self.fill(file), *form))
    }

    /// Nothing else is in the folder, and the neighbours are complete.
    fn check_files(&self) -> Vec<String> {
        let places: BTreeMap<_, _> = self.places().map(|(_, file, form)| (file, form)).collect();
        let mut leftovers = vec![];
        for file in self.files().into_keys().filter(|file| !places.contains_key(file) && file != "old") {
            let of = file.strip_prefix('.').and_then(|file| file.strip_suffix(".keyward")).unwrap_or_default();
            let form = places.get(of).unwrap_or_else(|| panic!("{file} has no business there"));
            form.secrets(&self.folder.join(&file));
            leftovers.push(file);
        }
        leftovers
    }
}

fn act(bench: &mut Bench, case: &Case, number: u32) {
    let key = format!("k{number}");
    let scene = Scene { case, folder: bench.path(&key), key };
    fs::create_dir(&scene.folder).unwrap();
    fs::write(bench.path(scene.key.clone() + ".toml"), {
        let manifest = scene.fill(MANIFEST);
        if case.line.contains("--secrets-dir") {
            let lines: Vec<_> = manifest.lines().filter(|line| !line.starts_with("deliver")).collect();
            lines.join("\n").rsplitn(3, "[[key]]").last().unwrap().to_owned()
        } else {
            manifest
        }
    })
    .unwrap();
    for (_, file, form) in scene.places() {
        if let Some(start) = form.start() {
            fs::write(scene.folder.join(&file), start).unwrap();
            fs::set_permissions(scene.folder.join(&file), Permissions::from_mode(0o600)).unwrap();
        }
    }
    if !case.first.is_empty() {
        let output = finish(&mut scene.command(bench, case.first));
        assert_eq!(output.code, 0, "{output}");
    }
    let (before, (_, events)) = (scene.files(), bench.look());

    let struck = bench.strike(case.what, scene.command(bench, case.line));
    scene.keep(&struck.stdout);
    let (keys, now) = bench.look();
    bench.spread.count(&struck, scene.files() != before, now != events);
    let leftovers = scene.check_files();
    assert!(struck.killed || leftovers.is_empty(), "{leftovers:?}");
    let names: BTreeSet<_> = keys.iter().map(|key| key["name"].as_str().unwrap()).collect();
    let made = scene.places().filter(|(key, ..)| names.contains(&**key)).count();
    assert!(made == 0 || made == case.places.len(), "all or none: {names:?}");
    for (key, file, form) in scene.places().filter(|(key, ..)| names.contains(&**key)) {
        let mut secrets = form.secrets(&scene.folder.join(&file));
        secrets.extend(Form::File.secrets(&scene.folder.join("old")));
        assert!(secrets.iter().any(|secret| bench.opens(secret, &key)), "nobody has a secret of {key}");
    }

    let output = finish(&mut scene.command(bench, case.again));
    assert_eq!(output.code, 0, "{}: {output}", case.again);
    scene.keep(&output.stdout);
    let (keys, _) = bench.look();
    assert_eq!(scene.check_files(), [""; 0], "{}: {output}", case.again);
    for (key, file, form) in scene.places() {
        let secrets = form.secrets(&scene.folder.join(&file));
        assert!(bench.opens(secrets.last().unwrap(), &key), "what is in {file} does not open {key}");
        let stored = keys.iter().find(|stored| stored["name"] == *key).unwrap()["secrets"].as_array().unwrap();
        // What a killed rotation staged may stay for a while: a rotation in progress looks the same.
        assert_eq!(stored.iter().filter(|secret| secret["state"] == "current").count(), 1, "{stored:?}");
    }
    let names: Vec<_> = keys.iter().map(|key| key["name"].as_str().unwrap()).collect();
    bench.must(&format!("delete --yes {}", names.join(" ")));
    fs::remove_dir_all(&scene.folder).unwrap();
}

#[test]
fn wherever_a_delivery_is_killed_somebody_has_the_secret_of_each_key() {
    let spread = on_all_workers(|worker| {
        let mut bench = Bench::new(worker);
        let mut number = 0;
        for case in CASES.iter().skip(worker as usize).step_by(WORKERS as usize) {
            let enough = bench.spread.kills() + 16;
            while bench.spread.kills() < enough {
                number += 1;
                act(&mut bench, case, number);
            }
        }
        bench.spread
    });
    println!("{spread:?}");
    assert!(spread.kills() >= 300 && spread.finished >= 20, "{spread:?}");
    assert!(spread.before >= 30 && spread.between >= 10 && spread.after >= 30, "{spread:?}");
}

#[test]
fn a_store_whose_maker_was_killed_is_made_by_the_next_one() {
    let mut bench = Bench::new(0);
    let mut number = 0;
    while bench.spread.kills() < 40 {
        number += 1;
        bench.store = bench.path(number).join("keys.db");
        let struck = bench.strike("create a store", binary(&bench.store, &words(&format!("{CHEAP} -q"))));
        bench.must("create a --ensure");
        let (keys, events) = bench.look();
        bench.spread.count(&struck, false, events == 2);
        assert_eq!(keys.len(), 1);
    }
    println!("{:?}", bench.spread);
    assert!(bench.spread.before >= 10, "{:?}", bench.spread);
}

/// What a store is known to hold.
#[derive(Debug, Clone, PartialEq, Default)]
struct Model {
    keys: BTreeMap<String, Value>,
    entries: BTreeMap<(String, String), Value>,
    settings: Value,
}

impl Model {
    /// The names of the keys that match `f`.
    fn keys(&self, f: impl Fn(&Value) -> bool) -> Vec<String> {
        self.keys.iter().filter(|(_, key)| f(key)).map(|(name, _)| name.clone()).collect()
    }

    fn set(&mut self, keys: &[String], field: &str, value: impl Into<Value>) {
        let value = value.into();
        for key in keys {
            self.keys.get_mut(key).unwrap()[field] = value.clone();
        }
    }

    fn add(&mut self, key: &str, field: &str) {
        let field = &mut self.keys.get_mut(key).unwrap()[field];
        *field = json!(field.as_u64().unwrap() + 1);
    }
}

/// A command, and its effect.
struct Step {
    kind: &'static str,
    line: String,
    input: String,
    effect: Box<dyn FnOnce(&mut Model)>,
}

fn step(kind: &'static str, line: String, effect: impl FnOnce(&mut Model) + 'static) -> Step {
    Step { kind, line, input: String::new(), effect: Box::new(effect) }
}

fn new_key(description: &str, group: &Value) -> Value {
    json!({"description": description, "group": group, "enabled": true, "use_count": 0, "secrets": 1})
}

/// The delivered secrets, by public id.
type Held = HashMap<String, String>;

fn hold(held: &mut Held, text: &str) {
    held.extend(SECRET.captures_iter(text).map(|found| (found[1].to_owned(), found[0].to_owned())));
}

/// What the store reports, and the current secret of each key, which must have been delivered.
fn read(bench: &Bench, held: &Held) -> (Model, BTreeMap<String, String>, i64) {
    let (keys, events) = bench.look();
    let mut model = Model { settings: bench.must("settings list --json").json(), ..Model::default() };
    let mut current = BTreeMap::new();
    for key in keys {
        let (name, secrets) = (key["name"].as_str().unwrap().to_owned(), key["secrets"].as_array().unwrap());
        let id = secrets.iter().find(|secret| secret["state"] == "current").unwrap()["id"].as_str().unwrap();
        let secret = held.get(id).unwrap_or_else(|| panic!("nobody has the secret {id} of the key {name}"));
        current.insert(name.clone(), secret.clone());
        let mut known = json!({"secrets": secrets.len()});
        for field in ["description", "group", "enabled", "use_count"] {
            known[field] = key[field].clone();
        }
        model.keys.insert(name, known);
    }
    let export = bench.must("export --json").json();
    for (kind, entries) in export.as_object().unwrap().iter().filter(|(kind, _)| *kind != "key") {
        for entry in entries.as_array().unwrap() {
            let known = json!({"description": entry["description"], "enabled": entry["enabled"]});
            model.entries.insert((kind.clone(), entry["name"].as_str().unwrap().to_owned()), known);
        }
    }
    (model, current, events)
}

/// The next command.
#[allow(clippy::too_many_lines, reason = "one arm a command")]
fn next(bench: &mut Bench, model: &Model, current: &BTreeMap<String, String>, number: usize) -> Step {
    let fresh = format!("n{number}");
    let description = format!("d{number}");
    let all = model.keys(|_| true);
    let some: Vec<String> = all.iter().filter(|_| bench.random.next_u32().is_multiple_of(3)).cloned().collect();
    let some = if some.is_empty() { all.iter().take(1).cloned().collect() } else { some };
    let entries: Vec<_> = model.entries.keys().filter(|(_, name)| name.starts_with('n')).cloned().collect();
    let groups: Vec<_> = entries.iter().filter(|(kind, _)| kind == "group").map(|(_, name)| name.clone()).collect();
    let kind = *bench.pick(&["user", "group", "role", "tenant"]);
    let arm = match (all.len(), entries.len()) {
        (0..3, _) => 0,
        (_, 0..3) => 10,
        (14.., _) => 7,
        (_, 14..) => 13,
        _ => bench.below(18),
    };
    let one = all.first().map(|_| bench.pick(&all).clone()).unwrap_or_default();
    let entry = entries.first().map(|_| bench.pick(&entries).clone()).unwrap_or_default();
    match arm {
        0 | 1 => {
            let group = groups.first().map(|_| bench.pick(&groups).clone());
            let flag = group.as_ref().map(|group| format!("--group {group}")).unwrap_or_default();
            step("create", format!("create {fresh} --description {description} {flag}"), move |model| {
                model.keys.insert(fresh, new_key(&description, &json!(group)));
            })
        }
        2 => step("edit", format!("edit {one} --description {description} --add-scope s{number}"), move |model| {
            model.set(&[one], "description", description);
        }),
        3 => step("rename", format!("edit {one} --name {fresh}"), move |model| {
            let key = model.keys.remove(&one).unwrap();
            model.keys.insert(fresh, key);
        }),
        4 => step("duplicate", format!("duplicate {one} {fresh}"), move |model| {
            let mut key = model.keys[&one].clone();
            (key["use_count"], key["secrets"]) = (json!(0), json!(1));
            model.keys.insert(fresh, key);
        }),
        5 => step("rotate", format!("rotate {one}"), move |model| model.add(&one, "secrets")),
        6 => {
            let file = bench.path("secrets/rotated").display().to_string();
            step("rotate to a file", format!("rotate {one} --secret-file {file} --force"), move |model| {
                model.add(&one, "secrets");
            })
        }
        7 => step("delete", format!("delete --yes {}", some.join(" ")), move |model| {
            model.keys.retain(|name, _| !some.contains(name));
        }),
        8 => step("disable", format!("disable {}", some.join(" ")), move |model| model.set(&some, "enabled", false)),
        9 => step("enable", format!("enable {}", all.join(" ")), move |model| model.set(&all, "enabled", true)),
        10 | 11 => {
            let rank = if kind == "role" { "--rank 5" } else { "" };
            step("entry create", format!("{kind} create {fresh} --description {description} {rank}"), move |model| {
                let enabled = if ["user", "tenant"].contains(&kind) { json!(true) } else { Value::Null };
                let known = json!({"description": description, "enabled": enabled});
                model.entries.insert((kind.to_owned(), fresh), known);
            })
        }
        12 => step("entry edit", format!("{} edit {} --description {description}", entry.0, entry.1), move |model| {
            model.entries.get_mut(&entry).unwrap()["description"] = json!(description);
        }),
        13 => {
            let flags = if entry.0 == "group" { "--with-keys --yes" } else { "" };
            step("entry delete", format!("{} delete {} {flags}", entry.0, entry.1), move |model| {
                model.entries.remove(&entry);
                model.keys.retain(|_, key| entry.0 != "group" || key["group"] != entry.1);
            })
        }
        14 => {
            let known = entries.iter().find(|entry| !model.entries[*entry]["enabled"].is_null());
            let Some(entry) = known.cloned() else { return next(bench, model, current, number) };
            let enabled = model.entries[&entry]["enabled"] == false;
            let verb = if enabled { "enable" } else { "disable" };
            step("entry switch", format!("{} {verb} {}", entry.0, entry.1), move |model| {
                model.entries.get_mut(&entry).unwrap()["enabled"] = json!(enabled);
            })
        }
        15 => {
            let passes = 1 + number % 2;
            let line = format!("settings set hash-parameters m=1024,t={passes},p=1");
            step("settings", line, move |model| model.settings["hash_parameters"]["passes"] = json!(passes))
        }
        16 => {
            let enabled = model.keys(|key| key["enabled"] == true);
            let Some(key) = enabled.first().map(|_| bench.pick(&enabled).clone()) else {
                return next(bench, model, current, number);
            };
            let input = current[&key].clone();
            Step { input, ..step("verify", "verify -q".to_owned(), move |model| model.add(&key, "use_count")) }
        }
        _ => {
            let mut manifest = bench.must("export --json").json();
            let keys = manifest["key"].as_array_mut().unwrap();
            keys.retain(|key| key["name"] != *one);
            for key in keys.iter_mut() {
                key["description"] = json!(description);
            }
            keys.push(json!({"name": fresh, "description": description}));
            manifest["group"].as_array_mut().unwrap().push(json!({"name": fresh}));
            let line = format!("apply - --prune --yes --secrets-dir {}", bench.path("secrets").display());
            let step = step("apply", line, move |model| {
                model.keys.remove(&one);
                model.set(&model.keys(|_| true), "description", &*description);
                model.keys.insert(fresh.clone(), new_key(&description, &Value::Null));
                model.entries.insert(("group".to_owned(), fresh), json!({"description": null, "enabled": null}));
            });
            Step { input: manifest.to_string(), ..step }
        }
    }
}

#[test]
fn whatever_is_killed_is_done_or_not_and_what_was_reported_is_done() {
    let spread = on_all_workers(|worker| {
        let mut bench = Bench::new(worker + 100);
        fs::create_dir(bench.path("secrets")).unwrap();
        let mut held = Held::new();
        let (mut model, mut current, mut events) = read(&bench, &held);
        let mut number = 0;
        while bench.spread.kills() < 260 {
            number += 1;
            let step = next(&mut bench, &model, &current, number);
            fs::write(bench.path("input"), &step.input).unwrap();
            let mut command = binary(&bench.store, &words(&step.line));
            command.stdin(Stdio::from(File::open(bench.path("input")).unwrap()));
            let struck = bench.strike(step.kind, command);
            hold(&mut held, &struck.stdout);
            for file in fs::read_dir(bench.path("secrets")).unwrap() {
                hold(&mut held, &fs::read_to_string(file.unwrap().path()).unwrap());
            }
            let (found, secrets, told) = read(&bench, &held);
            bench.spread.count(&struck, false, found != model);
            // Uses are counted, but not recorded as events.
            assert_eq!(told > events, found != model && step.kind != "verify", "{}: {events}, {told}", step.line);
            if !struck.killed || found != model {
                (step.effect)(&mut model);
            }
            assert_eq!(found, model, "{}", step.line);
            (current, events) = (secrets, told);
        }
        bench.spread
    });
    println!("{spread:?}");
    assert!(spread.kills() >= 500 && spread.finished >= 50, "{spread:?}");
    assert!(spread.before >= 100 && spread.after >= 30, "{spread:?}");
}
