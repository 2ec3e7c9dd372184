//! Clocks that are wrong by any amount: no command panics, reports "a bug", or accepts an expired key.

use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use keyward_core::rules::time::rfc3339;

use crate::harness::{Output, Sandbox, finish, finish_with};

/// Commands to run at such a time; any may be refused, but none may hit a bug.
const COMMANDS: [&str; 30] = [
    "create new",
    "create new2 --expires 90d --json",
    "create new3 --ensure --expires 1y",
    "create ends --ensure --expires 90d",
    "duplicate ends copy",
    "edit ends --expires 10d",
    "edit ends --description x",
    "rotate eternal --grace 10y",
    "rotate eternal --grace 0s --json",
    "rotate eternal",
    "disable eternal",
    "enable eternal",
    "list",
    "list --json",
    "list --expires-within 90d",
    "list --unused-for 90d",
    "list --state expired",
    "show eternal",
    "show ends --json",
    "history",
    "history --since 7d --until 1h --json",
    "history --check",
    "export",
    "doctor",
    "doctor --json",
    "settings set max-lifetime 9000y",
    "create new4",
    "rotate ends",
    "user create ann",
    "user show ann",
];

fn is_sound(output: &Output, what: &str) {
    assert_ne!(output.code, 70, "{what}: {output}");
    assert!(!output.stderr.contains("panic"), "{what}: {output}");
}

/// A store with two keys: one never expires, and one has expired for every clock later than 2026.
fn prepared() -> (Sandbox, String, String) {
    let sandbox = Sandbox::new();
    let never = sandbox.mint("eternal");
    let ends = sandbox.mint("ends --expires 90d");
    (sandbox, never, ends)
}

#[test]
fn a_clock_at_either_end_of_all_times_is_no_bug() {
    let second = |second: i64| Timestamp::from_second(second).unwrap();
    let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    for now in [
        Timestamp::MAX,
        Timestamp::MIN,
        second(last - 1),
        second(last - 86_400 * 30),
        second(first + 1),
        second(first + 86_400 * 30),
        second(0),
        second(-1),
        // The years 0 and 1.
        second(-62_167_219_200),
        second(-62_135_596_801),
    ] {
        let (sandbox, never, ends) = prepared();
        sandbox.set_clock(now);
        let is_behind = now > second(2_000_000_000);
        let reason = sandbox.reason("--no-record", &ends);
        assert_eq!(reason, if is_behind { "key_expired" } else { "allowed" }, "{now}");
        assert_eq!(sandbox.reason("", &never), "allowed", "{now}");
        for line in COMMANDS {
            is_sound(&sandbox.run(line), &format!("{now}: {line}"));
        }
        let batch = format!("{{\"credential\":\"{ends}\"}}\n");
        is_sound(&sandbox.run_with("verify --batch", batch), &format!("{now}: batch"));
        is_sound(
            &sandbox.run_with("apply - --dry-run", "[[key]]\nname='z'\nexpires_at='90d'\n"),
            &format!("{now}: apply"),
        );
        is_sound(&sandbox.run("create last --copy --clear-after 1m --yes"), &format!("{now}: copy"));
        // What was written then can be read later.
        sandbox.set_clock("2026-01-31T12:00:00Z".parse().unwrap());
        for line in ["list --json", "doctor --json", "history --json", "history --check"] {
            let output = sandbox.run(line);
            assert_eq!(output.code, 0, "{now}: {line}: {output}");
        }
    }
}

/// A window of days at either end of the time range matches what lies in it, and not everything.
#[test]
fn a_window_that_reaches_beyond_all_times_is_still_a_window() {
    let (sandbox, ..) = prepared();
    sandbox.set_clock(Timestamp::MIN);
    let found = sandbox.run("doctor --json").json();
    let unused = found.as_array().unwrap().iter().find(|finding| finding["check"] == "unused").unwrap();
    assert_eq!((&unused["level"], &unused["count"]), (&"ok".into(), &0.into()));
    sandbox.set_clock(Timestamp::MAX);
    let found = sandbox.run("doctor --json").json();
    let soon = found.as_array().unwrap().iter().find(|finding| finding["check"] == "expires_soon").unwrap();
    assert_eq!((&soon["level"], &soon["count"]), (&"ok".into(), &0.into()));
}

/// A clock for real programs: any second that the system's type can hold.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *told) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, told);
    const char *second = getenv("CLOCK_SECOND");
    if (clock == CLOCK_REALTIME && second) told->tv_sec = atoll(second);
    return result;
}
"#;

fn shim(folder: &Path) -> std::path::PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, SHIM).unwrap();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).arg("-ldl").status();
    assert!(compiled.unwrap().success());
    library
}

#[test]
#[ignore = "needs cc"]
fn the_real_binary_takes_any_clock() {
    let folder = tempfile::tempdir().unwrap();
    let library = shim(folder.path());
    let at = |command: &mut Command, second: i64| {
        command.env("LD_PRELOAD", &library).env("CLOCK_SECOND", second.to_string());
    };
    // Without a working shim, this proves nothing.
    let sandbox = Sandbox::empty();
    let mut create = sandbox.binary("create a --json --expires 90d");
    at(&mut create, 1_000_000_000);
    assert_eq!(finish(&mut create).json()["key"]["created_at"], "2001-09-09T01:46:40Z");
    let end = Timestamp::MAX.as_second();
    for second in [
        i64::MIN,
        i64::MIN + 1,
        -377_705_023_202,
        -377_705_023_201,
        -62_135_596_801,
        -1,
        0,
        253_402_207_200,
        253_402_300_799,
        253_402_300_800,
        end,
        end + 1,
        i64::MAX - 1,
        i64::MAX,
    ] {
        let (sandbox, never, ends) = prepared();
        let is_behind = second > 2_000_000_000;
        for (secret, code) in [(&never, 0), (&ends, if is_behind { 3 } else { 0 })] {
            let mut verify = sandbox.binary("verify --no-record");
            at(&mut verify, second);
            let output = finish_with(&mut verify, secret.as_bytes());
            assert_eq!(output.code, code, "{second}: {output}");
        }
        for line in COMMANDS {
            let mut command = sandbox.binary(line);
            at(&mut command, second);
            is_sound(&finish(&mut command), &format!("{second}: {line}"));
        }
        let mut fresh = Sandbox::empty().binary("create a --expires 1h");
        at(&mut fresh, second);
        is_sound(&finish(&mut fresh), &format!("{second}: a new store"));
        let output = sandbox.run("list --json");
        assert_eq!(output.code, 0, "{second}, {}: {output}", rfc3339(sandbox.now()));
    }
}
