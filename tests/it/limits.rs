//! System limits (`ulimit`): a command answers correctly or fails with one of our errors. No signal ends a command, and
//! a credential that could not be checked is never "not genuine".

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use crate::harness::{Output, Sandbox, finish_with};

/// A store with a key that works and one that does not, and a secret from another store.
struct Scene {
    sandbox: Sandbox,
    live: String,
    off: String,
    foreign: String,
}

const COMMANDS: [&str; 17] = [
    "list --json",
    "show live --json",
    "history --json",
    "history --check --json",
    "doctor --json",
    "export --json",
    "settings list --json",
    "create new-N --json",
    "create file-N --json --secret-file secret-N",
    "create command-N --json --secret-to true",
    "rotate other --json --grace 1d",
    "duplicate other copy-N --json",
    "edit other --json --description N",
    "disable off --json",
    "user create u-N --json",
    "apply manifest-N --json --secrets-dir secrets",
    "backup backup-N --json",
];

impl Scene {
    /// With the default hash cost, which needs the most memory.
    fn new() -> Self {
        let sandbox = Sandbox::empty();
        let live = sandbox.mint("live --scope rest");
        let off = sandbox.mint("off --disabled");
        sandbox.mint("other");
        // Sandboxes draw the same secrets in the same order.
        let elsewhere = Sandbox::new();
        let secrets: Vec<_> = (0..5).map(|n| elsewhere.mint(&format!("k{n}"))).collect();
        let foreign = secrets[4].clone();
        Self { sandbox, live, off, foreign }
    }

    /// Runs the real binary under a limit that the shell sets.
    fn run(&self, limit: &str, line: &str, input: &[u8]) -> (Output, Option<i32>) {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit} && exec \"$KEYWARD\" {line}")]);
        command.env_clear().env("KEYWARD", env!("CARGO_BIN_EXE_keyward")).env("PATH", "/usr/bin:/bin");
        command.env("KEYWARD_STORE", self.sandbox.store()).env("RUST_BACKTRACE", "1");
        command.current_dir(self.sandbox.path("")).stdin(Stdio::null());
        let output = finish_with(&mut command, input);
        let signal = (output.code == 255).then_some(255);
        (output, signal)
    }

    /// Checks that the command succeeds or fails with one of our errors.
    fn check(&self, limit: &str, line: &str, input: &[u8]) -> Output {
        let (output, signal) = self.run(limit, line, input);
        assert_eq!(signal, None, "{limit}: {line}: ended by a signal: {output}");
        let is_ours = match output.code {
            // A backup or output that cannot be written.
            1 => output.error()["code"] == "output_failed",
            code => matches!(code, 0 | 6 | 7),
        };
        assert!(is_ours, "{limit}: {line}: {output}");
        for word in ["panic", "memory allocation of", "backtrace", "bug in keyward"] {
            assert!(!output.stderr.contains(word), "{limit}: {line}: {output}");
        }
        if output.code != 0 {
            let error = output.error();
            assert!(!error["hint"].is_null(), "{limit}: {line}: {output}");
        }
        output
    }

    /// Checks the answer about each credential, however tight the limit: it is correct, or an error says that keyward
    /// cannot tell.
    fn check_answers(&self, limit: &str) {
        for (credential, right) in [(&self.live, 0), (&self.off, 3), (&self.foreign, 3)] {
            let (output, signal) = self.run(limit, "verify --json", credential.as_bytes());
            assert_eq!(signal, None, "{limit}: ended by a signal: {output}");
            assert!(output.code == right || output.code == 6, "{limit}: {output}");
            if output.code == 6 {
                assert_eq!(output.stdout, "", "{limit}: {output}");
                assert!(!output.error()["hint"].is_null());
            }
        }
        let mut questions = String::new();
        for credential in [&self.live, &self.off, &self.foreign] {
            writeln!(questions, "{{\"credential\":\"{credential}\"}}").unwrap();
        }
        let (output, signal) = self.run(limit, "verify --batch --json", questions.as_bytes());
        assert_eq!(signal, None, "{limit}: ended by a signal: {output}");
        assert!(matches!(output.code, 3 | 6), "{limit}: batch: {output}");
        for (line, right) in output.stdout.lines().zip([200, 401, 401]) {
            let answer: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(answer["status"] == right || answer["error"]["code"] == "store_unwritable", "{limit}: {line}");
        }
    }

    fn check_all(&self, limit: &str, number: u64) {
        let manifest = format!("[[key]]\nname = 'm-{number}'\n");
        std::fs::write(self.sandbox.path(&format!("manifest-{number}")), manifest).unwrap();
        for line in COMMANDS {
            self.check(limit, &line.replace('N', &number.to_string()), b"");
        }
        self.check_answers(limit);
    }
}

/// The smallest number for which `works` holds, to within `step`.
fn least(mut below: u64, mut enough: u64, step: u64, works: impl Fn(u64) -> bool) -> u64 {
    assert!(works(enough));
    while enough - below > step {
        let middle = below.midpoint(enough);
        if works(middle) {
            enough = middle;
        } else {
            below = middle;
        }
    }
    enough
}

#[test]
fn too_little_memory_is_an_error_of_ours() {
    let scene = Scene::new();
    for flag in ["v", "d"] {
        let limit = |kib: u64| format!("ulimit -c 0 -{flag} {kib}");
        let version = |kib| scene.run(&format!("ulimit -{flag} {kib}"), "--version", b"").0.code == 0;
        let least = least(1_000, 1_000_000, 16, version);
        // Starts 4 MiB above: small steps where the first failures are, then larger ones until nothing fails.
        let close = (0..16).map(|step| 4_096 + 96 * step);
        let wide = (0..14).map(|step| 6_000 + 3_300 * step);
        for more in close.chain(wide) {
            let limit = limit(least + more).replace("-c 0 ", "");
            scene.check_all(&limit, least + more);
        }
        // With enough memory, everything works.
        let limit = limit(least + 600_000).replace("-c 0 ", "");
        assert_eq!(scene.check(&limit, "verify --json", scene.live.as_bytes()).code, 0);
        assert_eq!(scene.check(&limit, &format!("create enough-{flag} --json"), b"").code, 0);
    }
    assert_eq!(scene.sandbox.run("history --check").code, 0);
}

/// No file may grow beyond this: the store, its log, its shared memory, or a file with a secret.
#[test]
fn a_file_that_may_not_grow_is_an_error_of_ours() {
    for blocks in [0, 1, 4, 40, 64, 100, 160, 300] {
        let scene = Scene::new();
        let limit = format!("ulimit -f {blocks}");
        scene.check_all(&limit, blocks);
        assert_eq!(scene.sandbox.run("history --check").code, 0, "{blocks}");
        assert_eq!(scene.sandbox.run_with("verify -q", &scene.live).code, 0, "{blocks}");
        // Another process has the store open, and the log is not empty: what is in the log counts.
        let held = rusqlite::Connection::open(scene.sandbox.store()).unwrap();
        held.query_row("SELECT count(*) FROM key", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(scene.sandbox.run("disable live").code, 0);
        let (output, signal) = scene.run(&limit, "verify --json", scene.live.as_bytes());
        assert!(signal.is_none() && matches!(output.code, 3 | 6), "{blocks}: {output}");
    }
    // Output to a file that is full.
    let scene = Scene::new();
    for line in ["list --json >out", "verify --json >out", "create to-file >out", "man >out"] {
        std::fs::write(scene.sandbox.path("out"), vec![b'x'; 4096]).unwrap();
        let line = line.replace(">out", ">>out");
        let (output, signal) = scene.run("ulimit -f 8", &line, scene.live.as_bytes());
        assert!(signal.is_none(), "{line}: {output}");
        assert!(matches!(output.code, 0 | 1 | 6 | 7), "{line}: {output}");
        assert!(!line.starts_with("create") || output.code != 0, "{line}: {output}");
    }
    assert_eq!(scene.sandbox.run("show to-file").code, 1);
    // A program that keyward starts has the same limit.
    let line = "create command --json --secret-to 'head -c 300000 /dev/zero >big'";
    assert_eq!(scene.run("ulimit -f 400", line, b"").0.code, 7);
}

/// Starts with as many files as `--version` needs.
#[test]
fn too_few_files_are_an_error_of_ours() {
    for files in 4..=14 {
        let scene = Scene::new();
        let limit = format!("ulimit -n {files}");
        let (version, _) = scene.run(&limit, "--version", b"");
        assert_eq!(version.code, 0, "{files}: {version}");
        scene.check_all(&limit, files);
        assert_eq!(scene.sandbox.run("history --check").code, 0, "{files}");
        let held = rusqlite::Connection::open(scene.sandbox.store()).unwrap();
        held.query_row("SELECT count(*) FROM key", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(scene.sandbox.run("disable live").code, 0);
        let (output, signal) = scene.run(&limit, "verify --json", scene.live.as_bytes());
        assert!(signal.is_none() && matches!(output.code, 3 | 6), "{files}: {output}");
    }
}

/// Even where the standard library would abort, no signal ends the command.
#[test]
fn a_manifest_for_which_there_is_no_memory_is_no_abort() {
    let scene = Scene::new();
    let label = |n: u32| {
        format!("[[key]]\nname = \"key-{n:07}\"\nscopes = [\"a\", \"b\"]\nlabels = {{ a = \"b\", c = \"d\" }}\n")
    };
    let text: String = (0..60_000).map(label).collect();
    std::fs::write(scene.sandbox.path("large.toml"), text).unwrap();
    for kib in [60_000, 80_000, 100_000] {
        let line = "apply large.toml --dry-run --json --secrets-dir secrets";
        let (output, signal) = scene.run(&format!("ulimit -v {kib}"), line, b"");
        assert_eq!((signal, output.code), (None, 6), "{kib}: {output}");
    }
}
