//! Rules of the decision as a table, and as properties.

use proptest::prelude::*;

use super::*;
use crate::rules::address::parse_address;
use crate::rules::key::tests::{at, sample};
use crate::rules::token::Id;

pub(crate) const NOW: i64 = 1_000;

/// Restricts a key in the way that `what` names.
fn restrict(key: &mut Key, what: &str) {
    let (field, value) = what.split_once('=').unwrap_or((what, ""));
    let settings = &mut key.settings;
    match field {
        "disabled" => settings.enabled = false,
        "expires" => settings.expires_at = Some(at(value.parse().unwrap())),
        "owner" => settings.owner = Some(value.parse().unwrap()),
        "owner-disabled" => {
            settings.owner = Some("ann".parse().unwrap());
            key.standing.owner_enabled = false;
        }
        "tenant" => settings.tenant = Some(value.parse().unwrap()),
        "tenant-disabled" => {
            settings.tenant = Some("acme".parse().unwrap());
            key.standing.tenant_enabled = false;
        }
        "insecure" => settings.require_secure = false,
        "secure" => settings.require_secure = true,
        "ip" => drop(settings.allowed_ips.insert(value.parse().unwrap())),
        "read-only" => settings.read_only = true,
        "scope" => drop(settings.scopes.insert(value.parse().unwrap())),
        "level" => drop(settings.levels.insert(value.parse().unwrap())),
        "role" => {
            settings.role = Some(value.parse().unwrap());
            key.standing.rank = rank(value);
        }
        other => panic!("{other}"),
    }
}

/// Gives a request the fact that `what` names.
fn tell(request: &mut Request, what: &str) {
    let (field, value) = what.split_once('=').unwrap();
    match field {
        "method" => request.method = Some(value.parse().unwrap()),
        "ip" => request.ip = Some(parse_address(value).unwrap()),
        "tenant" => request.tenant = Some(value.parse().unwrap()),
        "scope" => request.scopes.push(value.parse().unwrap()),
        "level" => request.levels.push(value.parse().unwrap()),
        "role" => request.role = Some(WantedRole { name: value.parse().unwrap(), rank: rank(value) }),
        "transport" => request.transport = value.parse().unwrap(),
        other => panic!("{other}"),
    }
}

fn rank(role: &str) -> Option<i64> {
    match role {
        "viewer" => Some(10),
        "editor" => Some(20),
        "admin" => Some(30),
        _ => None,
    }
}

pub(crate) fn build(key_words: &str, request_words: &str) -> (Key, Request) {
    let (mut key, mut request) = (sample(), Request::over(Transport::Local));
    key_words.split_whitespace().for_each(|word| restrict(&mut key, word));
    request_words.split_whitespace().for_each(|word| tell(&mut request, word));
    (key, request)
}

fn reasons(decision: &Decision) -> String {
    decision.failures().map(|check| check.reason.as_str()).collect::<Vec<_>>().join(" ")
}

/// key | request | every failing check | status
const TABLE: &str = "
                          |                              |                       | 200
                          | transport=https              |                       | 200
                          | transport=http               | insecure_transport    | 403
insecure                  | transport=http               |                       | 200
disabled                  |                              | key_disabled          | 401
expires=1001              |                              |                       | 200
expires=1000              |                              | key_expired           | 401
disabled expires=1        |                              | key_disabled key_expired | 401
owner=ann                 |                              |                       | 200
owner-disabled            |                              | owner_disabled        | 401
tenant-disabled           | tenant=acme                  | tenant_disabled       | 401
tenant-disabled           |                              | tenant_disabled tenant_mismatch | 401
ip=10.0.0.0/8             | ip=10.9.8.7                  |                       | 200
ip=10.0.0.0/8             | ip=::ffff:10.9.8.7           |                       | 200
ip=10.0.0.0/8             | ip=11.9.8.7                  | ip_not_allowed        | 403
ip=10.0.0.0/8             |                              | ip_not_allowed        | 403
ip=10.0.0.0/8 ip=::1      | ip=::1                       |                       | 200
                          | ip=203.0.113.9               |                       | 200
tenant=acme               | tenant=acme                  |                       | 200
tenant=acme               | tenant=other                 | tenant_mismatch       | 403
tenant=acme               |                              | tenant_mismatch       | 403
                          | tenant=acme                  |                       | 200
read-only                 | method=GET                   |                       | 200
read-only                 | method=HEAD                  |                       | 200
read-only                 | method=OPTIONS               |                       | 200
read-only                 | method=TRACE                 |                       | 200
read-only                 | method=POST                  | method_not_allowed    | 403
read-only                 | method=get                   | method_not_allowed    | 403
read-only                 | method=PROPFIND              | method_not_allowed    | 403
read-only                 |                              | method_not_allowed    | 403
                          | method=DELETE                |                       | 200
scope=rest                | scope=rest                   |                       | 200
scope=rest                | scope=ui                     | scope_missing         | 403
scope=rest scope=ui       | scope=rest scope=ui          |                       | 200
scope=rest                | scope=rest scope=ui          | scope_missing         | 403
                          | scope=rest                   | scope_missing         | 403
scope=rest                | scope=REST                   | scope_missing         | 403
level=A/B                 | level=A                      |                       | 200
level=A/B                 | level=A/B                    |                       | 200
level=A/B                 | level=A/B/C                  | level_missing         | 403
level=A/Bc                | level=A/B                    | level_missing         | 403
                          | level=A                      | level_missing         | 403
role=editor               | role=viewer                  |                       | 200
role=editor               | role=editor                  |                       | 200
role=editor               | role=admin                   | role_too_low          | 403
                          | role=viewer                  | role_too_low          | 403
role=admin                | role=nosuchrole              | role_too_low          | 403
role=admin owner=ann      | role=viewer                  | role_too_low          | 403
disabled ip=10.0.0.0/8 read-only | transport=http scope=x | key_disabled insecure_transport ip_not_allowed method_not_allowed scope_missing | 401
";

#[test]
fn table() {
    for row in TABLE.lines().filter(|row| !row.trim().is_empty()) {
        let [key, request, expected, status] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let (key, request) = build(key, request);
        let decision = decide(&key, &secret(None), &request, at(NOW));
        assert_eq!(reasons(&decision), expected.trim(), "{row}");
        assert_eq!(decision.status().to_string(), status.trim(), "{row}");
    }
}

/// A secret that stops working at that time; with `None`, the current one, which never ends.
pub(crate) fn secret(expires_at: Option<i64>) -> SecretInfo {
    let (id, expires_at) = (Id::from_random([2; 8]), expires_at.map(at));
    SecretInfo { id, created_at: at(0), expires_at, staged: false, retired: false, imported: None }
}

#[test]
fn who_does_not_say_how_a_request_came_gets_the_strict_answer() {
    let decision = decide(&sample(), &secret(None), &Request::default(), at(NOW));
    assert_eq!(reasons(&decision), "insecure_transport");
}

#[test]
fn a_replaced_secret_works_until_its_grace_ends() {
    for (retired_at, expected) in
        [(None, ""), (Some(NOW + 1), ""), (Some(NOW), "secret_retired"), (Some(1), "secret_retired")]
    {
        let decision = decide(&sample(), &secret(retired_at), &Request::over(Transport::Local), at(NOW));
        assert_eq!(reasons(&decision), expected);
    }
}

/// Settings that only ever restrict the key of [`allowed`].
const RESTRICTIONS: [&str; 11] = [
    "secure",
    "disabled",
    "expires=1",
    "expires=5000",
    "owner-disabled",
    "tenant=acme",
    "tenant-disabled",
    "ip=10.0.0.0/8",
    "read-only",
    "role=viewer",
    "owner=ann",
];
/// What a request may demand or say about itself.
const CONTEXT: [&str; 14] = [
    "method=GET",
    "method=POST",
    "ip=10.1.1.1",
    "ip=203.0.113.9",
    "tenant=acme",
    "tenant=other",
    "scope=rest",
    "scope=ui",
    "scope=more",
    "level=A/B",
    "level=C",
    "role=viewer",
    "transport=http",
    "transport=https",
];
/// What only makes an answer possible, and never requires more.
const EVIDENCE: [&str; 6] =
    ["method=GET", "method=POST", "ip=10.1.1.1", "ip=203.0.113.9", "tenant=acme", "tenant=other"];

/// What only ever requires more. A role, a method or a transport replaces a weaker one.
const DEMANDS: [&str; 10] = [
    "scope=rest",
    "scope=ui",
    "scope=more",
    "level=A",
    "level=A/B",
    "level=A/Bc",
    "role=admin",
    "role=nosuchrole",
    "transport=http",
    "method=POST",
];

fn words(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(of), 0..=most)
}

/// Some of the words, in two orders.
fn in_any_order(of: &'static [&'static str]) -> impl Strategy<Value = (Vec<&'static str>, Vec<&'static str>)> {
    prop::sample::subsequence(of, 0..=of.len()).prop_flat_map(|words| (Just(words.clone()), Just(words).prop_shuffle()))
}

/// Whether a key that could do everything that is asked for here may still do it with these restrictions.
fn allowed(key: &[&str], request: &[&str]) -> bool {
    let words = ["insecure", "scope=rest", "scope=ui", "level=A/B", "role=admin"];
    let words: Vec<_> = words.iter().chain(key).copied().collect();
    let (key, request) = build(&words.join(" "), &request.join(" "));
    decide(&key, &secret(None), &request, at(NOW)).is_allowed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn another_restriction_never_turns_a_refusal_into_an_allowance(
        key in words(&RESTRICTIONS, 2), more in prop::sample::select(&RESTRICTIONS[..]), request in words(&CONTEXT, 5),
    ) {
        // A later expiry widens a key, and so may another owner or tenant: the first one never does.
        let field = more.split('=').next().unwrap();
        prop_assume!(!key.iter().any(|word| word.starts_with(field)));
        let restricted: Vec<_> = key.iter().copied().chain([more]).collect();
        prop_assert!(allowed(&key, &request) || !allowed(&restricted, &request));
    }

    #[test]
    fn less_context_never_turns_a_refusal_into_an_allowance(
        key in words(&RESTRICTIONS, 2), evidence in prop::sample::subsequence(&EVIDENCE[..], 0..=3), gone in prop::sample::select(&EVIDENCE[..]),
    ) {
        let without: Vec<_> = evidence.iter().copied().filter(|word| word.split('=').next() != gone.split('=').next()).collect();
        prop_assert!(allowed(&key, &evidence) || !allowed(&key, &without));
    }

    #[test]
    fn another_demand_never_turns_a_refusal_into_an_allowance(
        key in words(&RESTRICTIONS, 2), request in words(&CONTEXT, 5),
        demand in prop::sample::select(&DEMANDS[..]),
    ) {
        let more: Vec<_> = request.iter().copied().chain([demand]).collect();
        prop_assert!(allowed(&key, &request) || !allowed(&key, &more));
    }

    #[test]
    fn the_order_of_lists_never_matters(
        (key, shuffled_key) in in_any_order(&["ip=10.0.0.0/8", "ip=::1", "scope=rest", "scope=ui", "level=A/B", "level=A/Bc"]),
        (request, shuffled_request) in in_any_order(&["scope=rest", "scope=ui", "scope=more", "level=A", "level=A/Bc", "level=C"]),
        ip in prop::sample::select(&["ip=10.1.1.1", "ip=::1", "ip=::2"][..]),
    ) {
        let reasons = |key: &[&str], request: &[&str]| {
            let (key, request) = build(&key.join(" "), &format!("{ip} {}", request.join(" ")));
            reasons(&decide(&key, &secret(None), &request, at(NOW)))
        };
        prop_assert_eq!(reasons(&key, &request), reasons(&shuffled_key, &shuffled_request));
    }

    #[test]
    fn every_check_is_made_once_and_in_order(key in words(&RESTRICTIONS, 2), request in words(&CONTEXT, 5)) {
        let (key, request) = build(&key.join(" "), &request.join(" "));
        let decision = decide(&key, &secret(None), &request, at(NOW));
        prop_assert_eq!(decision.checks().len(), 15);
        prop_assert!(decision.checks().windows(2).all(|pair| pair[0].reason < pair[1].reason));
    }
}
