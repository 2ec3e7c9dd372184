use crate::policy::Identity;
use std::sync::Arc;

use keyward_core::rules::credential::parse_line;
use keyward_core::rules::decision::Request;
use keyward_core::rules::hashing::{Cost, HashedSecret};
use keyward_core::rules::http::Transport;
use keyward_core::rules::key::Settings;
use keyward_core::rules::names::Prefix;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::{NewKey, NewSecret, Stamp, Store, StoreError};
use keyward_core::verifier::{Answer, Verifier, VerifyError};

use super::*;
use crate::Refusal;

const ALL: [Option<Dialect>; 5] =
    [Some(Dialect::Forward), Some(Dialect::Nginx), Some(Dialect::Original), Some(Dialect::Envoy), None];

fn policy() -> Policy {
    Policy::new("rest".parse().unwrap())
}

fn id() -> RequestId {
    RequestId::new(0xabc)
}

/// The verifier's answer for a key with this name and these settings, and a request.
fn answer(name: &str, change: impl FnOnce(&mut Settings), request: &Request) -> Answer {
    let now = "2026-01-31T12:00:00Z".parse().unwrap();
    let secret = Secret::build(&Prefix::default(), Id::from_random([1; 8]), &[1; 32]);
    let mut settings = Settings::with_prefix(Prefix::default());
    change(&mut settings);
    let mut store = Store::in_memory(now).unwrap();
    let hash = HashedSecret::new(&secret, [1; 16], Cost::FLOOR).unwrap();
    let first = NewSecret { id: secret.id().clone(), hash };
    let (id, name) = (Id::from_random([2; 8]), name.parse().unwrap());
    let new = NewKey { id: &id, name: &name, settings: &settings, secret: &first };
    store
        .write(Stamp { now, actor: None }, |changes| {
            let mut settings = store_settings();
            settings.hash_cost = Cost::FLOOR;
            changes.save_settings(&settings)?;
            changes.insert_key(&new).map(drop)
        })
        .map_err(|error: StoreError| error.to_string())
        .unwrap();
    Verifier::new(store).unwrap().verify(parse_line(secret.expose()), request, now).unwrap()
}

fn store_settings() -> keyward_core::store::StoreSettings {
    keyward_core::store::StoreSettings::default()
}

fn reply(ruling: &Ruling, policy: &Policy, dialect: Option<Dialect>) -> Reply {
    Reply::new(ruling, Some(policy), dialect)
}

fn header<'r>(reply: &'r Reply, name: &str) -> &'r str {
    reply.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The status on the wire, the reason, the wait, the real status, and whether there is a body.
fn told(reply: &Reply) -> (u16, &str, &str, &str, bool) {
    let (reason, wait, meant) = ("x-keyward-reason", "retry-after", "x-keyward-status");
    (reply.status.as_u16(), header(reply, reason), header(reply, wait), header(reply, meant), !reply.body.is_empty())
}

#[test]
fn every_refusal_in_every_dialect() {
    for refusal in Refusal::ALL {
        let (status, wait) = match refusal {
            Refusal::UntrustedPeer
            | Refusal::ForgedHeader
            | Refusal::AmbiguousRequest
            | Refusal::AmbiguousPath
            | Refusal::NoRoute => (403, ""),
            Refusal::TooManyFailures => (429, "7"),
            Refusal::StoreUnusable | Refusal::Overloaded | Refusal::Draining | Refusal::NameUnusable => (503, "1"),
            Refusal::UnknownPolicy | Refusal::Internal => (500, ""),
        };
        let ruling = match refusal {
            Refusal::TooManyFailures => Ruling::refused_for(id(), refusal, 7),
            refusal => Ruling::refused(id(), refusal),
        };
        for dialect in ALL {
            let reply = Reply::new(&ruling, None, dialect);
            let is_terse = matches!(dialect, Some(Dialect::Nginx | Dialect::Original));
            let (on_the_wire, meant) = if is_terse && status == 429 { (403, "429") } else { (status, "") };
            let expected = (on_the_wire, refusal.as_str(), wait, meant, !is_terse);
            assert_eq!(told(&reply), expected, "{refusal:?} {dialect:?}");
            assert_eq!(header(&reply, "cache-control"), "no-store");
            assert_eq!(header(&reply, "x-keyward-request-id"), "0000000000000abc");
            assert_eq!(header(&reply, "www-authenticate"), "");
            assert_eq!(header(&reply, "content-type"), if is_terse { "" } else { "application/problem+json" });
            if !is_terse {
                let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
                assert_eq!((&body["status"], &body["reason"]), (&status.into(), &refusal.as_str().into()));
                assert_eq!(body["checks"], serde_json::json!([]));
            }
        }
    }
    assert_eq!(
        told(&reply(&Ruling::refused_for(id(), Refusal::TooManyFailures, 0), &policy(), None)).2,
        "1",
        "never 0"
    );
}

#[test]
fn what_could_not_be_checked_says_no_more_than_that() {
    let path = std::path::PathBuf::from("/secret/place");
    for (error, status, reason) in [
        (VerifyError::Overloaded, 503, "overloaded"),
        (VerifyError::GivenUp, 503, "overloaded"),
        (VerifyError::Store(StoreError::Missing(path.clone())), 503, "store_unusable"),
        (VerifyError::Store(StoreError::Locked(path)), 503, "store_unusable"),
    ] {
        let ruling = Ruling::failed(id(), error);
        assert!(!ruling.is_allowed());
        for dialect in ALL {
            let reply = reply(&ruling, &policy(), dialect);
            assert_eq!((told(&reply).0, told(&reply).1), (status, reason));
            assert_eq!(header(&reply, "retry-after"), if status == 503 { "1" } else { "" });
            assert!(!String::from_utf8(reply.body).unwrap().contains("secret"));
        }
    }
}

#[test]
fn a_yes_is_200_in_every_dialect_and_tells_everything() {
    let policy = Policy { headers: Identity::ALL.to_vec(), ..policy() };
    for dialect in ALL {
        let answer = answer("deploy", |_| {}, &Request::over(Transport::Https));
        let reply = reply(&Ruling::answered(id(), answer), &policy, dialect);
        assert_eq!(told(&reply), (200, "allowed", "", "", false));
        assert_eq!(reply.headers.len(), 3 + Identity::ALL.len());
        assert!(reply.headers.values().all(|value| !value.is_empty()));
        assert_eq!((header(&reply, "x-keyward-name"), header(&reply, "x-keyward-owner")), ("deploy", "-"));
    }
}

#[test]
fn a_yes_that_cannot_say_whose_it_is_is_none() {
    let ruling = Ruling::answered(id(), answer("deploy", |_| {}, &Request::over(Transport::Https)));
    for dialect in ALL {
        let reply = Reply::new(&ruling, None, dialect);
        assert_eq!((reply.status.as_u16(), told(&reply).1, told(&reply).2), (503, "name_unusable", "1"));
        assert!(Identity::ALL.iter().all(|identity| reply.headers.get(identity.header()).is_none()));
    }
    // No new key can have this name, but a key in an older store may.
    let now = "2026-01-31T12:00:00Z".parse().unwrap();
    let (name, settings) = ("-".parse().unwrap(), Settings::with_prefix(Prefix::default()));
    let key = keyward_core::rules::key::Key::new(Id::from_random([2; 8]), name, settings, now);
    assert!(!identity::write(&key, &policy(), &mut HeaderMap::new()));
    let quiet = Policy { headers: vec![Identity::Id], ..policy() };
    assert!(identity::write(&key, &quiet, &mut HeaderMap::new()), "where it is not told");
}

#[test]
fn challenges_are_those_of_rfc_6750() {
    let mut scoped = Request::over(Transport::Https);
    scoped.scopes = vec!["a".parse().unwrap(), "b".parse().unwrap()];
    let plain = Request::over(Transport::Https);
    let refused = |line: &str| {
        let store = Store::in_memory("2026-01-31T12:00:00Z".parse().unwrap()).unwrap();
        let verifier = Verifier::new(store).unwrap();
        verifier.verify(parse_line(line), &plain, "2026-01-31T12:00:00Z".parse().unwrap()).unwrap()
    };
    let nothing = parse_line("");
    let store = Store::in_memory("2026-01-31T12:00:00Z".parse().unwrap()).unwrap();
    let missing =
        Verifier::new(store).unwrap().verify(nothing, &plain, "2026-01-31T12:00:00Z".parse().unwrap()).unwrap();
    let silent = Policy { explains: false, ..policy() };
    let basic = Policy { offers_basic: true, ..policy() };
    let invalid = "Bearer realm=\"rest\", error=\"invalid_token\"";
    for (answer, policy, reason, challenges) in [
        (missing, policy(), "no_credential", &["Bearer realm=\"rest\""][..]),
        (refused("nothing"), policy(), "not_genuine", &[invalid]),
        (refused("nothing"), basic.clone(), "not_genuine", &[invalid, "Basic realm=\"rest\", charset=\"UTF-8\""]),
        (answer("a", |settings| settings.enabled = false, &plain), policy(), "key_disabled", &[invalid]),
        (
            answer("a", |_| {}, &scoped),
            policy(),
            "scope_missing",
            &["Bearer realm=\"rest\", error=\"insufficient_scope\", scope=\"a b\""],
        ),
        (
            answer("a", |_| {}, &scoped),
            basic,
            "scope_missing",
            &["Bearer realm=\"rest\", error=\"insufficient_scope\", scope=\"a b\""],
        ),
        (
            answer("a", |_| {}, &scoped),
            silent,
            "scope_missing",
            &["Bearer realm=\"rest\", error=\"insufficient_scope\""],
        ),
        (answer("a", |_| {}, &Request::over(Transport::Http)), policy(), "insecure_transport", &[]),
    ] {
        let ruling = Ruling::answered(id(), answer);
        for dialect in ALL {
            let reply = reply(&ruling, &policy, dialect);
            let found: Vec<_> =
                reply.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!((header(&reply, "x-keyward-reason"), &found[..]), (reason, challenges), "{dialect:?}");
            let body = String::from_utf8(reply.body.clone()).unwrap();
            assert!(!body.contains("malformed"), "{body}");
            if !body.is_empty() {
                assert_eq!(body.contains("\"reason\""), policy.explains, "{body}");
            }
        }
    }
}

#[test]
fn a_request_is_called_as_it_came_only_where_that_is_a_plain_word() {
    let given = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-request-id", HeaderValue::from_static(value));
        }
        RequestId::given(&headers).map(|id| id.as_str().to_owned())
    };
    assert_eq!(given(&["a.B-9_"]).as_deref(), Some("a.B-9_"));
    for values in [&[][..], &[""], &["a b"], &["a\tb"], &["a,b"], &["a", "a"], &["\"a\""]] {
        assert_eq!(given(values), None, "{values:?}");
    }
    let policy = Arc::new(policy());
    let reply = Reply::new(&Ruling::refused(RequestId::new(u64::MAX), Refusal::NoRoute), Some(&policy), None);
    assert_eq!(header(&reply, "x-keyward-request-id"), "ffffffffffffffff");
}
