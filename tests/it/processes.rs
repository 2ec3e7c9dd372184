//! Many processes on one store: what one reports is true for all that start later, and no change is lost.
//!
//! Everything runs the real binary, one process per command.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::harness::{Output, Sandbox, binary, finish_with, words};

/// The part of a sandbox that threads can share.
struct Here(PathBuf);

impl Here {
    fn at(&self) -> At<'_> {
        At(Box::new(|line| binary(&self.0, &words(line))))
    }
}

/// How to run keyward on a store.
pub struct At<'a>(pub Box<dyn Fn(&str) -> Command + Sync + 'a>);

impl At<'_> {
    fn run_with(&self, line: &str, input: &str) -> Output {
        let output = finish_with(&mut (self.0)(line), input.as_bytes());
        // A process that must wait just waits; it never reports another's lock.
        assert!(!output.stderr.contains("locked"), "{line}: {output}");
        output
    }

    /// A command that must succeed.
    fn run(&self, line: &str) -> Output {
        let output = self.run_with(line, "");
        assert_eq!(output.code, 0, "{line}: {output}");
        output
    }

    fn verify(&self, secret: &str) -> u8 {
        self.run_with("verify -q", secret).code
    }
}

/// What a worker was told; it must be true at the end.
#[derive(Default)]
struct Told {
    /// Changes, each of which is a row of the history.
    changes: u64,
    /// Secrets that work, by the name of their key.
    live: BTreeMap<String, String>,
    /// Secrets that do not.
    dead: Vec<String>,
}

const WORKERS: usize = 16;
/// Each runs ten commands.
pub const ROUNDS: usize = 5;

/// Ten commands per round, on the worker's own key and on a shared one.
fn work(at: &At<'_>, worker: usize, rounds: usize, shared: &str) -> Told {
    let mut told = Told::default();
    let mut change = |line: &str| {
        told.changes += 1;
        at.run(line).stdout.trim_end().to_owned()
    };
    for round in 0..rounds {
        let name = format!("w{worker}-{round}");
        let first = change(&format!("create {name} --scope s{round}"));
        change(&format!("edit {name} --description round-{round} --label worker={worker}"));
        change(&format!("edit shared --add-label w{worker}={round}"));
        assert_eq!((at.verify(&first), at.verify(shared)), (0, 0));
        let second = change(&format!("rotate {name}"));
        change(&format!("disable {name}"));
        assert_eq!(at.verify(&second), 3, "{name} is disabled");
        let lasts = round % 2 == 0;
        change(&if lasts { format!("enable {name}") } else { format!("delete {name} --yes") });
        told.dead.push(first);
        if lasts {
            told.live.insert(name.clone(), second);
        } else {
            told.dead.push(second);
        }
        // A reader sees whole changes: all keys it was told of, and the whole history of its own key.
        let listed = at.run("list -q").stdout;
        assert!(told.live.keys().all(|name| listed.lines().any(|line| line == name)), "{listed}");
        let actions = at.run(&format!("history {name} --json")).json();
        let actions: Vec<_> =
            actions.as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
        let last = if lasts { "key.enable" } else { "key.delete" };
        assert_eq!(actions, ["key.create", "key.edit", "key.rotate", "key.disable", last], "{name}");
    }
    told
}

#[test]
fn sixteen_processes_at_once_lose_nothing_that_they_were_told() {
    let sandbox = Sandbox::new();
    let shared = sandbox.mint("shared");
    let here = Here(sandbox.store());
    all_work(&[here.at()], ROUNDS, &shared);
    assert_eq!(sandbox.run("doctor --json").json()[2]["level"], "ok");
}

/// Runs workers in parallel, spread over these places, and checks that everything they were told is true.
pub fn all_work(places: &[At<'_>], rounds: usize, shared: &str) {
    let at = &places[0];
    let before = at.run("history --check --json").json()["rows"].as_u64().unwrap();
    let told: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || work(&places[worker % places.len()], worker, rounds, shared)))
            .collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| worker.join().unwrap();
        workers.into_iter().map(join).collect()
    });
    let keys = at.run("list --json").json();
    let keys: BTreeMap<_, _> =
        keys.as_array().unwrap().iter().map(|key| (key["name"].as_str().unwrap().to_owned(), key)).collect();
    let last = (rounds - 1).to_string();
    for (worker, told) in told.iter().enumerate() {
        assert_eq!(keys["shared"]["labels"][format!("w{worker}")], *last, "the last label of worker {worker}");
        for (name, secret) in &told.live {
            let (key, round) = (keys[name], name.rsplit('-').next().unwrap());
            assert_eq!(
                (&key["description"], &key["labels"]["worker"], &key["scopes"][0], &key["use_count"]),
                (&format!("round-{round}").into(), &worker.to_string().into(), &format!("s{round}").into(), &1.into()),
                "{name}"
            );
            assert_eq!(at.verify(secret), 0, "{name}");
        }
        assert!(told.dead.iter().all(|secret| at.verify(secret) == 3), "worker {worker}");
    }
    assert_eq!(keys.len(), 1 + told.iter().map(|told| told.live.len()).sum::<usize>());
    assert_eq!(keys["shared"]["use_count"], WORKERS * rounds);
    let rows = before + told.iter().map(|told| told.changes).sum::<u64>();
    assert_eq!(at.run("history --check --json").json(), serde_json::json!({"intact": true, "rows": rows}));
}

#[test]
fn of_two_that_want_one_name_exactly_one_gets_it() {
    let sandbox = Sandbox::new();
    for name in ["base", "other"] {
        sandbox.mint(name);
    }
    let lines = ["create same", "duplicate base same", "edit other --name same"];
    for round in 0..20 {
        let pair = [lines[round % 3], lines[(round / 3) % 3]];
        // The same edit twice is one change and a name that no longer exists.
        let pair = if pair == [lines[2]; 2] { [lines[0]; 2] } else { pair };
        let children = pair.map(|line| {
            let mut command = sandbox.binary(&format!("{line} --json"));
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        });
        let outputs = children.map(|child| {
            let output = child.wait_with_output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            let code = u8::try_from(output.status.code().unwrap()).unwrap();
            Output { code, stdout: text(output.stdout), stderr: text(output.stderr) }
        });
        let (won, lost) = if outputs[0].code == 0 { (0, 1) } else { (1, 0) };
        assert_eq!(outputs[won].code, 0, "{pair:?}: {} {}", outputs[0], outputs[1]);
        let error = &outputs[lost];
        assert_eq!((error.code, error.stdout.as_str()), (1, ""), "{pair:?}: who loses gets no secret: {error}");
        assert_eq!(error.error()["code"], "name_taken", "{pair:?}: {error}");
        if let Some(secret) = outputs[won].json()["secret"].as_str() {
            assert_eq!(sandbox.reason("--no-record", secret), "allowed", "{pair:?}");
        }
        let names = sandbox.run("list -q").stdout;
        assert_eq!(names.lines().filter(|name| *name == "same").count(), 1, "{pair:?}: {names}");
        if pair[won] == lines[2] {
            assert_eq!(sandbox.run("edit same --name other").code, 0);
        } else {
            assert_eq!(sandbox.run("delete same --yes").code, 0);
        }
    }
    assert_eq!(sandbox.run("history --check").code, 0);
}

#[test]
fn what_starts_after_a_key_was_stopped_is_refused() {
    // The command that stops it, and the exit code of every verification that starts after that command ends.
    for (stop, code) in [
        ("disable deploy", 3),
        ("delete deploy --yes", 3),
        ("rotate deploy", 3),
        ("user disable ann", 3),
        ("tenant disable acme", 3),
        ("edit deploy --allow-ip 10.0.0.0/8", 4),
        ("edit deploy --scope ui", 4),
    ] {
        let sandbox = Sandbox::new();
        for line in ["tenant create acme", "user create ann"] {
            assert_eq!(sandbox.run(line).code, 0);
        }
        let secret = sandbox.mint("deploy --owner ann --tenant acme --scope rest");
        let here = Here(sandbox.store());
        let (at, stopped, allowed) = (here.at(), AtomicBool::new(false), AtomicU64::new(0));
        let verify = || {
            // Not for ever: if the other side fails, this ends too.
            for after in 0..200 {
                let was_stopped = stopped.load(Ordering::SeqCst);
                let found = at.run_with("verify -q --tenant acme --scope rest", &secret).code;
                if found == 0 {
                    allowed.fetch_add(1, Ordering::SeqCst);
                }
                assert!(found == code || (found == 0 && !was_stopped), "{stop}: {found}, stopped: {was_stopped}");
                if was_stopped && after >= 3 {
                    break;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(verify);
            }
            // Some must be allowed before, and many must be in flight.
            for _ in 0..1000 {
                if allowed.load(Ordering::SeqCst) < 4 {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            }
            at.run(stop);
            stopped.store(true, Ordering::SeqCst);
        });
        if !stop.starts_with("delete") {
            let counted = sandbox.run("show deploy --json").json()["use_count"].as_u64();
            assert_eq!(counted, Some(allowed.into_inner()), "{stop}");
        }
    }
}

/// At the user's process limit, where each thread counts as one: whatever can do without another thread does.
#[test]
#[ignore = "needs root, prlimit and setpriv"]
fn where_the_system_gives_no_thread_it_works_or_says_why() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("key");
    let manifest = "[[key]]\nname = \"one\"\n[[key]]\nname = \"two\"\n";
    // Another user must be able to reach all of it.
    let open = "chmod 755 . && chown -R 65432 . && cp \"$0\" keyward && chmod 755 keyward && cat > keys.toml";
    let mut shell = Command::new("sh");
    shell.args(["-c", open, env!("CARGO_BIN_EXE_keyward")]).current_dir(sandbox.path(""));
    assert_eq!(finish_with(&mut shell, manifest.as_bytes()).code, 0);
    for (line, input, code, said) in [
        ("verify", secret.clone(), 0, "allowed: key"),
        ("apply keys.toml --secrets-dir secrets", String::new(), 0, "create key two"),
        ("verify --batch", format!("{{\"credential\":\"{}\"}}\n", secret.trim()), 6, "the system gives no thread"),
    ] {
        let mut command = Command::new("prlimit");
        // A user that no other test uses.
        command.args(["--nproc=1", "setpriv", "--reuid", "65432", "--clear-groups", "./keyward", "--store", "keys.db"]);
        command.args(words(line)).current_dir(sandbox.path(""));
        let output = finish_with(&mut command, input.as_bytes());
        assert_eq!(output.code, code, "{line}: {output}");
        assert!(output.stdout.contains(said) || output.stderr.contains(said), "{line}: {output}");
    }
    // Delivery needs a command, a reader of its output, and a keeper of the reservation: some of these can start and
    // others cannot.
    let mut codes = vec![];
    for processes in 1..=6 {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nproc={processes}"));
        command.args(["setpriv", "--reuid", "65432", "--clear-groups", "./keyward", "--store", "keys.db", "create"]);
        command.args([&format!("to-{processes}"), "--secret-to", "exec cat >>taken"]);
        let output = finish_with(command.current_dir(sandbox.path("")), b"");
        let is_there = sandbox.run(&format!("show to-{processes}")).code == 0;
        assert_eq!(is_there, output.code == 0, "{processes}: {output}");
        let is_told =
            output.code == 7 && output.stderr.contains("nothing was changed\n") && output.stderr.contains("hint:");
        assert!(output.code == 0 || is_told, "{processes}: {output}");
        codes.push(output.code);
    }
    assert_eq!((codes[0], codes[5]), (7, 0), "{codes:?}");
}
