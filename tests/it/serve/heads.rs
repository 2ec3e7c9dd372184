//! Heads that no proxy would send, and connections that no client would keep.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::{FACTS, Guard, Wire, eventually, head, question};
use crate::harness::Sandbox;

/// A guard with one key, and the key's secret.
fn guarded(config: &str) -> (Sandbox, Guard, String) {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --allow-insecure");
    let guard = Guard::configured(&sandbox, config);
    // From here on, the guard has the secret cached.
    assert_eq!(guard.with("default", &secret).status, 200);
    (sandbox, guard, secret)
}

const PLAIN: &str = "[policy.default]\n";

#[test]
fn what_is_too_large_is_told_so() {
    let (_sandbox, guard, secret) = guarded(PLAIN);
    let credential = format!("Bearer {secret}");
    let with_lines = |number: usize, size: usize| {
        let filler = "x".repeat(size);
        let mut headers = vec![("Authorization", credential.as_str())];
        headers.extend((0..number).map(|_| ("X-Filler", filler.as_str())));
        guard.connect().ask(&head("GET", "/forward/default", &headers)).status
    };
    // Host and Authorization count towards the hundred.
    assert_eq!((with_lines(98, 1), with_lines(99, 1), with_lines(150, 1)), (200, 431, 431));
    assert_eq!((with_lines(1, 60_000), with_lines(1, 70_000), with_lines(2, 40_000)), (200, 431, 431));
    // A line that never ends is not read forever.
    let mut wire = guard.connect();
    wire.send("GET /forward/default HTTP/1.1\r\nX-A: ");
    let mut sent = 0;
    while sent < 10_000_000 && wire.try_send([b'a'; 10_000]) {
        sent += 10_000;
    }
    assert!(sent < 10_000_000, "it reads on");
    let long = format!("/forward/default?{}", "x".repeat(70_000));
    let status = guard.ask(&long, &[]).status;
    assert!([414, 431].contains(&status), "{status}");
    let told = is_told(&guard, "head_too_large");
    assert!(!told.to_string().contains("xxxx"), "{told}");
}

/// The log line about a connection that ended abnormally.
fn is_told(guard: &Guard, reason: &str) -> Value {
    let line = guard.line(|line| line["event"] == "connection" && line["reason"] == reason);
    assert_eq!((line["level"].as_str(), line["peer"].as_str()), (Some("warn"), Some("127.0.0.1")), "{line}");
    line
}

/// Well below the two minutes after which an idle connection is closed, with room for a busy machine.
const CUT_OFF_BY: Duration = Duration::from_secs(60);

#[test]
fn a_head_that_takes_its_time_is_cut_off() {
    let (_sandbox, guard, _) = guarded(PLAIN);
    let start = Instant::now();
    let mut wire = guard.connect();
    wire.wait_for(Duration::from_secs(1));
    let mut idle = guard.connect();
    let head = head("GET", "/forward/default", &FACTS);
    let mut end = None;
    for byte in head.bytes() {
        if !wire.try_send([byte]) {
            end = Some(start.elapsed());
            break;
        }
        std::thread::sleep(Duration::from_millis(400));
    }
    let end = end.expect("it was waited for");
    assert!((Duration::from_secs(5)..CUT_OFF_BY).contains(&end), "{end:?}");
    is_told(&guard, "head_too_slow");
    // A head that starts right behind a complete one gets no extra time.
    let start = Instant::now();
    let mut behind = guard.connect();
    behind.wait_for(CUT_OFF_BY);
    assert_eq!(behind.ask(&(head.clone() + "GET /forward/def")).status, 401);
    assert_eq!(behind.end_of_it(), Ok(()));
    assert!((Duration::from_secs(5)..CUT_OFF_BY).contains(&start.elapsed()), "{:?}", start.elapsed());
    // A connection that has sent nothing yet may wait longer.
    assert_eq!(idle.ask(&super::head("GET", "/healthz", &[])).status, 200);
}

#[test]
fn what_is_malformed_is_refused() {
    let (_sandbox, guard, secret) = guarded(PLAIN);
    let credential = format!("Authorization: Bearer {secret}");
    for text in [
        "GET /forward/default\r\nHost: a\r\nCRED\r\n\r\n",
        "GET /forward/default HTTP/2.0\r\nHost: a\r\nCRED\r\n\r\n",
        "GET  /forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\n\r\n",
        "GET /forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\n folded\r\n\r\n",
        "GET /forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\nX-A : b\r\n\r\n",
        "GET /forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\nX-A\r\n\r\n",
        "GET /forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\nX-A: b\0c\r\n\r\n",
        "GET /forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\nX-A: b\rc\r\n\r\n",
        "GET /forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\nX\0A: b\r\n\r\n",
        "GET /forward/default\0 HTTP/1.1\r\nHost: a\r\nCRED\r\n\r\n",
        "G\0T /forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\n\r\n",
        "GET /forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET /forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\nContent-Length: -1\r\n\r\n",
        "GET /forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "GET forward/default HTTP/1.1\r\nHost: a\r\nCRED\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    ] {
        let mut wire = guard.connect();
        wire.send(text.replace("CRED", &credential));
        wire.end();
        match wire.answer(false) {
            Some(answer) => assert_eq!(answer.status / 100, 4, "{text:?}: {answer:?}"),
            None => assert!(wire.is_closed(), "{text:?}"),
        }
    }
    let told = is_told(&guard, "head_malformed");
    assert!(!told["message"].as_str().unwrap().is_empty() && !guard.text().contains(&secret), "{told}");
    // What follows is not read as a request: its start cannot be determined.
    let mut wire = guard.connect();
    wire.send(format!("GET /a b HTTP/1.1\r\n\r\n{}", question("default", &secret)));
    assert_eq!(wire.answer(false).unwrap().status, 400);
    assert!(wire.is_closed());
}

#[test]
fn what_could_mean_two_things_is_refused() {
    let (_sandbox, guard, secret) = guarded(PLAIN);
    let credential = format!("Bearer {secret}");
    let with = |path: &str, extra: &[(&str, &str)]| {
        let headers = [&FACTS[..], &[("Authorization", credential.as_str())], extra].concat();
        guard.ask(path, &headers)
    };
    assert_eq!(with("/forward/default", &[]).status, 200);
    for (name, value) in FACTS.into_iter().take(4) {
        assert_eq!(with("/forward/default", &[(name, value)]).both(), (403, "ambiguous_request"), "{name} twice");
    }
    assert_eq!(with("/forward/default", &[("Host", "other")]).both(), (403, "ambiguous_request"));
    let mut wire = guard.connect();
    let target = "http://other.example.org/envoy/default/x";
    let envoy = [("Authorization", credential.as_str()), ("X-Forwarded-Proto", "https")];
    assert_eq!(wire.ask(&head("GET", "/envoy/default/x", &envoy)).status, 200);
    assert_eq!(wire.ask(&head("GET", target, &envoy)).both(), (403, "ambiguous_request"), "two hosts");
    assert_eq!(wire.ask(&head("CONNECT", "guard:80", &envoy)).status, 404);
    for name in [
        "X-Keyward-Name",
        "x-keyward-anything",
        "X_Keyward_Name",
        "X.Keyward.Name",
        "x_KEYWARD-scopes",
        "X-Keyward-",
        "X-Keyward-Request-Id",
    ] {
        for path in ["/forward/default", "/nginx/default", "/original/default", "/envoy/default/"] {
            assert_eq!(with(path, &[(name, "x")]).both(), (403, "forged_header"), "{path} {name}");
        }
    }
    assert_eq!(with("/forward/default", &[("X-Keywards", "x")]).status, 200);
    // The next proxy would strip the headers that `Connection` names.
    for names in ["X-Keyward-Id", "keep-alive, x_keyward.name"] {
        for path in ["/forward/default", "/nginx/default", "/original/default", "/envoy/default/"] {
            assert_eq!(with(path, &[("Connection", names)]).both(), (403, "forged_header"), "{path} {names}");
        }
    }
}

#[test]
fn a_body_that_is_announced_is_not_waited_for() {
    let (_sandbox, guard, secret) = guarded(PLAIN);
    let question = question("default", &secret);
    for announced in
        ["Content-Length: 1000000", "Transfer-Encoding: chunked", "Content-Length: 5\r\nExpect: 100-continue"]
    {
        for body in ["", "5\r\nhel", "hello"] {
            let mut wire = guard.connect();
            wire.send(question.replace("Host: guard", &format!("{announced}\r\nHost: guard")) + body);
            let answer = wire.answer(false).unwrap_or_else(|| panic!("{announced}: no answer"));
            assert_eq!((answer.status, answer.closes()), (200, true), "{announced}");
            assert!(wire.is_closed());
        }
    }
    // A client that sends a large body at once also gets its answer.
    for _ in 0..20 {
        let mut wire = guard.connect();
        wire.send(question.replace("Host: guard", "Content-Length: 300000\r\nHost: guard"));
        wire.try_send(vec![b'x'; 300_000]);
        assert_eq!(wire.answer(false).map(|answer| answer.status), Some(200));
    }
    // A body is not read as a request.
    let mut wire = guard.connect();
    wire.send(question.replace("Host: guard", &format!("Content-Length: {}\r\nHost:", question.len())) + &question);
    assert_eq!(wire.answer(false).unwrap().status, 200);
    assert!(wire.answer(false).is_none());
    // An empty body is like no body.
    let mut wire = guard.connect();
    assert!(!wire.ask(&question.replace("Host: guard", "Content-Length: 0\r\nHost: guard")).closes());
    for ignored in [
        "Upgrade: websocket\r\nConnection: Upgrade",
        "TE: trailers",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings",
        "Expect: 100-continue",
    ] {
        let answer = wire.ask(&question.replace("Host: guard", &format!("{ignored}\r\nHost: guard")));
        assert_eq!((answer.status, answer.closes()), (200, false), "{ignored}");
    }
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let (sandbox, guard, secret) = guarded("[policy.default]\n[policy.admin]\nscopes = [\"a\"]\n");
    let fresh = sandbox.mint("fresh");
    let mut wire = guard.connect();
    let all: String = (0..300)
        .map(|number| match number % 3 {
            0 => question("default", &secret),
            1 => question("admin", if number == 1 { &fresh } else { &secret }),
            _ => head("GET", "/forward/default", &FACTS),
        })
        .collect();
    wire.send(&all);
    for number in 0..300 {
        let answer = wire.answer(false).unwrap();
        assert_eq!(answer.status, [200, 403, 401][number % 3], "{number}");
    }
    // A client that disconnects mid-request disturbs no others.
    for cut in [1, 20, 100, all.len() / 2] {
        let mut gone = guard.connect();
        gone.send(&all[..cut]);
    }
    is_told(&guard, "head_cut_short");
    for _ in 0..20 {
        let mut hashing = guard.connect();
        hashing.send(question("default", &fresh));
    }
    assert_eq!(wire.ask(&question("default", &secret)).status, 200);
    eventually(|| guard.admin("/metrics").body.contains("\nkeyward_connections 2\n").then_some(())).unwrap();
}

/// As `nc -N` and other simple clients do: they close their sending side behind the request.
#[test]
fn who_sends_nothing_more_still_gets_the_answer() {
    let (sandbox, guard, _) = guarded(PLAIN);
    let fresh = sandbox.mint("fresh");
    for (why, secret, status) in
        [("a hash", fresh.as_str(), 200), ("known by now", &fresh, 200), ("malformed", "?", 401)]
    {
        let mut wire = guard.connect();
        wire.send(question("default", secret));
        wire.end();
        assert_eq!(wire.answer(false).map(|answer| answer.status), Some(status), "{why}");
        assert!(wire.is_closed(), "{why}");
    }
}

#[test]
fn who_reads_no_answers_is_not_read_any_more() {
    let (_sandbox, guard, secret) = guarded(PLAIN);
    let mut deaf = guard.connect();
    deaf.wait_for(Duration::from_millis(500));
    let many = question("default", &secret).repeat(100);
    let mut sent = 0;
    while sent < 100_000_000 && deaf.try_send(&many) {
        sent += many.len();
    }
    assert!(sent < 100_000_000, "it reads on, and keeps the answers");
    assert_eq!(guard.with("default", &secret).status, 200);
}

#[test]
fn who_says_nothing_and_goes_is_no_news() {
    let (_sandbox, guard, secret) = guarded(PLAIN);
    for _ in 0..3 {
        // As health checks do, and proxies that no longer need a connection.
        drop(guard.connect());
        let mut ended = guard.connect();
        ended.end();
        assert!(ended.is_closed());
        assert_eq!(guard.connect().ask(&question("default", &secret)).status, 200);
    }
    eventually(|| guard.admin("/metrics").body.contains("\nkeyward_connections 1\n").then_some(())).unwrap();
    assert_eq!(guard.count(|line| line["event"] == "connection"), 0, "{}", guard.text());
}

#[test]
fn the_client_is_whom_the_last_proxy_names() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("inside --allow-ip 192.0.2.0/24 --allow-ip 2001:db8::/32");
    let guard = Guard::configured(&sandbox, "proxies = [\"10.0.0.0/8\", \"2001:db8:ffff::/48\"]\n[policy.default]\n");
    for (lines, is_inside) in [
        (&["192.0.2.7"][..], true),
        (&["192.0.2.7:4711"], true),
        (&["::ffff:192.0.2.7"], true),
        (&["[2001:db8::1]:80"], true),
        (&["203.0.113.9, 192.0.2.7"], true),
        (&["192.0.2.7, 203.0.113.9"], false),
        (&["192.0.2.7, 10.0.0.1"], true),
        (&["192.0.2.7,10.0.0.1 ,\t10.9.9.9"], true),
        (&["192.0.2.7, ::ffff:10.0.0.1"], true),
        (&["192.0.2.7, 2001:db8:ffff::1"], true),
        (&["192.0.2.7", "10.0.0.1"], true),
        (&["10.0.0.1", "192.0.2.7"], true),
        (&["192.0.2.7", "203.0.113.9"], false),
        (&["203.0.113.9, 192.0.2.7, unknown"], false),
        (&["192.0.2.7, "], false),
        (&["192.0.2.7,, 10.0.0.1"], false),
        (&["10.0.0.1"], false),
        (&["10.0.0.1, 10.0.0.2"], false),
        (&[""], false),
        (&["192.0.2.7 10.0.0.1"], false),
        (&["for=192.0.2.7"], false),
        (&["192.0.2.007"], false),
        (&["_hidden"], false),
        (&[], false),
    ] {
        let credential = format!("Bearer {secret}");
        let mut headers = FACTS[..4].to_vec();
        headers.push(("Authorization", credential.as_str()));
        // Headers that other software might trust.
        headers.extend([("X-Real-IP", "192.0.2.7"), ("Forwarded", "for=192.0.2.7"), ("X-Client-IP", "192.0.2.7")]);
        headers.extend(lines.iter().map(|line| ("X-Forwarded-For", *line)));
        let expected = if is_inside { (200, "allowed") } else { (403, "ip_not_allowed") };
        assert_eq!(guard.ask("/forward/default", &headers).both(), expected, "{lines:?}");
    }
}

const ROUTES: &str = "[policy.default]\n[policy.admin]\nscopes = [\"admin\"]\n\
    [[route]]\nhost = \"admin.example.org\"\npolicy = \"admin\"\n\
    [[route]]\npath = \"/admin\"\npolicy = \"admin\"\n[[route]]\npath = \"/\"\npolicy = \"default\"\n";

#[test]
fn no_spelling_of_a_path_or_host_leads_around_a_route() {
    let (_sandbox, guard, secret) = guarded(ROUTES);
    let credential = format!("Bearer {secret}");
    let through = |host: &str, uri: &str| {
        let facts = [
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Uri", uri),
            ("X-Forwarded-Host", host),
            ("X-Forwarded-Proto", "https"),
            ("Authorization", credential.as_str()),
        ];
        guard.ask("/forward/routes", &facts)
    };
    for uri in ["/", "/public", "/public/admin", "/administrator", "/a?x=/admin", "/%41"] {
        assert_eq!(through("api.example.org", uri).status, 200, "{uri}");
    }
    for uri in [
        "/admin",
        "/admin/",
        "/admin/x",
        "/%61dmin",
        "/adm%69n?x",
        "//admin",
        "/./admin",
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/%2E./admin",
        "/public%2f..%2fadmin",
        "/public/..%5cadmin",
        "/public/..;/admin",
        "/admin;x",
        "/public\\..\\admin",
        "/%2561dmin",
        "/admin%00",
        "/admin%",
        "/admin%2",
        "/admin%zz",
        "/public/%252e%252e/admin",
        "/admin//",
        "/admin%0a",
        "/public/%c0%af../admin",
        "/public#/../admin",
        "*",
        "admin",
        "http://api.example.org/public",
    ] {
        let answer = through("api.example.org", uri);
        assert_eq!(answer.status, 403, "{uri}: {answer:?}");
    }
    // Envoy sends the path within the question's path, which the HTTP parser here cuts at a `#`.
    let by_envoy = |wire: &mut Wire, uri: &str| {
        let facts = [("X-Forwarded-Proto", "https"), ("Authorization", credential.as_str())];
        wire.ask(&head("GET", &format!("/envoy/routes{uri}"), &facts))
    };
    let mut wire = guard.connect();
    let answer = by_envoy(&mut wire, "/public?x");
    assert_eq!((answer.status, answer.closes()), (200, false), "{answer:?}");
    assert_eq!(by_envoy(&mut wire, "/admin").status, 403);
    for uri in ["/public#", "/public#/../admin", "/#?x"] {
        let answer = by_envoy(&mut guard.connect(), uri);
        assert_eq!((answer.both(), answer.closes()), ((403, "ambiguous_path"), true), "{uri}: {answer:?}");
    }
    // When requests arrive together, an earlier one is refused in place of the ambiguous one.
    let mut wire = guard.connect();
    assert_eq!(by_envoy(&mut wire, "/admin").status, 403);
    wire.send(head("GET", "/envoy/routes/public", &[]) + &head("GET", "/envoy/routes/public#x", &[]));
    assert_eq!(wire.answer(false).unwrap().both(), (403, "ambiguous_path"));
    assert!(wire.answer(false).is_none());
    for host in [
        "admin.example.org",
        "ADMIN.example.org",
        "admin.example.org:443",
        "admin.example.org:",
        "admin.example.org.",
        "admin.example.org.:443",
        "admin.example.org:x",
        "x@admin.example.org",
        "admin.example.org/x",
        "admin%2eexample.org",
        "admin.example.org, api.example.org",
        "",
        "[::1",
        "admin.example.org#",
        "admin.example.org?x",
    ] {
        assert_eq!(through(host, "/public").status, 403, "{host}");
    }
    assert_eq!(through("[::1]:80", "/public").status, 200);
}

#[test]
fn many_idle_connections_keep_nobody_from_being_answered() {
    let (_sandbox, guard, secret) = guarded(PLAIN);
    let mut busy = guard.connect();
    assert_eq!(busy.ask(&question("default", &secret)).status, 200);
    // Both processes need this many open files, and this one a few more.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let most = 10_000_usize;
    assert!(limit >= 10_300, "this test needs 10,300 open files, and the system gives {limit}: ulimit -Hn");
    let raised = rustix::process::Rlimit { current: Some(limit), maximum: Some(limit) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let mut operator = Wire::to(&guard.admin);
    let mut connections = move || {
        let metrics = operator.ask(&head("GET", "/metrics", &[])).body;
        metrics.lines().find_map(|line| line.strip_prefix("keyward_connections ")?.parse::<usize>().ok()).unwrap()
    };
    eventually(|| (connections() == 2).then_some(())).unwrap();
    let mut idle: Vec<TcpStream> = vec![];
    while idle.len() < most - 2 {
        idle.push(TcpStream::connect(&guard.address).unwrap());
        if idle.len().is_multiple_of(500) {
            assert_eq!(busy.ask(&question("default", &secret)).status, 200);
        }
    }
    // The system accepts connections before the guard does.
    eventually(|| (connections() == most).then_some(())).unwrap();
    let mut one_more = TcpStream::connect(&guard.address).unwrap();
    one_more.set_read_timeout(Some(super::LONG)).unwrap();
    one_more.write_all(question("default", &secret).as_bytes()).unwrap();
    let mut text = String::new();
    one_more.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    for line in [
        "X-Keyward-Reason: overloaded",
        "Retry-After: 1",
        "Cache-Control: no-store",
        "Content-Length: 0",
        "Connection: close",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{text}");
    }
    assert_eq!(busy.ask(&question("default", &secret)).status, 200);
    is_told(&guard, "too_many_connections");
    idle.truncate(100);
    eventually(|| (connections() < 200).then_some(())).expect("they are counted as gone");
    assert_eq!(guard.with("default", &secret).status, 200);
}

#[test]
fn no_mutation_of_a_head_is_a_yes_without_the_credential() {
    let (_sandbox, guard, secret) = guarded(PLAIN);
    let good = question("default", &secret);
    let place = good.find(&secret).unwrap();
    let mut runner = TestRunner::new(Config { cases: 600, ..Config::default() });
    let edits = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..4_u8), 1..6);
    runner
        .run(&edits, |edits| {
            let mut bytes = good.clone().into_bytes();
            // At least one letter of the secret is changed.
            let letter = place + 20 + usize::from(edits[0].1) % 30;
            bytes[letter] = if bytes[letter] == b'x' { b'y' } else { b'x' };
            for (index, byte, kind) in &edits[1..] {
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = *byte,
                    1 => bytes.insert(at, *byte),
                    2 if at != letter => drop(bytes.remove(at)),
                    _ => bytes.splice(at..at, b"\r\n".iter().copied()).for_each(drop),
                }
            }
            prop_assume!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
            let mut wire = guard.connect();
            wire.send(&bytes);
            wire.end();
            while let Some(answer) = wire.answer(bytes.starts_with(b"HEAD ")) {
                prop_assert!(answer.status != 200, "{:?}", String::from_utf8_lossy(&bytes));
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(guard.with("default", &secret).status, 200);
}
