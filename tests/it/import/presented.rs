//! Imported secrets in every presentation, with every way to verify.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{ONE, THREE, TWO, imported, lines};
use crate::harness::{Sandbox, finish_with};

/// A line for every presentation, with the presentation's name.
fn presentations(text: &str, name: &str) -> Vec<(String, &'static str)> {
    let basic = |pair: String| format!("Authorization: Basic {}", STANDARD.encode(pair));
    vec![
        (text.to_owned(), "bare"),
        (format!("{name}:{text}"), "bare_named"),
        (format!("Authorization: Bearer {text}"), "bearer"),
        (format!("Authorization: Bearer {name}:{text}"), "bearer_named"),
        (format!("Authorization: rest_api_key={text}"), "rest_api_key"),
        (basic(format!("{name}:{text}")), "basic"),
        (basic(format!(":{text}")), "basic"),
        (format!("X-Ignition-API-Token: {name}:{text}"), "x_ignition_api_token"),
        (format!("x-auth-key: {text}"), "x_auth_key"),
        (format!("x-api-auth: {text}"), "x_api_auth"),
        (format!("x-api-key: {text}"), "x_api_key"),
        (format!("apiKey: {text}"), "api_key"),
        (format!("https://h/?_auth_key={}", text.replace(',', "%2C")), "query_auth_key"),
        (format!("https://h/?a=1&_api_auth={text}"), "query_api_auth"),
    ]
}

fn answer(sandbox: &Sandbox, line: &str) -> Value {
    sandbox.run_with("verify --json", line).json()
}

#[test]
fn every_presentation_is_read() {
    let sandbox = imported();
    // Its first request has to name the key.
    assert_eq!(answer(&sandbox, &format!("three:{THREE}"))["allowed"], true);
    for (name, text) in [("one", ONE), ("two", TWO), ("three", THREE)] {
        for (line, presentation) in presentations(text, name) {
            let told = answer(&sandbox, &line);
            let expected = (json!(true), json!(name), json!(presentation));
            assert_eq!(
                (told["allowed"].clone(), told["key"]["name"].clone(), told["presentation"].clone()),
                expected,
                "{line}: {told}"
            );
        }
        for (line, presentation) in presentations(text, "another") {
            let told = answer(&sandbox, &line);
            let is_named = presentation.ends_with("_named") || presentation == "x_ignition_api_token";
            assert_eq!(told["allowed"], !is_named, "{line}: {told}");
        }
    }
}

#[test]
fn a_batch_answers_as_one_after_the_other() {
    let sandbox = imported();
    // Its first request has to name the key; writing hashes takes a second.
    let mut questions = vec![];
    assert_eq!(sandbox.reason("", &format!("three:{THREE}")), "allowed");
    for (name, text) in [("one", ONE), ("two", TWO), ("three", THREE)] {
        questions.extend(presentations(text, name).into_iter().map(|(line, _)| line));
    }
    questions.extend(["nobody-knows-this-0001".to_owned(), "short".to_owned(), format!("{ONE},{THREE}")]);
    // A change checkpoints the log, which a copy of the file would not include.
    sandbox.run("group create g");
    let copy = sandbox.copy();
    let input = questions.iter().map(|line| format!("{}\n", json!({"credential": line}))).collect::<Vec<_>>().concat();
    let batch = finish_with(&mut copy.binary("verify --batch"), input.as_bytes());
    let answers: Vec<Value> = batch.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), questions.len(), "{batch}");
    for (line, told) in questions.iter().zip(&answers) {
        let alone = answer(&sandbox, line);
        assert_eq!((&told["allowed"], &told["reason"]), (&alone["allowed"], &alone["reason"]), "{line}");
    }
    let renewed = copy.run("show two --json").json()["secrets"][0]["renewed"].clone();
    assert_eq!(renewed, true);
}

#[test]
fn limits_and_uses_count_as_for_other_keys() {
    let sandbox = Sandbox::new();
    let record = json!({"name": "limited", "secret": ONE, "limits": ["2/1m"]});
    assert_eq!(sandbox.run_with("import -", lines(&[record])).code, 0);
    let reasons: Vec<_> = (0..3).map(|_| sandbox.reason("", ONE)).collect();
    assert_eq!(reasons, ["allowed", "allowed", "rate_limited"]);
    assert_eq!(sandbox.run("show limited --json").json()["use_count"], 2);
}

#[test]
fn restrictions_count_as_for_other_keys() {
    let sandbox = Sandbox::new();
    let record =
        json!({"name": "bound", "secret": ONE, "scopes": ["rest"], "read_only": true, "allowed_ips": ["10.0.0.0/8"]});
    assert_eq!(sandbox.run_with("import -", lines(&[record])).code, 0);
    for (flags, expected) in [
        ("--scope rest --method GET --ip 10.1.2.3", "allowed"),
        ("--scope other --method GET --ip 10.1.2.3", "scope_missing"),
        ("--scope rest --method POST --ip 10.1.2.3", "method_not_allowed"),
        ("--scope rest --method GET --ip 192.0.2.1", "ip_not_allowed"),
    ] {
        assert_eq!(sandbox.reason(flags, ONE), expected, "{flags}");
    }
}

#[test]
fn beside_a_secret_of_our_own_another_text_is_none() {
    let sandbox = imported();
    let own = sandbox.mint("own");
    let basic = |pair: &str| STANDARD.encode(pair);
    for (fields, key, reason) in [
        (format!("x-api-key: {own}\r\nx-auth-key: {ONE}\r\n"), "own", "allowed"),
        (
            format!("x-api-key: {own}\r\nAuthorization: Basic {}\r\n", basic("someone:with-a-long-password")),
            "own",
            "allowed",
        ),
        (format!("x-api-key: {ONE}\r\nAuthorization: Basic {}\r\n", basic("someone:short")), "one", "allowed"),
        (format!("x-api-key: {ONE}\r\nAuthorization: Basic {}\r\n", basic(&format!("one:{ONE}"))), "one", "allowed"),
        (format!("x-api-key: {ONE}\r\nx-auth-key: {TWO}\r\n"), "", "ambiguous_credential"),
        (format!("x-api-key: {ONE}, {THREE}\r\n"), "", "ambiguous_credential"),
        (format!("x-api-key: {ONE}, {ONE}\r\n"), "one", "allowed"),
        (format!("x-api-key: {TWO}\r\n"), "two", "allowed"),
        (format!("Authorization: Digest {ONE}\r\n"), "", "no_credential"),
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let told = sandbox.run_with("verify --request --transport https --json", &head).json();
        let name = told["key"]["name"].as_str().unwrap_or_default();
        assert_eq!((name, told["reason"].as_str().unwrap()), (key, reason), "{fields}: {told}");
    }
}

#[test]
fn a_store_without_imports_is_as_it_was() {
    let sandbox = Sandbox::new();
    let own = sandbox.mint("own");
    assert_eq!(sandbox.reason("", ONE), "malformed");
    let head = format!("GET / HTTP/1.1\r\nx-api-key: {own}\r\nx-auth-key: {ONE}\r\n\r\n");
    let told = sandbox.run_with("verify --request --transport https --json", &head).json();
    assert_eq!(told["reason"], "ambiguous_credential");
}
