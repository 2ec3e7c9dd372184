//! Hostile environments: disks, permissions, other processes, damage, clocks, streams, signals.
//!
//! The rules are always the same: an answer is correct or there is none, an invalid secret is never allowed, nothing is
//! lost, and the environment never counts as a bug in keyward (exit code 70).

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::ToSpan as _;
use keyward_core::rules::names::Prefix;
use keyward_core::rules::token::{Id, Secret};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Output, Sandbox, finish, finish_with, words};
use crate::pty::Screen;

/// Commands that write, each of which works in [`Scene`]'s store.
const WRITES: &[&str] = &[
    "create new",
    "duplicate deploy new",
    "rotate deploy",
    "edit deploy --description x",
    "disable deploy",
    "enable off",
    "delete deploy --yes",
    "group create new",
    "user create new",
    "tenant create new",
    "role create new --rank 5",
    "user disable ann",
    "user delete ann",
    "settings set prefix app",
    "apply ../manifest",
];

/// Commands that only read.
const READS: &[&str] = &[
    "list",
    "show deploy",
    "history",
    "history --check",
    "export",
    "doctor",
    "settings list",
    "user list",
    "verify --no-record",
    "verify",
];

/// A store with keys of all kinds, copied into each test environment.
struct Scene {
    sandbox: Sandbox,
    secret: String,
}

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let secret = sandbox.mint("deploy --scope rest");
        sandbox.mint("off --disabled");
        assert_eq!(sandbox.run("user create ann").code, 0);
        fs::write(sandbox.path("secret"), &secret).unwrap();
        fs::write(sandbox.path("manifest"), "[[group]]\nname = \"new\"\n").unwrap();
        fs::set_permissions(sandbox.path(""), Permissions::from_mode(0o755)).unwrap();
        Self { sandbox, secret }
    }

    fn copy(&self) -> PathBuf {
        self.sandbox.path("place/keys.db")
    }

    /// Copies the store into an empty folder, changes its environment with a shell script (`before`), runs the
    /// commands, each with the secret on stdin, and restores the environment (`after`). A command that starts with
    /// `nobody` runs as a non-root user.
    fn runs(&self, before: &str, commands: &[impl AsRef<str>], after: &str) -> Vec<Output> {
        let (place, outputs) = (self.sandbox.path("place"), self.sandbox.path("outputs"));
        for folder in [&place, &outputs] {
            if folder.exists() {
                let _ = fs::set_permissions(folder, Permissions::from_mode(0o755));
                fs::remove_dir_all(folder).unwrap();
            }
            fs::create_dir(folder).unwrap();
        }
        fs::copy(self.sandbox.store(), self.copy()).unwrap();
        let mut lines = String::new();
        for (number, command) in commands.iter().enumerate() {
            let command = command.as_ref();
            let (program, line) =
                command.split_once(' ').filter(|(first, _)| *first == "nobody").unwrap_or(("keyward", command));
            writeln!(
                lines,
                "{program} {line} --json <../secret >$OUT/{number}.out 2>$OUT/{number}.err; echo $? >$OUT/{number}.code"
            )
            .unwrap();
        }
        let script = format!(
            r#"cd "$PLACE" || exit 90
            keyward() {{ timeout 30 "$KEYWARD" "$@"; }}
            nobody() {{ if [ "$(id -u)" = 0 ]; then timeout 30 setpriv --reuid=65534 --regid=65534 --clear-groups "$KEYWARD" "$@"; else keyward "$@"; fi; }}
            {before}
            {lines}
            {after}
            cp "$PLACE"/keys.db* "$OUT""#
        );
        let mut command = if before.contains("mount ") {
            let mut command = Command::new("unshare");
            let map = if rustix::process::geteuid().is_root() { &[][..] } else { &["--map-root-user"] };
            command.args(map).args(["--mount", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        command.args(["-c", &script]).env("KEYWARD", self.sandbox.binary("").get_program());
        command.env("PLACE", &place).env("OUT", &outputs).env("KEYWARD_STORE", self.copy());
        let shell = finish(&mut command);
        assert_eq!(shell.code, 0, "{before}: {shell}");
        let read = |number: usize, what: &str| fs::read_to_string(outputs.join(format!("{number}.{what}"))).unwrap();
        (0..commands.len())
            .map(|number| Output {
                code: read(number, "code").trim().parse().unwrap(),
                stdout: read(number, "out"),
                stderr: read(number, "err"),
            })
            .collect()
    }

    /// Runs the commands and checks how each ends: `6 store_unwritable`, or `0` and warnings.
    fn expect(&self, what: &str, before: &str, commands: &[impl AsRef<str>], ends: &str, after: &str) {
        for (line, output) in commands.iter().zip(self.runs(before, commands, after)) {
            assert_eq!(end(&output), ends, "{what}: {}: {output}", line.as_ref());
        }
    }

    /// Checks that the store's contents are the same: nothing lost, nothing added.
    fn assert_unchanged(&self, what: &str) {
        let copy = self.sandbox.path("outputs/keys.db");
        for line in ["list --json", "history --json", "export", "history --check --json"] {
            let at = self.sandbox.run(&format!("--store {} {line}", copy.display()));
            assert_eq!(without_use(&at), without_use(&self.sandbox.run(line)), "{what}: {line}");
        }
    }
}

/// Drops stderr, which is about the file itself, and the fields that `verify` updates.
fn without_use(output: &Output) -> (u8, String) {
    let pattern = regex::Regex::new(r#""(last_used_at|use_count)":[^,]*,"#).unwrap();
    (output.code, pattern.replace_all(&output.stdout, "").into_owned())
}

/// How a command ended: its code, and the error or the warnings.
fn end(output: &Output) -> String {
    assert!(!output.stderr.contains("panic"), "{output}");
    let mut text = output.code.to_string();
    if output.code == 0 || output.stderr.is_empty() {
        let answer: serde_json::Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        for warning in answer["warnings"].as_array().into_iter().flatten() {
            write!(text, " {}", warning.as_str().unwrap()).unwrap();
        }
    } else {
        write!(text, " {}", output.error()["code"].as_str().unwrap()).unwrap();
    }
    text
}

/// Puts the store on a one-megabyte disk, to be filled up.
const SMALL: &str = r#"cp keys.db ../spare; mount -t tmpfs -o size=1m,mode=755 tmpfs "$PLACE" && cd "$PLACE"
    cp ../spare keys.db; chmod 600 keys.db; "#;
const FILL: &str = "cat /dev/zero > fill 2>/dev/null";

#[test]
#[ignore = "needs unshare and mount"]
fn a_full_disk_loses_nothing() {
    let scene = Scene::new();
    let full = format!("{SMALL} {FILL}");
    scene.expect("full", &full, WRITES, "6 store_unwritable", "rm fill");
    scene.assert_unchanged("full");
    scene.expect("full", &full, &["backup copy"], "1 output_failed", "rm fill; ! ls copy .copy*");
    scene.expect("full", &full, &["backup ../elsewhere"], "0", "rm fill ../elsewhere");
    let outputs = scene.runs(&full, READS, "rm fill");
    let ends: Vec<_> = outputs.iter().map(end).collect();
    assert_eq!(ends.join(" "), format!("{}0 use_not_recorded", "0 ".repeat(READS.len() - 1)));
    scene.assert_unchanged("full");

    // Another process has the store open, so a WAL and shared memory already exist.
    let held = format!(
        r#"{SMALL} "$KEYWARD" create held --secret-to 'cat >/dev/null; touch ../held; exec sleep 20' >/dev/null 2>&1 & HELD=$!
        while [ ! -e ../held ]; do sleep 0.02; done; rm ../held; {FILL}"#
    );
    let free = "rm fill; kill $HELD; wait $HELD; true";
    scene.expect("held", &held, WRITES, "6 store_unwritable", free);
    scene.assert_unchanged("held");
    let outputs = scene.runs(&held, READS, free);
    let ends: Vec<_> = outputs.iter().map(end).collect();
    assert_eq!(ends.join(" "), format!("{}0 use_not_recorded", "0 ".repeat(READS.len() - 1)));
    scene.assert_unchanged("held");
    scene.expect("held", &held, &["backup copy"], "1 output_failed", &format!("{free}; ! ls copy .copy* 2>/dev/null"));
}

/// As space grows, a command starts to succeed at some point: below it nothing was done, above it everything.
#[test]
#[ignore = "needs unshare and mount"]
fn a_disk_that_becomes_full_in_the_middle_leaves_all_or_nothing() {
    let scene = Scene::new();
    let shown = |line: &str| {
        let copy = scene.sandbox.path("outputs/keys.db");
        scene.sandbox.run(&format!("--store {} {line}", copy.display()))
    };
    for (command, done) in [
        ("edit deploy --description x --add-scope ui", "show deploy --json"),
        ("delete deploy --yes", "list -q"),
        ("apply ../manifest", "group list -q"),
        ("settings set prefix app", "settings list --json"),
    ] {
        let before = scene.sandbox.run(done).stdout;
        let mut codes = String::new();
        for kilobytes in (0..=240).step_by(20) {
            let room = format!("{SMALL} head -c {kilobytes}k /dev/zero > room; {FILL}; rm room");
            let output = &scene.runs(&room, &[command], "rm fill")[0];
            let is_done = shown(done).stdout != before;
            assert!(matches!(end(output).as_str(), "0" | "6 store_unwritable"), "{command}, {kilobytes}k: {output}");
            assert_eq!(is_done, output.code == 0, "{command}, {kilobytes}k: {output}");
            assert_eq!(shown("history --check").code, 0, "{command}, {kilobytes}k");
            codes.push_str(&output.code.to_string());
        }
        assert!(codes.starts_with('6') && codes.ends_with('0'), "{command}: {codes}");
    }
    let mut codes = String::new();
    for kilobytes in (0..=400).step_by(40) {
        let room = format!("{SMALL} head -c {kilobytes}k /dev/zero > room; {FILL}; rm room");
        let output =
            &scene.runs(&room, &["backup copy"], "rm fill; ls -A > $OUT/names; cp copy $OUT 2>/dev/null; true")[0];
        let names = fs::read_to_string(scene.sandbox.path("outputs/names")).unwrap();
        assert!(
            matches!(end(output).as_str(), "0" | "1 output_failed" | "6 store_unwritable"),
            "{kilobytes}k: {output}"
        );
        let expected = if output.code == 0 { "copy\nkeys.db\n" } else { "keys.db\n" };
        // After a backup fails for lack of space, an empty WAL and shared memory may remain.
        assert_eq!(names.replace("keys.db-shm\n", "").replace("keys.db-wal\n", ""), expected, "{kilobytes}k: {output}");
        codes.push_str(&output.code.to_string());
    }
    assert!(codes.starts_with('1') && codes.ends_with('0'), "{codes}");
}

/// Checks that writes report the error, reads answer, and the store is unchanged.
fn only_read(scene: &Scene, what: &str, before: &str, warning: &str) {
    let by = |commands: &[&str]| -> Vec<String> {
        let who = if before.contains("mount ") { "" } else { "nobody " };
        commands.iter().map(|command| format!("{who}{command}")).collect()
    };
    let (writes, reads) = (by(WRITES), by(READS));
    scene.expect(what, before, &writes, "6 store_unwritable", "");
    for (line, output) in reads.iter().zip(scene.runs(before, &reads, "ls -A > $OUT/names")) {
        let record = if line.ends_with("verify") { " use_not_recorded" } else { "" };
        let warning = if line.contains("verify") { warning } else { "" };
        assert_eq!(end(&output), format!("0{warning}{record}"), "{what}: {line}: {output}");
    }
    scene.assert_unchanged(what);
    assert_eq!(fs::read(scene.copy()).unwrap(), fs::read(scene.sandbox.store()).unwrap(), "{what}");
    assert_eq!(fs::read_to_string(scene.sandbox.path("outputs/names")).unwrap(), "keys.db\n", "{what}");
}

#[test]
fn who_may_not_write_the_store_can_still_ask_it() {
    let scene = Scene::new();
    for (what, before, warning) in [
        ("a file of others", "chmod 444 keys.db", " store_permissions"),
        // Owns the file but cannot create a WAL beside it.
        ("a folder of others", "chmod 600 keys.db; [ \"$(id -u)\" = 0 ] && chown 65534 keys.db; chmod 555 .", ""),
        ("both", "chmod 444 keys.db; chmod 555 .", " store_permissions"),
    ] {
        only_read(&scene, what, before, warning);
    }
}

#[test]
#[ignore = "needs unshare and mount"]
fn a_disk_that_cannot_be_written_can_still_be_asked() {
    let scene = Scene::new();
    let mount =
        r#"chmod 600 keys.db; mount --bind "$PLACE" "$PLACE" && cd "$PLACE" && mount -o remount,bind,ro "$PLACE""#;
    only_read(&scene, "a disk that is mounted for reading", mount, "");
    scene.expect("a backup there", mount, &["backup copy"], "1 output_failed", "");
    scene.expect("a backup elsewhere", mount, &["backup ../elsewhere"], "0", "");
    let elsewhere = scene.sandbox.path("elsewhere");
    let verified = scene.sandbox.run_with(&format!("--store {} verify -q", elsewhere.display()), &scene.secret);
    assert_eq!(verified.code, 0, "{verified}");
}

/// A user who can read the store and write its folder would leave a WAL that they own.
#[test]
#[ignore = "needs root and setpriv"]
fn a_reader_does_not_lock_the_owner_out() {
    let scene = Scene::new();
    for (what, folder, file) in [("a folder of a group", "770", "640"), ("a sticky folder", "1777", "644")] {
        let before = format!(
            "chown 65534:12345 . keys.db; chmod {file} keys.db; chmod {folder} .
             reader() {{ setpriv --reuid=12346 --regid=12345 --clear-groups \"$KEYWARD\" \"$@\"; }}
             reader verify -q < ../secret || exit 91"
        );
        let ends: Vec<_> = scene.runs(&before, &["nobody list", "nobody disable deploy"], "").iter().map(end).collect();
        assert_eq!(ends, ["0", "0"], "{what}");
    }
}

#[test]
fn what_a_killed_process_left_counts_or_there_is_no_answer() {
    // A change that is only in the WAL: the main file still says that the key is valid.
    let scene = Scene::new();
    let spare = scene.sandbox.path("spare");
    fs::create_dir(&spare).unwrap();
    let held = rusqlite::Connection::open(scene.sandbox.store()).unwrap();
    held.query_row("SELECT count(*) FROM key", [], |row| row.get::<_, i64>(0)).unwrap();
    let old = fs::read(scene.sandbox.store()).unwrap();
    assert_eq!(scene.sandbox.run("disable deploy").code, 0);
    for name in ["keys.db-wal", "keys.db-shm"] {
        fs::copy(scene.sandbox.path(name), spare.join(name)).unwrap();
    }
    assert_eq!(fs::read(scene.sandbox.store()).unwrap(), old, "the change is in the log alone");
    let (refused, no_answer) = ("3", "6 store_unwritable");
    let commands = ["verify", "list", "edit deploy --description x", "history --check"];
    let closed = "chmod 555 .";
    for (what, left, who, mode, before, ends) in [
        ("both", "wal shm", "keyward", "600", "", [refused, "0", "0", "0"]),
        ("a log", "wal", "keyward", "600", "", [refused, "0", "0", "0"]),
        ("a log that was cut", "wal shm", "keyward", "600", "truncate -s 100 keys.db-wal", ["0", "0", "0", "0"]),
        ("both, a file of others", "wal shm", "nobody", "644", "", ["3 store_permissions", "0", no_answer, "0"]),
        ("both, a folder of others", "wal shm", "nobody", "666", closed, [""; 4]),
        ("a log, a file of others", "wal", "nobody", "644", "", [no_answer; 4]),
        ("a log, a folder of others", "wal", "nobody", "644", closed, [no_answer; 4]),
    ] {
        let mut script = format!(
            "cp {} .; ",
            left.split(' ').map(|part| format!("../spare/keys.db-{part}")).collect::<Vec<_>>().join(" ")
        );
        write!(script, "chmod {mode} keys.db*; {before}").unwrap();
        if mode == "666" {
            // Owns the files, but not the folder.
            script = script.replace("666", "600") + "; [ \"$(id -u)\" = 0 ] && chown 65534 keys.db*; true";
        }
        let lines: Vec<_> = commands.iter().map(|line| format!("{who} {line}").replace("keyward ", "")).collect();
        let found: Vec<_> = scene.runs(&script, &lines, "").iter().map(end).collect();
        let ends = if mode == "666" { [refused, "0", "0", "0"] } else { ends };
        assert_eq!(found, ends, "{what}");
        if ends[1] == "0" {
            let listed = fs::read_to_string(scene.sandbox.path("outputs/1.out")).unwrap();
            let enabled = serde_json::from_str::<serde_json::Value>(&listed).unwrap()[0]["enabled"] == true;
            assert_eq!(enabled, what.ends_with("cut"), "{what}");
        }
    }
    drop(held);
}

/// A store to be damaged, with a key of each kind, and the secrets presented to it.
struct Damaged {
    sandbox: Sandbox,
    bytes: Vec<u8>,
    id: String,
    genuine: String,
    /// Invalid secrets: a known id with other bytes, an unknown id, and a replaced one.
    wrong: [String; 3],
}

impl Damaged {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        for line in ["tenant create acme", "user create ann --role editor", "group create ci"] {
            assert_eq!(sandbox.run(line).code, 0);
        }
        let retired = sandbox.mint("other --owner ann --group ci --level A/B --label a=b");
        sandbox.pass(1.hour());
        assert_eq!(sandbox.run("rotate other").code, 0);
        let genuine = sandbox.mint("deploy --scope rest,ui");
        for n in 0..20 {
            sandbox.mint(&format!("key{n} --scope s{n} --allow-ip 10.0.{n}.0/24 --description {}", "x".repeat(60)));
        }
        sandbox.pass(1.hour());
        assert_eq!(sandbox.reason("", &genuine), "allowed");
        let id = sandbox.run("show deploy --json").json()["id"].as_str().unwrap().to_owned();
        let build = |id: Id| Secret::build(&Prefix::default(), id, &[7; 32]).expose().to_owned();
        let wrong =
            [build(genuine.split('_').nth(1).unwrap().parse().unwrap()), build(Id::from_random([9; 8])), retired];
        let bytes = fs::read(sandbox.store()).unwrap();
        Self { sandbox, bytes, id, genuine, wrong }
    }

    /// Runs commands of all kinds on a store with these bytes; returns their exit codes.
    fn meet(&self, bytes: &[u8], what: &str) -> Vec<u8> {
        let path = self.sandbox.path("damaged.db");
        let run = |line: &str, input: &str| {
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(self.sandbox.path(&format!("damaged.db{end}")));
            }
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let output = self.sandbox.run_with(&format!("--store {} {line} --json", path.display()), input);
            let codes: &[&str] = match output.code {
                0 | 3 => &[],
                // The damage may have hit a name or the rights of a role.
                1 => &["not_found", "name_taken", "not_permitted", "invalid_value"],
                6 => &["store_corrupt", "store_foreign", "store_newer", "store_missing", "store_unwritable"],
                _ => panic!("{what}: {line}: {output}"),
            };
            let is_error = output.code == 1 || output.code == 6;
            assert!(!is_error || codes.contains(&output.error()["code"].as_str().unwrap()), "{what}: {line}: {output}");
            assert!(output.code != 3 || line.starts_with("verify"), "{what}: {line}: {output}");
            output
        };
        let genuine = run("verify", &self.genuine);
        if genuine.code == 0 {
            // The name or the id may be damaged, but not both.
            let key = &genuine.json()["key"];
            assert!(key["id"] == self.id.as_str() || key["name"] == "deploy", "{what}: another key: {genuine}");
        }
        for wrong in &self.wrong {
            let output = run("verify", wrong);
            assert!([3, 6].contains(&output.code), "{what}: a wrong secret is allowed: {output}");
        }
        let others = [
            "list",
            "show deploy",
            "history",
            "history --check",
            "doctor",
            "export",
            "edit deploy --description x",
            "delete deploy --yes",
            "create new",
        ];
        std::iter::once(genuine.code).chain(others.map(|line| run(line, "").code)).collect()
    }
}

#[test]
fn a_store_that_was_cut_off_answers_right_or_not_at_all() {
    let damaged = Damaged::new();
    let whole = damaged.bytes.len();
    assert_eq!(damaged.meet(&damaged.bytes, "whole"), [0; 10]);
    for length in [0, 1, 15, 16, 99, 100, 511, 512, 1024, 4095, 4096, 4097, 8192, whole / 2, whole - 4096, whole - 1] {
        let codes = damaged.meet(&damaged.bytes[..length], &format!("{length} bytes"));
        // `create` makes a new store in an empty file; all other commands fail.
        let expected = if length == 0 { [&[6; 9][..], &[0]].concat() } else { vec![6; 10] };
        // A command may not need the last pages.
        assert!(codes == expected || length > whole / 2, "{length} bytes: {codes:?}");
    }
}

#[test]
fn a_store_with_a_flipped_bit_answers_right_or_not_at_all() {
    let damaged = Damaged::new();
    let mut random = ChaCha20Rng::seed_from_u64(20);
    // Most of a small store is empty, and flipping a bit there proves nothing.
    let used: Vec<_> = (0..damaged.bytes.len()).filter(|&at| damaged.bytes[at] != 0).collect();
    let mut noticed = 0;
    for _ in 0..200 {
        let (place, bit) = (used[random.next_u32() as usize % used.len()], random.next_u32() % 8);
        let mut bytes = damaged.bytes.clone();
        bytes[place] ^= 1 << bit;
        let codes = damaged.meet(&bytes, &format!("bit {bit} of byte {place}"));
        noticed += usize::from(codes.contains(&6));
    }
    assert!(noticed > 20, "{noticed} of 200 were noticed: the flips hit something");
}

/// Files that are not stores of this version, with the commands that `store_files` does not cover.
#[test]
fn what_is_not_ours_is_left_alone_by_all_commands() {
    let scene = Scene::new();
    let commands: Vec<&str> = WRITES.iter().chain(READS).copied().chain(["backup ../copy"]).collect();
    let sql = |sql: &str| {
        let path = scene.sandbox.path("spare");
        let _ = fs::remove_file(&path);
        fs::copy(scene.sandbox.store(), &path).unwrap();
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    };
    for (what, change, before, ends) in [
        ("the next schema", "PRAGMA user_version = 6", "cp ../spare keys.db", "6 store_newer"),
        ("a schema before the first", "PRAGMA user_version = 0", "cp ../spare keys.db", "6 store_corrupt"),
        ("another program's", "PRAGMA application_id = 1", "cp ../spare keys.db", "6 store_foreign"),
        ("a link", "", "mv keys.db ../real; ln -s ../real keys.db", "6 store_insecure"),
        ("a link to nothing", "", "rm keys.db; ln -s nothing keys.db", "6 store_insecure"),
        ("a link to itself", "", "rm keys.db; ln -s keys.db keys.db", "6 store_insecure"),
        ("for all to write", "", "chmod 666 keys.db", "6 store_insecure"),
        ("in a folder for all to write", "", "chmod 777 .", "6 store_insecure"),
        ("a pipe", "", "rm keys.db; mkfifo keys.db", "6 store_foreign"),
    ] {
        sql(change);
        let look = "{ stat -c '%n %s %F %a %Y' keys.db; [ -f keys.db ] && cksum < keys.db; ls -A; } 2>/dev/null";
        let before = format!("{before}; {look} > $OUT/before");
        let after = format!("{look} > $OUT/after; chmod 755 .; rm -f keys.db; touch keys.db; ! ls ../copy 2>/dev/null");
        scene.expect(what, &before, &commands, ends, &after);
        let seen =
            ["before", "after"].map(|name| fs::read_to_string(scene.sandbox.path("outputs").join(name)).unwrap());
        assert_eq!(seen[0], seen[1], "{what}");
    }
    for (what, before, warning) in [
        ("for a group to write", "chmod 660 keys.db", " store_permissions"),
        ("for all to read", "chmod 644 keys.db", " store_permissions"),
        ("in a folder of all, where each keeps their own", "chmod 600 keys.db; chmod 1777 .", ""),
    ] {
        let ends: Vec<_> = scene.runs(before, READS, "").iter().map(end).collect();
        let expected = format!("{}0{warning} 0{warning}", "0 ".repeat(READS.len() - 2));
        assert_eq!(ends.join(" "), expected, "{what}");
    }
    // A folder may be a link: write access to its parent decides who can change it.
    symlink(scene.sandbox.path("place"), scene.sandbox.path("linked")).unwrap();
    let before = "chmod 600 keys.db; KEYWARD_STORE=../linked/keys.db";
    scene.expect("a folder that is a link", before, &["edit deploy --description x", "verify"], "0", "");
    // The target's permissions count, not those of the folder that holds the link.
    scene.expect("a link to an open folder", &format!("{before}; chmod 777 ."), READS, "6 store_insecure", "");
}

#[test]
fn a_clock_that_was_set_back_loses_no_count_and_no_order() {
    let sandbox = Sandbox::new();
    sandbox.pass(10.days());
    let secret = sandbox.mint("deploy --expires 30d");
    let brief = sandbox.mint("brief --expires 1h");
    sandbox.pass(2.hours());
    assert_eq!((sandbox.reason("", &secret), sandbox.reason("", &brief)), ("allowed".into(), "key_expired".into()));
    sandbox.pass((-10).days());
    // Created and used in the future: works now, and keeps its use count.
    assert_eq!(sandbox.reason("", &secret), "allowed");
    let key = sandbox.run("show deploy --json").json();
    assert_eq!((key["use_count"].as_u64(), key["last_used_at"].as_str()), (Some(2), Some("2026-02-10T14:00:00Z")));
    assert_eq!(key["state"], "active");
    for line in [
        "list",
        "list --json",
        "show deploy",
        "history",
        "doctor",
        "doctor --json",
        "list --unused-for 1d",
        "list --expires-within 60d",
        "list --sort used",
        "list --sort created",
        "export",
        "history --since 1d",
        "edit deploy --description x",
        "disable deploy",
        "enable deploy",
        "history --until 2026-02-01",
    ] {
        assert_eq!(sandbox.run(line).code, 0, "{line}");
    }
    // A rotation retires the old secret now, although its creation time is later.
    let output = sandbox.run("rotate deploy --json");
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(sandbox.reason("", &secret), "secret_retired");
    assert_eq!(sandbox.reason("", output.json()["secret"].as_str().unwrap()), "allowed");
    assert_eq!(sandbox.run("create late --expires 1h").code, 0);
    // The history is ordered by row, whatever the timestamps.
    let events = sandbox.run("history --json").json();
    let numbers: Vec<_> = events.as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted() && numbers.len() == 8, "{numbers:?}");
    assert_eq!(sandbox.run("history --check").code, 0);
    assert_eq!(sandbox.run("history --limit 1 --json").json()[0]["subject_name"], "late");
}

/// Adds this many rows to the history as keyward would: any tool can write the chain's documented format.
pub fn lengthen(store: &Path, rows: i64) {
    use sha2::Digest as _;
    let mut conn = rusqlite::Connection::open(store).unwrap();
    let tx = conn.transaction().unwrap();
    let head = tx.query_row("SELECT seq, hash FROM history_head", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let (first, mut hash): (i64, [u8; 32]) = head;
    let id: String = tx.query_row("SELECT public_id FROM key", [], |row| row.get(0)).unwrap();
    let mut insert = tx
        .prepare("INSERT INTO history VALUES (?1, 1769860800, NULL, ?2, 'key', ?3, 'deploy', '{}', ?4, NULL)")
        .unwrap();
    for seq in first + 1..=first + rows {
        let action = if seq % 2 == 0 { "key.disable" } else { "key.enable" };
        let mut row = [hash.as_slice(), &seq.to_be_bytes(), &1_769_860_800_i64.to_be_bytes(), &[0; 9]].concat();
        for column in [action, "key", &id, "deploy", "{}"] {
            row.push(1);
            row.extend((column.len() as u64).to_be_bytes());
            row.extend(column.as_bytes());
        }
        hash = sha2::Sha256::digest(row).into();
        insert.execute((seq, action, &id, hash)).unwrap();
    }
    drop(insert);
    tx.execute("UPDATE history_head SET seq = ?1, hash = ?2", (first + rows, hash)).unwrap();
    tx.commit().unwrap();
}

#[test]
fn a_long_history_is_no_burden() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    lengthen(&sandbox.store(), 100_000);
    let timed = |line: &str| {
        let output = finish_with(
            Command::new("timeout")
                .arg("10")
                .arg(sandbox.binary("").get_program())
                .args(words(line))
                .env("KEYWARD_STORE", sandbox.store()),
            secret.as_bytes(),
        );
        assert_eq!(output.code, 0, "{line}: {output}");
        output.stdout
    };
    assert_eq!(timed("history --check --json"), "{\"intact\":true,\"rows\":100002}\n");
    assert_eq!(timed("history --limit 5 --json").lines().count(), 5);
    assert_eq!(timed("history deploy --limit 5 --action disable").lines().count(), 6, "a heading and five rows");
    assert_eq!(timed("list -q"), "deploy\n");
    timed("verify -q");
    timed("edit deploy --description x");
    assert_eq!(timed("history --json").lines().count(), 100_003);
    let copy = sandbox.path("copy");
    assert!(timed(&format!("backup {} --json", copy.display())).contains("\"events\":100003"));
}

#[test]
#[ignore = "needs root and setpriv"]
fn without_a_home_it_says_what_to_do() {
    let scene = Scene::new();
    let bare = |store: &str, line: &str| {
        let mut command = Command::new("setpriv");
        // A user unknown to the system, with an empty environment.
        command.args(["--reuid=54321", "--regid=54321", "--clear-groups"]).arg(scene.sandbox.binary("").get_program());
        command.args(words(store)).args(words(line)).env_clear();
        finish_with(&mut command, scene.secret.as_bytes())
    };
    for line in WRITES.iter().chain(READS) {
        let output = bare("", &format!("{line} --json").replace("../", "/nosuch/"));
        let missing = output.error();
        let (code, hint) = (missing["code"].as_str().unwrap(), missing["hint"].as_str().unwrap());
        // `apply` reads the manifest before it looks for the store.
        if !line.starts_with("apply") {
            assert_eq!((output.code, code), (6, "store_missing"), "{line}: {output}");
            assert!(hint.contains("--store PATH") && hint.contains("KEYWARD_STORE"), "{line}: {output}");
        }
    }
    fs::set_permissions(scene.sandbox.store(), Permissions::from_mode(0o600)).unwrap();
    chown(scene.sandbox.store(), Some(54321), Some(54321)).unwrap();
    let store = format!("--store {}", scene.sandbox.store().display());
    for line in ["list", "verify -q", "history --check"] {
        assert_eq!(bare(&store, line).code, 0, "{line}");
    }
}

#[test]
fn a_mask_neither_opens_nor_spoils_what_is_made() {
    let scene = Scene::new();
    let look = "stat -c '%n %a' new.db copy secret.new 2>/dev/null > $OUT/modes; true";
    let commands =
        ["--store new.db create x --secret-file secret.new", "backup copy", "verify", "edit deploy --description x"];
    let ends = |before: &str| -> Vec<String> { scene.runs(before, &commands, look).iter().map(end).collect() };
    let modes = || fs::read_to_string(scene.sandbox.path("outputs/modes")).unwrap();
    for mask in ["000", "022", "077"] {
        assert_eq!(ends(&format!("chmod 600 keys.db; umask {mask}")), ["0"; 4], "{mask}");
        assert_eq!(modes(), "new.db 600\ncopy 600\nsecret.new 600\n", "{mask}");
    }
    if rustix::process::geteuid().is_root() {
        assert_eq!(ends("chmod 600 keys.db; umask 777"), ["0"; 4], "root");
        assert_eq!(modes(), "new.db 600\ncopy 600\nsecret.new 600\n");
    }
    let as_nobody = "chmod 600 keys.db; if [ \"$(id -u)\" = 0 ]; then chown 65534 . keys.db; fi; umask 777; keyward() { nobody \"$@\"; }";
    assert_eq!(ends(as_nobody), ["0"; 4], "nobody");
    assert_eq!(modes(), "new.db 600\ncopy 600\nsecret.new 600\n");
}

#[test]
fn a_stream_that_is_closed_or_full_is_no_reason_to_lose_anything() {
    let scene = Scene::new();
    let shell = |script: &str| {
        let script = format!("cd \"$PLACE\" && exec \"$KEYWARD\" {script}");
        let mut command = Command::new("timeout");
        command.args(["30", "sh", "-c", &script]).env("KEYWARD", scene.sandbox.binary("").get_program());
        finish_with(
            command.env("PLACE", scene.sandbox.path("")).env("KEYWARD_STORE", scene.sandbox.store()),
            scene.secret.as_bytes(),
        )
    };
    // The command and its exit codes with stdin, stdout or stderr closed, and with stdout full.
    for (line, codes) in [
        // A closed stdout looks like a deliberate /dev/null, so only commands whose output must arrive fail.
        ("list", [0, 0, 0, 1]),
        ("list --json", [0, 0, 0, 1]),
        ("export", [0, 0, 0, 1]),
        ("history", [0, 0, 0, 1]),
        ("history --check", [0, 0, 0, 1]),
        ("doctor", [0, 0, 0, 1]),
        ("create new", [0, 7, 0, 7]),
        ("rotate off", [0, 7, 0, 7]),
        // The exit code is the answer.
        ("verify", [3, 0, 0, 0]),
        ("verify --json", [3, 0, 0, 0]),
        ("backup copy", [0, 0, 0, 0]),
        ("backup copy --json", [0, 0, 0, 1]),
    ] {
        for (streams, code) in ["<&-", ">&-", "2>&-", ">/dev/full"].iter().zip(codes) {
            let before = scene.sandbox.run("show off --json");
            let output = shell(&format!("{line} {streams}"));
            assert_eq!(output.code, code, "{line} {streams}: {output}");
            assert!(!output.stderr.contains("panic"), "{line} {streams}: {output}");
            let made = scene.sandbox.run("list -q --name new").stdout == "new\n";
            assert_eq!(made, line == "create new" && code == 0, "{line} {streams}: a key if and only if a secret");
            assert_eq!(
                scene.sandbox.run("show off --json") == before,
                line != "rotate off" || code != 0,
                "{line} {streams}"
            );
            let copied = scene.sandbox.path("copy").exists();
            assert_eq!(copied, line.starts_with("backup"), "{line} {streams}");
            let _ = fs::remove_file(scene.sandbox.path("copy"));
            if made {
                assert_eq!(scene.sandbox.run("delete new --yes").code, 0);
            }
        }
    }
    // The store must not get a free standard descriptor, or stderr output would end up in it.
    for line in ["create y <&- >&- 2>&-", "verify <&- >&- 2>&-", "list <&- >&- 2>&-"] {
        shell(line);
    }
    assert_eq!(scene.sandbox.run("doctor --json").json()[2]["level"], "ok");
    assert_eq!(scene.sandbox.run("history --check").code, 0);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let sandbox = Sandbox::new();
    // More than fits in a pipe.
    let manifest: String = (0..400).fold(String::new(), |text, n| {
        format!("{text}[[key]]\nname = \"k{n}\"\ndescription = \"{}\"\n", "x".repeat(200))
    });
    let secrets = sandbox.path("secrets");
    assert_eq!(sandbox.run_with(&format!("apply - --secrets-dir {}", secrets.display()), manifest).code, 0);
    for line in ["list", "list --json", "list -q", "export", "export --json", "history", "history --json"] {
        let script = format!("{{ \"$KEYWARD\" {line}; echo $? >&3; }} 3>&2 2>/dev/null | head -1 >/dev/null");
        let mut command = Command::new("timeout");
        command.args(["30", "sh", "-c", &script]).env("KEYWARD", sandbox.binary("").get_program());
        let output = finish(command.env("KEYWARD_STORE", sandbox.store()));
        assert_eq!(output.stderr, "0\n", "{line}: {output}");
        let script = script.replace("2>/dev/null", "").replace("echo $? >&3", "true");
        let mut command = Command::new("timeout");
        command.args(["30", "sh", "-c", &script]).env("KEYWARD", sandbox.binary("").get_program());
        let output = finish(command.env("KEYWARD_STORE", sandbox.store()));
        assert_eq!(output.stderr, "", "{line}");
    }
}

#[test]
fn a_signal_while_a_command_takes_the_secret_leaves_no_key_and_no_command() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let sandbox = Sandbox::new();
        let ready = sandbox.path("ready");
        let mut command = sandbox.binary("create new --json --secret-to");
        command
            .arg(format!("cat > /dev/null; echo $$ > {}; exec sleep 20", ready.display()))
            .env("PATH", "/usr/bin:/bin");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let hanging = wait_until(|| Pid::from_raw(fs::read_to_string(&ready).ok()?.trim().parse().ok()?));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{signal:?}");
        assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("not_delivered"));
        wait_until(|| (!is_running(hanging)).then_some(()));
        assert_eq!((sandbox.run("list -q").stdout, sandbox.run("history --check").code), (String::new(), 0));
        assert_eq!(sandbox.run("create new").code, 0, "the name is free: {signal:?}");
    }
}

fn wait_until<T>(mut get: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3000 {
        if let Some(value) = get() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it took too long")
}

fn is_running(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with('Z'))
}

#[test]
fn a_signal_during_a_hidden_question_puts_the_terminal_back() {
    let sandbox = Sandbox::new();
    for signal in ["TERM", "HUP", "INT", "QUIT", "XCPU"] {
        let mut screen = Screen::start(&sandbox.store(), "verify", 80);
        screen.wait_for("Credential (it is not shown):");
        screen.press("kw_half-of-it");
        screen.signal(signal);
        assert_eq!(screen.end(), 130, "{signal}: {}", screen.text());
        screen.assert_restored();
        assert!(!screen.raw().contains("half"), "{signal}: {}", screen.text());
    }
}

/// In raw mode Ctrl-Z is an ordinary key to the picker, but SIGTSTP from another process stops it.
#[test]
fn a_picker_can_be_put_aside_and_taken_up_again() {
    let sandbox = Sandbox::new();
    for name in ["alpha", "beta"] {
        sandbox.mint(name);
    }
    let rotations = || sandbox.run("history --action rotate --json").json().as_array().unwrap().len();
    let home = sandbox.path("home");
    fs::create_dir(&home).unwrap();
    let mut screen = Screen::start_program("sh", &["-i"], &sandbox.store(), Path::new(&home));
    screen.press("PS1=ready; clear\r").wait_for("ready");
    screen.press("sh -c 'echo $$ > pid; exec keyward rotate --yes'\r").wait_for("Rotate which");
    // Both the key and the signal stop it.
    screen.press("\x1a").wait_for("Stopped");
    screen.press("clear; fg\r").wait_for("Rotate which");
    let process = wait_until(|| Pid::from_raw(fs::read_to_string(home.join("pid")).ok()?.trim().parse().ok()?));
    std::thread::sleep(Duration::from_millis(500));
    kill_process(process, Signal::TSTP).unwrap();
    screen.wait_for("Stopped");
    // The shell has the terminal back, with echo and line editing as before.
    screen.press("echo put-$((40+2))-aside\r").wait_for("put-42-aside");
    screen.press("clear\r");
    wait_until(|| (!screen.text().contains("Rotate which")).then_some(()));
    screen.press("fg\r").wait_for("Rotate which");
    // The picker briefly ignores Ctrl-C after a stop, so that an echo of the stop is not mistaken for it.
    std::thread::sleep(Duration::from_millis(500));
    screen.press("\x03").wait_for("interrupted; nothing was changed");
    screen.press("echo code-$?\r").wait_for("code-130");
    assert_eq!(rotations(), 0);
    screen.press("exit\r");
    screen.end();
    screen.assert_restored();
}

/// The schema text is stored in the file too, and can be damaged like any data.
#[test]
fn a_schema_with_a_letter_changed_is_damage() {
    for (table, old, new, line, ends) in [
        ("history", "subject_id   TEXT", "subject_ix   TEXT", "history", "6 store_corrupt"),
        ("history", "detail       TEXT", "detaiL       TEXT", "history", "0"),
        ("history", "detail       TEXT", "detaix       TEXT", "disable deploy", "6 store_corrupt"),
        (
            "role",
            "name         TEXT NOT NULL UNIQUE",
            "name         TEXT NOT NULL        ",
            "disable deploy",
            "6 store_corrupt",
        ),
        ("key_group", "id          INTEGER PRIMARY KEY", "ix          INTEGER PRIMARY KEY", "doctor", "0"),
        ("key", "key_group (id)", "key_grouP (id)", "doctor", "0"),
        ("key", ") STRICT", ") STRIKT", "list", "6 store_corrupt"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.mint("deploy");
        let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
        conn.execute_batch("PRAGMA writable_schema = ON").unwrap();
        let changed = conn
            .execute(
                "UPDATE sqlite_schema SET sql = replace(sql, ?2, ?3) WHERE name = ?1 AND instr(sql, ?2)",
                (table, old, new),
            )
            .unwrap();
        assert_eq!(changed, 1, "{table}: {old}");
        drop(conn);
        assert_eq!(end(&sandbox.run(&format!("{line} --json"))), ends, "{table}: {old}: {line}");
    }
}
