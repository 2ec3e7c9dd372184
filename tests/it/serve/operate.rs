//! What operators do to a running guard: reload, stop, scrape, read the log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::{FACTS, Guard, Wire, eventually, head, question};
use crate::harness::{Sandbox, finish};

/// A guard whose configuration the test changes. It listens on Unix sockets in the sandbox.
fn serve(sandbox: &Sandbox, config: &str) -> Guard {
    write(sandbox, config);
    Guard::spawn(sandbox.binary(&format!("serve --config {}", sandbox.path("serve.toml").display())))
}

fn write(sandbox: &Sandbox, config: &str) {
    let folder = sandbox.path("").display().to_string();
    fs::write(sandbox.path("serve.toml"), config.replace("FOLDER/", &folder)).unwrap();
}

fn unix(sandbox: &Sandbox, name: &str) -> String {
    format!("unix:{}", sandbox.path(name).display())
}

#[test]
fn a_reload_changes_policies_and_keeps_connections() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let guard = serve(&sandbox, "listen = [\"unix:FOLDER/a\"]\n[policy.one]\n");
    let mut kept = guard.connect();
    assert_eq!(kept.ask(&question("one", &secret)).status, 200);
    assert_eq!(kept.ask(&question("two", &secret)).both(), (500, "unknown_policy"));
    write(&sandbox, "listen = [\"unix:FOLDER/a\"]\n[policy.two]\n");
    let told = guard.reload();
    assert_eq!((told["level"].as_str(), told["listen"][0].as_str()), (Some("info"), Some(guard.address.as_str())));
    assert_eq!(kept.ask(&question("two", &secret)).status, 200, "on the same connection");
    assert_eq!(kept.ask(&question("one", &secret)).both(), (500, "unknown_policy"));
}

#[test]
fn a_reload_opens_and_closes_listeners() {
    let sandbox = Sandbox::new();
    let guard = serve(&sandbox, "listen = [\"unix:FOLDER/a\", \"unix:FOLDER/b\"]\n[policy.default]\n");
    let (a, b, c) = (unix(&sandbox, "a"), unix(&sandbox, "b"), unix(&sandbox, "c"));
    let healthy = |address: &str| Wire::to(address).ask(&head("GET", "/healthz", &[])).status;
    let (mut on_a, mut on_b) = (Wire::to(&a), Wire::to(&b));
    on_b.ask(&head("GET", "/healthz", &[]));
    write(&sandbox, "listen = [\"unix:FOLDER/a,mode=0600\", \"unix:FOLDER/c\"]\n[policy.default]\n");
    assert_eq!(guard.reload()["level"], "info");
    assert_eq!((healthy(&a), healthy(&c)), (200, 200));
    assert!(Wire::try_to(&b).is_err() && !sandbox.path("b").exists(), "it is removed");
    let mode = |name: &str| fs::metadata(sandbox.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a"), mode("c")), (0o600, 0o660));
    // Connections of a kept listener stay open; those of a removed one are closed.
    assert_eq!(on_a.ask(&head("GET", "/healthz", &[])).status, 200);
    assert!(on_b.is_closed());
    // The same address with a different role.
    let verify = head("GET", "/v1/verify", &[]);
    assert_eq!(on_a.ask(&verify).status, 404);
    write(&sandbox, "listen = [{ address = \"unix:FOLDER/a\", api = true }, \"unix:FOLDER/c\"]\n[policy.default]\n");
    assert_eq!(guard.reload()["level"], "info");
    assert_eq!((Wire::to(&a).ask(&verify).status, mode("a")), (405, 0o660));
    write(&sandbox, "listen = [\"unix:FOLDER/c\"]\nadmin = \"unix:FOLDER/a\"\n[policy.default]\n");
    assert_eq!(guard.reload()["level"], "info");
    assert_eq!(Wire::to(&a).ask(&head("GET", "/livez", &[])).status, 200);
    assert_eq!(Wire::to(&a).ask(&question("default", "none")).status, 404);
}

#[test]
fn who_may_ask_for_themselves_may_not_after_a_reload_that_says_so() {
    let sandbox = Sandbox::new();
    let guard = serve(&sandbox, "listen = [{ address = \"unix:FOLDER/a\", api = true }]\n[policy.default]\n");
    let mut kept = guard.connect();
    let verify = head("GET", "/v1/verify", &[]);
    assert_eq!(kept.ask(&verify).status, 405);
    write(&sandbox, "listen = [\"unix:FOLDER/a\"]\n[policy.default]\n");
    assert_eq!(guard.reload()["level"], "info");
    assert!(kept.is_closed(), "a connection that was made under the former rule ends");
    assert_eq!(guard.connect().ask(&verify).status, 404);
}

#[test]
fn a_reload_that_fails_changes_nothing_at_all() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let guard = serve(
        &sandbox,
        "listen = [\"unix:FOLDER/a\", \"unix:FOLDER/b\"]\nadmin = \"unix:FOLDER/x\"\n[policy.default]\n",
    );
    let (a, b, admin) = (unix(&sandbox, "a"), unix(&sandbox, "b"), unix(&sandbox, "x"));
    let mut kept = Wire::to(&b);
    kept.ask(&question("default", &secret));
    fs::write(sandbox.path("plain"), "no socket").unwrap();
    let failures = [
        "listen = [\"unix:FOLDER/a\"]\n[policy.other]\nscope = []",
        "this is no TOML",
        // The error comes last: nothing before it may have taken effect.
        "listen = [{ address = \"unix:FOLDER/a\", api = true }, \"unix:FOLDER/c\", \"unix:FOLDER/plain\"]\n[policy.other]",
        "listen = [\"unix:FOLDER/a,mode=0600\", \"unix:FOLDER/b,group=nobody-has-this-name\"]\n[policy.other]",
        "listen = [\"unix:FOLDER/a\"]\nproxy_secret_file = \"FOLDER/nowhere\"\n[policy.other]",
        "listen = [\"unix:FOLDER/a\"]\n[policy.other]\nrole = \"nobody\"",
        "listen = [\"unix:FOLDER/a\", \"fd:nobody\"]\n[policy.other]",
        "listen = [\"0.0.0.0:0\"]\n[policy.other]",
        "listen = [\"unix:FOLDER/a\"]\nadmin = \"0.0.0.0:0\"\n[policy.other]",
        "listen = [\"unix:FOLDER/a\", \"unix:FOLDER/a,mode=0600\"]\n[policy.other]",
    ];
    for (number, config) in failures.into_iter().enumerate() {
        write(&sandbox, config);
        let told = guard.reload();
        assert_eq!(
            (told["level"].as_str(), told["kept"].as_str()),
            (Some("error"), Some("the former configuration")),
            "{config}"
        );
        assert!(!told["message"].as_str().unwrap().is_empty());
        for address in [&a, &b] {
            assert_eq!(Wire::to(address).ask(&question("default", &secret)).status, 200, "{config}");
            assert_eq!(Wire::to(address).ask(&question("other", &secret)).status, 500, "{config}");
        }
        assert_eq!(kept.ask(&question("default", &secret)).status, 200, "{config}");
        let mode = fs::metadata(sandbox.path("a")).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode, sandbox.path("c").exists()), (0o660, false), "{config}");
        let metrics = Wire::to(&admin).ask(&head("GET", "/metrics", &[])).body;
        assert!(
            metrics.contains(&format!("\nkeyward_config_load_failures_total {}\n", number + 1)),
            "{config}: {metrics}"
        );
    }
    assert_eq!(fs::read_to_string(sandbox.path("plain")).unwrap(), "no socket");
    // Once the file is fixed, all of it takes effect.
    write(&sandbox, "listen = [\"unix:FOLDER/a\"]\n[policy.other]");
    assert_eq!(guard.reload()["level"], "info");
    assert_eq!(Wire::to(&a).ask(&question("other", &secret)).status, 200);
}

#[test]
fn a_log_file_is_opened_anew_by_a_reload() {
    let sandbox = Sandbox::new();
    let (file, moved) = (sandbox.path("guard.log"), sandbox.path("guard.log.1"));
    let listen = unix(&sandbox, "a");
    let mut command = sandbox.binary(&format!("serve --listen {listen} --log-file {}", file.display()));
    let mut child = Killed(command.spawn().unwrap());
    let ask = || Wire::to(&listen).ask(&question("default", "nothing")).status;
    eventually(|| Wire::try_to(&listen).ok()).unwrap();
    ask();
    let lines = |path: &std::path::Path, word: &str| {
        fs::read_to_string(path).unwrap_or_default().lines().filter(|line| line.contains(word)).count()
    };
    eventually(|| (lines(&file, "decision") == 1).then_some(())).unwrap();
    fs::rename(&file, &moved).unwrap();
    let pid = rustix::process::Pid::from_child(&child.0);
    rustix::process::kill_process(pid, Signal::HUP).unwrap();
    eventually(|| (lines(&file, "reload") == 1).then_some(())).unwrap();
    ask();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert!(child.0.wait().unwrap().success());
    assert_eq!((lines(&file, "decision"), lines(&moved, "decision"), lines(&file, "stopped")), (1, 1, 1));
}

/// A process that is killed when the test ends.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let pipe = sandbox.path("log");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    // Opened for reading so that the guard can open it for writing; nothing reads from it.
    let _reader = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let listen = unix(&sandbox, "a");
    write(&sandbox, "log = \"all\"\n[policy.default]");
    let config = sandbox.path("serve.toml").display().to_string();
    let line = format!("serve --listen {listen} --config {config} --log-file {}", pipe.display());
    let child = sandbox.binary(&line).spawn().unwrap();
    let mut child = Killed(child);
    let mut wire = eventually(|| Wire::try_to(&listen).ok()).unwrap();
    wire.wait_for(Duration::from_secs(3));
    // More lines than the pipe and the guard's queue can hold.
    let question = question("default", &secret);
    for _ in 0..5_000 {
        assert_eq!(wire.ask(&question).status, 200);
    }
    let pid = rustix::process::Pid::from_child(&child.0);
    for _ in 0..3 {
        rustix::process::kill_process(pid, Signal::HUP).unwrap();
        std::thread::sleep(Duration::from_millis(30));
    }
    assert_eq!(wire.ask(&question).status, 200);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(eventually(|| child.0.try_wait().unwrap()).and_then(|status| status.code()), Some(0));
}

#[test]
fn what_operators_look_at_is_there_alone() {
    let sandbox = Sandbox::new();
    let guard = Guard::start(&sandbox, "");
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!((guard.admin(path).status, guard.ask(path, &[]).status), (200, 404), "{path}");
        assert_eq!(Wire::to(&guard.admin).ask(&head("HEAD", path, &[])).status, 200);
        assert_eq!(Wire::to(&guard.admin).ask(&head("POST", path, &[])).status, 405);
    }
    for path in ["/", "/healthz", "/forward/default", "/v1/verify", "/metrics/", "/livez/x"] {
        assert_eq!(guard.admin(path).status, 404, "{path}");
    }
    let ready = guard.admin("/readyz").json();
    let checks = serde_json::json!({ "store": "ok", "uses": "ok", "draining": false });
    assert_eq!((&ready["status"], &ready["checks"]), (&"ready".into(), &checks));
}

/// The samples of an exposition by name and labels, parsed strictly as text format 0.0.4.
fn metrics(text: &str) -> BTreeMap<(String, String), f64> {
    let is_name = |text: &str| {
        !text.starts_with(|c: char| c.is_ascii_digit())
            && !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let (mut samples, mut seen, mut present) = (BTreeMap::new(), BTreeSet::new(), (String::new(), String::new()));
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && !help.is_empty() && seen.insert(name.to_owned()), "{line}: a second time");
            present = (name.to_owned(), String::new());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, present.0);
            assert!(["counter", "gauge", "histogram", "summary"].contains(&kind), "{line}");
            kind.clone_into(&mut present.1);
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').map_or((series, ""), |(name, labels)| {
                (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}")))
            });
            let base = match present.1.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap(),
                "summary" => ["_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap(),
                "counter" => {
                    assert!(name.ends_with("_total"), "{line}");
                    name
                }
                _ => name,
            };
            assert_eq!(base, present.0, "{line}");
            for label in labels.split("\",").filter(|label| !label.is_empty()) {
                let (name, value) = label.split_once("=\"").unwrap();
                assert!(is_name(name), "{line}");
                assert!(!value.trim_end_matches('"').contains(['"', '\\', '\n']), "{line}");
            }
            let value: f64 = value.parse().unwrap();
            assert!(value >= 0.0, "{line}");
            assert!(samples.insert((name.to_owned(), labels.to_owned()), value).is_none(), "{line}: twice");
        }
    }
    samples
}

#[test]
fn metrics_are_what_prometheus_reads_and_all_there() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("other");
    sandbox.mint("expiring --expires 3d");
    let guard =
        Guard::configured(&sandbox, "metrics_per_key = true\n[policy.rest]\n[policy.admin]\nscopes = [\"a\"]\n");
    for _ in 0..3 {
        assert_eq!(guard.with("rest", &secret).status, 200);
    }
    assert_eq!(guard.with("admin", &secret).status, 403);
    assert_eq!(guard.with("nobody", &secret).status, 500);
    assert_eq!(guard.with("rest", "kw_nothing").status, 401);
    let answer = guard.admin("/metrics");
    assert_eq!(answer.only("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let found = eventually(|| {
        let found = metrics(&guard.admin("/metrics").body);
        (found.keys().any(|(name, _)| name == "keyward_keys")).then_some(found)
    })
    .unwrap();
    let value = |name: &str, labels: &str| found.get(&(name.to_owned(), labels.to_owned())).copied();
    for (name, labels, expected) in [
        ("keyward_decisions_total", "policy=\"rest\",status=\"200\",reason=\"allowed\"", 3.0),
        ("keyward_decisions_total", "policy=\"admin\",status=\"403\",reason=\"scope_missing\"", 1.0),
        ("keyward_decisions_total", "policy=\"\",status=\"500\",reason=\"unknown_policy\"", 1.0),
        ("keyward_decisions_total", "policy=\"rest\",status=\"401\",reason=\"malformed\"", 1.0),
        ("keyward_decision_seconds_count", "path=\"hashed\"", 1.0),
        ("keyward_decision_seconds_count", "path=\"cached\"", 3.0),
        ("keyward_decision_seconds_bucket", "path=\"refused\",le=\"+Inf\"", 2.0),
        ("keyward_cache_lookups_total", "outcome=\"hit\"", 3.0),
        ("keyward_cache_lookups_total", "outcome=\"miss\"", 1.0),
        ("keyward_unrecorded_uses", "", 0.0),
        ("keyward_config_load_failures_total", "", 0.0),
        ("keyward_build_info", &format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1.0),
        // A key named `other` shares a series with all keys that have none of their own.
        ("keyward_key_requests_total", "name=\"other\",outcome=\"allowed\"", 3.0),
        ("keyward_key_requests_total", "name=\"other\",outcome=\"refused\"", 1.0),
    ] {
        assert_eq!(value(name, labels), Some(expected), "{name}{{{labels}}}");
    }
    // A thread may still be storing a finished hash.
    eventually(|| guard.admin("/metrics").body.contains("\nkeyward_hash_queue 0\n").then_some(())).unwrap();
    let names: BTreeSet<&str> = found.keys().map(|(name, _)| name.as_str()).collect();
    for name in [
        "keyward_flush_seconds_count",
        "keyward_connections",
        "keyward_config_loaded_timestamp_seconds",
        "keyward_keys",
        "keyward_keys_expiring",
    ] {
        assert!(names.contains(name), "{name}");
    }
    assert!(value("keyward_connections", "").unwrap() >= 1.0);
    assert!(guard.admin("/metrics").body.contains("# TYPE keyward_store_errors_total counter"));
    // Keys are identified only by name.
    assert!(!guard.admin("/metrics").body.contains(&secret));
}

#[test]
fn the_log_says_what_the_contract_says_and_nothing_secret() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let guard = Guard::configured(&sandbox, "log = \"all\"\n[policy.default]\n[policy.admin]\nscopes = [\"a\"]\n");
    let path = format!("/orders/\u{85}{}?token=PLANTED-query", "x".repeat(300));
    let facts = [
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Uri", path.as_str()),
        ("X-Forwarded-Host", "api.example.org"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-For", "10.0.0.1, 203.0.113.9"),
        ("X-Request-Id", "abc-1.2_3"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("Cookie", "session=PLANTED-cookie"),
        ("User-Agent", "PLANTED-agent"),
        ("X-Other", "PLANTED-header"),
        ("Keyward-Proxy-Secret", "PLANTED-proxy"),
    ];
    let ask = |policy: &str, secret: &str| {
        let credential = format!("Bearer {secret}");
        let headers = [&facts[..], &[("Authorization", credential.as_str())]].concat();
        guard.ask(&format!("/forward/{policy}?PLANTED-own=1"), &headers).status
    };
    let wrong = format!("{}{}", &secret[..secret.len() - 1], if secret.ends_with('0') { '1' } else { '0' });
    assert_eq!((ask("default", &secret), ask("admin", &secret)), (200, 403));
    assert_eq!((ask("default", "PLANTED-text"), ask("default", &wrong), ask("nobody", &secret)), (401, 401, 500));
    // A path short enough to be logged in full, except for its query.
    guard.ask("/forward/default", &[("X-Forwarded-Uri", "/short?PLANTED-query=1"), ("X-Forwarded-Proto", "https")]);
    guard.line(|line| line["path"] == "/short" && line["reason"] == "no_credential");
    assert_eq!(guard.event("unknown_policy")["asked"], "/forward/nobody");
    let of = |status: u64| guard.line(|line| line["status"] == status && line["request_id"] == "abc-1.2_3");
    let fields = "ts level event policy status reason checks key key_id secret_id presentation client method host path \
                  proto us request_id trace_id peer";
    for (status, level, policy, reason, key) in [
        (200, "info", "default", "allowed", Some("deploy")),
        (403, "warn", "admin", "scope_missing", Some("deploy")),
        (401, "warn", "default", "malformed", None),
        (500, "error", "", "unknown_policy", None),
    ] {
        let line = of(status);
        let names: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names.join(" "), fields, "{line}");
        assert_eq!(line["level"], level);
        assert_eq!((&line["policy"], &line["reason"]), (&policy.into(), &reason.into()));
        assert_eq!(
            (line["key"].as_str(), line["key_id"].is_string(), line["secret_id"].is_string()),
            (key, key.is_some(), key.is_some())
        );
        assert_eq!((line["client"].as_str(), line["peer"].as_str()), (Some("203.0.113.9"), Some("127.0.0.1")));
        assert_eq!(
            (&line["host"], &line["method"], &line["proto"]),
            (&"api.example.org".into(), &"GET".into(), &"https".into())
        );
        let path = line["path"].as_str().unwrap();
        assert!(path.starts_with("/orders/\u{fffd}x") && path.chars().count() == 256, "{path}");
        assert_eq!(
            (&line["request_id"], &line["trace_id"]),
            (&"abc-1.2_3".into(), &"0af7651916cd43dd8448eb211c80319c".into())
        );
    }
    assert_eq!(of(403)["checks"], serde_json::json!(["scope_missing"]));
    let text = guard.text();
    for planted in ["PLANTED", &secret, &wrong, &secret[20..]] {
        assert!(!text.contains(planted), "{planted}: {text}");
    }
}

#[test]
fn equal_refusals_are_counted_and_told_later() {
    let sandbox = Sandbox::new();
    let mut guard = Guard::start(&sandbox, "");
    let mut wire = guard.connect();
    // They may span two seconds.
    for _ in 0..500 {
        assert_eq!(wire.ask(&head("GET", "/forward/default", &FACTS)).status, 401);
    }
    guard.stop();
    let decisions = guard.count(|line| line["event"] == "decision");
    let suppressed: u64 = guard.log().iter().filter_map(|line| line["suppressed"].as_u64()).sum();
    assert!((100..=300).contains(&decisions), "{decisions}");
    assert_eq!(decisions as u64 + suppressed, 500);
}

/// The command, which inherits a socket named `guard` as from systemd.
fn with_socket(sandbox: &Sandbox, socket: &TcpListener, flags: &str) -> Command {
    rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).unwrap();
    let number = socket.as_raw_fd();
    let script = format!("[ {number} = 3 ] || exec 3<&{number} {number}<&-; export LISTEN_PID=$$; exec \"$@\"");
    let mut command = Command::new("bash");
    command.args(["-c", &script, "bash", env!("CARGO_BIN_EXE_keyward"), "serve"]).args(flags.split(' '));
    command.env("KEYWARD_STORE", sandbox.store()).env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "guard");
    command
}

#[test]
#[ignore = "needs bash"]
fn a_socket_that_is_handed_over_is_trusted_like_any_other_and_can_be_had_again() {
    let sandbox = Sandbox::new();
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let output = finish(&mut with_socket(&sandbox, &open, "--listen fd:guard"));
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("can be reached from other machines"), "{output}");
    let guard = Guard::spawn(with_socket(&sandbox, &open, "--listen fd:guard --trust 192.0.2.0/24"));
    assert_eq!(guard.ask("/healthz", &[]).status, 200);
    drop(guard);
    let local = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = local.local_addr().unwrap().to_string();
    let config = format!("--config {}", sandbox.path("serve.toml").display());
    write(&sandbox, "listen = [\"fd:guard\", \"unix:FOLDER/a\"]\n[policy.default]");
    let guard = Guard::spawn(with_socket(&sandbox, &local, &config));
    let healthy = || Wire::to(&address).ask(&head("GET", "/healthz", &[])).status;
    assert_eq!(healthy(), 200);
    for _ in 0..2 {
        // The socket survives a reload that drops it, and one that fails.
        write(&sandbox, "listen = [\"unix:FOLDER/a\"]\n[policy.default]");
        assert_eq!(guard.reload()["level"], "info");
        write(&sandbox, "listen = [\"fd:guard\", \"unix:/nowhere/a\"]\n[policy.default]");
        assert_eq!(guard.reload()["level"], "error", "{}", guard.text());
        write(&sandbox, "listen = [\"fd:guard\"]\n[policy.default]");
        assert_eq!(guard.reload()["level"], "info", "{}", guard.text());
        assert_eq!(healthy(), 200);
    }
}
