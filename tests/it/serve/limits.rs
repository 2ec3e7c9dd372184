//! Limits as the guard enforces them: which requests pass, what the proxy is told, and what survives a restart.

use serde_json::Value;

use super::{Answer, FACTS, Guard, Wire, eventually, head};
use crate::harness::Sandbox;

/// Runs a command with the real binary, which uses the real time.
fn run(sandbox: &Sandbox, line: &str) -> String {
    let output = sandbox.binary(line).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn mint(sandbox: &Sandbox, line: &str) -> String {
    let made: Value = serde_json::from_str(&run(sandbox, &format!("create {line} --json"))).unwrap();
    made["secret"].as_str().unwrap().to_owned()
}

fn ask(wire: &mut Wire, path: &str, secret: &str) -> Answer {
    wire.ask(&head("GET", path, &[&FACTS[..], &[("X-Api-Key", secret)]].concat()))
}

/// The statuses of this many requests.
fn statuses(wire: &mut Wire, secret: &str, number: usize) -> Vec<u16> {
    (0..number).map(|_| ask(wire, "/forward/default", secret).status).collect()
}

#[test]
fn a_key_is_let_through_as_often_as_its_limit_says() {
    let sandbox = Sandbox::new();
    let secret = mint(&sandbox, "deploy --limit 3/1h,100/1d");
    let guard = Guard::start(&sandbox, "");
    let wire = &mut guard.connect();
    for left in [2, 1, 0] {
        let answer = ask(wire, "/forward/default", &secret);
        assert_eq!((answer.status, answer.only("x-keyward-reason")), (200, "allowed"));
        assert_eq!(answer.only("ratelimit-policy"), "\"1h\";q=3;w=3600, \"1d\";q=100;w=86400");
        assert!(answer.only("ratelimit").starts_with(&format!("\"1h\";r={left};t=")), "{answer:?}");
        assert!(answer.only("ratelimit").contains(&format!(", \"1d\";r={};t=", 97 + left)), "{answer:?}");
    }
    let refused = ask(wire, "/forward/default", &secret);
    assert_eq!((refused.status, refused.only("x-keyward-reason")), (429, "rate_limited"));
    let wait: u64 = refused.only("retry-after").parse().unwrap();
    assert!((1..=1_200).contains(&wait), "{wait}");
    assert!(refused.only("ratelimit").starts_with(&format!("\"1h\";r=0;t={wait}")), "{refused:?}");
    let body: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!((&body["reason"], &body["checks"][0]), (&"rate_limited".into(), &"rate_limited".into()));
    // nginx knows only 403; the actual status is in a header.
    let original = [("X-Original-URL", "https://api.example.org/"), ("X-Api-Key", secret.as_str())];
    for (path, headers) in [("/nginx/default", None), ("/original/default", Some(&original[..]))] {
        let refused = match headers {
            Some(headers) => wire.ask(&head("GET", path, headers)),
            None => ask(wire, path, &secret),
        };
        assert_eq!(
            (refused.status, refused.only("x-keyward-status"), refused.body.as_str()),
            (403, "429", ""),
            "{path}"
        );
        assert!(refused.only("retry-after").parse::<u64>().unwrap() >= 1);
    }
    let metrics = guard.admin("/metrics").body;
    assert!(metrics.contains("keyward_limited_total{policy=\"default\",limit=\"1h\"} 3\n"), "{metrics}");
}

#[test]
fn the_limits_of_a_policy_are_for_keys_without_their_own() {
    let sandbox = Sandbox::new();
    let (own, none) = (mint(&sandbox, "own --limit 5/1h"), mint(&sandbox, "without"));
    let other = mint(&sandbox, "other");
    let guard = Guard::configured(&sandbox, "[policy.default]\nlimits = [\"2/1h\"]\n[policy.free]\n");
    let wire = &mut guard.connect();
    assert_eq!(statuses(wire, &own, 6), [200, 200, 200, 200, 200, 429]);
    assert_eq!(statuses(wire, &none, 3), [200, 200, 429]);
    assert_eq!(statuses(wire, &other, 3), [200, 200, 429], "each key has its own share");
    assert_eq!(ask(wire, "/forward/free", &none).status, 200);
}

#[test]
fn what_all_keys_of_a_user_and_a_tenant_share_is_told_as_theirs() {
    let sandbox = Sandbox::new();
    run(&sandbox, "user create ann --limit 4/1h");
    run(&sandbox, "tenant create acme --limit 3/1d");
    let (one, two) = (mint(&sandbox, "one --owner ann --tenant acme"), mint(&sandbox, "two --owner ann"));
    let guard = Guard::configured(&sandbox, "[policy.default]\ntenant = \"acme\"\n");
    let wire = &mut guard.connect();
    assert_eq!(statuses(wire, &one, 2), [200, 200]);
    let answer = ask(wire, "/forward/default", &one);
    assert_eq!(answer.only("ratelimit-policy"), "\"tenant-1d\";q=3;w=86400, \"user-1h\";q=4;w=3600");
    let refused = ask(wire, "/forward/default", &one);
    assert_eq!((refused.status, refused.only("x-keyward-reason")), (429, "quota_exceeded"));
    assert_eq!(statuses(wire, &two, 2), [200, 429], "a refusal has taken nothing of what the user has");
}

#[test]
fn a_restart_and_a_command_beside_it_know_what_was_used() {
    let sandbox = Sandbox::new();
    let secret = mint(&sandbox, "deploy --limit 6/1h,100/1d");
    let mut guard = Guard::start(&sandbox, "");
    assert_eq!(statuses(&mut guard.connect(), &secret, 2), [200, 200]);
    assert!(guard.stop().success());
    let mut guard = Guard::start(&sandbox, "");
    assert_eq!(statuses(&mut guard.connect(), &secret, 2), [200, 200]);
    // The guard writes it within a second.
    std::fs::write(sandbox.path("secret"), &secret).unwrap();
    let line = format!("verify --from-file {} --no-record --json", sandbox.path("secret").display());
    let left = eventually(|| {
        let answer: Value = serde_json::from_str(&run(&sandbox, &line)).unwrap();
        let rate = answer["checks"].as_array().unwrap().iter().find(|check| check["check"] == "rate_limited").cloned();
        rate.filter(|rate| rate["detail"].as_str().unwrap().starts_with("2 left"))
    });
    assert!(left.is_some());
    let verify = format!("verify --from-file {}", sandbox.path("secret").display());
    run(&sandbox, &verify);
    assert!(guard.stop().success());
    let guard = Guard::start(&sandbox, "");
    // A rate counts in each process from the later of both times.
    let allowed = statuses(&mut guard.connect(), &secret, 5).into_iter().filter(|status| *status == 200).count();
    assert!((1..=2).contains(&allowed), "{allowed}");
    drop(guard);
}

#[test]
fn many_connections_together_stay_within_a_limit() {
    let sandbox = Sandbox::new();
    let secret = mint(&sandbox, "deploy --limit 50/1h");
    let guard = Guard::start(&sandbox, "");
    assert_eq!(statuses(&mut guard.connect(), &secret, 1), [200]);
    let allowed: usize = std::thread::scope(|scope| {
        let ask = || statuses(&mut guard.connect(), &secret, 20).into_iter().filter(|status| *status == 200).count();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(allowed, 49);
}
