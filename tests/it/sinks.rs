//! What each destination for a secret accepts, and what a failure leaves behind: keys, secrets and the destination's
//! folder stay as they were.
//!
//! Each row is a few shell lines that run the real binary in an empty folder, because permissions, umasks, mounts and
//! redirections matter here.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use regex::Regex;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::harness::{Output, Sandbox, finish, full_pipe};
use crate::pty::Screen;

/// The flags for a file `$T`, as shell text. A leading assignment sets an environment variable.
const FILE: &str = "keyward $VERB --json --secret-file $T";
const FORCE: &str = "keyward $VERB --json --secret-file $T --force";
const DOTENV: &str = "keyward $VERB --json --env-file $T --env-name API_KEY";
const ENV: &str = "GITHUB_ENV=$T keyward $VERB --json --github-env API_KEY";
const OUTPUT: &str = "GITHUB_OUTPUT=$T keyward $VERB --json --github-output api-key";
const NAMED: &[&str] = &[FILE, FORCE, DOTENV];
const STEPS: &[&str] = &[ENV, OUTPUT];
const FILES: &[&str] = &[FILE, FORCE, DOTENV, ENV, OUTPUT];

const VERBS: [&str; 3] = ["create new", "duplicate old new", "rotate old"];

/// A store with the key `old`, and next to it the folder in which the rows run.
struct Scene {
    sandbox: Sandbox,
    /// The secret of `old`.
    old: String,
}

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let old = sandbox.mint("old --scope rest");
        // The real binary uses the real clock, so move this sandbox past it: whatever the binary does is then in the
        // past.
        let (real, still) = (Timestamp::now().as_second(), "2026-01-31T12:00:00Z".parse::<Timestamp>().unwrap());
        sandbox.pass((real - still.as_second() + 1800).seconds());
        Self { sandbox, old }
    }

    fn folder(&self) -> PathBuf {
        self.sandbox.path("folder")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(name)).unwrap()
    }

    /// Permissions and owner.
    fn mode(&self, name: &str) -> (u32, u32) {
        let stat = fs::metadata(self.folder().join(name)).unwrap();
        (stat.permissions().mode() & 0o7777, stat.uid())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs `line` in an empty folder, after `before` has prepared it. Two files next to the folder list its contents
    /// before and after `line`, because only this shell sees its mounts.
    fn shell(&self, before: &str, line: &str, verb: &str) -> Output {
        let (keyward, folder) = (self.sandbox.binary(""), self.folder());
        let script = format!(
            r#"cd "$FOLDER" && umask 022
            root() {{ [ "$(id -u)" = 0 ]; }}
            keyward() {{ "$KEYWARD" "$@"; }}
            nobody() {{ if root; then setpriv --reuid=65534 --regid=65534 --clear-groups "$KEYWARD" "$@"; else "$KEYWARD" "$@"; fi; }}
            look() {{ find "$FOLDER" -printf '%p %y %m %U:%G %s %l\n' | sort; find "$FOLDER" -type f -size +0 -exec cksum {{}} + | sort; }}
            T=key
            {before}
            look > ../before
            {line}
            code=$?
            look > ../after
            exit $code"#
        );
        // Left by an earlier row, with any permissions and owner.
        let _ = fs::set_permissions(self.folder(), fs::Permissions::from_mode(0o755));
        let _ = fs::remove_dir_all(self.folder());
        fs::create_dir(self.folder()).unwrap();
        fs::set_permissions(self.sandbox.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = if before.contains("mount ") {
            let mut command = Command::new("unshare");
            command
                .args(if geteuid().is_root() { &["--mount"][..] } else { &["--map-root-user", "--mount"] })
                .arg("sh");
            command
        } else {
            Command::new("sh")
        };
        let variables = [("KEYWARD", keyward.get_program()), ("FOLDER", folder.as_os_str())];
        let command = command.args(["-c", &script]).stdin(Stdio::null()).envs(variables);
        for variable in ["GITHUB_ENV", "GITHUB_OUTPUT", "KEYWARD_AS"] {
            command.env_remove(variable);
        }
        finish(command.env("KEYWARD_STORE", self.sandbox.store()).env("VERB", verb))
    }

    fn verifies(&self, secret: &str) -> bool {
        match self.sandbox.reason("--no-record", secret.trim_end()).as_str() {
            "allowed" => true,
            "secret_retired" | "not_genuine" => false,
            reason => panic!("{reason}"),
        }
    }

    /// The keys as a script sees them.
    fn keys(&self) -> (Output, Output) {
        (self.sandbox.run("list --json"), self.sandbox.run("show old --json"))
    }

    /// Runs a row that must fail, with each verb.
    fn refuse(&self, row: &Fault, line: &str, verbs: &[&str]) {
        let keys = self.keys();
        for verb in verbs {
            let output = self.shell(row.before, line, verb);
            let what = format!("{}: {verb}: {line}: {output}", row.what);
            Self::assert_refused(&what, row, line, &output);
            assert_eq!(self.keys(), keys, "{what}");
            assert!(self.verifies(&self.old), "the old secret is as it was: {what}");
            let seen = ["before", "after"].map(|name| fs::read_to_string(self.sandbox.path(name)).unwrap());
            assert_eq!(seen[0], seen[1], "{what}");
        }
        assert_eq!(self.sandbox.run("history --check").code, 0, "{}", row.what);
    }

    fn assert_refused(what: &str, row: &Fault, line: &str, output: &Output) {
        assert_eq!((output.code, output.stdout.as_str()), (7, ""), "{what}");
        // The mask is written first, so it is expected wherever the runner named a file.
        let (mask, rest) = match output.stderr.split_once('\n') {
            Some((first, rest)) if STEPS.contains(&line) && first.starts_with("::add-mask::kw_") => (true, rest),
            _ => (false, output.stderr.as_str()),
        };
        assert_eq!(mask, STEPS.contains(&line), "{what}");
        // Not even the start of a secret.
        assert!(!Regex::new("[a-z]_[0-9a-hjkmnp-tv-z]{12}_[0-9A-Za-z]").unwrap().is_match(rest), "a secret: {what}");
        let error = Output { stderr: rest.to_owned(), ..output.clone() }.error();
        assert_eq!(error["code"], "not_delivered", "{what}");
        let message = error["message"].as_str().unwrap();
        assert!(row.says.split('|').any(|says| message.contains(says)), "{what}");
        assert!(error["hint"].is_string(), "what to do next: {what}");
    }
}

/// A fault that prevents delivery of a secret.
struct Fault {
    what: &'static str,
    /// Causes the fault.
    before: &'static str,
    /// Part of the error message; `|` separates alternatives.
    says: &'static str,
    /// The lines that run into the fault.
    lines: &'static [&'static str],
}

/// Runs `keyward` as a user other than root, who owns only the store.
const AS_NOBODY: &str = "root && chown 65534 \"$KEYWARD_STORE\" ..; keyward() { nobody \"$@\"; }";

const FAULTS: &[Fault] = &[
    Fault { what: "no folder", before: "T=no/key", says: "not there|No such file", lines: FILES },
    Fault { what: "a folder", before: "mkdir key", says: "a folder|Is a directory", lines: FILES },
    Fault {
        what: "a file in the place of the folder",
        before: "touch file; T=file/key",
        says: "Not a directory",
        lines: FILES,
    },
    Fault { what: "a link", before: "echo other > other; ln -s other key", says: "it is a link", lines: FILES },
    Fault { what: "a link to nothing", before: "ln -s nothing key", says: "it is a link", lines: FILES },
    Fault { what: "a link to a folder", before: "mkdir other; ln -s other key", says: "it is a link", lines: NAMED },
    Fault { what: "a pipe", before: "mkfifo key", says: "a device, a pipe", lines: FILES },
    Fault { what: "a file", before: "echo mine > key", says: "it already exists", lines: &[FILE] },
    Fault { what: "an empty file", before: "touch key; chmod 640 key", says: "it already exists", lines: &[FILE] },
    Fault {
        what: "a file that is no file of secrets",
        before: "truncate -s 2M key",
        says: "larger than",
        lines: &[FORCE, DOTENV],
    },
    Fault { what: "a file that is no text", before: r"printf 'A=1\n\377\n' > key", says: "not text", lines: &[DOTENV] },
    Fault { what: "no name", before: "T=.", says: "names a folder", lines: NAMED },
];

#[test]
fn what_cannot_be_a_file_of_secrets_stays_as_it_was() {
    let scene = Scene::new();
    for row in FAULTS {
        for line in row.lines {
            scene.refuse(row, line, &VERBS);
        }
    }
}

#[test]
fn who_may_not_write_a_folder_or_a_file_makes_no_key() {
    let scene = Scene::new();
    for (what, before, lines) in [
        ("a folder of others", "chmod 555 .", &[FILE][..]),
        ("a folder of others, and a file there", "echo A=1 > key; chmod 555 .", &[FORCE, DOTENV]),
        ("a file of others", "echo A=1 > key; chmod 444 key", STEPS),
        ("a file that others may not read", "echo A=1 > key; chmod 000 key", &[FORCE, DOTENV]),
    ] {
        let before = format!("{before}; {AS_NOBODY}").leak();
        for line in lines {
            scene.refuse(&Fault { what, before, says: "Permission denied", lines }, line, &VERBS);
        }
    }
}

/// Disk faults, each in a mount that only this shell sees.
const DISKS: &[Fault] = &[
    Fault {
        what: "a full disk",
        before: "mount -t tmpfs -o size=32k tmpfs . && cd .; head -c 4M /dev/zero > fill 2>/dev/null",
        says: "No space left",
        lines: &[FILE, DOTENV],
    },
    Fault {
        // There is room for only part of the line after the existing content.
        what: "a full disk, and a file there",
        before: "mount -t tmpfs -o size=32k tmpfs . && cd \"$FOLDER\"; printf '%4050s' A=1 > key; head -c 4M /dev/zero > fill 2>/dev/null",
        says: "No space left",
        lines: &[FORCE, DOTENV, ENV, OUTPUT],
    },
    Fault {
        what: "a disk that cannot be written",
        before: "mount --bind . . && cd \"$FOLDER\" && mount -o remount,bind,ro .",
        says: "Read-only",
        lines: FILES,
    },
    Fault {
        what: "a disk that cannot be written, and a file there",
        before: "echo A=1 > key; mount --bind . . && cd \"$FOLDER\" && mount -o remount,bind,ro .",
        says: "Read-only",
        lines: &[FORCE, DOTENV, ENV, OUTPUT],
    },
    // Bind-mounted, so that no mistake can harm the real devices.
    Fault { what: "a full device", before: "touch key; mount --bind /dev/full key", says: "a device", lines: FILES },
    Fault { what: "no device", before: "touch key; mount --bind /dev/null key", says: "a device", lines: FILES },
];

#[test]
#[ignore = "needs unshare and mount"]
fn disks_and_devices_that_take_nothing_stay_as_they_were() {
    let scene = Scene::new();
    for row in DISKS {
        for line in row.lines {
            scene.refuse(row, line, &VERBS);
        }
    }
}

#[test]
#[ignore = "needs root and setpriv"]
fn a_file_of_another_user_is_not_taken_from_them() {
    let row = Fault {
        what: "a file of root in a folder of everybody",
        before: "",
        says: "belongs to another user",
        lines: &[FORCE, DOTENV],
    };
    let before = format!("echo A=1 > key; chmod 777 .; {AS_NOBODY}").leak();
    for line in row.lines {
        Scene::new().refuse(&Fault { before, ..row }, line, &VERBS);
    }
}

const NO_COMMAND: &[Fault] = &[
    Fault { what: "no command", before: "", says: "without reading", lines: &["''"] },
    Fault {
        what: "no such command",
        before: "",
        says: "exit code 127",
        lines: &["nosuchcommand", "'./nosuch --flag'"],
    },
    Fault { what: "no program", before: "echo > file", says: "exit code 126", lines: &["./file"] },
    Fault { what: "no command line", before: "", says: "exit code 2", lines: &["'if'"] },
    Fault {
        what: "it fails",
        before: "",
        says: "exit code 1",
        lines: &["'cat > /dev/null; exit 1'", "'exit 1'", "false"],
    },
    Fault {
        what: "a signal ends it",
        before: "",
        says: "signal 9",
        lines: &["'cat > /dev/null; kill -9 $$'", "'kill -9 $$'"],
    },
    Fault {
        what: "it ends without reading",
        before: "",
        says: "without reading",
        lines: &[
            "true",
            "'exec <&-; exit 0'",
            "'exec < /dev/null; cat'",
            "'dd bs=1 count=64 of=/dev/null'",
            "'cat > /dev/null & exit 0'",
        ],
    },
    Fault {
        what: "it says the secret and fails",
        before: "",
        says: "exit code 3",
        lines: &[
            "'cat; exit 3'",
            "'cat >&2; exit 3'",
            "'s=$(cat); echo \"{\\\"key\\\":\\\"$s\\\"}\"; exit 3'",
            "'cat | base64 -w0; exit 3'",
            // More output than is kept; the cut falls inside the secret.
            "'s=$(cat); printf \"%16350s%s\" x $s; exit 3'",
        ],
    },
];

#[test]
fn a_command_that_does_not_take_the_secret_leaves_everything_as_it_was() {
    let scene = Scene::new();
    for row in NO_COMMAND {
        for (command, verb) in row.lines.iter().zip(VERBS.iter().cycle()) {
            let line = format!("keyward $VERB --json --secret-to {command}");
            // A rotation has one more step to undo.
            scene.refuse(row, &line, &[verb, "rotate old"]);
        }
    }
}

#[test]
fn without_a_runner_that_can_be_told_there_is_no_key() {
    let scene = Scene::new();
    for flags in ["--github-env API_KEY", "--github-output api-key"] {
        for variables in ["", "GITHUB_ENV= GITHUB_OUTPUT="] {
            let row = Fault { what: "no runner", before: "", says: "is not set", lines: &[] };
            scene.refuse(&row, &format!("{variables} keyward $VERB --json {flags}"), &VERBS);
        }
    }
    // A secret that the runner cannot mask must not reach its file.
    for (line, verb) in STEPS.iter().flat_map(|line| VERBS.map(|verb| (line, verb))) {
        for gone in ["2> /dev/full", "2> /dev/null", "2>&-", "2>&- 3> /dev/null"] {
            let output = scene.shell("echo A=1 > key", &format!("{line} {gone}"), verb);
            assert_eq!((output.code, output.stdout.as_str()), (7, ""), "{gone}: {output}");
            assert_eq!(scene.read("key"), "A=1\n", "{gone}");
        }
    }
    assert_eq!(scene.sandbox.run("list -q").stdout, "old\n");
    assert!(scene.verifies(&scene.old));
}

// Slow: waits the 10 seconds for which another process may hold the folder.
#[test]
#[ignore = "needs flock, and 10 seconds"]
fn a_folder_that_another_process_keeps_is_given_up_after_ten_seconds() {
    std::thread::scope(|scope| {
        for (line, verb) in [(FILE, "create new"), (DOTENV, "rotate old")] {
            scope.spawn(move || {
                let row = Fault {
                    what: "a folder that is locked",
                    before: "flock --no-fork . sh -c 'touch ../locked; exec sleep 600' & until [ -e ../locked ]; do sleep 0.1; done",
                    says: "locked",
                    lines: &[],
                };
                Scene::new().refuse(&row, &format!("{line}; code=$?; kill $!; (exit $code)"), &[verb]);
            });
        }
    });
}

/// A command that reads the secret and then hangs, with its process id in `../pid`. It would exit by itself later.
const HANGS: &str = "echo $$ > PID; cat > /dev/null; exec sleep 20";
/// The same for a program started by the command.
const CHILD_HANGS: &str = "cat > /dev/null; sh -c \"echo \\$\\$ > PID; exec sleep 20\"; true";

/// Waits for another process to do something.
fn until<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(value) = get() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}: it took too long")
}

fn pid(path: &std::path::Path) -> Pid {
    until("pid", || Pid::from_raw(fs::read_to_string(path).ok()?.trim().parse().ok()?))
}

/// A zombie is not running.
fn is_running(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with('Z'))
}

#[test]
fn a_signal_without_a_terminal_ends_the_command_that_hangs_and_leaves_everything_as_it_was() {
    let signals = [Signal::INT, Signal::TERM].into_iter().flat_map(|signal| VERBS.map(|verb| (signal, verb)));
    for (hangs, (signal, verb)) in
        [HANGS, CHILD_HANGS].into_iter().flat_map(|hangs| signals.clone().map(move |row| (hangs, row)))
    {
        let scene = Scene::new();
        let (keys, path) = (scene.keys(), scene.sandbox.path("pid"));
        let mut command = scene.sandbox.binary(&format!("{verb} --json --secret-to"));
        command.arg(hangs.replace("PID", path.to_str().unwrap())).env("PATH", "/usr/bin:/bin");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let hanging = pid(&path);
        // The signal must come only after it has read the secret and hangs.
        std::thread::sleep(Duration::from_millis(100));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        // A killed process may take a moment to disappear on a busy system.
        let is_gone = |_| {
            std::thread::sleep(Duration::from_millis(10));
            !is_running(hanging)
        };
        let goes_on = !(0..200).any(is_gone);
        let _ = kill_process(hanging, Signal::KILL);
        assert_eq!(output.status.code(), Some(7), "{signal:?} {verb}");
        assert!(!goes_on, "{signal:?} {verb}: the command goes on");
        assert_eq!(output.stdout, b"", "{signal:?} {verb}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("not_delivered"), "{signal:?} {verb}");
        assert_eq!(scene.keys(), keys, "{signal:?} {verb}");
        assert!(scene.verifies(&scene.old), "{signal:?} {verb}");
    }
}

#[test]
fn a_signal_in_a_terminal_ends_the_command_that_hangs_and_leaves_everything_as_it_was() {
    for (signal, verb) in ["INT", "TERM"].into_iter().zip(["create new", "rotate old"]) {
        let scene = Scene::new();
        let (keys, path) = (scene.keys(), scene.sandbox.path("pid"));
        let command = HANGS.replace("PID", path.to_str().unwrap());
        let script = format!("exec keyward {verb} --secret-to '{command}'");
        let store = scene.sandbox.store();
        let mut screen = Screen::start_program("/bin/sh", &["-c", &script], &store, &scene.sandbox.path(""));
        let hanging = pid(&path);
        std::thread::sleep(Duration::from_millis(100));
        screen.signal(signal);
        assert_eq!(screen.end(), 7, "{signal}: {}", screen.text());
        assert!(!is_running(hanging), "{signal}: the command goes on");
        assert_eq!(scene.keys(), keys, "{signal}");
        assert!(scene.verifies(&scene.old), "{signal}");
    }
}

/// Makes only the commit fail: a row with a dangling reference, which is checked last.
pub const NO_COMMIT: &str = "
    ALTER TABLE history ADD COLUMN nowhere INTEGER REFERENCES key (id) DEFERRABLE INITIALLY DEFERRED
        AS (CASE WHEN action IN ('key.create', 'key.duplicate', 'key.rotate') THEN -1 END);";

#[test]
fn where_the_commit_fails_after_the_delivery_the_files_are_as_they_were() {
    let scene = Scene::new();
    rusqlite::Connection::open(scene.sandbox.store()).unwrap().execute_batch(NO_COMMIT).unwrap();
    let keys = scene.keys();
    let there = "printf 'A=1\\nAPI_KEY=mine' > key; chmod 640 key";
    for (before, line) in [("", FILE), ("", DOTENV), (there, FORCE), (there, DOTENV), (there, ENV), (there, OUTPUT)] {
        for verb in VERBS {
            let output = scene.shell(before, line, verb);
            let what = format!("{verb}: {line}: {output}");
            assert!(output.code != 0 && output.stdout.is_empty(), "{what}");
            assert!(output.stderr.contains("just delivered opens nothing"), "the commit is what failed: {what}");
            let seen = ["before", "after"].map(|name| fs::read_to_string(scene.sandbox.path(name)).unwrap());
            assert_eq!(seen[0], seen[1], "{what}");
            assert_eq!(scene.keys(), keys, "{what}");
            assert!(scene.verifies(&scene.old), "{what}");
        }
    }
}

#[test]
fn while_a_command_takes_the_secret_nobody_else_mints_for_its_name_or_key() {
    let scene = Scene::new();
    for (verb, other) in [
        ("create new", "create new"),
        ("create new", "create new --secret-to 'cat > theirs'"),
        ("create new", "duplicate old new"),
        ("create new", "edit old --name new"),
        ("duplicate old new", "create new"),
        ("rotate old", "rotate old"),
        ("rotate old", "rotate old --secret-to 'cat > theirs'"),
    ] {
        let other = format!("\"$KEYWARD\" {other} --json > ../other 2> ../refused; echo $? > ../code");
        let line = format!("keyward $VERB --json --secret-to 'cat > sent; {}'", other.replace('\'', "\""));
        let output = scene.shell("", &line, verb);
        assert_eq!(output.code, 0, "{verb}: {output}");
        assert_eq!((scene.read("../code").trim_end(), scene.read("../other").as_str()), ("1", ""), "{verb}: {other}");
        let refused = Output { code: 1, stdout: String::new(), stderr: scene.read("../refused") }.error();
        assert_eq!(refused["code"], "conflict", "{verb}: {other}: {refused}");
        assert!(!scene.folder().join("theirs").exists(), "{verb}: {other}: its command was started");
        assert!(scene.verifies(&scene.read("sent")), "{verb}: {other}");
        scene.sandbox.run("delete new --yes");
    }
}

#[test]
fn what_others_may_do_to_a_key_while_its_secret_is_on_its_way() {
    for (verb, other, code) in [
        ("rotate old", "disable old", "ok"),
        ("rotate old", "edit old --scope ui", "ok"),
        ("rotate old", "edit old --name other", "ok"),
        ("create new", "group create new", "ok"),
        ("rotate old", "delete old --yes", "not_found"),
        ("duplicate old new", "edit old --scope ui", "conflict"),
        ("duplicate old new", "delete old --yes", "not_found"),
    ] {
        let scene = Scene::new();
        let line = format!("keyward $VERB --json --secret-to 'cat > sent; \"$KEYWARD\" {other} > ../other'");
        let output = scene.shell("", &line, verb);
        if code == "ok" {
            assert_eq!(output.code, 0, "{verb}: {other}: {output}");
            continue;
        }
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{verb}: {output}");
        let error = output.error();
        assert_eq!(error["code"], code, "{verb}: {output}");
        assert!(error["hint"].as_str().unwrap().contains("opens nothing"), "{verb}: {output}");
        assert!(!scene.verifies(&scene.read("sent")), "{verb}");
    }
}

/// Deliveries that cannot be undone.
const FINAL: &[&str] = &["keyward $VERB | cat > sent", "keyward $VERB --secret-to 'cat > sent'"];

#[test]
fn where_the_commit_of_a_rotation_fails_after_the_delivery_both_secrets_work() {
    for line in FINAL {
        let scene = Scene::new();
        rusqlite::Connection::open(scene.sandbox.store()).unwrap().execute_batch(NO_COMMIT).unwrap();
        let output = scene.shell("", line, "rotate old");
        assert!(output.stderr.contains("both secrets of old work now"), "{line}: {output}");
        assert!(!output.stderr.contains("opens nothing"), "{line}: {output}");
        assert!(scene.verifies(&scene.old) && scene.verifies(&scene.read("sent")), "{line}");
        let secrets = scene.sandbox.run("show old --json").json()["secrets"].clone();
        assert_eq!((&secrets[0]["state"], &secrets[1]["state"]), (&"staged".into(), &"current".into()), "{line}");
        assert_eq!(scene.sandbox.run("history --check").code, 0);
        // The new key does not exist, and nothing says that it does.
        let output = scene.shell("", line, "create new");
        assert!(output.stderr.contains("just delivered opens nothing"), "{line}: {output}");
        assert!(!scene.verifies(&scene.read("sent")), "{line}");
    }
}

#[test]
#[ignore = "needs 12 seconds"]
fn where_the_store_is_locked_after_the_delivery_both_secrets_work() {
    let scene = Scene::new();
    let (sent, locked) = (scene.sandbox.path("sent"), scene.sandbox.path("locked"));
    let command = format!("cat > {}; while [ ! -e {} ]; do sleep 0.05; done", sent.display(), locked.display());
    let mut rotation = scene.sandbox.binary("rotate old --json --secret-to");
    rotation.arg(command).env("PATH", "/usr/bin:/bin").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = rotation.spawn().unwrap();
    until("the command has the secret", || sent.exists().then_some(()));
    let mut conn = rusqlite::Connection::open(scene.sandbox.store()).unwrap();
    let held = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    fs::write(&locked, "").unwrap();
    let output = child.wait_with_output().unwrap();
    drop(held);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    assert!(stderr.contains("store_locked") && stderr.contains("both secrets of old work now"), "{stderr}");
    assert!(scene.verifies(&scene.old) && scene.verifies(&fs::read_to_string(sent).unwrap()));
}

#[test]
fn while_nobody_reads_the_secret_other_commands_do_not_wait() {
    for verb in ["create new", "rotate old"] {
        let scene = Scene::new();
        let (mut reader, writer) = full_pipe();
        let mut child = scene.sandbox.binary(verb).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        // It has made its reservation and waits for the reader.
        let store = scene.sandbox.store();
        until("the secret is on its way", || {
            let conn = rusqlite::Connection::open(&store).unwrap();
            conn.query_row("SELECT count(*) FROM reservation", [], |row| row.get::<_, i64>(0)).ok().filter(|n| *n > 0)
        });
        for other in ["edit old --description other", "create third", "disable old", "enable old"] {
            assert_eq!(finish(&mut scene.sandbox.binary(other)).code, 0, "{verb}: {other}");
        }
        assert!(child.try_wait().unwrap().is_none(), "{verb}: it waits for the reader");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{verb}");
        assert!(scene.verifies(text.trim_start_matches('x')), "{verb}");
    }
}

#[test]
#[ignore = "needs unshare and mount"]
fn where_the_disk_of_the_store_is_full_at_any_moment_the_files_are_as_they_were() {
    let scene = Scene::new();
    fs::write(scene.sandbox.path("old"), &scene.old).unwrap();
    for (there, line, verb) in
        [("rm", FILE, "create new"), (":", DOTENV, "duplicate old new"), (":", FORCE, "rotate old")]
    {
        let (mut early, mut late, mut never) = (0, 0, 0);
        // With this much space left, the disk is full at the first write, at the commit, or never.
        for kilobytes in (0..240).step_by(8) {
            let before = format!(
                "mkdir store files; mount -t tmpfs -o size=2m,mode=700 tmpfs store; cp \"$KEYWARD_STORE\" store/k.db
                chmod 600 store/k.db; export KEYWARD_STORE=\"$PWD/store/k.db\"
                head -c 4M /dev/zero > store/fill 2> /dev/null; truncate -s -{kilobytes}k store/fill
                T=files/key; echo A=1 > $T; {there} $T; FOLDER=\"$PWD/files\""
            );
            let line = format!(
                "{}; code=$?; rm store/fill; keyward list -q; keyward verify -q --no-record < ../old && echo old
                tail -n 1 files/key 2>&1 | sed s/API_KEY=// | keyward verify -q --no-record && echo new; (exit $code)",
                line.replace(" --json", "")
            );
            let output = scene.shell(&before, &line, verb);
            let what = format!("{kilobytes}k: {verb}: {line}: {output}");
            let seen = ["before", "after"].map(|name| fs::read_to_string(scene.sandbox.path(name)).unwrap());
            let delivered = output.stderr.contains("just delivered opens nothing");
            let wanted = match (output.code, verb) {
                (0, "rotate old") => "old\nnew\n",
                (0, _) => "new\nold\nold\nnew\n",
                _ => {
                    assert_eq!((output.code, &seen[0]), (6, &seen[1]), "{what}");
                    assert!(output.stderr.contains("disk is full"), "{what}");
                    "old\nold\n"
                }
            };
            assert_eq!(output.stdout, wanted, "{what}");
            *(if output.code == 0 {
                &mut never
            } else if delivered {
                &mut late
            } else {
                &mut early
            }) += 1;
        }
        assert!(early > 0 && late > 0 && never > 0, "{verb}: {early} early, {late} late, {never} never");
    }
}

#[test]
#[ignore = "needs unshare and mount"]
fn a_failure_leaves_no_file_beside_the_one_that_it_was_for() {
    let known: &[Fault] = &[
        Fault {
            what: "a full disk, and no files without a name",
            before: "mount -t tmpfs -o size=32k tmpfs . && cd \"$FOLDER\"; head -c 4M /dev/zero > fill 2>/dev/null
                keyward() { mount -t tmpfs tmpfs /proc; \"$KEYWARD\" \"$@\"; code=$?; umount /proc; return $code; }",
            says: "No space left",
            lines: &[FILE, DOTENV],
        },
        Fault {
            // How a container sees the host's `.env`.
            what: "a file that is mounted",
            before: "echo A=1 > key; mount --bind key key",
            says: "busy",
            lines: &[FORCE, DOTENV],
        },
        Fault {
            what: "a full disk, and no file of the step",
            before: "mount -t tmpfs -o size=32k tmpfs . && cd \"$FOLDER\"; head -c 4M /dev/zero > fill 2>/dev/null",
            says: "No space left",
            lines: &[ENV, OUTPUT],
        },
    ];
    let mut failures = vec![];
    for row in known {
        for line in row.lines {
            let scene = Scene::new();
            scene.shell(row.before, line, "create new");
            let seen = ["before", "after"].map(|name| fs::read_to_string(scene.sandbox.path(name)).unwrap());
            if seen[0] != seen[1] {
                failures.push(format!("{}: {line}\n{}", row.what, seen[1]));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Each verb, and whether the old secret still works afterwards.
const DONE: [(&str, bool); 4] =
    [("create new", true), ("duplicate old new", true), ("rotate old", false), ("rotate old --grace 1h", true)];

/// Runs a row that must succeed, checks what all such rows have in common, and returns stderr.
fn deliver(
    scene: &Scene,
    before: &str,
    line: &str,
    (verb, old_works): (&str, bool),
    secret: impl Fn() -> String,
) -> String {
    let output = scene.shell(before, line, verb);
    let what = format!("{verb}: {line}: {output}");
    assert_eq!(output.code, 0, "{what}");
    if line.contains("--json") {
        assert_eq!((output.json()["secret"].is_null(), output.stdout.contains("kw_")), (true, false), "{what}");
    } else {
        assert_eq!(output.stdout, "", "{what}");
    }
    assert!(scene.verifies(&secret()), "{what}");
    assert_eq!(scene.verifies(&scene.old), old_works, "{what}");
    output.stderr
}

#[test]
fn a_secret_file_has_the_secret_on_its_line_and_is_private_from_the_first_moment() {
    // The first row is written as a test would, the others as a person would.
    for (umask, before, flags) in [
        ("000", "", "--secret-file $T"),
        ("0777", "", "--secret-file ./key --json"),
        ("022", "", "--secret-file \"$FOLDER/key\" --force"),
        ("0777", "echo mine > key; chmod 644 key", "--secret-file $T --force --json"),
        // Left by a process that was killed.
        ("000", "echo mine > key; chmod 666 key; echo x > .key.keyward", "--secret-file $T --force"),
    ] {
        for done in DONE {
            let scene = Scene::new();
            let line = format!("(umask {umask}; keyward $VERB {flags})");
            let stderr = deliver(&scene, before, &line, done, || scene.read("key"));
            assert!(!stderr.contains("kw_"), "{stderr}");
            let secret = scene.read("key");
            assert_eq!((secret.len(), secret.lines().count(), secret.ends_with('\n')), (66, 1, true));
            assert_eq!((scene.mode("key").0, scene.names()), (0o600, vec!["key".to_owned()]), "umask {umask}");
        }
    }
}

#[test]
fn a_dotenv_file_keeps_everything_but_the_value() {
    let value = Regex::new(r"kw_[0-9a-z]{12}_[0-9A-Za-z]{49}").unwrap();
    for (before, after) in [
        ("", "API_KEY=@\n"),
        ("# ours\nB='2' # two\n\nA=1", "# ours\nB='2' # two\n\nA=1\nAPI_KEY=@\n"),
        ("A=1\r\nAPI_KEY=old\r\nB=2\r\n", "A=1\r\nAPI_KEY=@\r\nB=2\r\n"),
        ("A=1\r\n", "A=1\r\nAPI_KEY=@\r\n"),
        ("export API_KEY=\"old\" # ours\nB=2\n", "export API_KEY=\"@\" # ours\nB=2\n"),
        ("API_KEY='old'\nMY_API_KEY=x", "API_KEY='@'\nMY_API_KEY=x"),
        ("PEM=\"\nAPI_KEY=inside\n\"\nAPI_KEY=\n", "PEM=\"\nAPI_KEY=inside\n\"\nAPI_KEY=@\n"),
    ] {
        let scene = Scene::new();
        for (umask, mode, (verb, old_works)) in
            [("000", 0o640, DONE[0]), ("0777", 0o600, DONE[3]), ("022", 0o604, DONE[2])]
        {
            let put = scene.sandbox.path("env");
            fs::write(&put, before).unwrap();
            let prepare = format!("cp ../env key; chmod {mode:o} key");
            let line = format!("(umask {umask}; {DOTENV})");
            let secret = || value.find(&scene.read("key")).unwrap().as_str().to_owned();
            let stderr = deliver(&scene, &prepare, &line, (verb, old_works), secret);
            let text = scene.read("key");
            assert_eq!(value.replace_all(&text, "@"), after, "{before:?}");
            assert_eq!((scene.mode("key").0, scene.names()), (0o600, vec!["key".to_owned()]), "{before:?}");
            // With --json, no notes are printed; without it, the change of mode is noted.
            assert!(!stderr.contains("kw_"), "{before:?}");
            let output = scene.shell(&prepare, "keyward rotate old --grace 1h --env-file ./key --env-name OTHER", "");
            let noted = output.stderr.contains(&format!("the mode of ./key was {mode:04o}; it is 0600 now"));
            assert_eq!((output.code, output.stdout.as_str(), noted), (0, "", mode != 0o600), "{output}");
        }
    }
}

#[test]
fn a_new_dotenv_file_is_private_whatever_the_umask_is() {
    for (umask, done) in ["000", "0777"].into_iter().flat_map(|umask| DONE.map(|done| (umask, done))) {
        let scene = Scene::new();
        let line = format!("(umask {umask}; {DOTENV})");
        deliver(&scene, "", &line, done, || scene.read("key").trim_start_matches("API_KEY=").to_owned());
        assert_eq!((scene.mode("key").0, scene.names()), (0o600, vec!["key".to_owned()]), "umask {umask}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_file_that_is_replaced_keeps_its_owner_and_its_group() {
    let group = |scene: &Scene| fs::metadata(scene.folder().join("key")).unwrap().gid();
    for line in [FORCE, DOTENV] {
        for (owner, mode) in [("65534:65533", "644"), ("65534:0", "600"), ("0:65533", "755"), ("65534:65534", "400")] {
            let scene = Scene::new();
            let before = format!("echo A=1 > key; chown {owner} key; chmod {mode} key");
            let secret = || scene.read("key").lines().last().unwrap().replace("API_KEY=", "");
            deliver(&scene, &before, line, DONE[2], secret);
            // A file that holds only the secret gets the mode of a new file.
            let kept = u32::from_str_radix(mode, 8).unwrap() & 0o700;
            let (user, own_group) = owner.split_once(':').unwrap();
            let mode = if line == FORCE { 0o600 } else { kept };
            assert_eq!(scene.mode("key"), (mode, user.parse().unwrap()), "{line} {owner}");
            assert_eq!(group(&scene).to_string(), own_group, "{line} {owner}");
        }
        let before = "echo A=1 > key; chown 65534:65534 key; chmod 644 key";
        // If the delivery fails, the file is unchanged.
        let scene = Scene::new();
        let full = "ulimit -f 0; ".to_owned() + line;
        let output = scene.shell(before, &full, DONE[2].0);
        assert_ne!(output.code, 0, "{line}: {output}");
        assert_eq!((scene.mode("key"), scene.read("key").as_str()), ((0o644, 65_534), "A=1\n"), "{line}");
        // A user who may not assign the file to its group gets a file that the group cannot read.
        let scene = Scene::new();
        let before_nobody = format!("echo A=1 > key; chown 65534:0 key; chown 65534 .; chmod 660 key; {AS_NOBODY}");
        let output = scene.shell(&before_nobody, line, DONE[2].0);
        assert_eq!((output.code, scene.mode("key")), (0, (0o600, 65_534)), "{line}: {output}");
        // In a folder that anyone can write to, a file owned by another user is a trap.
        let scene = Scene::new();
        let output = scene.shell(&format!("{before}; chmod 1777 ."), line, DONE[2].0);
        assert!(output.code == 7 && output.stderr.contains("belongs to another user"), "{line}: {output}");
    }
}

/// Reads the variables of a file as the GitHub Actions runner does.
fn runner(text: &str) -> Vec<(String, String)> {
    let (mut lines, mut variables) = (text.lines(), vec![]);
    while let Some(line) = lines.next() {
        let equals = line.find('=').unwrap_or(usize::MAX);
        let (name, value) = match line.find("<<") {
            Some(place) if place < equals => {
                let end = &line[place + 2..];
                assert!(!end.is_empty() && lines.clone().any(|line| line == end), "no end: {end}");
                (&line[..place], lines.by_ref().take_while(|line| *line != end).collect::<Vec<_>>().join("\n"))
            }
            _ if line.is_empty() => continue,
            _ => (&line[..equals], line[equals + 1..].to_owned()),
        };
        variables.push((name.to_owned(), value));
    }
    variables
}

#[test]
fn a_step_of_github_actions_has_the_secret_masked_before_it_is_in_the_file() {
    for (line, name) in [(ENV, "API_KEY"), (OUTPUT, "api-key")] {
        // The file belongs to the runner, and so do its permissions.
        for (before, former) in [
            (r"printf '' > key", &[][..]),
            (r"printf 'A=1\n' > key", &[("A", "1")]),
            (r"printf 'A=1' > key", &[("A", "1")]),
            (r"printf 'B<<X\n1\n2\nX\nA=1' > key", &[("B", "1\n2"), ("A", "1")]),
        ] {
            for (flag, done) in [" ", " -q", " --json", " --json"].into_iter().zip(DONE) {
                let scene = Scene::new();
                let line = line.replace(" --json", flag);
                let secret = || runner(&scene.read("key")).pop().unwrap().1;
                let stderr = deliver(&scene, before, &line, done, secret);
                let mut wanted: Vec<_> = former.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
                wanted.push((name, secret()));
                let variables = runner(&scene.read("key"));
                let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                assert_eq!(variables, wanted, "{before}");
                let (mask, rest) = stderr.split_once('\n').unwrap();
                assert_eq!(mask, format!("::add-mask::{}", secret()), "it comes first");
                assert!(!rest.contains("kw_"), "{before}");
                assert_eq!((scene.mode("key").0, scene.names()), (0o644, vec!["key".to_owned()]), "{before}");
            }
        }
    }
}

#[test]
fn a_command_gets_the_secret_on_its_stdin_and_nowhere_else() {
    for (done, flag) in DONE.into_iter().zip(["", "--json", "", "--json"]) {
        let scene = Scene::new();
        let command = "cat > sent; cat /proc/$$/cmdline /proc/$$/environ /proc/$PPID/cmdline /proc/$PPID/environ > seen
            echo on stdout; echo on stderr >&2; cat sent; cat sent >&2; head -c 200000 /dev/zero | tr \"\\0\" x";
        let line = format!("keyward $VERB {flag} --secret-to '{command}'");
        let stderr = deliver(&scene, "", &line, done, || scene.read("sent"));
        let (sent, seen) = (scene.read("sent"), fs::read(scene.folder().join("seen")).unwrap());
        assert_eq!((sent.len(), sent.contains(char::is_whitespace)), (65, false), "no line feed");
        let seen = String::from_utf8_lossy(&seen);
        assert!(seen.contains("--secret-to") && seen.contains("KEYWARD_STORE="), "it would be seen: {seen}");
        assert!(!seen.contains("kw_"), "{seen}");
        assert!(!stderr.contains("kw_"), "{stderr}");
        // This output is for people.
        assert_eq!(stderr.contains("on stdout") && stderr.contains("on stderr"), flag.is_empty(), "{stderr}");
    }
}

#[test]
fn many_that_deliver_to_one_dotenv_file_at_once_lose_no_line() {
    // Each has its own store; with a shared one they would also wait for each other.
    let before = "echo A=1 > key; for n in 1 2 3 4 5 6 7 8; do cp -p \"$KEYWARD_STORE\" ../$n.db; done";
    let line = "for n in 1 2 3 4 5 6 7 8; do
            KEYWARD_STORE=../$n.db keyward create new -q --env-file key --env-name KEY_$n &
        done; wait
        for n in 1 2 3 4 5 6 7 8; do
            sed -n s/KEY_$n=//p key | KEYWARD_STORE=../$n.db keyward verify -q || echo the line of $n is lost
        done";
    let scene = Scene::new();
    let output = scene.shell(before, line, "");
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (0, "", ""));
    assert_eq!((scene.read("key").lines().count(), scene.names()), (9, vec!["key".to_owned()]));
}
