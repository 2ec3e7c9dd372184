//! Every endpoint and every answer it gives: the status, the headers and the body, to the letter.

use super::world::World;
use super::{Answer, FACTS, Wire, head};

/// The names of the headers, apart from the date, in alphabetical order.
fn names(answer: &Answer) -> String {
    let mut names: Vec<_> =
        answer.headers.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "date").collect();
    names.sort_unstable();
    names.join(" ")
}

const ENDPOINTS: [&str; 4] = ["forward", "nginx", "original", "envoy"];

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_reason_at_every_endpoint() {
    let world = World::new();
    let plain = world.sandbox.mint("plain");
    let scoped = world.sandbox.mint("scoped --scope a");
    let reader = world.sandbox.mint("reader --read-only");
    let inside = world.sandbox.mint("inside --allow-ip 192.0.2.0/24");
    let theirs = world.sandbox.mint("theirs --tenant acme");
    let others = world.sandbox.mint("others --tenant other");
    let viewer = world.sandbox.mint("viewer --role viewer");
    let disabled = world.sandbox.mint("disabled");
    assert_eq!(world.sandbox.run("disable disabled").code, 0);
    let expired = world.sandbox.mint("expired --expires 2026-02-01T00:00:00Z");
    let owned = world.sandbox.mint("owned --owner mia");
    assert_eq!(world.sandbox.run("user disable mia").code, 0);
    let mut unknown = plain.clone().into_bytes();
    unknown[4] = if unknown[4] == b'0' { b'1' } else { b'0' };
    let unknown = String::from_utf8(unknown).unwrap();
    let insecure = [("X-Forwarded-Proto", "http"), ("X-Original-URL", "http://api.example.org/orders")];
    let posted = [("X-Forwarded-Method", "POST"), ("X-Original-Method", "POST")];
    let realm = |policy: &str, rest: &str| format!("Bearer realm=\"{policy}\"{rest}");
    let invalid = ", error=\"invalid_token\"";
    for (policy, secret, changes, status, reason, challenge) in [
        ("default", Some(&plain), &[][..], 200, "allowed", None),
        ("default", None, &[], 401, "no_credential", Some(realm("default", ""))),
        ("default", Some(&unknown), &[], 401, "not_genuine", Some(realm("default", invalid))),
        ("default", Some(&disabled), &[], 401, "key_disabled", Some(realm("default", invalid))),
        ("default", Some(&expired), &[], 401, "key_expired", Some(realm("default", invalid))),
        ("default", Some(&owned), &[], 401, "owner_disabled", Some(realm("default", invalid))),
        ("default", Some(&inside), &[], 403, "ip_not_allowed", None),
        ("default", Some(&inside), &[("X-Forwarded-For", "x")], 403, "ip_not_allowed", None),
        ("default", Some(&theirs), &[], 403, "tenant_mismatch", None),
        ("acme", Some(&theirs), &[], 200, "allowed", None),
        ("acme", Some(&others), &[], 403, "tenant_mismatch", None),
        (
            "scoped",
            Some(&scoped),
            &[],
            403,
            "scope_missing",
            Some(realm("scoped", ", error=\"insufficient_scope\", scope=\"b\"")),
        ),
        ("silent", Some(&plain), &[], 403, "scope_missing", Some(realm("silent", ", error=\"insufficient_scope\""))),
        ("levels", Some(&plain), &[], 403, "level_missing", None),
        ("editor", Some(&viewer), &[], 403, "role_too_low", None),
        ("editor", Some(&plain), &[], 403, "role_too_low", None),
        ("unknown", Some(&plain), &[], 500, "unknown_policy", None),
        ("Default", Some(&plain), &[], 500, "unknown_policy", None),
        ("routes", Some(&plain), &[], 500, "unknown_policy", None),
        ("default", Some(&plain), &[("X-Keyward-Key", "x")], 403, "forged_header", None),
    ] {
        for endpoint in ENDPOINTS {
            let answer = world.at(endpoint, policy, secret.map(String::as_str), changes);
            let told = format!("{endpoint} {policy} {reason}: {answer:?}");
            assert_eq!((answer.status, answer.reason()), (status, reason), "{told}");
            assert_eq!(
                answer.all("www-authenticate"),
                challenge.iter().map(String::as_str).collect::<Vec<_>>(),
                "{told}"
            );
            let has_body = status != 200 && !["nginx", "original"].contains(&endpoint);
            assert_eq!(answer.body.is_empty(), !has_body, "{told}");
            assert_eq!(answer.only("cache-control"), "no-store");
            let mut expected = vec!["cache-control", "content-length", "x-keyward-reason", "x-keyward-request-id"];
            if has_body {
                expected.push("content-type");
                assert_eq!(answer.only("content-type"), "application/problem+json");
                let document = answer.json();
                let explains = policy != "silent";
                let fields: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
                let all = ["type", "title", "status", "reason", "checks", "request_id"];
                assert_eq!(
                    fields,
                    all.into_iter().filter(|name| explains || !["reason", "checks"].contains(name)).collect::<Vec<_>>()
                );
                assert_eq!((&document["type"], &document["status"]), (&"about:blank".into(), &status.into()));
                assert_eq!(document["request_id"], answer.only("x-keyward-request-id"));
                if explains {
                    assert_eq!(document["reason"], reason, "{told}");
                }
            }
            if challenge.is_some() {
                expected.push("www-authenticate");
            }
            if status == 200 {
                expected.extend(["id", "name", "owner", "tenant", "role", "scopes", "policy"].map(|name| match name {
                    "id" => "x-keyward-id",
                    "name" => "x-keyward-name",
                    "owner" => "x-keyward-owner",
                    "tenant" => "x-keyward-tenant",
                    "role" => "x-keyward-role",
                    "scopes" => "x-keyward-scopes",
                    _ => "x-keyward-policy",
                }));
            }
            expected.sort_unstable();
            assert_eq!(names(&answer), expected.join(" "), "{told}");
        }
    }
    for endpoint in ENDPOINTS {
        let at = |policy: &str, secret: &str, changes: &[(&str, &str)]| {
            let answer = world.at(endpoint, policy, Some(secret), changes);
            (answer.status, answer.reason().to_owned())
        };
        assert_eq!(at("default", &plain, &insecure), (403, "insecure_transport".to_owned()), "{endpoint}");
        if endpoint != "envoy" {
            assert_eq!(at("reads", &plain, &posted), (403, "method_not_allowed".to_owned()), "{endpoint}");
            assert_eq!(at("default", &reader, &posted), (403, "method_not_allowed".to_owned()), "{endpoint}");
            // What is not stated is unknown, and rules that need it refuse.
            let unsaid = [("X-Forwarded-Method", "-"), ("X-Original-Method", "-")];
            assert_eq!(at("reads", &plain, &unsaid), (403, "method_not_allowed".to_owned()), "{endpoint}");
        }
        let unsaid = [("X-Forwarded-Proto", "-"), ("X-Original-URL", "-")];
        assert_eq!(at("default", &plain, &unsaid), (403, "insecure_transport".to_owned()), "{endpoint}");
        assert_eq!(at("secure", &plain, &unsaid).0, 403, "{endpoint}");
    }
}

#[test]
fn the_host_names_the_tenant() {
    let world = World::new();
    let theirs = world.sandbox.mint("theirs --tenant acme");
    for (host, status) in [
        ("acme.api.example.org", 200),
        ("ACME.Api.Example.org:443", 200),
        ("acme.api.example.org.", 200),
        ("other.api.example.org", 403),
        ("x.acme.api.example.org", 403),
        ("acme.api.example.org.evil.org", 403),
        ("acme.api.example.orgx", 403),
        (".api.example.org", 403),
        ("api.example.org", 403),
        ("acme.api.example.org:x", 403),
        ("x@acme.api.example.org", 403),
        ("-", 403),
    ] {
        let answer = world.at("forward", "hosted", Some(&theirs), &[("X-Forwarded-Host", host)]);
        assert_eq!(answer.status, status, "{host}: {answer:?}");
        let url = format!("https://{host}/");
        let url = if host == "-" { "-" } else { url.as_str() };
        assert_eq!(world.at("original", "hosted", Some(&theirs), &[("X-Original-URL", url)]).status, status, "{host}");
    }
}

#[test]
fn a_service_is_told_everything_that_is_asked_for_and_nothing_is_empty() {
    let world = World::new();
    let bare = world.sandbox.mint("bare");
    let full = world.sandbox.mint("full --owner mia --group ci --role viewer --scope a,b --level A/B,C");
    let answer = world.at("forward", "all", Some(&bare), &[]);
    for name in ["owner", "tenant", "group", "role", "scopes", "levels"] {
        assert_eq!(answer.only(&format!("x-keyward-{name}")), "-", "{name}");
    }
    assert_eq!((answer.only("x-keyward-name"), answer.only("x-keyward-policy")), ("bare", "all"));
    let answer = world.at("forward", "all", Some(&full), &[]);
    for (name, value) in
        [("owner", "mia"), ("tenant", "-"), ("group", "ci"), ("role", "viewer"), ("scopes", "a,b"), ("levels", "A/B,C")]
    {
        assert_eq!(answer.only(&format!("x-keyward-{name}")), value, "{name}");
    }
    let id = world.sandbox.run("show full --json").json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.only("x-keyward-id"), id);
    let answer = world.at("forward", "few", Some(&full), &[]);
    assert_eq!(names(&answer), "cache-control content-length x-keyward-policy x-keyward-reason x-keyward-request-id");
}

#[test]
fn a_name_that_reads_as_none_is_no_yes() {
    let world = World::new();
    // New keys may no longer be allowed this name, but an existing key may still have it.
    let secret = world.sandbox.mint("dash");
    let conn = rusqlite::Connection::open(world.sandbox.store()).unwrap();
    conn.execute_batch("UPDATE key SET name = '-', name_folded = '-' WHERE name = 'dash'")
        .or_else(|_| conn.execute_batch("UPDATE key SET name = '-' WHERE name = 'dash'"))
        .unwrap();
    drop(conn);
    let answer = world.at("forward", "default", Some(&secret), &[]);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(["name_unusable", "store_unusable"].contains(&answer.reason()), "{answer:?}");
    assert_eq!(answer.only("retry-after"), "1");
    assert_eq!(answer.all("x-keyward-name"), [""; 0]);
    // Nor does it count as a use: nothing was let through. The next one does.
    assert_eq!(world.at("forward", "few", Some(&secret), &[]).status, 200, "its name is not told there");
    let (sandbox, mut guard) = (world.sandbox, world.guard);
    guard.stop();
    assert_eq!(sandbox.run("show - --json").json()["use_count"], 1);
}

#[test]
fn only_what_a_policy_accepts_is_a_credential() {
    let world = World::new();
    let (secret, other) = (world.sandbox.mint("one"), world.sandbox.mint("two"));
    let ask = |policy: &str, headers: &[(&str, &str)], uri: &str| {
        let facts =
            [&[("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", uri), ("X-Forwarded-Proto", "https")], headers]
                .concat();
        world.guard.ask(&format!("/forward/{policy}?auth_key={other}&scope=a"), &facts)
    };
    let bearer = format!("Bearer {secret}");
    let two = format!("Bearer {secret}, Bearer {other}");
    // The query of our own URL is never read.
    assert_eq!(ask("default", &[], "/").reason(), "no_credential");
    assert_eq!(ask("query", &[], "/").reason(), "no_credential");
    for (policy, headers, status, reason) in [
        ("default", &[("X-Api-Key", secret.as_str())][..], 200, "allowed"),
        ("basic", &[("X-Api-Key", secret.as_str())], 401, "no_credential"),
        ("basic", &[("X-Api-Key", other.as_str()), ("Authorization", bearer.as_str())], 200, "allowed"),
        ("default", &[("X-Api-Key", secret.as_str()), ("Authorization", bearer.as_str())], 200, "allowed"),
        ("default", &[("X-Api-Key", other.as_str()), ("Authorization", bearer.as_str())], 401, "ambiguous_credential"),
        ("default", &[("X-Api-Key", secret.as_str()), ("X-Api-Key", other.as_str())], 401, "ambiguous_credential"),
        ("default", &[("Authorization", bearer.as_str()), ("Authorization", bearer.as_str())], 200, "allowed"),
        ("query", &[("Authorization", bearer.as_str())], 401, "no_credential"),
    ] {
        assert_eq!(ask(policy, headers, "/").both(), (status, reason), "{policy} {headers:?}");
    }
    assert_ne!(ask("default", &[("Authorization", &two)], "/").status, 200);
    // Basic is offered only where it is accepted.
    let answer = ask("basic", &[], "/");
    let offers = answer.all("www-authenticate");
    assert_eq!(offers, ["Bearer realm=\"basic\"", "Basic realm=\"basic\", charset=\"UTF-8\""]);
}

#[test]
fn a_request_keeps_the_id_that_it_came_with() {
    let world = World::new();
    let id = |given: &[&str]| {
        let headers: Vec<_> = given.iter().map(|value| ("X-Request-Id", *value)).collect();
        world.at("forward", "default", None, &headers).only("x-keyward-request-id").to_owned()
    };
    let long = "a".repeat(64);
    for given in ["a", "A-Za-z0-9._-", "0af7651916cd43dd8448eb211c80319c", &long] {
        assert_eq!(id(&[given]), given);
    }
    let too_long = "a".repeat(65);
    let mut made = vec![id(&[])];
    for given in [&[""][..], &["a b"], &["a\"b"], &["a,b"], &[&too_long], &["a", "b"], &["a", "a"]] {
        made.push(id(given));
    }
    assert!(made.iter().all(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit())), "{made:?}");
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 8);
}

#[test]
fn other_paths_and_methods() {
    let world = World::new();
    let secret = world.sandbox.mint("deploy");
    for path in [
        "/",
        "/forward",
        "/forwards/default",
        "/healthz/",
        "/v1/verify",
        "/v1",
        "/metrics",
        "/favicon.ico",
        "//forward/default",
    ] {
        let answer = world.guard.ask(path, &[]);
        assert_eq!((answer.status, &answer.json()["status"]), (404, &404.into()), "{path}");
        assert_eq!(answer.only("content-type"), "application/problem+json");
        // A proxy that asks there is misconfigured, and the log must show it.
        let told = world.guard.line(|line| line["event"] == "problem" && line["path"] == path);
        assert_eq!((&told["status"], &told["reason"]), (&404.into(), &"not_found".into()), "{told}");
    }
    for path in [
        "/forward/",
        "/forward/default/",
        "/forward/default/../default",
        "/forward/%64efault",
        "/envoy//default",
        "/nginx/default%20",
    ] {
        assert_eq!(world.guard.ask(path, &[("X-Forwarded-Proto", "https")]).both(), (500, "unknown_policy"), "{path}");
    }
    let credential = format!("Bearer {secret}");
    let facts = [&FACTS[..], &[("Authorization", credential.as_str())]].concat();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "X-STRANGE!"] {
        let answer = world.guard.connect().ask(&head(method, "/forward/default", &facts));
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{method}");
    }
    // An answer to a CONNECT has no length if it is a yes (RFC 9110 section 9.3.6), and ends the connection.
    for (path, status) in [("/forward/default", 200), ("/envoy/default/a", 200), ("/healthz", 200), ("/nothing", 404)] {
        let told = world.guard.connect().ask_for_the_last_time(
            &head("CONNECT", path, &facts)
                .replace("\r\n\r\n", if status == 200 { "\r\n\r\n" } else { "\r\nConnection: close\r\n\r\n" }),
        );
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {told:?}");
        assert_eq!(told.to_ascii_lowercase().contains("content-length"), status != 200, "{told:?}");
        assert!(!path.contains("default") || told.contains("x-keyward-name: deploy"), "{told:?}");
    }
    let mut wire = world.guard.connect();
    assert_eq!(wire.ask(&head("HEAD", "/forward/default", &facts)).status, 200);
    let answer = wire.ask(&head("HEAD", "/forward/default", &FACTS));
    assert_eq!(answer.status, 401);
    assert_eq!(wire.ask(&head("GET", "/healthz", &[])).body, "ok\n", "no body is left over from before");
}

#[test]
fn a_client_of_the_former_protocol() {
    let world = World::new();
    let secret = world.sandbox.mint("deploy");
    let credential = format!("Bearer {secret}");
    let old = |lines: &str| {
        let facts = [&FACTS[..], &[("Authorization", credential.as_str())]].concat();
        let head = head("GET", "/forward/default", &facts).replace("HTTP/1.1\r\nHost: guard", "HTTP/1.0");
        head.trim_end().to_owned() + "\r\n" + lines + "\r\n"
    };
    let mut wire = world.guard.connect();
    assert_eq!(wire.ask(&old("")).status, 200);
    assert!(wire.is_closed());
    let mut wire = world.guard.connect();
    for _ in 0..3 {
        let answer = wire.ask(&old("Connection: keep-alive\r\n"));
        assert_eq!((answer.status, answer.only("connection")), (200, "keep-alive"));
    }
    let mut wire = world.guard.connect();
    assert!(wire.ask(&head("GET", "/healthz", &[("Connection", "close")])).closes());
    assert!(wire.is_closed());
    let mut wire = Wire::to(&world.guard.address);
    assert!(!wire.ask(&head("GET", "/healthz", &[])).headers.iter().any(|(name, _)| name == "server"));
}
