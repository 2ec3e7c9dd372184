//! What makes a start fail, with which code, and what it leaves behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use serde_json::Value;

use super::{Guard, Wire, head};
use crate::harness::{Output, Sandbox, finish};

const PLAIN: &str = "[policy.default]\n";

/// A start that must be refused: its exit code and the error.
fn refused(sandbox: &Sandbox, flags: &str) -> (u8, String, String) {
    let output = finish(&mut sandbox.binary(&format!("--json serve {flags}")));
    let error = output.error();
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(output.stdout, "", "{output}");
    (output.code, text("code"), format!("{} | {}", text("message"), text("hint")))
}

/// The same with a configuration.
fn refused_by(sandbox: &Sandbox, config: &str) -> (u8, String, String) {
    fs::write(sandbox.path("serve.toml"), config).unwrap();
    refused(sandbox, &format!("--config {} --listen 127.0.0.1:0", sandbox.path("serve.toml").display()))
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused() {
    let sandbox = Sandbox::new();
    for (config, says) in [
        ("[policy.default]\nscope = [\"a\"]", "there is no field scope | did you mean scopes?"),
        ("listn = []\n[policy.default]", "there is no field listn | did you mean listen?"),
        ("[policy.default]\nrole = \"editr\"", "asks for the role editr, which this store does not have"),
        ("[policy.default]\ntenant = \"acme\"", "asks for the tenant acme, which this store does not have"),
        ("", "there is no policy"),
        ("[policy.default]\n[policy.default]", "duplicate"),
        ("[policy.default]\n[[route]]\npolicy = \"other\"", "there is no policy \"other\""),
        ("[policy.default]\n[[route]]\npath = \"a//b\"\npolicy = \"default\"", "a path begins with /"),
        ("[policy.default]\naccept = [\"beerer\"]", "accept: not a way to present a credential"),
        ("proxy_secret_file = \"/nowhere/at-all\"\n[policy.default]", "/nowhere/at-all cannot be read"),
        ("admin = \"nowhere\"\n[policy.default]", "nowhere"),
    ] {
        let (exit, code, message) = refused_by(&sandbox, config);
        assert_eq!((exit, code.as_str()), (2, "usage"), "{config}: {message}");
        assert!(message.contains(says), "{config}: {message}");
    }
}

#[test]
fn policy_flags_ask_for_what_the_store_has() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("serve.toml"), PLAIN).unwrap();
    let config = format!("--config {}", sandbox.path("serve.toml").display());
    for flags in ["--scope a", "--level A", "--role r", "--tenant t", "--accept bearer"] {
        let (exit, code, message) = refused(&sandbox, &format!("{config} {flags}"));
        assert_eq!((exit, code.as_str()), (2, "usage"), "{flags}");
        assert!(message.contains("cannot be used with --config"), "{message}");
    }
    for flags in ["--role editr", "--tenant acme"] {
        assert_eq!(refused(&sandbox, flags).0, 2, "{flags}");
    }
}

#[test]
fn who_can_be_reached_from_elsewhere_names_whom_it_trusts() {
    let sandbox = Sandbox::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let (exit, code, message) = refused(&sandbox, &format!("--listen {address}"));
        assert_eq!((exit, code.as_str()), (2, "usage"), "{address}: {message}");
        assert!(message.contains("no peer is trusted"), "{message}");
    }
    // The admin listener tells operators the names of keys; no one else may read those either.
    let (exit, code, message) = refused(&sandbox, "--listen 127.0.0.1:0 --admin 0.0.0.0:0");
    assert_eq!((exit, code.as_str()), (2, "usage"), "{message}");
    assert!(message.contains("no peer is trusted"), "{message}");
    let guard = Guard::start(&sandbox, "--listen 0.0.0.0:0 --trust 192.0.2.0/24");
    assert_eq!(guard.ask("/healthz", &[]).status, 200);
    let flags = "serve --listen 127.0.0.1:0 --admin 0.0.0.0:0 --trust 192.0.2.0/24";
    let guard = Guard::spawn(sandbox.binary(flags));
    assert_eq!(guard.admin("/livez").status, 200);
    let (exit, ..) = refused(&sandbox, "--listen [::]:9999 --listen [::]:9999 --trust 192.0.2.0/24");
    assert_eq!(exit, 2, "the same address twice");
    let (exit, _, message) = refused(&sandbox, "--listen 127.0.0.1:9999 --admin 127.0.0.1:9999");
    assert_eq!(exit, 2, "{message}");
    assert!(message.contains("127.0.0.1:9999 is named twice"), "{message}");
}

#[test]
#[ignore = "needs an address of this machine that is not loopback"]
fn strangers_are_refused_and_take_no_room_from_proxies() {
    // Nothing is sent: this only asks the system which local address it would use.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    let own = socket.local_addr().unwrap().ip();
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let guard = Guard::start(&sandbox, "--listen 0.0.0.0:0 --trust 198.51.100.0/24");
    // The second guard listener, after the helper's.
    let start = guard.event("start");
    let open = start["listen"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .find(|place| place.starts_with("0.0.0.0:"));
    let port = open.unwrap().rsplit_once(':').unwrap().1.to_owned();
    let theirs = format!("{own}:{port}");
    for path in ["/forward/default", "/healthz", "/v1/verify", "/nowhere"] {
        let answer = Wire::to(&theirs).ask(&head("GET", path, &[("X-Keyward-Name", "x"), ("X-Forwarded-Proto", "x")]));
        assert_eq!((answer.both(), answer.closes()), ((403, "untrusted_peer"), true), "{path}");
    }
    assert_eq!(Wire::to(&theirs).ask(&super::question("default", &secret)).status, 403);
    assert_eq!(Wire::to(&format!("127.0.0.1:{port}")).ask(&super::question("default", &secret)).status, 200);
    // Idle connections are closed after five seconds. If the machine is too busy to ask by then, they are opened again.
    let idle = super::eventually(|| {
        let idle: Vec<_> = (0..64).map(|_| Wire::to(&theirs)).collect();
        (Wire::to(&theirs).ask(&head("GET", "/healthz", &[])).status == 503).then_some(idle)
    });
    assert_eq!(guard.with("default", &secret).status, 200);
    drop(idle.unwrap());
    super::eventually(|| (Wire::to(&theirs).ask(&head("GET", "/healthz", &[])).status == 403).then_some(())).unwrap();
    let flags = "serve --listen 127.0.0.1:0 --admin 0.0.0.0:0 --trust 198.51.100.0/24";
    let guard = Guard::spawn(sandbox.binary(flags));
    let theirs = format!("{own}:{}", guard.admin.rsplit_once(':').unwrap().1);
    for path in ["/livez", "/readyz", "/metrics", "/nowhere"] {
        let answer = Wire::to(&theirs).ask(&head("GET", path, &[]));
        assert_eq!((answer.both(), answer.closes()), ((403, "untrusted_peer"), true), "{path}");
        assert!(!answer.body.contains("keyward_"), "{answer:?}");
    }
}

#[test]
fn an_address_that_is_taken_is_told_as_such() {
    let sandbox = Sandbox::new();
    let guard = Guard::start(&sandbox, "");
    for flags in [format!("--listen {}", guard.address), format!("--listen 127.0.0.1:0 --admin {}", guard.address)] {
        let (exit, code, message) = refused(&sandbox, &flags);
        assert_eq!((exit, code.as_str()), (1, "address_in_use"), "{message}");
    }
    assert_eq!(guard.ask("/healthz", &[]).status, 200);
}

#[test]
fn a_socket_is_replaced_only_where_nobody_answers() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("guard.sock");
    let listen = format!("--listen unix:{}", path.display());
    let serve = || Guard::spawn(sandbox.binary(&format!("serve {listen}")));
    // Left behind by a killed process.
    drop(UnixListener::bind(&path).unwrap());
    let mut guard = serve();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let (exit, code, _) = refused(&sandbox, &listen);
    assert_eq!((exit, code.as_str()), (1, "address_in_use"));
    assert_eq!(guard.ask("/healthz", &[]).status, 200, "the first one goes on");
    assert_eq!(guard.stop().code(), Some(0));
    assert!(!path.exists(), "it is removed at the end");
    // A socket that someone else put there meanwhile stays.
    let mut guard = serve();
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    guard.stop();
    assert!(path.exists());
    drop(other);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "something").unwrap();
    let (exit, code, _) = refused(&sandbox, &listen);
    assert_eq!((exit, code.as_str()), (1, "address_in_use"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "something");
    // A socket whose listener does not accept.
    fs::remove_file(&path).unwrap();
    let silent = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&silent, 0).unwrap();
    let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let (exit, code, _) = refused(&sandbox, &listen);
    assert_eq!((exit, code.as_str()), (1, "address_in_use"));
}

#[test]
fn a_place_that_others_can_write_to_is_refused() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("open");
    fs::create_dir(&folder).unwrap();
    for mode in [0o777, 0o1777, 0o703] {
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        let (exit, code, message) = refused(&sandbox, &format!("--listen unix:{}/guard.sock", folder.display()));
        assert_eq!((exit, code.as_str()), (2, "usage"), "{mode:o}: {message}");
    }
    let config = sandbox.path("serve.toml");
    fs::write(&config, PLAIN).unwrap();
    fs::set_permissions(&config, Permissions::from_mode(0o646)).unwrap();
    let (exit, code, message) = refused(&sandbox, &format!("--config {}", config.display()));
    assert_eq!((exit, code.as_str()), (2, "usage"));
    assert!(message.contains("anybody can change it"), "{message}");
    let inside = folder.join("serve.toml");
    fs::write(&inside, PLAIN).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let (exit, _, message) = refused(&sandbox, &format!("--config {}", inside.display()));
    assert_eq!(exit, 2);
    assert!(message.contains("anybody can put another file in its place"), "{message}");
    // A link in a protected folder still leads there.
    let link = sandbox.path("link.toml");
    std::os::unix::fs::symlink(&inside, &link).unwrap();
    let (exit, _, message) = refused(&sandbox, &format!("--config {}", link.display()));
    assert_eq!(exit, 2);
    assert!(message.contains("anybody can put another file in its place"), "{message}");
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(sandbox.run(&format!("serve --check --config {}", link.display())).code, 0);
    for path in ["/nowhere/serve.toml", "/dev/null", "/"] {
        assert_eq!(refused(&sandbox, &format!("--config {path}")).0, 2, "{path}");
    }
    fs::write(&link, b"\xff").unwrap();
    let (exit, _, message) = refused(&sandbox, &format!("--config {}", link.display()));
    assert!(exit == 2 && message.contains("not text in UTF-8"), "{message}");
    let secret = sandbox.path("secret");
    fs::write(&secret, "0123456789abcdef").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o646)).unwrap();
    let (exit, code, message) = refused(&sandbox, &format!("--proxy-secret-file {}", secret.display()));
    assert_eq!((exit, code.as_str()), (2, "usage"));
    assert!(message.contains("anybody can change it"), "{message}");
}

/// Opening a pipe waits for the other end. A guard that waited would answer no one and could not be stopped.
#[test]
fn no_pipe_is_waited_for() {
    let sandbox = Sandbox::new();
    let pipe = sandbox.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for flag in ["config", "proxy-secret-file"] {
        assert_eq!(refused(&sandbox, &format!("--listen 127.0.0.1:0 --{flag} {}", pipe.display())).0, 2, "{flag}");
    }
    assert_eq!(refused(&sandbox, &format!("--listen 127.0.0.1:0 --log-file {}", pipe.display())).0, 1);
    // Not on a reload either.
    let secret = sandbox.mint("deploy");
    let mut guard = Guard::configured(&sandbox, PLAIN);
    fs::rename(&pipe, sandbox.path("serve.toml")).unwrap();
    assert_eq!(guard.reload()["level"], "error");
    assert_eq!(guard.with("default", &secret).status, 200);
    assert_eq!(guard.stop().code(), Some(0));
}

#[test]
fn a_proxy_secret_has_to_be_one() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("secret");
    let flags = format!("--listen 127.0.0.1:0 --proxy-secret-file {}", file.display());
    let (exit, code, _) = refused(&sandbox, &flags);
    assert_eq!((exit, code.as_str()), (2, "usage"), "it is not there");
    for text in [
        "",
        "\n",
        "short",
        "sixteen bytes with blanks",
        "sixteen-b\u{fc}tes-and-more",
        "two-whole-lines-here\nof-sixteen-bytes",
    ] {
        fs::write(&file, text).unwrap();
        for check in ["", "--check"] {
            let (exit, code, message) = refused(&sandbox, &format!("{flags} {check}"));
            assert_eq!((exit, code.as_str()), (2, "usage"), "{text:?} {check}: {message}");
            assert!(text.len() < 2 || !message.contains(text), "{message}");
        }
    }
    fs::write(&file, "0123456789abcdef\n").unwrap();
    let guard = Guard::start(&sandbox, &flags.replace("--listen 127.0.0.1:0", ""));
    let secret = "0123456789abcdef";
    for (headers, status) in [
        (vec![], 403),
        (vec![("Keyward-Proxy-Secret", "0123456789abcdeg")], 403),
        (vec![("Keyward-Proxy-Secret", "0123456789abcde")], 403),
        (vec![("Keyward-Proxy-Secret", "")], 403),
        (vec![("Keyward-Proxy-Secret", secret), ("Keyward-Proxy-Secret", secret)], 403),
        (vec![("Keyward-Proxy-Secret", secret)], 401),
    ] {
        let answer = guard.ask("/forward/default", &headers);
        assert_eq!(answer.status, status, "{headers:?}");
        let is_untrusted = answer.reason() == "untrusted_peer";
        assert_eq!(is_untrusted, status == 403);
        assert_eq!(guard.ask("/nowhere", &headers).status, if is_untrusted { 403 } else { 404 });
        assert_eq!(guard.ask("/healthz", &headers).status, 200);
    }
    assert!(!guard.text().contains(secret));
}

#[test]
fn the_store_has_to_be_there() {
    let sandbox = Sandbox::empty();
    for check in ["", "--check"] {
        let (exit, code, _) = refused(&sandbox, &format!("--listen 127.0.0.1:0 {check}"));
        assert_eq!((exit, code.as_str()), (6, "store_missing"));
    }
    assert!(!sandbox.store().exists());
}

#[test]
fn a_log_that_cannot_be_written_is_refused() {
    let sandbox = Sandbox::new();
    let (exit, code, _) = refused(&sandbox, "--listen 127.0.0.1:0 --log-file /nowhere/guard.log");
    assert_eq!((exit, code.as_str()), (1, "output_failed"));
    let (exit, ..) = refused(&sandbox, &format!("--listen 127.0.0.1:0 --log-file {}", sandbox.path("").display()));
    assert_eq!(exit, 1);
}

#[test]
fn a_check_says_what_would_be_served() {
    let sandbox = Sandbox::new();
    let config = sandbox.path("serve.toml");
    let routes = "[[route]]\nhost = \"api.example.org\"\npath = \"/admin/\"\nmethods = [\"GET\", \"HEAD\"]\npolicy = \"admin\"\n\
                  [[route]]\npolicy = \"rest\"\n";
    let text = format!(
        "listen = [\"127.0.0.1:9180,api\"]\nadmin = \"127.0.0.1:9181\"\n[policy.rest]\n[policy.admin]\nscopes = [\"a\"]\n{routes}"
    );
    fs::write(&config, text).unwrap();
    let check = |flags: &str| sandbox.run(&format!("serve --check {flags}"));
    let of_a_file = format!("--config {}", config.display());
    let Output { code, stdout, .. } = check(&of_a_file);
    assert_eq!(code, 0);
    assert_eq!(
        stdout,
        "configuration and store are in order\nproxies ask at 127.0.0.1:9180:\n\
         \u{20} /forward/admin (nginx: /nginx/admin, Envoy: /envoy/admin)\n\
         \u{20} /forward/rest (nginx: /nginx/rest, Envoy: /envoy/rest)\n\
         routes at /forward/routes, the first one counts:\n\
         \u{20} GET,HEAD api.example.org/admin: admin\n\
         \u{20} /: rest\n\
         services ask for themselves at 127.0.0.1:9180: POST /v1/verify\n\
         operators look at 127.0.0.1:9181\n"
    );
    let json = |flags: &str| check(&format!("{flags} --json")).json();
    let told: Value = serde_json::json!({
        "listen": ["127.0.0.1:9180"], "api": ["127.0.0.1:9180"], "admin": "127.0.0.1:9181",
        "policies": ["admin", "rest"],
        "routes": [
            {"requests": "GET,HEAD api.example.org/admin", "policy": "admin"}, {"requests": "/", "policy": "rest"},
        ],
    });
    assert_eq!(json(&of_a_file), told);
    assert_eq!(json("")["listen"][0], "127.0.0.1:9180");
    let run = |folders: &str| sandbox.run_env("serve --check --json", &[("RUNTIME_DIRECTORY", folders)]).json();
    assert_eq!(run("/run/keyward:/run/other")["listen"][0], "unix:/run/keyward/guard.sock");
    // Nothing is opened, so an address in use does not matter.
    let guard = Guard::start(&sandbox, "");
    assert_eq!(check(&format!("--listen {}", guard.address)).code, 0);
    assert_eq!(Wire::to(&guard.address).ask(&head("GET", "/healthz", &[])).status, 200);
    assert_eq!(check("--role nobody").code, 2);
}

#[test]
fn while_it_drains_it_decides_and_says_that_it_ends() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let mut guard = Guard::start(&sandbox, "--drain 1s");
    assert_eq!((guard.ask("/healthz", &[]).status, guard.admin("/readyz").status), (200, 200));
    guard.signal(rustix::process::Signal::TERM);
    guard.event("stop");
    assert_eq!((guard.ask("/healthz", &[]).status, guard.admin("/readyz").status), (503, 503));
    assert_eq!(guard.admin("/readyz").json()["checks"]["draining"], true);
    assert_eq!(guard.admin("/livez").status, 200);
    assert_eq!(guard.with("default", &secret).status, 200);
    assert_eq!(guard.ended().code(), Some(0));
    assert!(Wire::try_to(&guard.address).is_err());
}

#[test]
fn who_still_waits_at_the_end_is_told_that_it_ends() {
    let sandbox = Sandbox::new();
    let mut guard = Guard::spawn(sandbox.binary("serve --listen 127.0.0.1:0,api"));
    let mut late = guard.connect();
    late.send(head("POST", "/v1/verify", &[("Content-Type", "application/json"), ("Content-Length", "300")]));
    let mut idle = guard.connect();
    assert_eq!(idle.ask(&head("GET", "/healthz", &[])).status, 200);
    guard.signal(rustix::process::Signal::TERM);
    guard.event("stop");
    // Draining may take its time, unless a second signal comes.
    guard.signal(rustix::process::Signal::TERM);
    let answer = late.answer(false).unwrap();
    assert_eq!((answer.both(), answer.only("retry-after"), answer.closes()), ((503, "draining"), "1", true));
    assert_eq!(answer.json()["reason"], "draining");
    assert!(idle.answer(false).is_none());
    assert_eq!(guard.ended().code(), Some(0));
    guard.line(|line| line["reason"] == "draining" && line["level"] == "error");
}

#[test]
fn the_log_begins_with_what_is_served() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("serve.toml"), "[policy.rest]\n[policy.admin]\n").unwrap();
    let config = sandbox.path("serve.toml").display().to_string();
    let line = format!("serve --listen 127.0.0.1:0 --listen 127.0.0.1:0,api --config {config}");
    let guard = Guard::spawn(sandbox.binary(&line));
    let start = guard.event("start");
    assert_eq!(start["store"], sandbox.store().display().to_string());
    assert_eq!((&start["policies"], &start["admin"]), (&serde_json::json!(["admin", "rest"]), &Value::Null));
    assert_eq!((start["listen"].as_array().unwrap().len(), &start["api"][0]), (2, &start["listen"][1]));
    assert_eq!(start["version"], env!("CARGO_PKG_VERSION"));
    fs::write(sandbox.path("serve.toml"), "[policy.other]\n").unwrap();
    let told = guard.reload();
    assert_eq!((&told["policies"], &told["api"]), (&serde_json::json!(["other"]), &start["api"]));
    drop(guard);
    let guard = Guard::start(&sandbox, "");
    assert_eq!(guard.event("start")["admin"], guard.admin);
}
