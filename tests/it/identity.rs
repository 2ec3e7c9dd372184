//! Which file is the store: one with two paths is refused, and replacing an open one is noticed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::batch::Conversation;
use crate::harness::{Output, Sandbox, binary, finish, words};

fn sql(store: &Path, statements: &str) {
    rusqlite::Connection::open(store).unwrap().execute_batch(statements).unwrap();
}

/// It ends with 6 because of where the store is, and says what to do.
fn assert_refused(output: &Output, says: &str, what: &str) {
    assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_insecure")), "{what}: {output}");
    assert!(output.stderr.contains(says), "{what}: {output}");
}

const ALL: [&str; 6] =
    ["list --json", "create x --json", "disable a --json", "verify --json", "doctor --json", "backup copy --json"];

#[test]
fn a_store_with_a_second_name_is_refused_by_either_name() {
    let sandbox = Sandbox::new();
    sandbox.mint("a");
    let other = sandbox.path("other.db");
    fs::hard_link(sandbox.store(), &other).unwrap();
    for name in [sandbox.store(), other.clone()] {
        for line in ALL {
            assert_refused(&finish(&mut binary(&name, &words(line))), "hard link", line);
        }
    }
    fs::remove_file(other).unwrap();
    assert_eq!(sandbox.run("list -q").stdout, "a\n");
}

#[test]
fn an_empty_file_with_a_second_name_does_not_become_a_store() {
    let sandbox = Sandbox::empty();
    fs::write(sandbox.store(), "").unwrap();
    fs::hard_link(sandbox.store(), sandbox.path("other.db")).unwrap();
    assert_refused(&sandbox.run("create x --json"), "hard link", "create");
    assert_eq!(fs::read(sandbox.store()).unwrap(), b"");
}

#[test]
fn a_name_that_is_added_while_the_store_is_open_is_noticed() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    let mut conversation = Conversation::start(&sandbox);
    assert_eq!(conversation.ask(&secret), "allowed");
    fs::hard_link(sandbox.store(), sandbox.path("other.db")).unwrap();
    assert_eq!(conversation.ask(&secret), "store_insecure");
    fs::remove_file(sandbox.path("other.db")).unwrap();
    assert_eq!(conversation.ask(&secret), "allowed");
}

/// Runs a script as root in its own mount namespace.
fn mounted(sandbox: &Sandbox, script: &str) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", script]).current_dir(sandbox.path(""));
    command.env("keyward", env!("CARGO_BIN_EXE_keyward")).env_remove("KEYWARD_STORE");
    finish(&mut command)
}

#[test]
#[ignore = "needs root and unshare"]
fn a_store_that_is_mounted_as_a_file_is_refused_by_that_name() {
    let sandbox = Sandbox::new();
    sandbox.mint("a");
    for empty in ["mounted.db", "with blank.db"] {
        fs::write(sandbox.path(empty), "").unwrap();
        for line in ALL {
            let script = format!("mount --bind keys.db '{empty}'; exec \"$keyward\" --store '{empty}' {line}");
            assert_refused(&mounted(&sandbox, &script), "mount the folder", line);
        }
    }
    // The folder must be mounted; from its original name, a file does not show that it is mounted elsewhere.
    fs::create_dir(sandbox.path("volume")).unwrap();
    for script in [
        "mount --bind . volume; exec \"$keyward\" --store volume/keys.db list -q",
        "mount --bind keys.db mounted.db; exec \"$keyward\" --store keys.db list -q",
    ] {
        let output = mounted(&sandbox, script);
        assert_eq!((output.code, output.stdout.as_str()), (0, "a\n"), "{script}: {output}");
    }
}

#[test]
#[ignore = "needs root and unshare"]
fn an_empty_file_that_is_mounted_does_not_become_a_store() {
    let sandbox = Sandbox::empty();
    fs::write(sandbox.path("keys.db"), "").unwrap();
    fs::write(sandbox.path("mounted.db"), "").unwrap();
    let output =
        mounted(&sandbox, "mount --bind keys.db mounted.db; exec \"$keyward\" --store mounted.db create x --json");
    assert_refused(&output, "mount the folder", "create");
    assert_eq!(fs::read(sandbox.store()).unwrap(), b"");
}

/// Two stores with the same key: an open one in which it is active, and a copy in which it is not.
struct Two {
    sandbox: Sandbox,
    secret: String,
}

impl Two {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let secret = sandbox.mint("a");
        Self { sandbox, secret }
    }

    /// Copies the store to `name`.
    fn copy_to(&self, name: &str) {
        let output = self.sandbox.run(&format!("backup {}", self.sandbox.path(name).display()));
        assert_eq!(output.code, 0, "{output}");
    }

    fn ask(&self, conversation: &mut Conversation) -> String {
        conversation.ask(&self.secret)
    }
}

/// Another store with the same keys, as a restore makes it.
const ANOTHER: &str = "UPDATE history_head SET store_id = 'another'; UPDATE key SET enabled = 0;";

#[test]
fn a_store_that_was_replaced_is_read_anew_from_the_next_line_on() {
    for flags in ["", " --no-record"] {
        let two = Two::new();
        two.copy_to("other.db");
        sql(&two.sandbox.path("other.db"), ANOTHER);
        let mut conversation = Conversation::start_as(two.sandbox.binary(&format!("verify --batch{flags}")));
        // More often than there are threads, so that each has read the store by now.
        for _ in 0..20 {
            assert_eq!(two.ask(&mut conversation), "allowed");
        }
        fs::rename(two.sandbox.path("other.db"), two.sandbox.store()).unwrap();
        for _ in 0..20 {
            assert_eq!(two.ask(&mut conversation), "key_disabled", "{flags}");
        }
        // From now on it is a store like any other.
        two.sandbox.run("enable a");
        for _ in 0..20 {
            assert_eq!(two.ask(&mut conversation), "allowed", "{flags}");
        }
        assert_eq!(two.sandbox.run("history --check").code, 0);
    }
}

#[test]
fn what_was_counted_by_then_stays_with_the_store_that_was_replaced() {
    let two = Two::new();
    two.copy_to("other.db");
    sql(&two.sandbox.path("other.db"), ANOTHER);
    let mut conversation = Conversation::start(&two.sandbox);
    for _ in 0..5 {
        assert_eq!(two.ask(&mut conversation), "allowed");
    }
    // A second later, the uses are in the log.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(two.ask(&mut conversation), "allowed");
    let used = |store: &Path| finish(&mut binary(store, &words("show a --json"))).json()["use_count"].as_u64().unwrap();
    assert!(used(&two.sandbox.store()) >= 5);
    fs::rename(two.sandbox.store(), two.sandbox.path("former.db")).unwrap();
    fs::rename(two.sandbox.path("other.db"), two.sandbox.store()).unwrap();
    assert_eq!(two.ask(&mut conversation), "key_disabled");
    assert!(used(&two.sandbox.path("former.db")) >= 5, "its log came along");
    assert_eq!(used(&two.sandbox.store()), 0);
    assert_eq!(two.sandbox.run("doctor --json").code, 0);
}

#[test]
fn a_store_that_was_removed_is_no_answer_until_it_is_back() {
    let two = Two::new();
    let mut conversation = Conversation::start(&two.sandbox);
    assert_eq!(two.ask(&mut conversation), "allowed");
    fs::rename(two.sandbox.store(), two.sandbox.path("away.db")).unwrap();
    for _ in 0..20 {
        assert_eq!(two.ask(&mut conversation), "store_missing");
    }
    fs::rename(two.sandbox.path("away.db"), two.sandbox.store()).unwrap();
    for _ in 0..20 {
        assert_eq!(two.ask(&mut conversation), "allowed");
    }
}

#[test]
fn a_store_that_was_brought_up_to_date_by_a_newer_program_is_no_answer() {
    let two = Two::new();
    let mut conversation = Conversation::start(&two.sandbox);
    assert_eq!(two.ask(&mut conversation), "allowed");
    sql(
        &two.sandbox.store(),
        "ALTER TABLE key ADD COLUMN forbidden INTEGER NOT NULL DEFAULT 1; PRAGMA user_version = 99;",
    );
    for _ in 0..20 {
        assert_eq!(two.ask(&mut conversation), "store_newer");
    }
}

#[test]
fn an_older_state_that_was_put_in_place_is_no_answer_until_the_program_starts_again() {
    for way in ["copied over it", "moved to it"] {
        let two = Two::new();
        two.copy_to("backup.db");
        two.sandbox.run("create b");
        two.sandbox.run("disable a");
        let mut conversation = Conversation::start_as(two.sandbox.binary("verify --batch --no-record"));
        for _ in 0..20 {
            assert_eq!(two.ask(&mut conversation), "key_disabled", "{way}");
        }
        let backup = two.sandbox.path("backup.db");
        match way {
            "moved to it" => fs::rename(&backup, two.sandbox.store()).unwrap(),
            _ => drop(fs::copy(&backup, two.sandbox.store()).unwrap()),
        }
        for _ in 0..20 {
            assert_eq!(two.ask(&mut conversation), "store_rewound", "{way}");
        }
        // Later changes to it do not help.
        for name in ["c", "d", "e"] {
            let created = finish(&mut two.sandbox.binary(&format!("create {name}")));
            assert_eq!(created.code, 0, "{way}: {created}");
            assert_eq!(two.ask(&mut conversation), "store_rewound", "{way}");
        }
        drop(conversation);
        assert_eq!(two.ask(&mut Conversation::start(&two.sandbox)), "allowed", "{way}");
    }
}

#[test]
fn another_store_that_was_copied_over_it_is_noticed() {
    let two = Two::new();
    two.copy_to("other.db");
    sql(&two.sandbox.path("other.db"), ANOTHER);
    let mut conversation = Conversation::start_as(two.sandbox.binary("verify --batch --no-record"));
    for _ in 0..20 {
        assert_eq!(two.ask(&mut conversation), "allowed");
    }
    fs::copy(two.sandbox.path("other.db"), two.sandbox.store()).unwrap();
    for _ in 0..20 {
        assert_eq!(two.ask(&mut conversation), "key_disabled");
    }
}

/// What SQLite has cached of one file's pages is wrong for the other.
#[test]
fn a_copy_of_another_size_is_noticed() {
    let many = |place: &Path, verb: &str| {
        let names = (0..60).map(|number| format!("k{number}")).collect::<Vec<_>>();
        for name in &names {
            let line = if verb == "create" { format!("create {name} -q") } else { format!("delete {name} --yes -q") };
            assert_eq!(finish(&mut binary(place, &words(&line))).code, 0);
        }
    };
    for (is_smaller, flags) in [(true, ""), (true, " --no-record"), (false, ""), (false, " --no-record")] {
        let two = Two::new();
        let other = two.sandbox.path("other.db");
        if is_smaller {
            // Deleted keys leave free pages in the file, but not in a backup.
            many(&two.sandbox.store(), "create");
            many(&two.sandbox.store(), "delete");
        }
        two.copy_to("other.db");
        if !is_smaller {
            many(&other, "create");
        }
        sql(&other, ANOTHER);
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(if is_smaller {
            size(&other) < size(&two.sandbox.store())
        } else {
            size(&other) > size(&two.sandbox.store())
        });
        let mut conversation = Conversation::start_as(two.sandbox.binary(&format!("verify --batch{flags}")));
        for _ in 0..20 {
            assert_eq!(two.ask(&mut conversation), "allowed");
        }
        fs::copy(&other, two.sandbox.store()).unwrap();
        if flags.is_empty() {
            // With the log's contents, it is no longer clear which of the two stores is meant.
            let answer = two.ask(&mut conversation);
            assert!(["key_disabled", "store_insecure"].contains(&answer.as_str()), "{answer}");
            continue;
        }
        for _ in 0..20 {
            assert_eq!(two.ask(&mut conversation), "key_disabled");
        }
    }
}

#[test]
fn a_log_that_was_removed_while_the_store_is_open_is_noticed() {
    let two = Two::new();
    let mut conversation = Conversation::start(&two.sandbox);
    assert_eq!(two.ask(&mut conversation), "allowed");
    fs::remove_file(two.sandbox.path("keys.db-wal")).unwrap();
    for _ in 0..5 {
        assert_eq!(two.ask(&mut conversation), "store_insecure");
    }
}

#[test]
fn what_was_decided_about_one_store_is_not_done_to_another() {
    for (replace, code) in [
        ("mv other.db keys.db", (1, "conflict")),
        // The reservation is in the log, which does not match the copy.
        ("cp other.db keys.db", (6, "store_insecure")),
        ("rm keys.db", (6, "store_missing")),
        ("mv newer.db keys.db", (1, "conflict")),
    ] {
        for (verb, says) in [("create new", "opens nothing"), ("rotate a", "a")] {
            let two = Two::new();
            two.copy_to("other.db");
            sql(&two.sandbox.path("other.db"), ANOTHER);
            let newer = two.sandbox.path("newer.db");
            two.copy_to("newer.db");
            sql(&newer, "PRAGMA user_version = 99");
            let sink = format!("cat > /dev/null; {replace}");
            let mut args = words(&format!("{verb} --json --secret-to"));
            args.push(sink);
            let output = finish(
                binary(&two.sandbox.store(), &args).current_dir(two.sandbox.path("")).env("PATH", "/usr/bin:/bin"),
            );
            let error = output.error();
            // A rotation has several connections to the store, and may give up.
            let gave_up = replace.starts_with("cp") && verb == "rotate a" && error["code"] == "conflict";
            assert!(
                gave_up || (output.code, error["code"].as_str()) == (code.0, Some(code.1)),
                "{verb}, {replace}: {output}"
            );
            assert!(output.stderr.contains(says), "{verb}, {replace}: {output}");
            if replace.starts_with("mv other") {
                assert_eq!(two.sandbox.run("list -q").stdout, "a\n", "{verb}, {replace}");
                assert_eq!(two.sandbox.run("history --check").code, 0, "{verb}, {replace}");
            }
        }
    }
}

/// A store moved to the path keeps its commits, whatever a program does that still has the former one open.
#[test]
fn what_is_committed_to_the_new_store_is_not_taken_along_with_the_former_one() {
    for flags in ["", " --no-record"] {
        for asks in [true, false] {
            let two = Two::new();
            let mut conversation = Conversation::start_as(two.sandbox.binary(&format!("verify --batch{flags}")));
            assert_eq!(two.ask(&mut conversation), "allowed");
            fs::rename(two.sandbox.store(), two.sandbox.path("former.db")).unwrap();
            for line in ["create n", "disable n"] {
                assert_eq!(finish(&mut two.sandbox.binary(line)).code, 0, "{line}");
            }
            if asks {
                assert_eq!(two.ask(&mut conversation), "not_genuine", "{flags}");
            }
            conversation.end();
            let shown = finish(&mut two.sandbox.binary("show n --json")).json();
            assert_eq!(shown["enabled"], false, "{flags}, {asks}");
            assert_eq!(two.sandbox.run("history --check --json").json()["rows"], 2, "{flags}, {asks}");
            assert_eq!(finish(&mut binary(&two.sandbox.path("former.db"), &words("list -q"))).stdout, "a\n");
        }
    }
}

/// A program that lost its log or its shared memory does not overwrite what others have done since.
#[test]
fn a_program_that_lost_its_log_overwrites_nothing() {
    for lost in [&["keys.db-wal"][..], &["keys.db-shm"], &["keys.db-wal", "keys.db-shm"]] {
        let two = Two::new();
        let mut conversation = Conversation::start(&two.sandbox);
        assert_eq!(two.ask(&mut conversation), "allowed");
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        assert_eq!(two.ask(&mut conversation), "allowed");
        for file in lost {
            fs::remove_file(two.sandbox.path(file)).unwrap();
        }
        assert_eq!(two.ask(&mut conversation), "store_insecure", "{lost:?}");
        let done = finish(&mut two.sandbox.binary("disable a"));
        conversation.end();
        let reason = two.sandbox.reason("--no-record", &two.secret);
        assert_eq!(reason, if done.code == 0 { "key_disabled" } else { "allowed" }, "{lost:?}: {done}");
        assert_eq!(two.sandbox.run("history --check").code, 0, "{lost:?}");
    }
}

#[test]
fn a_copy_over_the_store_is_noticed_with_a_commit_behind_it() {
    for flags in ["", " --no-record"] {
        let two = Two::new();
        // More keys than fit on one page.
        let text = (0..400).map(|number| format!("[[key]]\nname = 'k{number}'\n")).collect::<Vec<_>>().concat();
        let line = format!("apply - --secrets-dir {}", two.sandbox.path("secrets").display());
        assert_eq!(two.sandbox.run_with(&line, text).code, 0);
        fs::copy(two.sandbox.store(), two.sandbox.path("copy.db")).unwrap();
        two.sandbox.run("disable a");
        let mut conversation = Conversation::start_as(two.sandbox.binary(&format!("verify --batch{flags}")));
        for _ in 0..20 {
            assert_eq!(two.ask(&mut conversation), "key_disabled");
        }
        two.sandbox.run("edit k399 --description x");
        fs::copy(two.sandbox.path("copy.db"), two.sandbox.store()).unwrap();
        for _ in 0..20 {
            let answer = two.ask(&mut conversation);
            assert!(["store_rewound", "store_insecure"].contains(&answer.as_str()), "{flags}: {answer}");
        }
    }
}

/// A store that a restore replaced can only come back as an older copy.
#[test]
fn a_former_identity_is_no_other_store() {
    let two = Two::new();
    two.copy_to("backup.db");
    let mut conversation = Conversation::start_as(two.sandbox.binary("verify --batch --no-record"));
    two.sandbox.run("disable a");
    assert_eq!(two.ask(&mut conversation), "key_disabled");
    let backup = two.sandbox.path("backup.db").display().to_string();
    assert_eq!(two.sandbox.run(&format!("restore --yes {backup}")).code, 0);
    assert_eq!(two.ask(&mut conversation), "key_disabled");
    fs::copy(&backup, two.sandbox.store()).unwrap();
    for _ in 0..20 {
        assert_eq!(two.ask(&mut conversation), "store_rewound");
    }
}

/// Other programs may write to the store through SQLite.
#[test]
#[ignore = "needs sqlite3"]
fn what_others_do_by_way_of_sqlite_is_no_alarm() {
    let two = Two::new();
    let sqlite = |statement: &str| {
        let mut command = Command::new("sqlite3");
        command.args(["-cmd", ".timeout 10000"]).arg(two.sandbox.store()).arg(statement);
        let output = finish(&mut command);
        assert_eq!(output.code, 0, "{statement}: {output}");
    };
    let mut conversation = Conversation::start(&two.sandbox);
    assert_eq!(two.ask(&mut conversation), "allowed");
    for statement in [
        "VACUUM",
        "PRAGMA wal_checkpoint(PASSIVE)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "REINDEX",
        "VACUUM",
        "UPDATE key SET description = 'x'",
        "PRAGMA wal_checkpoint(RESTART)",
        "ANALYZE",
    ] {
        sqlite(statement);
        for _ in 0..5 {
            assert_eq!(two.ask(&mut conversation), "allowed", "{statement}");
        }
        for line in ["list -q", "edit a --description y", "edit a --description z"] {
            let output = finish(&mut two.sandbox.binary(line));
            assert_eq!(output.code, 0, "{statement}: {line}: {output}");
        }
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        assert_eq!(two.ask(&mut conversation), "allowed", "{statement}");
    }
}
