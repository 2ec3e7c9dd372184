//! Every fact in words: as a table, and byte for byte the same in both ways of writing JSON.

use keyward_core::rules::credential::{CredentialError, Presentation};
use keyward_core::rules::decision::{Decision, Facts, Reason, Transport, WantedRole, decide};
use keyward_core::rules::forwarded::Origin;
use keyward_core::rules::key::{SecretInfo, Settings};
use keyward_core::rules::names::Prefix;
use keyward_core::rules::token::{Id, TokenError};

use super::*;

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}

fn key(change: impl FnOnce(&mut Key)) -> Key {
    let mut settings = Settings::with_prefix(Prefix::default());
    settings.scopes.insert("rest".parse().unwrap());
    settings.levels.insert("A/B".parse().unwrap());
    let mut key = Key::new(Id::from_random([1; 8]), "k".parse().unwrap(), settings, at(0));
    change(&mut key);
    key
}

/// A secret that stops working at that time; with `None`, the current one, which never ends.
fn secret(expires_at: Option<i64>) -> SecretInfo {
    let mut secret = SecretInfo::new(Id::from_random([2; 8]), at(0));
    secret.expires_at = expires_at.map(at);
    secret
}

/// A key with everything wrong, or everything right.
fn restricted(key: &mut Key, enabled: bool) {
    let settings = &mut key.settings;
    settings.enabled = enabled;
    settings.expires_at = Some(at(if enabled { 2_000 } else { 500 }));
    settings.owner = Some("ann".parse().unwrap());
    settings.tenant = Some("acme".parse().unwrap());
    settings.role = Some("editor".parse().unwrap());
    settings.read_only = true;
    settings.allowed_ips.insert("10.0.0.0/8".parse().unwrap());
    settings.allowed_ips.insert("::1".parse().unwrap());
    let standing = &mut key.standing;
    (standing.owner_enabled, standing.tenant_enabled) = (enabled, enabled);
    (standing.rank, standing.owner_role) = (Some(20), Some(("viewer".parse().unwrap(), 10)));
}

fn request(words: &str) -> Request {
    let mut request = Request::over(Transport::Local);
    for (field, value) in words.split_whitespace().map(|word| word.split_once('=').unwrap()) {
        match field {
            "method" => request.method = Some(value.parse().unwrap()),
            "ip" => request.ip = Some(value.parse().unwrap()),
            "tenant" => request.tenant = Some(value.parse().unwrap()),
            "scope" => request.scopes.push(value.parse().unwrap()),
            "level" => request.levels.push(value.parse().unwrap()),
            "role" => {
                let rank = [("viewer", 10), ("editor", 20)].into_iter().find(|(name, _)| *name == value);
                request.role = Some(WantedRole { name: value.parse().unwrap(), rank: rank.map(|(_, rank)| rank) });
            }
            "transport" => request.transport = value.parse().unwrap(),
            other => panic!("{other}"),
        }
    }
    request
}

/// The report, one line per check, with the remedy of a failed one after an arrow.
fn in_words(decision: &Decision, key: Option<&Key>, request: &Request) -> String {
    let checks = Checks { checks: decision.checks(), key, request };
    let mut written = vec![];
    checks.write_json(&mut written);
    assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&checks).unwrap());
    let lines = checks.in_words().map(|told| {
        assert_eq!(told.remedy().is_some(), told.check.outcome == Outcome::Fail, "{told}");
        // Every check has a sentence of its own.
        assert_ne!(told.to_string(), told.check.reason.as_str());
        told.remedy().map_or_else(|| told.to_string(), |remedy| format!("{told} → {remedy}"))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_allowed_or_not_asked_for() {
    let (key, request) = (key(|_| ()), request(""));
    expect_test::expect![[r"
        the secret is genuine
        this is the current secret
        the key is enabled
        the key never expires
        the key has no owner
        the key has no tenant
        the request is local, which counts as secure
        the key may be used from any address
        the key works for every tenant
        the key may read and write
        the request asks for no scope
        the request asks for no level
        the request asks for no role
        no limit of up to an hour was checked
        no limit for a day or a month was checked"]]
    .assert_eq(&in_words(&decide(&key, &secret(None), &request, at(1_000)), Some(&key), &request));
}

#[test]
fn what_was_restricted_and_is_allowed() {
    let key = key(|key| restricted(key, true));
    let request =
        request("method=GET ip=::ffff:10.1.2.3 tenant=acme scope=rest level=A level=A/B role=viewer transport=https");
    expect_test::expect![[r"
        the secret is genuine
        this secret was replaced and works until 1970-01-01T00:50:00Z
        the key is enabled
        the key expires at 1970-01-01T00:33:20Z
        its owner ann is enabled
        its tenant acme is enabled
        the request came over https
        10.1.2.3 is in 10.0.0.0/8
        the key works for acme
        GET is a safe method
        the key has rest
        the key holds A, A/B
        the key acts as viewer
        no limit of up to an hour was checked
        no limit for a day or a month was checked"]]
    .assert_eq(&in_words(&decide(&key, &secret(Some(3_000)), &request, at(1_000)), Some(&key), &request));
}

#[test]
fn what_is_refused() {
    let key = key(|key| restricted(key, false));
    let request =
        request("method=POST ip=11.1.2.3 tenant=other scope=ui scope=$(x) level=C role=editor transport=http");
    expect_test::expect![[r"
        the secret is genuine
        this secret was replaced and stopped working at 1970-01-01T00:16:40Z → use the current secret of k, or mint another: keyward rotate k
        the key is disabled → bring it back with: keyward enable k
        the key expired at 1970-01-01T00:08:20Z → extend it with: keyward edit k --expires 90d
        its owner ann is disabled → bring all of their keys back with: keyward user enable ann
        its tenant acme is disabled → bring all of its keys back with: keyward tenant enable acme
        the request came over http, and the key requires a secure connection → send it over https (say so with --transport https), or allow http with: keyward edit k --allow-insecure
        11.1.2.3 is not in 10.0.0.0/8, ::1/128 → add it with: keyward edit k --add-allow-ip 11.1.2.3
        the key works for acme, not for other → use a key of other, or move this one with: keyward edit k --tenant other
        the key is read-only, and POST is not GET, HEAD, OPTIONS or TRACE → let it write with: keyward edit k --read-write
        the key lacks ui, $(x); it has rest → add it with: keyward edit k --add-scope 'ui,$(x)'
        the key does not hold C; it holds A/B → add it with: keyward edit k --add-level C
        the key acts as viewer, and editor is needed → raise its owner with: keyward user edit ann --role editor
        no limit of up to an hour was checked
        no limit for a day or a month was checked"]].assert_eq(&in_words(&decide(&key, &secret(Some(1_000)), &request, at(1_000)), Some(&key), &request));
}

#[test]
fn what_is_not_known() {
    let key = key(|key| {
        restricted(key, true);
        key.standing.owner_role = None;
    });
    for role in ["role=editor", "role=nosuchrole"] {
        let request = request(role);
        let expected = match role {
            "role=editor" => expect_test::expect![[r"
                the secret is genuine
                this is the current secret
                the key is enabled
                the key expires at 1970-01-01T00:33:20Z
                its owner ann is enabled
                its tenant acme is enabled
                the request is local, which counts as secure
                the key is bound to 10.0.0.0/8, ::1/128, and the caller's address is not known → say where the request came from: --ip ADDRESS
                the key works only for acme, and the request names no tenant → say whose data is asked for: --tenant TENANT
                the key is read-only, and the method is not known → say what the request does: --method METHOD
                the request asks for no scope
                the request asks for no level
                the key acts in no role, because its owner has none → raise its owner with: keyward user edit ann --role editor
                no limit of up to an hour was checked
                no limit for a day or a month was checked"]],
            _ => expect_test::expect![[r"
                the secret is genuine
                this is the current secret
                the key is enabled
                the key expires at 1970-01-01T00:33:20Z
                its owner ann is enabled
                its tenant acme is enabled
                the request is local, which counts as secure
                the key is bound to 10.0.0.0/8, ::1/128, and the caller's address is not known → say where the request came from: --ip ADDRESS
                the key works only for acme, and the request names no tenant → say whose data is asked for: --tenant TENANT
                the key is read-only, and the method is not known → say what the request does: --method METHOD
                the request asks for no scope
                the request asks for no level
                this store has no role nosuchrole → name a role that exists: keyward role list
                no limit of up to an hour was checked
                no limit for a day or a month was checked"]],
        };
        expected.assert_eq(&in_words(&decide(&key, &secret(None), &request, at(1_000)), Some(&key), &request));
    }
}

#[test]
fn what_is_refused_before_a_key_is_known() {
    let request = request("");
    let unreadable = |error| Facts::Credential(Box::new(error));
    let refusals = [
        (Reason::NoCredential, unreadable(CredentialError::Missing("no credential was presented".to_owned()))),
        (Reason::NoCredential, Facts::InQuery),
        (Reason::NoCredential, unreadable(CredentialError::NotAccepted(Presentation::XApiKey))),
        (
            Reason::AmbiguousCredential,
            unreadable(CredentialError::Ambiguous { one: "x-api-key", other: "_auth_key in the query" }),
        ),
        (Reason::AmbiguousCredential, unreadable(CredentialError::Ambiguous { one: "apiKey", other: "apiKey" })),
        (Reason::Malformed, unreadable(CredentialError::ManyLines)),
        (Reason::Malformed, unreadable(CredentialError::Malformed("a \"quotation\"".to_owned()))),
        (Reason::Malformed, Facts::Token(TokenError::Spaces)),
        (Reason::Malformed, Facts::Token(TokenError::Form)),
        (Reason::Malformed, Facts::Token(TokenError::Checksum)),
        (Reason::NotGenuine, Facts::None),
    ];
    let all = refusals.map(|(reason, facts)| in_words(&Decision::refused(reason, facts), None, &request)).join("\n");
    expect_test::expect![[r#"
        no credential was presented → send the secret, for example as Authorization: Bearer SECRET
        a credential stood in the query of a URL, where this store accepts none → send it in a header, such as Authorization: Bearer SECRET, and rotate the key: logs keep URLs
        there is a credential in x-api-key, which is not looked at here → send it where it is looked at, or have it looked at there: --accept x_api_key
        the request carries two different credentials, one in x-api-key and another in _auth_key in the query → send one credential, or name the place that counts with --accept
        the request carries two different credentials, both in apiKey → send one credential, or name the place that counts with --accept
        more than one line was presented (a whole request head is read with --request) → send it in one of the forms that `keyward help verify` tells of
        a "quotation" → send it in one of the forms that `keyward help verify` tells of
        there is white space around the secret → send it without the white space, or in a header that `keyward help verify` names
        this does not have the form of a secret (prefix_id_secret) → send the secret as it was shown when the key was made
        the checksum does not match: a character is wrong or missing → copy the secret again from where it is kept
        this is not the secret of any key, or it came with the wrong name → look for the key with `keyward list`; a lost secret is replaced with `keyward rotate KEY`"#]].assert_eq(&all);
}

#[test]
fn what_a_proxy_said_and_what_was_not_taken_of_it() {
    let key = key(|key| restricted(key, true));
    let meaningless = |header, last: &str| Origin::Meaningless { header, last: last.to_owned() };
    let origins = [
        Origin::NotTrusted("X-Forwarded-For"),
        Origin::Missing("X-Forwarded-For"),
        meaningless("X-Forwarded-For", ""),
        meaningless("X-Forwarded-For", "unknown"),
        meaningless("X-Forwarded-For", "::ffff:10.1.2.3:12345"),
        meaningless("Forwarded", "for=_a;proto=b"),
        Origin::Disagreeing("X-Forwarded-For"),
        Origin::Taken("X-Forwarded-For"),
    ];
    let told = origins.map(|origin| {
        let mut request = request("method=GET tenant=acme transport=http");
        let is_taken = matches!(origin, Origin::Taken(_));
        request.ip = is_taken.then(|| "203.0.113.9".parse().unwrap());
        (request.ip_from, request.transport_from) = (origin.clone(), origin);
        let decision = decide(&key, &secret(None), &request, at(1_000));
        let words = in_words(&decision, Some(&key), &request);
        words.lines().filter(|line| line.contains(" → ")).collect::<Vec<_>>().join("\n")
    });
    expect_test::expect![[r"
        the request came over http, and the key requires a secure connection; X-Forwarded-For was there and was not taken: it is not trusted → name X-Forwarded-For with --trust-forwarded if your proxy writes it, see `keyward help verify`; or allow http with: keyward edit k --allow-insecure
        the key is bound to 10.0.0.0/8, ::1/128, and the caller's address is not known; X-Forwarded-For was there and was not taken: it is not trusted → say where the request came from: --ip ADDRESS; or name X-Forwarded-For with --trust-forwarded if your proxy writes it, see `keyward help verify`
        the request came over http, and the key requires a secure connection; there was no X-Forwarded-For → send it over https and have your proxy say so, see `keyward help verify`; or allow http with: keyward edit k --allow-insecure
        the key is bound to 10.0.0.0/8, ::1/128, and the caller's address is not known; there was no X-Forwarded-For → have your proxy say where the request came from, see `keyward help verify`
        the request came over http, and the key requires a secure connection; X-Forwarded-For was not taken: its last entry is empty → send it over https and have your proxy say so, see `keyward help verify`; or allow http with: keyward edit k --allow-insecure
        the key is bound to 10.0.0.0/8, ::1/128, and the caller's address is not known; X-Forwarded-For was not taken: its last entry is empty → have your proxy say where the request came from, see `keyward help verify`
        the request came over http, and the key requires a secure connection; X-Forwarded-For was not taken: it ends in `unknown`, which tells neither http nor https → send it over https and have your proxy say so, see `keyward help verify`; or allow http with: keyward edit k --allow-insecure
        the key is bound to 10.0.0.0/8, ::1/128, and the caller's address is not known; X-Forwarded-For was not taken: it ends in `unknown`, which tells no address → have your proxy say where the request came from, see `keyward help verify`
        the request came over http, and the key requires a secure connection; X-Forwarded-For was not taken: it ends in `::ffff:10.1.2.3:12345`, which tells neither http nor https (with a port, IPv6 is written [::1]:80) → send it over https and have your proxy say so, see `keyward help verify`; or allow http with: keyward edit k --allow-insecure
        the key is bound to 10.0.0.0/8, ::1/128, and the caller's address is not known; X-Forwarded-For was not taken: it ends in `::ffff:10.1.2.3:12345`, which tells no address (with a port, IPv6 is written [::1]:80) → have your proxy say where the request came from, see `keyward help verify`
        the request came over http, and the key requires a secure connection; Forwarded was not taken: it ends in `for=_a;proto=b`, which tells neither http nor https → send it over https and have your proxy say so, see `keyward help verify`; or allow http with: keyward edit k --allow-insecure
        the key is bound to 10.0.0.0/8, ::1/128, and the caller's address is not known; Forwarded was not taken: it ends in `for=_a;proto=b`, which tells no address → have your proxy say where the request came from, see `keyward help verify`
        the request came over http, and the key requires a secure connection; Forwarded and X-Forwarded-For were not taken: they do not say the same → send it over https and have your proxy say so, see `keyward help verify`; or allow http with: keyward edit k --allow-insecure
        the key is bound to 10.0.0.0/8, ::1/128, and the caller's address is not known; Forwarded and X-Forwarded-For were not taken: they do not say the same → have your proxy say where the request came from, see `keyward help verify`
        the request came over http (the last entry of X-Forwarded-For), and the key requires a secure connection → send it over https and have your proxy say so, see `keyward help verify`; or allow http with: keyward edit k --allow-insecure
        203.0.113.9 (the last entry of X-Forwarded-For) is not in 10.0.0.0/8, ::1/128 → add it with: keyward edit k --add-allow-ip 203.0.113.9"]].assert_eq(&told.join("\n"));
}
