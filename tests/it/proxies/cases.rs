//! What is true behind every proxy.

use std::net::SocketAddr;

use super::checks::{FORGED, INSIDE, is_guarded, plainly, told, usual};
use super::client::{Answer, Ask, fetch, requests};
use super::lab::{Lab, Place};
use super::{Fate, Http, Proxy};

/// A request and its outcome.
struct Case {
    what: &'static str,
    /// The guard's policy, as flags.
    policy: &'static [&'static str],
    http: Http,
    ask: fn(&Lab) -> Ask,
    outcome: fn(&Proxy) -> Outcome,
    /// What else the client sees.
    sees: fn(&Answer) -> bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The service gets it, with the caller's identity and without the credential.
    Allowed,
    /// The service gets nothing. The reason is in the body, if there is one.
    Refused(u16, &'static str),
}

use Outcome::{Allowed, Refused};

/// Sends a key and returns the status.
type Client = fn(SocketAddr, &str) -> u16;

const CASE: Case = Case {
    what: "",
    policy: &[],
    http: Http::One,
    ask: |lab| Ask::with(&lab.secret),
    outcome: |_| Allowed,
    sees: |_| true,
};

/// Ordered by policy: the guard restarts when the policy changes.
const CASES: &[Case] = &[
    Case { what: "a key", ..CASE },
    Case { what: "a key, in a HEAD", ask: |lab| Ask::with(&lab.secret).args(&["--head"]), ..CASE },
    Case {
        what: "a key, in every header that may hold one",
        ask: |lab| {
            let names = ["X-Api-Key", "X-Auth-Key", "X-Api-Auth", "apiKey"];
            let ask = names.into_iter().fold(Ask::with(&lab.secret), |ask, name| ask.header(name, &lab.secret));
            ask.header("X-Ignition-API-Token", &format!("deploy:{}", lab.secret))
        },
        ..CASE
    },
    Case {
        what: "no credential",
        ask: |_| Ask::new(),
        outcome: |_| Refused(401, "no_credential"),
        sees: |answer| answer.value("www-authenticate") == Some("Bearer realm=\"default\""),
        ..CASE
    },
    Case {
        what: "a credential that is none",
        ask: |_| Ask::with("kw_wrong"),
        outcome: |_| Refused(401, "not_genuine"),
        sees: |answer| answer.value("www-authenticate") == Some("Bearer realm=\"default\", error=\"invalid_token\""),
        ..CASE
    },
    Case {
        what: "a key in the query",
        ask: |lab| Ask::new().args(&["--get", "--data-urlencode", &format!("api_key={}", lab.secret)]),
        outcome: |_| Refused(401, "no_credential"),
        ..CASE
    },
    Case {
        what: "a header of ours",
        ask: |lab| Ask::with(&lab.secret).header("X-Keyward-Name", FORGED),
        outcome: |_| Refused(403, "forged_header"),
        ..CASE
    },
    Case {
        what: "a header of ours that is not told",
        ask: |lab| Ask::with(&lab.secret).header("x-keyward-admin", FORGED),
        outcome: |_| Refused(403, "forged_header"),
        ..CASE
    },
    Case {
        what: "a header of ours with underscores",
        ask: |lab| Ask::with(&lab.secret).header("X_Keyward_Name", FORGED),
        outcome: |proxy| fate(proxy.alias),
        ..CASE
    },
    Case {
        what: "a header of ours with dots",
        ask: |lab| Ask::with(&lab.secret).header("X.Keyward.Name", FORGED),
        outcome: |proxy| fate(proxy.alias),
        ..CASE
    },
    Case {
        what: "a Connection that names headers of ours",
        ask: |lab| Ask::with(&lab.secret).header("Connection", "close, X-Keyward-Name, X-Keyward-Id, X-Forwarded-For"),
        outcome: |proxy| if proxy.nominated == 200 { Allowed } else { Refused(proxy.nominated, "") },
        ..CASE
    },
    Case {
        what: "a Connection that names a header of ours alone",
        ask: |lab| Ask::with(&lab.secret).header("Connection", "X-Keyward-Name"),
        ..CASE
    },
    Case {
        what: "a header of ours that Connection names",
        ask: |lab| Ask::with(&lab.secret).header("Connection", "X-Keyward-Group").header("X-Keyward-Group", FORGED),
        outcome: |proxy| fate(proxy.nominated_header),
        ..CASE
    },
    Case { what: "forged facts", ask: |lab| forged(Ask::with(&lab.secret)), ..CASE },
    Case {
        what: "facts that a key needs, forged",
        ask: |lab| forged(Ask::with(&lab.inside)),
        outcome: |_| Refused(403, "insecure_transport"),
        ..CASE
    },
    Case {
        what: "two credentials",
        ask: |lab| Ask::with(&lab.secret).header("Authorization", "Bearer other"),
        outcome: |proxy| {
            Refused(proxy.two_credentials, if proxy.two_credentials == 401 { "ambiguous_credential" } else { "" })
        },
        ..CASE
    },
    Case {
        what: "a WebSocket",
        ask: |lab| websocket(Ask::with(&lab.secret), "Upgrade"),
        sees: |answer| answer.status == 101 && answer.body == "hello",
        ..CASE
    },
    Case {
        what: "a WebSocket without a credential",
        ask: |_| websocket(Ask::new(), "Upgrade"),
        outcome: |_| Refused(401, "no_credential"),
        ..CASE
    },
    Case {
        what: "a WebSocket, with a Connection that names a header of ours",
        ask: |lab| websocket(Ask::with(&lab.secret), "Upgrade, X-Keyward-Name"),
        sees: |answer| answer.status == 101,
        ..CASE
    },
    Case {
        what: "HTTP/2 by an upgrade",
        ask: |lab| Ask::with(&lab.secret).header("Connection", "Upgrade").header("Upgrade", "h2c"),
        outcome: |proxy| if proxy.h2c == 200 { Allowed } else { Refused(proxy.h2c, "") },
        ..CASE
    },
    Case {
        what: "two HEADs on one connection, without a credential",
        ask: |_| Ask::new().args(&["--head"]).path("/orders?page=[1-2]"),
        outcome: |_| Refused(401, ""),
        ..CASE
    },
    Case { what: "3 MiB", ask: |lab| Ask::with(&lab.secret).body(upload()), ..CASE },
    Case {
        what: "3 MiB in chunks",
        ask: |lab| Ask::with(&lab.secret).header("Transfer-Encoding", "chunked").body(upload()),
        ..CASE
    },
    Case {
        what: "3 MiB in chunks, without a credential",
        ask: |_| Ask::new().header("Transfer-Encoding", "chunked").body(upload()),
        outcome: |_| Refused(401, "no_credential"),
        ..CASE
    },
    Case { what: "HTTP/2", http: Http::Two, ..CASE },
    Case { what: "3 MiB by HTTP/2", http: Http::Two, ask: |lab| Ask::with(&lab.secret).body(upload()), ..CASE },
    Case {
        what: "a header of ours by HTTP/2",
        http: Http::Two,
        ask: |lab| Ask::with(&lab.secret).header("X-Keyward-Name", FORGED),
        outcome: |_| Refused(403, "forged_header"),
        ..CASE
    },
    Case {
        what: "a scope that is missing",
        policy: &["--scope", "admin"],
        outcome: |_| Refused(403, "scope_missing"),
        sees: |answer| {
            let challenge = "Bearer realm=\"default\", error=\"insufficient_scope\", scope=\"admin\"";
            answer.value("www-authenticate") == Some(challenge)
        },
        ..CASE
    },
    Case {
        what: "a token of the service's own beside the key",
        policy: &["--accept", "x_api_key"],
        ask: |lab| Ask::with("eyJhbGciOiJub25lIn0.e30.c2ln").header("X-Api-Key", &lab.secret),
        ..CASE
    },
    Case {
        what: "many wrong credentials",
        policy: &["--accept", "bearer"],
        ask: |_| Ask::with("kw_wrong").path("/orders?page=[1-31]"),
        outcome: |_| Refused(429, "too_many_failures"),
        sees: |answer| answer.value("retry-after").is_some_and(|wait| wait.parse::<u32>().unwrap() >= 1),
        ..CASE
    },
];

fn fate(of_header: Fate) -> Outcome {
    match of_header {
        Fate::Refused => Refused(403, "forged_header"),
        Fate::Dropped => Allowed,
    }
}

fn forged(ask: Ask) -> Ask {
    [
        ("X-Forwarded-For", INSIDE),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", FORGED),
        ("X-Forwarded-Method", FORGED),
        ("X-Forwarded-Uri", "/forged-value"),
        ("X-Original-URL", "https://inner/"),
        ("X-Original-Method", "OPTIONS"),
        ("Forwarded", "proto=https"),
    ]
    .into_iter()
    .fold(ask, |ask, (name, value)| ask.header(name, value))
}

fn websocket(ask: Ask, connection: &str) -> Ask {
    let key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    [("Connection", connection), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), key]
        .into_iter()
        .fold(ask, |ask, (name, value)| ask.header(name, value))
}

fn upload() -> Vec<u8> {
    (0..3 * 1024 * 1024_u32).map(|n| b'a' + u8::try_from(n % 23).unwrap()).collect()
}

pub fn run(proxy: &Proxy, place: Place) {
    let lab = Lab::new(place);
    let proxies = [Http::One, Http::Two].map(|http| lab.proxy(proxy, http));
    let mut guard = None;
    let mut policy = None;
    for case in CASES {
        if policy.replace(case.policy) != Some(case.policy) {
            drop(guard.take());
            guard = Some(lab.guard(case.policy));
        }
        let ask = (case.ask)(&lab);
        let answer = ask.send(&lab, proxies[usize::from(case.http == Http::Two)].1, case.http);
        let told = format!("{}, {}: {}\n{}", proxy.name, case.what, answer.head, answer.body);
        assert!((case.sees)(&answer), "{told}");
        let arrived = lab.service.take();
        match (case.outcome)(proxy) {
            Allowed => {
                assert!(matches!(answer.status, 200 | 101), "{told}");
                let [request] = &arrived[..] else { panic!("{told}: {arrived:?}") };
                is_guarded(&lab, request, &usual(&lab), &told);
                assert!(request.body == ask.body, "{told}: {}", request.body.len());
                if case.what == "a key" {
                    assert_eq!(plainly(request), proxy.service_gets, "{told}");
                }
            }
            Refused(status, reason) => {
                assert_eq!(answer.status, status, "{told}");
                assert!(arrived.is_empty(), "{told}: {arrived:?}");
                if proxy.has_bodies && !reason.is_empty() {
                    assert!(answer.body.contains(&format!("\"reason\":\"{reason}\"")), "{told}");
                }
            }
        }
        assert!(!answer.head.to_lowercase().contains("x-keyward"), "{told}");
    }
    drop(guard);
    others(proxy, &lab, proxies[0].1);
}

/// Other clients, and a policy that passes other headers to the service.
fn others(proxy: &Proxy, lab: &Lab, address: SocketAddr) {
    let guard = lab.guard(&[]);
    let clients: [(&str, Client); 2] = [("requests", requests), ("fetch", fetch)];
    for (name, client) in clients {
        let status = client(address, &lab.secret);
        let arrived = lab.service.take();
        assert_eq!((status, arrived.len()), (200, 1), "{}, {name}", proxy.name);
        is_guarded(lab, &arrived[0], &usual(lab), name);
        assert_eq!(arrived[0].body, b"abc", "{name}");
    }
    drop(guard);
    let file = lab.sandbox.path("serve.toml");
    std::fs::write(&file, "[policy.default]\nheaders = [\"name\", \"group\", \"levels\"]\n").unwrap();
    let _guard = lab.guard(&["--config", file.to_str().unwrap()]);
    assert_eq!(Ask::with(&lab.secret).send(lab, address, Http::One).status, 200, "{}", proxy.name);
    is_guarded(lab, &lab.service.take()[0], &told("deploy", &[("group", "-"), ("levels", "-")]), proxy.name);
}
