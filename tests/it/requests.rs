//! What `verify` reports about requests: where each of two credentials was, which proxy header was ignored and why.
//! Batch questions are parsed like request heads.

use serde_json::{Value, json};

use crate::harness::Sandbox;

/// The detail of the check that failed first.
fn detail(answer: &Value) -> String {
    let checks = answer["checks"].as_array().unwrap();
    let failed = checks.iter().find(|check| check["outcome"] == "fail").unwrap_or_else(|| panic!("{answer}"));
    failed["detail"].as_str().unwrap().to_owned()
}

fn head(lines: &str) -> String {
    format!("{}\r\n\r\n", lines.replace(" ; ", "\r\n"))
}

fn basic(text: &str) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text)
}

#[test]
fn two_credentials_are_named_by_their_places() {
    let sandbox = Sandbox::new();
    let (one, other) = (sandbox.mint("one"), sandbox.mint("other"));
    for (lines, places) in [
        ("GET / HTTP/1.1 ; x-api-key: {1} ; X-AUTH-KEY: {2}", ["x-api-key", "x-auth-key"]),
        ("GET / HTTP/1.1 ; apiKey: {1} ; x-api-auth: {2}", ["apiKey", "x-api-auth"]),
        ("GET / HTTP/1.1 ; authorization: bearer {1} ; X-Api-Key: {2}", ["Authorization: Bearer", "x-api-key"]),
        ("GET / HTTP/1.1 ; Authorization: rest_api_key={1}, Bearer {2}", ["rest_api_key", "Authorization: Bearer"]),
        ("GET / HTTP/1.1 ; Authorization: Basic {B1} ; x-api-key: {2}", ["Authorization: Basic", "x-api-key"]),
        ("GET /?_api_auth={1} HTTP/1.1 ; x-api-key: {2}", ["x-api-key", "_api_auth in the query"]),
        ("GET /?_api_auth={1}&_auth_key={2} HTTP/1.1 ; a: b", ["_api_auth in the query", "_auth_key in the query"]),
        (
            "GET / HTTP/1.1 ; X-Ignition-API-Token: a:{1} ; Authorization: Bearer b:{1}",
            ["X-Ignition-API-Token", "Bearer"],
        ),
        ("GET / HTTP/1.1 ; x-api-key: {1}, {2}", ["both in x-api-key", "x-api-key"]),
        ("GET / HTTP/1.1 ; Authorization: Basic {B2}", ["user", "password"]),
    ] {
        let lines =
            lines.replace("{B1}", &basic(&format!("u:{one}"))).replace("{B2}", &basic(&format!("{one}:{other}")));
        let output =
            sandbox.run_with("verify --json --request", head(&lines.replace("{1}", &one).replace("{2}", &other)));
        let answer = output.json();
        assert_eq!(answer["reason"], "ambiguous_credential", "{lines}");
        let detail = detail(&answer);
        for place in places {
            assert!(detail.contains(place), "{lines}: {detail}");
        }
        assert!(!output.stdout.contains(&one[16..40]) && !output.stdout.contains(&other[16..40]), "{output}");
    }
}

#[test]
fn a_credential_that_is_not_looked_at_is_named_and_so_is_how_it_would_be() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let output = sandbox.run_with("verify --accept x_api_key,bearer_named", format!("Authorization: Bearer {secret}"));
    assert!(output.code == 3 && output.stdout.contains("Authorization: Bearer"), "{output}");
    assert!(output.stdout.contains("--accept bearer"), "{output}");
    for (flags, says) in [
        ("--accept nosuch", "possible values"),
        ("--accept=", "possible values"),
        ("--accept bearer,", "possible values"),
        ("--accept x-api-key", "x_api_key"),
    ] {
        let output = sandbox.run_with(&format!("verify --json {flags}"), &secret);
        assert_eq!((output.code, output.error()["code"].as_str()), (2, Some("usage")), "{flags}: {output}");
        assert!(output.stderr.contains(says), "{flags}: {output}");
    }
}

#[test]
fn a_header_that_was_not_taken_is_named_with_the_reason() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --allow-ip 10.0.0.0/8");
    let trusted = "--trust-forwarded";
    for (flags, fields, says) in [
        (
            trusted,
            "X-Forwarded-For: ::ffff:10.1.2.3:12345",
            &["X-Forwarded-For", "::ffff:10.1.2.3:12345", "[::1]:"][..],
        ),
        (trusted, "X-Forwarded-For: 10.1.1.1, unknown", &["X-Forwarded-For", "unknown"]),
        (trusted, "X-Forwarded-For: 10.1.1.1,", &["X-Forwarded-For", "empty"]),
        (trusted, "X-Forwarded-For: 10.1.1.1 ; X-Forwarded-For:", &["X-Forwarded-For", "empty"]),
        (trusted, "Forwarded: for=_hidden;proto=https", &["Forwarded", "for=_hidden;proto=https"]),
        (trusted, "Forwarded: proto=https", &["Forwarded", "proto=https"]),
        (trusted, "Forwarded: for=\"10.1.1.1", &["Forwarded", "10.1.1.1"]),
        (
            trusted,
            "Forwarded: for=10.1.1.1 ; X-Forwarded-For: 10.1.1.2",
            &["Forwarded and X-Forwarded-For", "not say the same"],
        ),
        (trusted, "Forwarded: proto=https ; X-Forwarded-For: 10.1.1.2", &["Forwarded and X-Forwarded-For"]),
        (trusted, "Host: h", &["no X-Forwarded-For"]),
        ("--trust-forwarded=forwarded", "Host: h", &["no Forwarded"]),
        ("--trust-forwarded=forwarded", "X-Forwarded-For: 10.1.1.1", &["X-Forwarded-For", "not trusted"]),
        ("--trust-forwarded=for,proto", "Forwarded: for=10.1.1.1", &["Forwarded", "not trusted"]),
        ("--trust-forwarded=proto", "X-Forwarded-For: 10.1.1.1", &["X-Forwarded-For", "not trusted"]),
        ("--transport https", "X-Forwarded-For: 10.1.1.1", &["X-Forwarded-For", "not trusted", "--trust-forwarded"]),
        ("--transport https", "Forwarded: for=10.1.1.1", &["Forwarded", "not trusted", "--trust-forwarded"]),
        (trusted, "X-Forwarded-For: 10.1.1.1, 203.0.113.9", &["203.0.113.9", "last entry of X-Forwarded-For"]),
        (trusted, "Forwarded: for=203.0.113.9", &["203.0.113.9", "last entry of Forwarded"]),
    ] {
        // The transport does not matter here.
        sandbox.run("edit deploy --allow-insecure");
        let head = head(&format!("GET / HTTP/1.1 ; x-api-key: {secret} ; {fields}"));
        let output = sandbox.run_with(&format!("verify --request {flags}"), &head);
        assert_eq!(sandbox.reason(&format!("--request {flags}"), &head), "ip_not_allowed", "{flags} {fields}");
        for word in says {
            assert!(output.stdout.contains(word), "{flags} {fields}: {word}\n{output}");
        }
    }
}

#[test]
fn the_same_is_said_of_the_transport() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let trusted = "--trust-forwarded";
    for (flags, fields, says) in [
        (trusted, "X-Forwarded-Proto: https,http", &["http", "last entry of X-Forwarded-Proto"][..]),
        (trusted, "Forwarded: proto=http", &["last entry of Forwarded"]),
        (trusted, "X-Forwarded-Proto: wss", &["X-Forwarded-Proto", "wss"]),
        (trusted, "X-Forwarded-Proto: https,", &["X-Forwarded-Proto", "empty"]),
        (trusted, "Forwarded: for=10.1.1.1", &["Forwarded", "for=10.1.1.1"]),
        (trusted, "Forwarded: proto=https ; X-Forwarded-Proto: http", &["Forwarded and X-Forwarded-Proto"]),
        (trusted, "Forwarded: proto=https ; X-Forwarded-For: 10.1.1.1", &["Forwarded and X-Forwarded-Proto"]),
        (trusted, "X-Forwarded-For: 10.1.1.1", &["no X-Forwarded-Proto"]),
        ("--trust-forwarded=for", "X-Forwarded-Proto: https", &["X-Forwarded-Proto", "not trusted"]),
        ("", "X-Forwarded-Proto: https", &["X-Forwarded-Proto", "not trusted", "--trust-forwarded"]),
        ("", "Forwarded: proto=https", &["Forwarded", "not trusted", "--trust-forwarded"]),
    ] {
        let head = head(&format!("GET / HTTP/1.1 ; x-api-key: {secret} ; {fields}"));
        let output = sandbox.run_with(&format!("verify --request {flags}"), &head);
        assert_eq!(output.code, 4, "{flags} {fields}: {output}");
        for word in says {
            assert!(output.stdout.contains(word), "{flags} {fields}: {word}\n{output}");
        }
    }
    // If the transport was given, or there was no header for it, nothing is added.
    for (flags, fields) in [("--transport http", "X-Forwarded-Proto: https"), ("", "Host: h")] {
        let head = head(&format!("GET / HTTP/1.1 ; x-api-key: {secret} ; {fields}"));
        let answer = sandbox.run_with(&format!("verify --json --request {flags}"), head).json();
        assert_eq!(detail(&answer), "the request came over http, and the key requires a secure connection");
    }
}

#[test]
fn what_a_header_holds_is_shown_clean_short_and_without_a_secret() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --allow-ip 10.0.0.0/8");
    let long = "x".repeat(500);
    let values: [Vec<u8>; 5] = [
        secret.clone().into_bytes(),
        basic(&format!("u:{secret}")).into_bytes(),
        b"a\xe2\x80\xaeb\xc2\x9bc".to_vec(),
        b"\xff\xfe".to_vec(),
        long.clone().into_bytes(),
    ];
    for value in values {
        for name in ["X-Forwarded-For", "Forwarded"] {
            let mut head = format!("GET / HTTP/1.1\r\nx-api-key: {secret}\r\n{name}: ").into_bytes();
            head.extend_from_slice(&value);
            head.extend_from_slice(b"\r\n\r\n");
            for json in ["", "--json"] {
                let output = sandbox.run_with(&format!("verify --request --trust-forwarded {json}"), &head);
                assert_eq!(output.code, 4, "{output}");
                assert!(output.stdout.contains(name), "{output}");
                assert!(!output.stdout.contains(&secret[16..40]), "{output}");
                assert!(!output.stdout.contains(&basic(&secret)[20..40]), "{output}");
                assert!(!output.stdout.contains(['\u{202e}', '\u{9b}']), "{output}");
                assert!(!output.stdout.contains(&long[..100]), "{output}");
            }
        }
    }
}

#[test]
fn which_headers_a_proxy_writes_is_said_in_these_words() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let head = head(&format!("GET https://h/ HTTP/1.1 ; x-api-key: {secret}"));
    for flags in [
        "--trust-forwarded=nosuch",
        "--trust-forwarded=",
        "--trust-forwarded=for,",
        "--trust-forwarded=FOR",
        "--trust-forwarded=for,forwarded",
        "--trust-forwarded=forwarded,proto",
        "--trust-forwarded=for --trust-forwarded=proto",
        "--trust-forwarded for",
        "--trust-forwarded --ip 10.0.0.1",
        "--trust-forwarded --transport https",
        "--trust-forwarded=forwarded --ip 10.0.0.1",
        "--trust-forwarded=forwarded --transport https",
        "--trust-forwarded=for,proto --ip 10.0.0.1",
        "--trust-forwarded=for,proto --transport https",
        "--trust-forwarded=for --ip 10.0.0.1",
        "--trust-forwarded=proto --transport https",
    ] {
        let output = sandbox.run_with(&format!("verify --request --json {flags}"), &head);
        assert_eq!((output.code, output.error()["code"].as_str()), (2, Some("usage")), "{flags}: {output}");
        assert!(!output.error()["hint"].is_null(), "{flags}");
    }
    let output = sandbox.run_with("verify --trust-forwarded=for", &secret);
    assert_eq!(output.code, 2, "only with a request: {output}");
    for flags in ["--trust-forwarded=for --transport https", "--trust-forwarded=for"] {
        assert_eq!(sandbox.reason(&format!("--request {flags}"), &head), "allowed", "{flags}");
    }
}

/// Asks a question, and drops what may differ between answers.
fn ask(sandbox: &Sandbox, question: &Value) -> Value {
    let output = sandbox.run_with("verify --batch --no-record", question.to_string());
    let mut answer: Value = output.json();
    assert_eq!(answer.as_object_mut().unwrap().shift_remove("line"), Some(json!(1)), "{output}");
    answer
}

#[test]
fn a_question_of_a_batch_is_read_as_a_request_is() {
    let sandbox = Sandbox::new();
    let (secret, other) = (sandbox.mint("a --allow-ip 10.0.0.0/8 --read-only"), sandbox.mint("b"));
    let trusts = [
        ("", Value::Null),
        ("--trust-forwarded", json!(true)),
        ("--trust-forwarded=for,proto", json!("for,proto")),
        ("--trust-forwarded=for", json!(["for"])),
        ("--trust-forwarded=proto", json!("proto")),
        ("--trust-forwarded=forwarded", json!("forwarded")),
    ];
    for (method, target, fields) in [
        ("GET", "/", vec![("x-api-key", secret.as_str())]),
        ("POST", "/x?_auth_key=&y", vec![("X-API-Key", secret.as_str()), ("X-Forwarded-For", "10.1.1.1")]),
        ("GET", "https://h/", vec![("apiKey", secret.as_str()), ("X-Forwarded-Proto", "https,http")]),
        (
            "GET",
            "/",
            vec![
                ("apiKey", secret.as_str()),
                ("Forwarded", "for=10.1.1.1;proto=https"),
                ("x-forwarded-for", "::1:2:x"),
            ],
        ),
        ("GET", "/", vec![("apiKey", secret.as_str()), ("x-api-key", other.as_str())]),
        ("GET", "/", vec![("apiKey", secret.as_str()), ("Authorization", "Bearer mine")]),
        ("GET", "/", vec![]),
        ("GET", "/#x", vec![("apiKey", secret.as_str())]),
    ] {
        let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("{method} {target} HTTP/1.1\r\n{}\r\n", lines.concat());
        for (flag, trust) in &trusts {
            for accept in ["", "api_key"] {
                let accept_flag = if accept.is_empty() { String::new() } else { format!("--accept {accept}") };
                let line = format!("verify --json --no-record --request {flag} {accept_flag}");
                let single = sandbox.run_with(&line, &head).json();
                let mut context = json!({"trust_forwarded": trust});
                if !accept.is_empty() {
                    context["accept"] = json!([accept]);
                }
                let mut whole = context.clone();
                whole["request"] = json!(head);
                assert_eq!(ask(&sandbox, &whole), single, "{line}\n{head}");
                let mut parts = context;
                (parts["headers"], parts["target"], parts["method"]) = (json!(fields), json!(target), json!(method));
                assert_eq!(ask(&sandbox, &parts), single, "{line}\n{parts}");
            }
        }
    }
}

#[test]
fn what_is_no_question_about_a_request_gets_an_error() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    let head = head(&format!("GET / HTTP/1.1 ; x-api-key: {secret}"));
    for question in [
        json!({}),
        json!({"method": "GET"}),
        json!({"target": "/"}),
        json!({"credential": secret, "request": head}),
        json!({"credential": secret, "headers": [["a", "b"]], "target": "/"}),
        json!({"request": head, "headers": [["a", "b"]]}),
        json!({"request": head, "target": "/"}),
        json!({"request": head, "method": "POST"}),
        json!({"headers": [["x-api-key"]]}),
        json!({"headers": {"x-api-key": secret}}),
        json!({"headers": [["x-api-key", 1]]}),
        json!({"credential": secret, "trust_forwarded": true}),
        json!({"request": head, "trust_forwarded": "nosuch"}),
        json!({"request": head, "trust_forwarded": ["for", "forwarded"]}),
        json!({"request": head, "trust_forwarded": []}),
        json!({"request": head, "trust_forwarded": 1}),
        json!({"request": head, "trust_forwarded": true, "ip": "10.0.0.1"}),
        json!({"request": head, "trust_forwarded": "for", "ip": "10.0.0.1"}),
        json!({"request": head, "trust_forwarded": "proto", "transport": "https"}),
        json!({"credential": secret, "accept": ["nosuch"]}),
        json!({"credential": secret, "accept": []}),
        json!({"credential": secret, "accept": "bare"}),
    ] {
        let output = sandbox.run_with("verify --batch", question.to_string());
        let answer = output.json();
        assert_eq!(
            (output.code, &answer["allowed"], &answer["error"]["code"]),
            (1, &Value::Null, &json!("invalid_value"))
        );
        assert!(!answer["error"]["hint"].is_null(), "{question}");
        assert!(!output.stdout.contains(&secret[16..40]), "{output}");
    }
    let output = sandbox.run_with("verify --batch", b"{\"credential\":\"\xff\"}\n");
    assert!(output.code == 1 && output.stdout.contains("UTF-8"), "{output}");
    // These count as absent, like a flag that is not given.
    for question in [
        json!({"credential": secret, "trust_forwarded": false, "request": null, "headers": null, "accept": null}),
        json!({"credential": null, "request": head, "transport": "https", "method": "GET"}),
        json!({"request": head, "trust_forwarded": "for", "transport": "https"}),
        json!({"headers": [["X-Api-Key", secret]], "transport": "https"}),
    ] {
        assert_eq!(ask(&sandbox, &question)["reason"], "allowed", "{question}");
    }
    // Invalid header fields: a value must not contain a line break, for example.
    for fields in [
        json!([["x-api-key", format!("{secret}\r\nx: y")]]),
        json!([["x-api-key", format!("{secret}\u{0}")]]),
        json!([["x-api-key ", secret]]),
        json!([["a b", "c"], ["x-api-key", secret]]),
        json!([["", "c"], ["x-api-key", secret]]),
    ] {
        assert_eq!(ask(&sandbox, &json!({"headers": fields}))["reason"], "malformed", "{fields}");
    }
    let pseudo = json!({"headers": [[":method", "GET"], [":path", "/"], ["x-api-key", secret]], "transport": "https"});
    assert_eq!(ask(&sandbox, &pseudo)["reason"], "allowed");
}

#[test]
fn a_whole_batch_may_look_at_some_presentations_only() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    let head = head(&format!("GET https://h/ HTTP/1.1 ; x-api-key: {secret} ; Authorization: Bearer mine"));
    let input = format!("{}\n{}\n", json!({"request": head}), json!({"request": head, "accept": ["bearer"]}));
    let output = sandbox.run_with("verify --batch --accept x_api_key", input);
    let reasons: Vec<_> =
        output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["reason"].clone()).collect();
    assert_eq!(reasons, ["allowed", "malformed"], "{output}");
}

/// Text that is not UTF-8 is read as Latin-1.
#[test]
fn a_basic_credential_may_hold_any_bytes_beside_the_secret() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    for user in [&b"\xfc"[..], "ü".as_bytes(), b"", b"\xff\xfe\x00", b"a b"] {
        for is_user in [true, false] {
            let (user, secret) = (user.to_vec(), secret.clone().into_bytes());
            let parts = if is_user { [user, secret] } else { [secret, user] };
            let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, parts.join(&b':'));
            assert_eq!(sandbox.reason("", &format!("Authorization: Basic {encoded}")), "allowed", "{parts:?}");
        }
    }
    // No base64 variant or padding may hide a secret from keyward that another reader would accept.
    let padded = basic(&format!("~~~?:{secret}"));
    let other = sandbox.mint("b");
    for encoded in
        [padded.trim_end_matches('=').to_owned() + "=", padded.replace(['+', '/'], "_"), format!("{padded}\t=")]
    {
        if encoded == padded {
            continue;
        }
        let head = head(&format!("GET / HTTP/1.1 ; Authorization: Basic {encoded} ; x-api-key: {other}"));
        assert_ne!(sandbox.reason("--request --transport https", &head), "allowed", "{encoded}");
    }
}

#[test]
fn a_field_in_another_charset_of_another_scheme_is_in_nobodys_way() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    let mut head = format!("GET / HTTP/1.1\r\nx-api-key: {secret}\r\nAuthorization: Digest username=\"").into_bytes();
    head.extend_from_slice(b"\xfc\"\r\n\r\n");
    let output = sandbox.run_with("verify --request --transport https", head);
    assert_eq!(output.code, 0, "{output}");
}
