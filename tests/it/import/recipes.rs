//! The recipes of `keyward help import`, run verbatim on made-up exports of the other systems. Stand-ins for `deck`,
//! `curl` and `mysql` supply them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_core::rules::fingerprint::sha256;
use serde_json::{Value, json};

use super::hex;
use crate::harness::{Output, Sandbox, finish_with};

/// Serves the files of the folder `answers`, like a server that authenticates its clients.
const CURL: &str = r#"url=${*: -1}
[[ $* == *"-H @"*.header* ]] || exit 2
answer=answers/$(tr -c 'A-Za-z0-9\n' _ <<< "${url#http://127.0.0.1:}")
if [ -e "$answer" ]; then cat "$answer"; elif [[ $1 == *f* ]]; then exit 22; else echo '{"message":"Key not found"}'; fi"#;

/// Prints what `deck` would, and refuses any other call.
const DECK: &str = r#"[ "$*" = "gateway dump --format json -o -" ] || exit 2; cat kong.json"#;

/// Answers from an SQLite table, which understands the same query.
const MYSQL: &str = r#"[ "$1 $2" = "-NBr -e" ] || exit 2
{ echo "ATTACH ':memory:' AS unkey;"; cat unkey.sql; echo "$3;"; } | sqlite3 -batch -bail :memory:"#;

/// A sandbox with stand-ins for these programs.
fn with(programs: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::new();
    for folder in ["bin", "answers"] {
        fs::create_dir(sandbox.path(folder)).unwrap();
    }
    for (name, script) in programs {
        let path = sandbox.path("bin").join(name);
        fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    sandbox
}

fn shell(sandbox: &Sandbox, script: &str, input: &str) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap().display();
    let mut bash = Command::new("bash");
    bash.args(["-o", "pipefail", "-c", script]).current_dir(sandbox.path("")).env_clear();
    bash.env("PATH", format!("{}:{binary}:/usr/bin:/bin", sandbox.path("bin").display()));
    finish_with(bash.env("KEYWARD_STORE", sandbox.name()).env("HOME", sandbox.path("")), input.as_bytes())
}

/// The help of a section, without its indentation.
fn section(heading: &str) -> String {
    let help = Sandbox::empty().run("help import").stdout;
    let (_, rest) = help.split_once(&format!("\n{heading}")).unwrap();
    let lines = rest.lines().skip(1).take_while(|line| line.is_empty() || line.starts_with("  "));
    let lines: Vec<_> = lines.map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
    lines.join("\n")
}

/// The recipe that begins with this comment.
fn recipe(start: &str) -> String {
    let recipes = section("Recipes:");
    let found = recipes.split("\n\n").filter(|part| part.starts_with(&format!("# {start}")));
    let [found] = found.collect::<Vec<_>>()[..] else { panic!("{start}: {recipes}") };
    found.to_owned()
}

/// Runs a recipe verbatim, then without `--dry-run`.
fn import(sandbox: &Sandbox, system: &str) -> Output {
    let script = format!("{}\n{}", recipe("Paste this"), recipe(system));
    let planned = shell(sandbox, &script, "");
    assert!(planned.code != 0 || planned.stderr.contains("nothing was changed"), "{planned}");
    assert_eq!(sandbox.run("list --json").json(), json!([]));
    let output = shell(sandbox, script.trim_end().strip_suffix(" --dry-run").unwrap(), "");
    assert_eq!(output.code, planned.code, "{output}");
    output
}

/// Checks each key: its name, the secret that opens it, and its settings.
fn check(sandbox: &Sandbox, keys: &[(&str, &str, Value)]) {
    let listed = shell(sandbox, "keyward list --json", "").json();
    let mut names: Vec<_> = keys.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    let listed: Vec<_> = listed.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(listed, names);
    for (name, secret, expected) in keys {
        let answer = shell(sandbox, "keyward verify --json --method GET", secret).json();
        let key = &answer["key"];
        assert_eq!(key["name"], *name, "{secret}: {answer}");
        let reason = if expected["enabled"] == json!(false) { "key_disabled" } else { "allowed" };
        assert_eq!(answer["reason"], reason, "{name}");
        for field in ["labels", "expires_at", "description"] {
            let otherwise = if field == "labels" { json!({}) } else { Value::Null };
            assert_eq!(&key[field], expected.get(field).unwrap_or(&otherwise), "{name}: {field}");
        }
    }
}

#[test]
fn every_recipe_is_run_here_and_fits_into_a_terminal() {
    let recipes = section("Recipes:");
    let starts = ["They need", "Paste this", "Kong", "APISIX", "Tyk", "Unkey", "A spreadsheet"];
    assert_eq!(recipes.trim_end().split("\n\n").count(), starts.len());
    for start in starts {
        assert!(!recipe(start).is_empty());
    }
    for line in recipes.lines().chain(section("To undo").lines()) {
        assert!(line.chars().count() <= 76, "{line}");
    }
}

#[test]
#[ignore = "needs jq"]
fn kong() {
    let sandbox = with(&[("deck", DECK)]);
    fs::write(sandbox.path("kong.json"), include_str!("samples/kong.json")).unwrap();
    let output = import(&sandbox, "Kong");
    assert_eq!(output.code, 0, "{output}");
    let second = sandbox.run("show billing-service-2 --json").json();
    let time = |field: &str| second[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(time("expires_at") - time("created_at"), 2_592_000);
    check(
        &sandbox,
        &[
            (
                "billing-service",
                "made-up-kong-billing-0a1b2c3d4e5f",
                json!({"labels": {"old-key": "", "production": ""}}),
            ),
            (
                "billing-service-2",
                "made-up-kong-billing-5f4e3d2c1b0a",
                json!({"labels": {"production": ""}, "expires_at": second["expires_at"]}),
            ),
            ("billing-service-3", "made-up-kong-clash-1029384756af", json!({})),
            ("made-up-4711", "made-up-kong-custom-9e8d7c6b5a4f", json!({})),
        ],
    );
    let as_clients_send_it = "apikey: made-up-kong-custom-9e8d7c6b5a4f";
    assert_eq!(shell(&sandbox, "keyward verify --json", as_clients_send_it).json()["reason"], "allowed");
}

#[test]
#[ignore = "needs jq"]
fn apisix() {
    let sandbox = with(&[("curl", CURL)]);
    let answers = sandbox.path("answers");
    fs::write(answers.join("9180_apisix_admin_consumers"), include_str!("samples/apisix_consumers.json")).unwrap();
    let credentials = answers.join("9180_apisix_admin_consumers_ann_credentials");
    fs::write(credentials, include_str!("samples/apisix_credentials.json")).unwrap();
    let output = import(&sandbox, "APISIX");
    assert_eq!(output.code, 0, "{output}");
    check(
        &sandbox,
        &[
            (
                "jack",
                "made-up-apisix-jack-0a1b2c3d4e5f",
                json!({"labels": {"team": "web"}, "description": "made up, like all of them"}),
            ),
            ("ann/laptop", "made-up-apisix-ann-laptop-6f7e8d9c", json!({"labels": {"kind": "own"}})),
        ],
    );
}

/// The text of a key that Tyk made, with this hash.
fn tyk_text(id: &str) -> String {
    STANDARD.encode(format!(r#"{{"org":"madeup","id":"{id}","h":"sha256"}}"#))
}

/// What Tyk stores for a key by default.
fn tyk_session(alias: &str) -> Value {
    json!({
        "last_check": 0, "allowance": 1000, "rate": 1000, "per": 60, "expires": -1, "quota_max": -1,
        "quota_renews": 1_764_000_000, "quota_remaining": -1, "quota_renewal_rate": 60, "access_rights": {},
        "org_id": "madeup", "oauth_client_id": "", "oauth_keys": null, "certificate": "",
        "basic_auth_data": {"password": "", "hash_type": ""}, "jwt_data": {"secret": ""}, "hmac_enabled": false,
        "hmac_string": "", "is_inactive": false, "apply_policies": [], "meta_data": null, "tags": null, "alias": alias,
    })
}

fn with_tyk(keys: &[(String, Value)]) -> Sandbox {
    let sandbox = with(&[("curl", CURL)]);
    let answers = sandbox.path("answers");
    let hashes: Vec<_> = keys.iter().map(|(hash, _)| hash.as_str()).collect();
    fs::write(answers.join("8080_tyk_keys"), json!({"keys": hashes}).to_string()).unwrap();
    for (hash, session) in keys {
        fs::write(answers.join(format!("8080_tyk_keys_{hash}_hashed_true")), session.to_string()).unwrap();
    }
    sandbox
}

#[test]
#[ignore = "needs jq"]
fn tyk() {
    let (one, two, nameless, login) = (tyk_text("01"), tyk_text("02"), tyk_text("03"), tyk_text("made-up-login"));
    let mut keys = vec![
        (hex(&one), tyk_session("mobile app")),
        (hex(&two), tyk_session("mobile app")),
        (hex(&nameless), tyk_session("")),
    ];
    keys[0].1["tags"] = json!(["eu west", "beta"]);
    keys[0].1["expires"] = json!(7_260_840_000_u64);
    keys[1].1["is_inactive"] = json!(true);
    // What is known of a login is not a key's secret.
    for (number, (field, value)) in [
        ("basic_auth_data", json!({"password": "made-up-hash", "hash_type": "bcrypt"})),
        ("jwt_data", json!({"secret": "made-up-secret-of-a-token"})),
        ("hmac_string", json!("made-up-secret-of-a-signature")),
        ("oauth_client_id", json!("made-up-client")),
        ("certificate", json!("made-up-certificate")),
        ("meta_data", json!({"TykJWTSessionID": "made-up-session"})),
    ]
    .into_iter()
    .enumerate()
    {
        let mut session = tyk_session("login");
        session[field] = value;
        keys.push((hex(&format!("{login}{number}")), session));
    }
    let sandbox = with_tyk(&keys);
    let output = import(&sandbox, "Tyk");
    assert_eq!(output.code, 0, "{output}");
    let name = hex(&nameless)[..12].to_owned();
    check(
        &sandbox,
        &[
            ("mobile-app", &one, json!({"labels": {"beta": "", "eu-west": ""}, "expires_at": "2200-02-01T12:00:00Z"})),
            ("mobile-app-2", &two, json!({"enabled": false})),
            (&name, &nameless, json!({})),
        ],
    );
}

#[test]
#[ignore = "needs jq"]
fn hashes_of_murmur_are_refused_and_never_taken_for_texts() {
    for hash in ["9e107d9d", "9e107d9d372bb682", "9e107d9d372bb6826bd81d3542a419d6"] {
        let sandbox =
            with_tyk(&[(hex("made-up-tyk-0a1b2c3d"), tyk_session("one")), (hash.to_owned(), tyk_session("two"))]);
        let output = import(&sandbox, "Tyk");
        assert_eq!(output.code, 1, "{output}");
        assert!(
            output.stderr.contains("stdin:2: ") && output.stderr.contains("a SHA-256 is 64 hex digits"),
            "{output}"
        );
    }
}

#[test]
#[ignore = "needs jq and sqlite3"]
fn unkey() {
    let sandbox = with(&[("mysql", MYSQL)]);
    let mut table = include_str!("samples/unkey.sql").to_owned();
    for name in ["mobile", "off", "gone", "root", "pending"] {
        let hash = STANDARD.encode(sha256(&format!("made-up-unkey-{name}-0a1b2c3d")));
        table = table.replace(&format!("{{{name}}}"), &hash);
    }
    fs::write(sandbox.path("unkey.sql"), table).unwrap();
    let output = import(&sandbox, "Unkey");
    assert_eq!(output.code, 0, "{output}");
    check(
        &sandbox,
        &[
            ("mobile-app", "made-up-unkey-mobile-0a1b2c3d", json!({"expires_at": "2200-01-31T12:00:00Z"})),
            ("key_made_up_2", "made-up-unkey-off-0a1b2c3d", json!({"enabled": false})),
        ],
    );
}

#[test]
#[ignore = "needs jq"]
fn a_spreadsheet_and_how_its_import_is_undone() {
    let sandbox = with(&[]);
    fs::write(sandbox.path("clients.csv"), include_str!("samples/clients.csv")).unwrap();
    let output = import(&sandbox, "A spreadsheet");
    assert_eq!(output.code, 0, "{output}");
    let keys = [
        (
            "web-shop",
            "made-up-sheet-web-shop-0a1b2c3d",
            json!({"labels": {"team": "web", "tier": "1"}, "expires_at": "2200-01-31T00:00:00Z"}),
        ),
        ("printer", "made-up-sheet-printer-9f8e7d6c", json!({})),
    ];
    check(&sandbox, &keys);
    assert_eq!(shell(&sandbox, "keyward create own", "").code, 0);
    let undone = shell(&sandbox, &section("To undo"), "");
    assert_eq!(undone.code, 0, "{undone}");
    let left = shell(&sandbox, "keyward list --json", "").json();
    assert_eq!((left.as_array().unwrap().len(), &left[0]["name"]), (1, &json!("own")), "{left}");
}
