//! `POST /v1/verify`: a service asks for itself.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::World;
use super::{Answer, Guard, head};
use crate::harness::Sandbox;

fn post_to(world: &World, body: &str) -> Answer {
    post(&world.guard, &[("Content-Type", "application/json")], body)
}

/// Asks, and returns the status and the reason of the decision.
fn ask(world: &World, question: &Value) -> (u64, String) {
    let answer = post_to(world, &question.to_string());
    assert_eq!((answer.status, answer.only("content-type")), (200, "application/json"), "{question} {answer:?}");
    assert_eq!(answer.only("cache-control"), "no-store");
    let decision = answer.json();
    assert_eq!(decision["allowed"], decision["status"] == 200);
    (decision["status"].as_u64().unwrap(), decision["reason"].as_str().unwrap().to_owned())
}

fn post(guard: &Guard, headers: &[(&str, &str)], body: &str) -> Answer {
    let length = body.len().to_string();
    let headers = [headers, &[("Content-Length", length.as_str())]].concat();
    guard.connect().ask(&(head("POST", "/v1/verify", &headers) + body))
}

#[test]
fn what_is_no_question_is_refused() {
    let world = World::with_api();
    let secret = world.sandbox.mint("deploy");
    let good = json!({ "credential": secret, "policy": "default", "transport": "https" });
    assert_eq!(ask(&world, &good), (200, "allowed".to_owned()));
    for (body, says) in [
        ("", ""),
        ("{", ""),
        ("[]", ""),
        ("null", ""),
        ("\"text\"", ""),
        ("{}", "policy"),
        ("{\"credential\":\"x\"}", "policy"),
        ("{\"policy\":\"default\"}", ""),
        ("{\"credential\":\"x\",\"policy\":\"nobody\"}", "there is no policy"),
        ("{\"credential\":\"x\",\"policy\":\"routes\"}", "there is no policy"),
        ("{\"credential\":\"x\",\"policy\":\"\"}", "there is no policy"),
        ("{\"credential\":\"x\",\"policy\":7}", "expected a string"),
        ("{\"credential\":\"x\",\"policy\":\"default\",\"policy\":\"narrow\"}", ""),
        ("{\"credential\":\"x\",\"policy\":\"default\",\"scope\":[]}", "scope"),
        ("{\"credential\":\"PLANTED\",\"policy\":\"default\",\"scopes\":7}", ""),
        ("{\"credential\":\"PLANTED\",\"policy\":\"default\",\"ip\":\"x\"}", ""),
        ("{\"credential\":\"x\",\"policy\":\"default\"} {}", ""),
        ("{\"credential\":\"x\",\"policy\":\"acme\",\"tenant\":\"other\"}", "tenant"),
    ] {
        let answer = post_to(&world, body);
        assert_eq!(
            (answer.status, answer.only("content-type")),
            (400, "application/problem+json"),
            "{body}: {answer:?}"
        );
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(!detail.is_empty() && detail.contains(says) && !detail.contains("PLANTED"), "{body}: {detail}");
    }
    for (headers, status) in [
        (&[][..], 415),
        (&[("Content-Type", "text/plain")], 415),
        (&[("Content-Type", "application/x-www-form-urlencoded")], 415),
        (&[("Content-Type", "application/jsonp")], 415),
        (&[("Content-Type", "application/json"), ("Content-Type", "application/json")], 415),
        (&[("Content-Type", "APPLICATION/JSON; charset=utf-8")], 200),
    ] {
        assert_eq!(post(&world.guard, headers, &good.to_string()).status, status, "{headers:?}");
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let answer = world.guard.connect().ask(&head(method, "/v1/verify", &[]));
        assert_eq!((answer.status, answer.only("allow")), (405, "POST"), "{method}");
    }
    for (status, reason) in [(400, "not_a_question"), (405, "wrong_method"), (415, "wrong_media_type")] {
        world.guard.line(|line| line["event"] == "problem" && line["status"] == status && line["reason"] == reason);
    }
    assert!(!world.guard.text().contains("PLANTED"));
}

#[test]
fn a_body_has_its_measure() {
    let world = World::with_api();
    let secret = world.sandbox.mint("deploy");
    let json = [("Content-Type", "application/json")];
    let padded = |size: usize| {
        let question = json!({ "credential": secret, "policy": "default", "transport": "https" }).to_string();
        question.clone() + &" ".repeat(size - question.len())
    };
    assert_eq!(post(&world.guard, &json, &padded(128 * 1024)).status, 200);
    for _ in 0..10 {
        let mut wire = world.guard.connect();
        let body = padded(128 * 1024 + 1);
        let length = body.len().to_string();
        wire.send(head("POST", "/v1/verify", &[json[0], ("Content-Length", &length)]));
        wire.try_send(&body);
        assert_eq!(wire.answer(false).map(|answer| answer.status), Some(413));
    }
    // In chunks, then a whole body on the same connection.
    let mut wire = world.guard.connect();
    let body = padded(300);
    wire.send(head("POST", "/v1/verify", &[json[0], ("Transfer-Encoding", "chunked")]));
    for part in body.as_bytes().chunks(100) {
        wire.send(format!("{:x}\r\n", part.len()));
        wire.send(part);
        wire.send("\r\n");
    }
    wire.send("0\r\n\r\n");
    assert_eq!(wire.answer(false).unwrap().status, 200);
    assert_eq!(
        wire.ask(&(head("POST", "/v1/verify", &[json[0], ("Content-Length", "300")]) + &body)).status,
        200,
        "it goes on"
    );
    // A body that never arrives in full.
    let mut late = world.guard.connect();
    let start = Instant::now();
    late.send(head("POST", "/v1/verify", &[json[0], ("Content-Length", "300")]));
    late.send(&body[..10]);
    let mut cut = world.guard.connect();
    cut.send(head("POST", "/v1/verify", &[json[0], ("Content-Length", "300")]));
    cut.send(&body[..10]);
    cut.end();
    if let Some(answer) = cut.answer(false) {
        assert_eq!(answer.status, 400);
    }
    let answer = late.answer(false).unwrap();
    assert_eq!((answer.status, answer.closes()), (408, true));
    assert!(start.elapsed() > Duration::from_secs(4));
    for reason in ["too_large", "too_slow", "cut_short"] {
        world.guard.line(|line| line["event"] == "problem" && line["reason"] == reason);
    }
}

#[test]
fn a_body_adds_to_a_policy_and_takes_nothing_away() {
    let world = World::with_api();
    let plain = world.sandbox.mint("plain --scope b --level B");
    let full = world.sandbox.mint("full --scope a,b --level A,B --role editor");
    let viewer = world.sandbox.mint("viewer --role viewer");
    let theirs = world.sandbox.mint("theirs --tenant acme");
    for (secret, policy, more, status, reason) in [
        (&plain, "default", json!({}), 200, "allowed"),
        (&plain, "default", json!({ "transport": "http" }), 403, "insecure_transport"),
        (&plain, "default", json!({ "scopes": ["a"] }), 403, "scope_missing"),
        (&plain, "default", json!({ "scopes": ["b"] }), 200, "allowed"),
        (&plain, "narrow", json!({}), 403, "scope_missing"),
        (&plain, "narrow", json!({ "scopes": [], "levels": [] }), 403, "scope_missing"),
        (&plain, "narrow", json!({ "scopes": ["b"], "levels": ["B"] }), 403, "scope_missing"),
        (&full, "narrow", json!({}), 200, "allowed"),
        (&full, "narrow", json!({ "scopes": ["a", "b"] }), 200, "allowed"),
        (&full, "narrow", json!({ "scopes": ["c"] }), 403, "scope_missing"),
        (&viewer, "editor", json!({}), 403, "role_too_low"),
        (&viewer, "editor", json!({ "role": "viewer" }), 403, "role_too_low"),
        (&full, "editor", json!({ "role": "viewer" }), 200, "allowed"),
        (&full, "editor", json!({ "role": "nobody" }), 403, "role_too_low"),
        (&viewer, "default", json!({ "role": "editor" }), 403, "role_too_low"),
        (&theirs, "default", json!({}), 403, "tenant_mismatch"),
        (&theirs, "default", json!({ "tenant": "acme" }), 200, "allowed"),
        (&theirs, "acme", json!({}), 200, "allowed"),
        (&theirs, "acme", json!({ "tenant": "acme" }), 200, "allowed"),
        (&theirs, "hosted", json!({}), 403, "tenant_mismatch"),
        (&full, "secure", json!({ "method": "POST" }), 403, "method_not_allowed"),
        (&full, "secure", json!({}), 403, "method_not_allowed"),
        (&full, "secure", json!({ "method": "GET" }), 200, "allowed"),
        (&full, "secure", json!({ "method": "GET", "transport": "http" }), 403, "insecure_transport"),
    ] {
        let mut question = json!({ "credential": secret, "policy": policy, "transport": "https" });
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(ask(&world, &question), (status, reason.to_owned()), "{policy} {more}");
    }
    // An unstated transport is not HTTPS if the policy requires it; otherwise, it is read as in a batch.
    let silent = |policy: &str| ask(&world, &json!({ "credential": full, "policy": policy, "method": "GET" }));
    assert_eq!(silent("secure"), (403, "insecure_transport".to_owned()));
    assert_eq!(silent("default"), (200, "allowed".to_owned()));
    let answer =
        post_to(&world, &json!({ "credential": full, "policy": "narrow", "transport": "https" }).to_string()).json();
    assert_eq!(answer["key"]["name"], "full", "{answer}");
}

#[test]
fn it_is_there_only_where_it_was_asked_for() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let guard = Guard::start(&sandbox, "");
    let body = json!({ "credential": secret, "policy": "default", "transport": "https" }).to_string();
    let answer = post(&guard, &[("Content-Type", "application/json")], &body);
    assert_eq!((answer.status, answer.closes()), (404, true));
    let mut admin = super::Wire::to(&guard.admin);
    assert_eq!(admin.ask(&head("GET", "/v1/verify", &[])).status, 404);
    // Questions there are counted like all others, and guessing is stopped too.
    let world = World::with_api();
    for number in 0..31 {
        let question = json!({ "credential": format!("x{number}"), "policy": "default", "ip": "203.0.113.9" });
        let answer = post_to(&world, &question.to_string());
        assert_eq!(answer.status, if number < 30 { 200 } else { 429 }, "{answer:?}");
    }
    let metrics = world.guard.admin("/metrics").body;
    assert!(metrics.contains("keyward_cache_lookups_total{outcome=\"hit\"} 0"), "{metrics}");
}
