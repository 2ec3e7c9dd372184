//! The guard as a systemd service: the units, the sockets it is passed, and what it reports.
//!
//! No systemd runs here. Its own tools, and tests that listen as it does, stand in for it.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use regex::Regex;
use rustix::process::Signal;

use crate::asking::{At, Running, get, until};
use crate::harness::{Output, Sandbox, finish};
use crate::ports::free_port;

const UNITS: [(&str, &str); 4] = [
    ("keyward.service", include_str!("../../packaging/systemd/keyward.service")),
    ("keyward.socket", include_str!("../../packaging/systemd/keyward.socket")),
    ("keyward-expiring.service", include_str!("../../packaging/systemd/keyward-expiring.service")),
    ("keyward-expiring.timer", include_str!("../../packaging/systemd/keyward-expiring.timer")),
];
const USERS: &str = include_str!("../../packaging/systemd/keyward.sysusers");

/// Writes the units into the sandbox, with the test binary in place of the installed one.
fn install(sandbox: &Sandbox) -> Vec<String> {
    let write = |(name, text): &(&str, &str)| {
        let path = sandbox.path(name);
        std::fs::write(&path, text.replace("/usr/bin/keyward", env!("CARGO_BIN_EXE_keyward"))).unwrap();
        path.display().to_string()
    };
    UNITS.iter().map(write).collect()
}

fn analyze(args: &[&str], files: &[String]) -> Output {
    finish(Command::new("systemd-analyze").args(args).args(files).env("SYSTEMD_COLORS", "0"))
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_understands_every_line_of_the_units() {
    let sandbox = Sandbox::empty();
    let files = install(&sandbox);
    let output = analyze(&["verify", "--man=no"], &files);
    // systemd before 253 warns, and uses the type before it.
    let complaints: Vec<_> =
        output.stderr.lines().filter(|line| !line.ends_with("service type, ignoring: notify-reload")).collect();
    assert_eq!((output.code, complaints), (0, vec![]), "{output}");
    std::fs::write(sandbox.path("users.conf"), USERS).unwrap();
    let made = finish(Command::new("systemd-sysusers").arg("--dry-run").arg(sandbox.path("users.conf")));
    assert_eq!(made.code, 0, "{made}");
}

#[test]
#[ignore = "needs systemd-analyze"]
fn the_services_can_do_little_to_their_machine() {
    let sandbox = Sandbox::empty();
    let files = install(&sandbox);
    // systemd scores from 0 to 100: 100 is a service with no hardening, 20 is where "OK" begins.
    let weight = |file: &String| {
        analyze(&["security", "--no-pager", "--offline=true", "--threshold=15"], std::slice::from_ref(file))
    };
    for file in [&files[0], &files[2]] {
        let output = weight(file);
        assert_eq!(output.code, 0, "{output}");
        let weaker = std::fs::read_to_string(file).unwrap().replace("\nCapabilityBoundingSet=\n", "\n");
        std::fs::write(file, weaker).unwrap();
        assert_ne!(weight(file).code, 0, "{file}");
    }
}

/// In order of precedence: a flag, the file, the sockets that systemd passes, the folder that it made.
#[test]
fn it_listens_where_it_is_told_to() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    let (named, unnamed) = (sandbox.path("named.toml"), sandbox.path("unnamed.toml"));
    std::fs::write(&named, "listen = [\"127.0.0.1:7001\"]\nadmin = \"127.0.0.1:7002\"\n[policy.rest]\n").unwrap();
    std::fs::write(&unnamed, "[policy.rest]\n").unwrap();
    let (named, unnamed) = (format!("--config {}", named.display()), format!("--config {}", unnamed.display()));
    let both = ("LISTEN_FDNAMES", "admin:guard");
    let folder = ("RUNTIME_DIRECTORY", "/run/keyward:/run/other");
    for (flags, variables, listen, admin) in [
        ("", vec![], "127.0.0.1:9180", None),
        ("", vec![folder], "unix:/run/keyward/guard.sock", None),
        ("", vec![folder, both], "fd:guard", Some("fd:admin")),
        ("", vec![folder, ("LISTEN_FDNAMES", "other")], "unix:/run/keyward/guard.sock", None),
        (
            "--listen 127.0.0.1:7000 --admin 127.0.0.1:7003",
            vec![folder, both],
            "127.0.0.1:7000",
            Some("127.0.0.1:7003"),
        ),
        (&unnamed, vec![], "127.0.0.1:9180", None),
        (&unnamed, vec![folder], "unix:/run/keyward/guard.sock", None),
        (&unnamed, vec![folder, both], "fd:guard", Some("fd:admin")),
        (&named, vec![folder, both], "127.0.0.1:7001", Some("127.0.0.1:7002")),
        (&format!("{named} --listen fd:guard"), vec![folder, both], "fd:guard", Some("127.0.0.1:7002")),
    ] {
        let output = sandbox.run_env(&format!("serve --check --json {flags}"), &variables);
        let told = output.json();
        assert_eq!(told["listen"], serde_json::json!([listen]), "{flags} {variables:?}");
        assert_eq!(told["admin"].as_str(), admin, "{flags} {variables:?}");
    }
}

#[test]
#[ignore = "needs systemd-socket-activate"]
fn sockets_that_systemd_hands_over_are_guarded_and_left_where_they_are() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let (guard, admin) = (sandbox.path("guard.sock"), free_port());
    let mut activate = Command::new("systemd-socket-activate");
    activate.arg(format!("--setenv=KEYWARD_STORE={}", sandbox.store().display()));
    activate.arg("--fdname=guard:admin").arg("-l").arg(&guard).arg("-l").arg(format!("127.0.0.1:{admin}"));
    activate.args([env!("CARGO_BIN_EXE_keyward"), "serve"]).stderr(Stdio::null());
    // The first connection starts the guard, which answers it.
    let running = Running::start(&mut activate);
    until("there is a socket", || guard.exists());
    let headers = [format!("Authorization: Bearer {secret}"), "X-Forwarded-Proto: https".to_owned()];
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    let (status, answer) = get(At::Path(&guard), "/forward/default", &headers);
    assert!(status == 200 && answer.contains("x-keyward-name: deploy"), "{answer}");
    assert_eq!(get(At::Path(&guard), "/forward/default", &[]).0, 401);
    assert_eq!(get(At::Port(admin), "/livez", &[]).0, 200);
    assert_eq!(get(At::Path(&guard), "/livez", &[]).0, 404, "that is not the admin's socket");
    running.tell(Signal::TERM);
    assert_eq!(running.end(), Some(0));
    assert!(guard.exists(), "systemd goes on listening there");
    assert_eq!(sandbox.run("show deploy --json").json()["use_count"], 1);
}

#[test]
fn a_socket_of_another_name_is_not_taken_for_the_guard_s() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    let output = finish(sandbox.binary("serve --listen fd:guard --json").env("LISTEN_FDNAMES", "other"));
    assert_eq!(output.code, 2, "{output}");
    assert!(output.error()["message"].as_str().unwrap().contains("FileDescriptorName=guard"), "{output}");
}

#[test]
#[ignore = "needs systemd-socket-activate"]
fn a_socket_that_nothing_listens_on_is_told_of() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    for (names, unused) in [("guard:guard", "guard"), ("guard:other", "other"), ("guard:admin", "")] {
        let [first, second, log] = ["first.sock", "second.sock", "log"].map(|name| sandbox.path(name));
        let mut activate = Command::new("systemd-socket-activate");
        activate.arg(format!("--setenv=KEYWARD_STORE={}", sandbox.store().display()));
        activate.arg(format!("--fdname={names}")).arg("-l").arg(&first).arg("-l").arg(&second);
        activate.arg(env!("CARGO_BIN_EXE_keyward")).args(["serve", "--log-file"]).arg(&log);
        let running = Running::start(activate.stderr(Stdio::null()));
        until("there is a socket", || first.exists() && second.exists());
        assert_eq!(get(At::Path(&first), "/forward/default", &[]).0, 401, "{names}");
        let lines = std::fs::read_to_string(&log).unwrap();
        let told = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let told: Vec<_> = told.filter(|line| line["event"] == "socket_unused").collect();
        let sockets: Vec<_> = told.iter().map(|line| line["socket"].as_str().unwrap()).collect();
        assert_eq!(sockets.join(","), unused, "{names}: {lines}");
        running.tell(Signal::TERM);
        assert_eq!(running.end(), Some(0));
        for path in [first, second, log] {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// sd_notify(3), in the protocol of Type=notify-reload.
#[test]
fn systemd_is_told_of_start_reload_life_and_end() {
    let sandbox = Sandbox::new();
    let place = sandbox.path("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let next = || {
        let mut bytes = [0; 4_096];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    // A watchdog ping comes in between, once a second.
    let wait_for = |state: &str| {
        for told in (0..10).map(|_| next()) {
            if told.lines().any(|line| line == state) {
                return told;
            }
            assert_eq!(told.trim(), "WATCHDOG=1", "before {state}");
        }
        panic!("nothing but the watchdog before {state}")
    };
    let guard = sandbox.path("guard.sock");
    let mut command = sandbox.binary(&format!("serve --drain 2s --listen unix:{}", guard.display()));
    command.env("NOTIFY_SOCKET", &place).env("WATCHDOG_USEC", "2000000").stderr(Stdio::null());
    let running = Running::start(&mut command);
    let ready = wait_for("READY=1");
    assert!(
        ready.contains("STATUS=listening at ") && ready.contains(&format!("unix:{}\n", guard.display())),
        "{ready}"
    );
    assert_eq!(get(At::Path(&guard), "/healthz", &[]).0, 200, "ready is said when it is");
    for _ in 0..2 {
        wait_for("WATCHDOG=1");
    }
    let before = monotonic();
    running.tell(Signal::HUP);
    let reloading = wait_for("RELOADING=1");
    let at: u64 = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap().parse().unwrap();
    assert!((before..=monotonic()).contains(&at), "{before} {reloading}");
    wait_for("READY=1");
    running.tell(Signal::TERM);
    let stopping = wait_for("STOPPING=1");
    // The drain, plus at most three times five seconds. A ping after this would make systemd watch again.
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=17000000\n"), "{stopping}");
    assert_eq!(running.end(), Some(0));
    socket.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4_096];
    assert!(socket.recv(&mut bytes).is_err(), "{}", String::from_utf8_lossy(&bytes));
}

/// The clock that systemd compares with, in microseconds.
fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000 + u64::try_from(now.tv_nsec).unwrap() / 1_000
}

/// The system calls that the unit allows, by this systemd's sets.
fn allowed_calls() -> BTreeSet<String> {
    fn add(set: &str, calls: &mut BTreeSet<String>) {
        let output = finish(Command::new("systemd-analyze").args(["syscall-filter", set]));
        for line in output.stdout.lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#')) {
            if line.starts_with('@') {
                add(line, calls);
            } else {
                calls.insert(line.to_owned());
            }
        }
    }
    let mut allowed = BTreeSet::new();
    for line in UNITS[0].1.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let mut calls = BTreeSet::new();
        line.trim_start_matches('~').split(' ').for_each(|set| add(set, &mut calls));
        if line.starts_with('~') {
            allowed.retain(|call| !calls.contains(call));
        } else {
            allowed.append(&mut calls);
        }
    }
    // Always allowed, whatever a unit says.
    add("@default", &mut allowed);
    allowed
}

/// The guard does nothing that systemd would refuse: it would die under systemd, and only there.
#[test]
#[ignore = "needs strace and systemd-analyze"]
fn the_guard_does_nothing_that_the_unit_forbids() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let (guard, trace) = (sandbox.path("guard.sock"), sandbox.path("trace"));
    let mut strace = Command::new("strace");
    // With -D, the guard itself is a child of this test, and strace a grandchild.
    strace.args(["-D", "--follow-forks", "--output"]).arg(&trace).arg(env!("CARGO_BIN_EXE_keyward"));
    strace.arg("--store").arg(sandbox.store()).arg("serve");
    // Every system has the group "root".
    strace.arg("--listen").arg(format!("unix:{},group=root", guard.display())).args(["--admin", "127.0.0.1:0"]);
    let running = Running::start_at(strace.stderr(Stdio::null()), At::Path(&guard));
    let headers = [format!("Authorization: Bearer {secret}"), "X-Forwarded-Proto: https".to_owned()];
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    for _ in 0..2 {
        assert_eq!(get(At::Path(&guard), "/forward/default", &headers).0, 200);
    }
    running.tell(Signal::HUP);
    std::thread::sleep(Duration::from_millis(1_500));
    running.tell(Signal::TERM);
    assert_eq!(running.end(), Some(0));
    let read = || std::fs::read_to_string(&trace).unwrap();
    until("the trace is whole", || read().trim_end().ends_with("+++ exited with 0 +++"));

    let allowed = allowed_calls();
    assert!(allowed.contains("setpriority") && allowed.contains("chown") && !allowed.contains("mount"));
    let call = Regex::new(r"(?m)^\d+ +([a-z0-9_]+)\((.*)$").unwrap();
    let trace = read();
    let own = sandbox.path("").display().to_string();
    let mut seen = BTreeSet::new();
    for (_, [name, rest]) in call.captures_iter(&trace).map(|found| found.extract()) {
        assert!(allowed.contains(name), "{name}({rest}");
        seen.insert(name);
        // MemoryDenyWriteExecute, RestrictAddressFamilies, ProtectSystem.
        assert!(!(rest.contains("PROT_WRITE") && rest.contains("PROT_EXEC")), "{name}({rest}");
        // RestrictRealtime.
        assert!(name != "sched_setscheduler" || rest.starts_with("0, SCHED_IDLE, "), "{rest}");
        if name == "socket" {
            assert!(["AF_UNIX", "AF_INET", "AF_INET6"].contains(&rest.split(',').next().unwrap()), "{rest}");
        }
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| rest.contains(flag));
        if name == "openat" && writes && !rest.contains("= -1") {
            assert!(rest.contains(&format!("\"{own}")) || rest.contains("\"/dev/null\""), "{rest}");
        }
    }
    let expected = ["openat", "socket", "setpriority", "sched_setscheduler", "sched_getaffinity", "mmap", "clone3"];
    assert!(expected.iter().all(|name| seen.contains(name)), "{seen:?}");
}
