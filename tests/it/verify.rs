//! `verify` as scripts and services use it.

use expect_test::expect;
use jiff::ToSpan as _;

use crate::harness::Sandbox;

#[test]
fn every_form_of_a_credential() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    for (input, presentation) in [
        (secret.clone(), "bare"),
        (format!("{secret}\n"), "bare"),
        (format!("{secret}\r\n"), "bare"),
        (format!("deploy:{secret}"), "bare_named"),
        (format!("Bearer {secret}"), "bearer"),
        (format!("Authorization: Bearer deploy:{secret}\n"), "bearer_named"),
        (format!("X-API-Key: {secret}"), "x_api_key"),
    ] {
        let output = sandbox.run_with("verify --json", &input);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!(output.json()["presentation"], presentation);
        assert_eq!(output.json()["key"]["name"], "deploy");
    }
    for input in [format!("other:{secret}"), format!("Bearer Deploy:{secret}"), format!(":{secret}")] {
        assert_eq!(sandbox.reason("", &input), "not_genuine", "a right secret under a wrong name");
    }
}

#[test]
fn a_whole_request() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --read-only");
    let request = |method: &str, target: &str| {
        format!("{method} {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer deploy:{secret}\r\n\r\n")
    };
    for (flags, head, reason) in [
        ("", request("GET", "/x"), "insecure_transport"),
        ("--transport https", request("GET", "/x"), "allowed"),
        ("", request("GET", "https://h/x"), "allowed"),
        ("--transport https", request("POST", "/x"), "method_not_allowed"),
        ("--transport https --method GET", request("GET", "/x"), "allowed"),
        ("", request("DELETE", "/x"), "insecure_transport method_not_allowed"),
    ] {
        assert_eq!(sandbox.reason(&format!("--request {flags}"), &head), reason, "{flags} {head}");
    }
}

#[test]
fn the_request_line_tells_the_method_and_nothing_else_does() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --read-only");
    let head = format!("POST / HTTP/1.1\r\nX-API-Key: {secret}\r\n\r\n");
    let output = sandbox.run_with("verify --request --transport https --method GET --json", head);
    assert_eq!((output.code, output.error()["code"].as_str()), (2, Some("usage")), "{output}");
}

#[test]
fn what_expires_while_the_credential_is_read_has_expired() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --expires 1h");
    assert_eq!(sandbox.run_slowly("verify -q", &secret, 59.minutes()).code, 0);
    assert_eq!(sandbox.run_slowly("verify -q", &secret, 1.minutes()).code, 3);
}

#[test]
fn quiet_is_quiet_and_json_is_one_document() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    std::fs::set_permissions(sandbox.store(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let output = sandbox.run_with("verify -q", &secret);
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (0, "", ""));
    let output = sandbox.run_with("verify --json", &secret);
    assert_eq!((&output.json()["warnings"], output.stderr.as_str()), (&serde_json::json!(["store_permissions"]), ""));
    assert_eq!(sandbox.run("show nosuch --json").error()["code"], "not_found");
}

#[test]
fn the_exit_code_is_the_answer_whatever_becomes_of_the_words() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    for (input, code) in [(secret.as_str(), 0), ("nonsense", 3)] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut child = sandbox
            .binary("verify")
            .stdin(std::process::Stdio::piped())
            .stdout(full)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn the_whole_context() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --scope rest --level A/B --allow-ip 10.0.0.0/8 --read-only");
    for (flags, reason) in [
        ("--ip 10.1.1.1 --method GET --scope rest --level A --transport https", "allowed"),
        ("", "ip_not_allowed method_not_allowed"),
        ("--ip ::ffff:10.1.1.1 --method HEAD", "allowed"),
        (
            "--ip 203.0.113.9 --method POST --scope ui,rest --level B --transport http",
            "insecure_transport ip_not_allowed method_not_allowed scope_missing level_missing",
        ),
        ("--ip 10.1.1.1 --method GET --role viewer", "role_too_low"),
        ("--ip 10.1.1.1 --method GET --role nosuch", "role_too_low"),
        ("--ip 10.1.1.1 --method GET --tenant acme", "allowed"),
    ] {
        assert_eq!(sandbox.reason(flags, &secret), reason, "{flags}");
    }
}

#[test]
fn at_tells_the_future_and_records_nothing() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --expires 10d");
    for (at, reason) in [
        ("2026-02-10T11:59:59Z", "allowed"),
        ("2026-02-10T12:00:00Z", "key_expired"),
        ("2026-02-10", "allowed"),
        ("2026-02-11", "key_expired"),
    ] {
        assert_eq!(sandbox.reason(&format!("--at {at}"), &secret), reason, "{at}");
    }
    assert_eq!(sandbox.run("show --json deploy").json()["use_count"], 0);
}

#[test]
fn uses_are_counted_exactly() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --scope rest");
    sandbox.pass(1.hour());
    for (flags, code) in [("", 0), ("--no-record", 0), ("--scope rest", 0), ("--scope ui", 4), ("-q", 0)] {
        assert_eq!(sandbox.run_with(&format!("verify {flags}"), &secret).code, code);
    }
    let key = sandbox.run("show --json deploy").json();
    assert_eq!((key["use_count"].as_u64(), key["last_used_at"].as_str()), (Some(3), Some("2026-01-31T13:00:00Z")));
}

#[test]
fn from_a_file_or_a_variable() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let file = sandbox.path("secret.txt");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let output = sandbox.run(&format!("verify --from-file {}", file.display()));
    assert_eq!(output.code, 0, "{output}");
    let from_env = |value: &str| sandbox.run_env("verify -q --from-env API_KEY", &[("API_KEY", value)]).code;
    assert_eq!((from_env(&secret), from_env(""), from_env("x")), (0, 3, 3));
    for line in ["verify --from-env NOT_SET", "verify --from-file /does/not/exist"] {
        let output = sandbox.run(&format!("{line} --json"));
        assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("invalid_value")), "{line}");
    }
    assert_eq!(sandbox.run("verify --from-env A --from-file b").code, 2);
}

#[test]
fn the_checklist_is_readable_without_colour() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --allow-ip 10.0.0.0/8 --scope rest --expires 30d");
    expect![[r#"
        code: 0
        stdout: allowed: deploy
        stdout:   pass the secret is genuine
        stdout:   pass this is the current secret
        stdout:   pass the key is enabled
        stdout:   pass the key expires at 2026-03-02T12:00:00Z
        stdout:   skip the key has no owner
        stdout:   skip the key has no tenant
        stdout:   pass the request is local, which counts as secure
        stdout:   pass 10.2.3.4 is in 10.0.0.0/8
        stdout:   skip the key works for every tenant
        stdout:   skip the key may read and write
        stdout:   pass the key has rest
        stdout:   skip the request asks for no level
        stdout:   skip the request asks for no role
        stdout:   skip no limit of up to an hour was checked
        stdout:   skip no limit for a day or a month was checked
    "#]]
    .assert_eq(&sandbox.run_with("verify --all --ip 10.2.3.4 --scope rest", &secret).to_string());
    expect![[r#"
        code: 4
        stdout: refused: insecure_transport (403), key deploy
        stdout:   pass the secret is genuine
        stdout:   pass this is the current secret
        stdout:   pass the key is enabled
        stdout:   pass the key expires at 2026-03-02T12:00:00Z
        stdout:   skip the key has no owner
        stdout:   skip the key has no tenant
        stdout:   FAIL the request came over http, and the key requires a secure connection
        stdout:        send it over https (say so with --transport https), or allow http with: keyward edit deploy --allow-insecure
        stdout:   FAIL 203.0.113.9 is not in 10.0.0.0/8
        stdout:        add it with: keyward edit deploy --add-allow-ip 203.0.113.9
        stdout:   skip the key works for every tenant
        stdout:   skip the key may read and write
        stdout:   FAIL the key lacks ui; it has rest
        stdout:        add it with: keyward edit deploy --add-scope ui
        stdout:   skip the request asks for no level
        stdout:   skip the request asks for no role
        stdout:   skip no limit of up to an hour was checked
        stdout:   skip no limit for a day or a month was checked
    "#]]
        .assert_eq(&sandbox.run_with("verify --all --ip 203.0.113.9 --scope ui --transport http", &secret).to_string());
    let output = sandbox.run_with("verify --all -q", &secret);
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (4, "", ""));
}

#[test]
fn nothing_is_revealed_before_the_secret_has_matched() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --disabled --expires 1h --allow-ip 10.0.0.0/8");
    let other = sandbox.mint("other");
    // The id of one key and the secret of another, with a correct checksum.
    let id = secret.split('_').nth(1).unwrap();
    let forged = format!("kw_{id}_{}", &other.split('_').nth(2).unwrap()[..43]);
    let forged = format!("{forged}{}", base62(crc32fast::hash(forged.as_bytes())));
    for input in [forged.clone(), format!("deploy:{forged}"), format!("wrong:{secret}")] {
        let document = sandbox.run_with("verify --json", input).json();
        assert_eq!(document["reason"], "not_genuine");
        assert_eq!(
            (&document["key"], &document["effective_role"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        assert_eq!(document["checks"].as_array().unwrap().len(), 1);
    }
    assert_eq!(sandbox.reason("--ip 10.0.0.1", &secret), "key_disabled");
}

fn base62(mut number: u32) -> String {
    let alphabet = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut digits = vec![];
    for _ in 0..6 {
        digits.push(char::from(alphabet[(number % 62) as usize]));
        number /= 62;
    }
    digits.iter().rev().collect()
}

#[test]
fn a_hash_of_another_cost_is_renewed_at_the_next_success() {
    use keyward_core::rules::hashing::Cost;
    use keyward_core::store::{Stamp, Store, StoreSettings};
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --scope rest");
    let hash = || {
        let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
        conn.query_row("SELECT hash FROM secret", [], |row| row.get::<_, String>(0)).unwrap()
    };
    let mut settings = StoreSettings::default();
    settings.hash_cost = Cost { passes: 2, ..Cost::FLOOR };
    let now = "2026-01-31T12:00:00Z".parse().unwrap();
    let mut store = Store::open(&sandbox.store()).unwrap();
    store.write(Stamp { now, actor: None }, |changes| changes.save_settings(&settings)).unwrap();
    assert!(hash().contains("m=1024,t=1,p=1"));
    assert_eq!(sandbox.reason("--scope ui", &secret), "scope_missing");
    assert!(hash().contains("m=1024,t=1,p=1"), "only a success renews it");
    assert_eq!(sandbox.reason("", &secret), "allowed");
    assert!(hash().contains("m=1024,t=2,p=1"));
    assert_eq!(sandbox.reason("", &secret), "allowed");
}

#[test]
fn a_hash_that_cannot_be_checked_is_no_refusal_and_no_permission() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
    for hash in [
        "$argon2id$v=19$m=4294967295,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
        "nonsense",
    ] {
        conn.execute("UPDATE secret SET hash = ?1", [hash]).unwrap();
        let output = sandbox.run_with("verify --json", &secret);
        assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_corrupt")), "{hash}");
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn the_costs_of_all_hashes_are_known_when_the_parameters_change() {
    let sandbox = Sandbox::new();
    let costs = || -> Vec<String> {
        let settings = keyward_core::store::Store::open(&sandbox.store()).unwrap();
        let settings = settings.view().unwrap().settings().unwrap();
        settings.former_costs.iter().map(ToString::to_string).collect()
    };
    assert!(costs().is_empty());
    let secret = sandbox.mint("a");
    sandbox.run("settings set hash-parameters m=2048,t=1,p=1");
    assert_eq!(costs(), ["m=1024,t=1,p=1"]);
    sandbox.mint("b");
    sandbox.run("settings set prefix app");
    assert_eq!(costs(), ["m=1024,t=1,p=1"], "another setting changes nothing about it");
    // A known id with a wrong secret, an unknown id and a wrong name get the same answer, whatever they cost.
    for credential in [secret.replace("kw_", "xx_"), format!("b:{secret}"), secret.clone()] {
        let reason = sandbox.reason("", &credential);
        assert_eq!(reason == "allowed", credential == secret, "{reason}");
    }
    // The hash was renewed, and the next change finds no other.
    sandbox.run("settings set hash-parameters m=1024,t=2,p=1");
    assert_eq!(costs(), ["m=2048,t=1,p=1"]);
}
