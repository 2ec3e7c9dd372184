//! Which requests are allowed, and how the others are answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use keyward_core::rules::hashing::Cost;
use keyward_core::store::Store;
use tower_layer::Layer as _;
use tower_service::Service as _;

use super::super::GuardLayer;
use super::{Named, Scene, bearer, call, make_ready, request, set_cost, told, wait};
use crate::Policy;

fn problem(status: u16, title: &str, reason: &str, checks: &str) -> String {
    format!(
        r#"{{"type":"about:blank","title":"{title}","status":{status},"reason":"{reason}","checks":[{checks}],"request_id":"r1"}}"#
    )
}

/// A well-formed secret that no key has.
fn unknown_secret(number: u8) -> String {
    let prefix = "kw".parse().unwrap();
    let id = keyward_core::rules::token::Id::from_random([number; 8]);
    keyward_core::rules::token::Secret::build(&prefix, id, &[number; 32]).expose().to_owned()
}

#[test]
fn every_refusal_is_told_as_the_server_tells_it() {
    let scene = Scene::new();
    let good = bearer(&scene.mint("good", |_| {}));
    let other = scene.mint("other", |_| {});
    let narrow = bearer(&scene.mint("narrow", |settings| settings.scopes.clear()));
    let disabled = bearer(&scene.mint("disabled", |settings| settings.enabled = false));
    let expired = bearer(&scene.mint("expired", |settings| settings.expires_at = "2026-01-01T00:00:00Z".parse().ok()));
    let bound = bearer(&scene.mint("bound", |settings| {
        settings.allowed_ips.insert("10.0.0.0/8".parse().unwrap());
    }));
    let unknown = bearer(&unknown_secret(0));
    let invalid = r#" www-authenticate: Bearer realm="default", error="invalid_token";"#;
    let scope = r#" www-authenticate: Bearer realm="default", error="insufficient_scope", scope="read";"#;
    let refused = |status: u16, title: &str, reason: &str, challenge: &str| {
        let body = problem(status, title, reason, &format!("\"{reason}\""));
        format!("{status}{challenge} x-keyward-reason: {reason}; {body}")
    };
    let unauthorized = |reason: &str, challenge: &str| refused(401, "Unauthorized", reason, challenge);
    let forbidden = |reason: &str, challenge: &str| refused(403, "Forbidden", reason, challenge);
    let own = |reason: &str| format!("403 x-keyward-reason: {reason}; {}", problem(403, "Forbidden", reason, ""));
    let named = Named::default();
    let calls = Arc::clone(&named.calls);
    let mut service = scene.reading().layer(named);
    for (headers, expected) in [
        (vec![], unauthorized("no_credential", r#" www-authenticate: Bearer realm="default";"#)),
        (vec![("authorization", unknown.as_str())], unauthorized("not_genuine", invalid)),
        (vec![("authorization", "Bearer kw_nonsense")], unauthorized("not_genuine", invalid)),
        (vec![("authorization", &disabled)], unauthorized("key_disabled", invalid)),
        (vec![("authorization", &expired)], unauthorized("key_expired", invalid)),
        (vec![("authorization", &good), ("x-api-key", &other)], unauthorized("ambiguous_credential", invalid)),
        (vec![("authorization", &narrow)], forbidden("scope_missing", scope)),
        // The client's address is unknown.
        (vec![("authorization", &bound)], forbidden("ip_not_allowed", "")),
        (vec![("authorization", &good), ("x-keyward-name", "root")], own("forged_header")),
        (vec![("authorization", &good), ("X_Keyward.Name", "root")], own("forged_header")),
        (vec![("authorization", &good), ("host", "a.example"), ("host", "b.example")], own("ambiguous_request")),
        (vec![("authorization", &good)], "200 good".to_owned()),
        (vec![("x-api-key", &other)], "200 other".to_owned()),
    ] {
        let response = call(&mut service, request(&headers)).unwrap();
        assert_eq!(told(&response), expected, "{headers:?}");
        if response.status() != 200 {
            let header = |name: &str| response.headers()[name].to_str().unwrap();
            assert_eq!(header("cache-control"), "no-store");
            assert_eq!((header("content-type"), header("x-keyward-request-id")), ("application/problem+json", "r1"));
        }
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2, "the service hears of no refused request");
}

#[test]
fn without_a_word_about_tls_a_key_that_needs_it_is_refused() {
    let scene = Scene::new();
    let strict = bearer(&scene.mint("strict", |_| {}));
    let plain = bearer(&scene.mint("plain", |settings| settings.require_secure = false));
    let layer = scene.guard.policy(Policy::default());
    let status = |layer: &GuardLayer, headers: &[(&str, &str)]| {
        call(&mut layer.layer(Named::default()), request(headers)).unwrap().status().as_u16()
    };
    let lied = [("authorization", strict.as_str()), ("x-forwarded-proto", "https")];
    assert_eq!(status(&layer, &lied), 403, "nobody has said that a proxy writes it");
    assert_eq!(status(&layer, &[("authorization", &plain)]), 200);
    assert_eq!(status(&layer.clone().behind_tls(), &lied[..1]), 200);
    assert_eq!(status(&layer.behind_proxies([]), &lied), 200);
}

#[test]
fn the_client_is_where_the_service_says_that_it_is() {
    let scene = Scene::new();
    let bound = bearer(&scene.mint("bound", |settings| {
        settings.allowed_ips.insert("203.0.113.0/24".parse().unwrap());
    }));
    let from = |client: &str, layer: GuardLayer| {
        let mut asked = request(&[("authorization", &bound), ("x-forwarded-for", "203.0.113.9, 10.0.0.1")]);
        asked.extensions_mut().insert(client.parse::<std::net::IpAddr>().unwrap());
        call(&mut layer.layer(Named::default()), asked).unwrap().status().as_u16()
    };
    let by_peer = scene.reading().peer(|extensions| extensions.get().copied());
    assert_eq!(from("203.0.113.7", scene.reading()), 403);
    assert_eq!(from("203.0.113.7", by_peer.clone()), 200);
    assert_eq!(from("192.0.2.7", by_peer.clone()), 403);
    assert_eq!(from("192.0.2.7", scene.reading().behind_proxies(["10.0.0.0/8".parse().unwrap()])), 200);
    assert_eq!(from("203.0.113.7", by_peer.behind_proxies([])), 403, "the last proxy is not the client");
}

#[test]
fn each_route_has_a_policy_of_its_own() {
    let scene = Scene::new();
    let reader = bearer(&scene.mint("reader", |_| {}));
    let writer = bearer(&scene.mint("writer", |settings| {
        settings.scopes.insert("write".parse().unwrap());
    }));
    let named = |name: &str, scope: &str| Policy::new(name.parse().unwrap()).with_scope(scope.parse().unwrap());
    let reading = scene.guard.policy(named("reading", "read")).behind_tls();
    let writing = scene.guard.policy(named("writing", "read").with_scope("write".parse().unwrap())).behind_tls();
    let answer = |layer: &GuardLayer, secret: &str| {
        told(&call(&mut layer.layer(Named::default()), request(&[("authorization", secret)])).unwrap())
    };
    assert_eq!(answer(&reading, &reader), "200 reader");
    assert_eq!(answer(&reading, &writer), "200 writer");
    assert_eq!(answer(&writing, &writer), "200 writer");
    let refused = answer(&writing, &reader);
    let challenge = r#"403 www-authenticate: Bearer realm="writing", error="insufficient_scope", scope="write";"#;
    assert!(refused.starts_with(challenge), "{refused}");
}

#[test]
fn a_policy_that_explains_nothing_does_not_say_why() {
    let scene = Scene::new();
    let narrow = bearer(&scene.mint("narrow", |settings| settings.scopes.clear()));
    let mut policy = Policy::default().with_scope("read".parse().unwrap());
    policy.explains = false;
    let mut service = scene.guard.policy(policy).behind_tls().layer(Named::default());
    let response = call(&mut service, request(&[("authorization", &narrow)])).unwrap();
    let challenge = r#"403 www-authenticate: Bearer realm="default", error="insufficient_scope";"#;
    let body = r#"{"type":"about:blank","title":"Forbidden","status":403,"request_id":"r1"}"#;
    assert_eq!(told(&response), format!("{challenge} {body}"));
}

#[test]
fn who_fails_too_often_waits_and_a_key_that_matched_does_not() {
    let scene = Scene::new();
    let good = bearer(&scene.mint("good", |_| {}));
    let layer = scene.reading().peer(|_| "203.0.113.9".parse().ok());
    let mut service = layer.layer(Named::default());
    let mut answer = |credential: &str| told(&call(&mut service, request(&[("authorization", credential)])).unwrap());
    assert_eq!(answer(&good), "200 good");
    for _ in 0..30 {
        assert!(answer("Bearer kw_nonsense").starts_with("401"));
    }
    let body = problem(429, "Too Many Requests", "too_many_failures", "");
    let expected = format!("429 retry-after: 6; x-keyward-reason: too_many_failures; {body}");
    assert_eq!(answer("Bearer kw_nonsense"), expected);
    assert_eq!(answer(&good), "200 good");
}

#[test]
fn what_cannot_be_checked_is_no_yes() {
    let body = |reason: &str| problem(503, "Service Unavailable", reason, "");
    let expected = |reason: &str| format!("503 retry-after: 1; x-keyward-reason: {reason}; {}", body(reason));
    let scene = Scene::with_queue(0);
    let mut service = scene.reading().layer(Named::default());
    // A hash of this cost takes longer than a dozen questions.
    set_cost(&mut Store::open(&scene.path()).unwrap(), Cost { memory_kib: 19_456, passes: 4, lanes: 1 });
    let mut ask = |number| {
        make_ready(&mut service);
        service.call(request(&[("authorization", &bearer(&unknown_secret(number)))]))
    };
    let answers: Vec<_> = (0..12).map(&mut ask).collect();
    let told_of: Vec<_> = answers.into_iter().map(|answer| told(&wait(answer).unwrap())).collect();
    assert!(told_of.contains(&expected("overloaded")), "{told_of:?}");
    let scene = Scene::new();
    let good = bearer(&scene.mint("good", |_| {}));
    let mut service = scene.reading().layer(Named::default());
    assert_eq!(told(&call(&mut service, request(&[("authorization", &good)])).unwrap()), "200 good");
    std::fs::remove_file(scene.path()).unwrap();
    let answer = told(&call(&mut service, request(&[("authorization", &good)])).unwrap());
    assert_eq!(answer, expected("store_unusable"));
}
