//! Keys of another system: what is imported, what is refused, and that their secrets work and are never shown.

mod hostile;
mod model;
mod presented;
mod recipes;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jiff::ToSpan as _;
use keyward_core::rules::fingerprint::{sha256, to_hex};
use keyward_core::rules::hashing::{Cost, HashedSecret};
use keyward_core::rules::imported::ImportedText;
use serde_json::{Value, json};

use crate::harness::{Output, Sandbox};
use crate::pty::Screen;

/// Made up, like all texts here.
const ONE: &str = "client-one-9f8c1b7e42d04c6f";
const TWO: &str = "client-two:3e5a,77c0d1b2a4f6";
const THREE: &str = "client-three-b7d2904c6fe1a3";

fn hex(text: &str) -> String {
    to_hex(&sha256(text))
}

fn phc(text: &str) -> String {
    let text = ImportedText::new(text.to_owned().into()).unwrap();
    HashedSecret::new(&text, [7; 16], Cost::FLOOR).unwrap().as_phc().to_owned()
}

/// A file that only its owner can read.
fn file(sandbox: &Sandbox, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = sandbox.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// One record per line.
fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect::<Vec<_>>().concat()
}

fn three() -> String {
    lines(&[
        json!({"name": "one", "secret": ONE, "scopes": ["rest"]}),
        json!({"name": "two", "sha256": hex(TWO), "labels": {"team": "web"}, "expires_at": "2200-01-31T00:00:00Z"}),
        json!({"name": "three", "phc": phc(THREE), "enabled": true}),
    ])
}

/// A store with three imported keys.
fn imported() -> Sandbox {
    let sandbox = Sandbox::new();
    let output = sandbox.run(&format!("import {}", file(&sandbox, "keys.jsonl", three())));
    assert_eq!(output.code, 0, "{output}");
    sandbox
}

fn secret_of(sandbox: &Sandbox, name: &str) -> Value {
    sandbox.run(&format!("show {name} --json")).json()["secrets"][0].clone()
}

/// The output contains none of the texts or imported hashes.
fn assert_silent(output: &Output) {
    for secret in [ONE, TWO, THREE, &hex(TWO), &phc(THREE)] {
        assert!(!output.stdout.contains(secret) && !output.stderr.contains(secret), "{output}");
    }
}

#[test]
fn each_kind_of_record_becomes_a_key() {
    let sandbox = Sandbox::empty();
    let path = file(&sandbox, "keys.jsonl", three());
    let planned = sandbox.run(&format!("import {path} --dry-run --json"));
    let expected = json!({"outcome": "planned", "keys": 3, "secret": 1, "sha256": 1, "phc": 1, "guessable": 0, "warnings": ["other_hash_parameters"]});
    assert_eq!((planned.code, planned.json()), (0, expected.clone()), "{planned}");
    assert!(!sandbox.store().exists());
    let output = sandbox.run(&format!("import {path} --json"));
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(output.json()["outcome"], "imported");
    assert_silent(&output);
    for (name, origin, renewed) in [("one", "secret", true), ("two", "sha256", false), ("three", "phc", false)] {
        let secret = secret_of(&sandbox, name);
        assert_eq!((&secret["imported"], &secret["renewed"]), (&json!(origin), &json!(renewed)), "{name}");
    }
    let two = sandbox.run("show two --json").json();
    assert_eq!((&two["labels"], &two["state"]), (&json!({"team": "web"}), &json!("active")));
    assert!(two["expires_at"].is_string());
    let own = sandbox.mint("own");
    assert!(!own.is_empty());
    let secret = secret_of(&sandbox, "own");
    assert_eq!((&secret["imported"], &secret["renewed"]), (&Value::Null, &json!(false)));
    let history = sandbox.run("history --action key.import --json").json();
    assert_eq!(history.as_array().unwrap().len(), 3);
    assert!(sandbox.run("history --check").stdout.contains("intact"));
}

#[test]
fn all_or_nothing_and_every_mistake_with_its_line() {
    let sandbox = imported();
    sandbox.run("group create known");
    let before = sandbox.run("list --json").stdout;
    let records = [
        json!({"name": "four", "secret": "client-four-0f1e2d3c4b5a69"}),
        json!({"name": "one", "secret": "client-five-0f1e2d3c4b5a69"}),
        json!({"name": "six", "secret": ONE}),
        json!({"name": "seven", "sha256": hex(TWO)}),
        json!({"name": "eight", "secret": TWO}),
        json!({"name": "nine", "phc": phc(THREE)}),
        json!({"name": "ten", "secret": "client-four-0f1e2d3c4b5a69"}),
        json!({"name": "ten", "sha256": hex("client-four-0f1e2d3c4b5a69")}),
        json!({"name": "eleven", "secret": "client-elev-0f1e2d3c4b5a69", "group": "knwon"}),
        json!({"name": "twelve", "secret": "short", "scope": ["rest"]}),
        json!({"name": "none", "secret": "client-thir-0f1e2d3c4b5a69"}),
        json!({"name": "fourteen", "secret": "client-fout-0f1e2d3c4b5a69", "expires_at": "0d"}),
    ];
    let path = file(&sandbox, "more.jsonl", lines(&records));
    let output = sandbox.run(&format!("import {path}"));
    assert_eq!(output.code, 1, "{output}");
    for (line, says) in [
        (2, "already a key named one"),
        (3, "the key one has this secret already"),
        (4, "the key two has this secret already"),
        (5, "the key two has this secret already"),
        (6, "the key three has this secret already"),
        (7, "this secret stands on line 1 already"),
        (8, "this name stands on line 7 already"),
        (8, "this secret stands on line 1 already"),
        (9, "there is no group named knwon; did you mean known?"),
        (10, "secret: an imported secret has 16 to 512 characters"),
        (10, "unknown field `scope`; did you mean `scopes`?"),
        (11, "none"),
        (12, "expires_at"),
    ] {
        let told =
            output.stderr.lines().any(|text| text.contains(&format!("more.jsonl:{line}: ")) && text.contains(says));
        assert!(told, "{line}: {says}\n{output}");
    }
    assert_silent(&output);
    assert!(!output.stderr.contains("more.jsonl:1:") && !output.stderr.contains("0f1e2d3c4b5a69"), "{output}");
    assert_eq!(sandbox.run("list --json").stdout, before);
    let dry = sandbox.run(&format!("import {path} --dry-run"));
    assert_eq!((dry.code, dry.stderr), (1, output.stderr));
}

/// A column with the wrong heading.
#[test]
fn what_the_store_says_of_a_secret_in_the_wrong_field_does_not_repeat_it() {
    let sandbox = Sandbox::new();
    for field in ["group", "owner", "role", "tenant"] {
        let output = sandbox.run_with("import -", lines(&[json!({"name": "a", field: ONE, "secret": TWO})]));
        assert_eq!(output.code, 1, "{output}");
        assert!(output.stderr.contains("stdin:1: there is no") && output.stderr.contains("named …"), "{output}");
        assert_silent(&output);
    }
}

#[test]
fn a_csv_is_read_as_a_spreadsheet_writes_it() {
    let sandbox = Sandbox::new();
    sandbox.run("group create ci");
    let table = format!(
        "\u{feff}name,secret,sha256,phc,group,scopes,labels,read_only,expires_at,limits,description\r\n\
         one,{ONE},,,ci,\"rest,ui\",\"team=web,tier=1\",TRUE,never,100/1m,\"one, \"\"quoted\"\"\"\r\n\
         two,,{},,,,,false,2030-01-31T00:00:00Z,,\r\n\
         three,,,\"{}\",,,,,,,\r\n",
        hex(TWO),
        phc(THREE)
    );
    let output = sandbox.run(&format!("import {}", file(&sandbox, "keys.csv", table)));
    assert_eq!(output.code, 0, "{output}");
    let one = sandbox.run("show one --json").json();
    for (field, value) in [
        ("group", json!("ci")),
        ("scopes", json!(["rest", "ui"])),
        ("labels", json!({"team": "web", "tier": "1"})),
        ("read_only", json!(true)),
        ("description", json!("one, \"quoted\"")),
        ("expires_at", Value::Null),
    ] {
        assert_eq!(one[field], value, "{field}");
    }
    assert_eq!(one["limits"][0]["count"], 100);
    assert_eq!(sandbox.run("show two --json").json()["expires_at"], "2030-01-31T00:00:00Z");
    assert_eq!(sandbox.reason("--method GET", ONE), "allowed");
}

#[test]
fn what_the_store_decides_counts_for_imported_keys() {
    let sandbox = Sandbox::new();
    sandbox.mint("own");
    sandbox.run("settings set default-lifetime 30d");
    sandbox.run("settings set max-lifetime 60d");
    let record = |name: &str, end: &str| json!({"name": name, "secret": format!("{ONE}-{name}"), "expires_at": end});
    let mut silent = record("silent", "");
    silent.as_object_mut().unwrap().remove("expires_at");
    let long = sandbox.run_with("import -", lines(&[record("long", "90d"), record("never", "never"), silent.clone()]));
    assert_eq!(long.code, 1);
    assert_eq!(long.stderr.matches("60d").count(), 2, "{long}");
    let output = sandbox.run_with("import -", lines(&[silent, record("other", "50d")]));
    assert_eq!(output.code, 0, "{output}");
    let end =
        |name: &str| sandbox.run(&format!("show {name} --json")).json()["expires_at"].as_str().unwrap().to_owned();
    let day = |days: i64| sandbox.now().checked_add((24 * days).hours()).unwrap().to_string();
    assert_eq!((end("silent"), end("other")), (day(30), day(50)));
}

#[test]
fn who_may_make_keys_may_import_them_and_no_higher() {
    let sandbox = Sandbox::new();
    sandbox.run("user create ann --role editor");
    sandbox.run("role edit editor --manages-keys");
    sandbox.run("user create bob --role viewer");
    let record =
        |role: &str| lines(&[json!({"name": format!("as-{role}"), "secret": format!("{ONE}{role}"), "role": role})]);
    let high = sandbox.run_with("--as ann import -", record("admin"));
    assert_eq!((high.code, high.stderr.contains("stdin:1:")), (1, true), "{high}");
    assert_eq!(sandbox.run_with("--as bob import -", record("viewer")).code, 1);
    let output = sandbox.run_with("--as ann import -", record("editor"));
    assert_eq!(output.code, 0, "{output}");
    let event = sandbox.run("history --action key.import --json").json()[0].clone();
    assert_eq!(event["actor"], "ann");
}

#[test]
fn a_guessable_text_and_a_file_that_others_read_are_warned_about() {
    let sandbox = Sandbox::new();
    let records = lines(&[
        json!({"name": "one", "secret": ONE}),
        json!({"name": "two", "secret": "correct-horse-battery-staple"}),
    ]);
    let path = file(&sandbox, "keys.jsonl", records);
    fs::set_permissions(Path::new(&path), fs::Permissions::from_mode(0o640)).unwrap();
    let planned = sandbox.run(&format!("import {path} --dry-run --json"));
    assert_eq!(planned.json()["warnings"], json!(["guessable_secrets", "input_exposed"]), "{planned}");
    let output = sandbox.run(&format!("import {path}"));
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("warning: others can read") && output.stderr.contains("chmod 600"), "{output}");
    assert!(
        output.stderr.contains("1 secret can perhaps be guessed") && output.stderr.contains("keys.jsonl:2"),
        "{output}"
    );
    assert!(!output.stderr.contains("battery"));
}

/// A refusal costs one hash for each distinct set of parameters.
#[test]
fn hashes_of_other_parameters_are_warned_about() {
    let sandbox = Sandbox::new();
    sandbox.run("settings set hash-parameters m=1024,t=2,p=1");
    let records = lines(&[json!({"name": "three", "phc": phc(THREE)}), json!({"name": "one", "secret": ONE})]);
    let planned = sandbox.run_with("import - --dry-run --json", &records);
    assert_eq!(planned.json()["warnings"], json!(["other_hash_parameters"]), "{planned}");
    let output = sandbox.run_with("import -", &records);
    let says = "1 parameter set that the store does not use (m=1024,t=1,p=1)";
    assert!(output.code == 0 && output.stderr.contains(says), "{output}");
    assert_silent(&output);
}

#[test]
fn hashes_of_too_many_parameters_are_refused() {
    let sandbox = Sandbox::new();
    let record = |number: u32| {
        let text = ImportedText::new(format!("{ONE}-{number}").into()).unwrap();
        let cost = Cost { memory_kib: Cost::FLOOR.memory_kib + number, ..Cost::FLOOR };
        json!({"name": format!("k{number}"), "phc": HashedSecret::new(&text, [7; 16], cost).unwrap().as_phc()})
    };
    let records: Vec<_> = (0..9).map(record).collect();
    let output = sandbox.run_with("import -", lines(&records));
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stderr.contains("stdin:9: the parameters m=1032,t=1,p=1 are one set too many"), "{output}");
    assert!(!output.stderr.contains("stdin:8:"), "{output}");
    assert_eq!(sandbox.run_with("import -", lines(&records[..8])).code, 0);
    assert_eq!(sandbox.run_with("import -", lines(&records[8..])).code, 1);
}

#[test]
fn a_person_is_asked() {
    let sandbox = Sandbox::empty();
    let path = file(&sandbox, "keys.jsonl", three());
    let mut screen = Screen::start(&sandbox.store(), &format!("import {path}"), 80);
    screen.wait_for("Import 3 keys into the store");
    screen.press("n\r");
    assert_eq!(screen.end(), 5, "{}", screen.text());
    assert!(!sandbox.store().exists());
    let mut screen = Screen::start(&sandbox.store(), &format!("import {path}"), 80);
    screen.wait_for("Import 3 keys into the store");
    screen.press("y\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert!(screen.text().contains("imported 3 keys"), "{}", screen.text());
}

#[test]
fn lists_cards_and_the_doctor_tell_what_was_imported_and_what_waits() {
    let sandbox = imported();
    sandbox.mint("own");
    let card = |name: &str| sandbox.run(&format!("show {name}")).stdout;
    assert!(card("one").contains("(current, imported as secret)"), "{}", card("one"));
    assert!(card("two").contains("(current, imported as sha256, not renewed yet)"), "{}", card("two"));
    let table = sandbox.run("list --columns name,secrets").stdout;
    assert!(table.contains("(imported as phc, not renewed yet)"), "{table}");
    let mut screen = Screen::start(&sandbox.store(), "list", 80);
    screen.wait_for("4 keys, 3 with an imported secret (2 not renewed yet)");
    assert_eq!(screen.end(), 0);
    let found = |check: &str| {
        let output = sandbox.run("doctor --json");
        let all = output.json();
        all.as_array().unwrap().iter().find(|finding| finding["check"] == check).cloned()
    };
    let waiting = found("imported").unwrap_or_else(|| panic!("{}", sandbox.run("doctor")));
    assert_eq!((&waiting["level"], &waiting["keys"]), (&json!("warning"), &json!(["three", "two"])));
    assert_eq!(sandbox.reason("", TWO), "allowed");
    assert_eq!(sandbox.reason("", &format!("three:{THREE}")), "allowed");
    assert_eq!(found("imported").unwrap()["level"], "ok");
    assert!(found("same_secret").is_none());
    // The same text under two hashes that cannot be compared.
    let again = lines(&[json!({"name": "again", "sha256": hex(ONE)})]);
    assert_eq!(sandbox.run_with("import -", again).code, 0);
    assert_eq!(sandbox.reason("", ONE), "not_genuine");
    let same = found("same_secret").unwrap();
    assert_eq!((&same["level"], &same["keys"]), (&json!("problem"), &json!(["again", "one"])));
    sandbox.run("delete again --yes");
    assert!(found("same_secret").is_none());
    assert_eq!(sandbox.reason("", ONE), "allowed");
}

#[test]
fn rotate_duplicate_delete_and_export_treat_them_as_other_keys() {
    let sandbox = imported();
    let output = sandbox.run("rotate one --grace 1h");
    let new = output.stdout.trim_end();
    assert!(new.starts_with("kw_"), "{output}");
    assert_eq!((sandbox.reason("", ONE), sandbox.reason("", new)), ("allowed".to_owned(), "allowed".to_owned()));
    let secrets = sandbox.run("show one --json").json()["secrets"].clone();
    assert_eq!((&secrets[0]["imported"], &secrets[1]["imported"]), (&Value::Null, &json!("secret")));
    sandbox.pass(2.hours());
    assert_eq!((sandbox.reason("", ONE), sandbox.reason("", new)), ("secret_retired".to_owned(), "allowed".to_owned()));
    let copy = sandbox.run("duplicate two copy").stdout;
    assert!(copy.starts_with("kw_"));
    assert_eq!(sandbox.run("show copy --json").json()["secrets"][0]["imported"], Value::Null);
    assert_eq!(sandbox.reason("", TWO), "allowed");
    let exported = sandbox.run("export");
    assert_silent(&exported);
    assert!(exported.stdout.contains("# its secret was imported"), "{exported}");
    let other = Sandbox::new();
    let dir = other.path("secrets").display().to_string();
    let applied = other.run_with(&format!("apply - --secrets-dir {dir}"), &exported.stdout);
    assert_eq!(applied.code, 0, "{applied}");
    sandbox.run("disable two");
    assert_eq!(sandbox.reason("", TWO), "key_disabled");
    sandbox.run("delete two --yes");
    assert_eq!(sandbox.reason("", TWO), "not_genuine");
}

#[test]
fn what_a_file_holds_of_an_imported_key_still_verifies() {
    let sandbox = imported();
    let paths = [ONE, TWO, THREE].map(|text| file(&sandbox, &format!("secret-{}", &text[7..10]), text));
    for (name, path) in ["one", "two", "three"].into_iter().zip(&paths) {
        let output = sandbox.run(&format!("create {name} --ensure --secret-file {path} --json"));
        assert_eq!((output.code, &output.json()["outcome"]), (0, &json!("unchanged")), "{name}: {output}");
        assert_silent(&output);
    }
    let output = sandbox.run(&format!("create two --ensure --secret-file {}", paths[0]));
    assert!(output.code == 1 && output.stderr.contains("the file holds a secret of one, not of two"), "{output}");
    sandbox.run("rotate one");
    let output = sandbox.run(&format!("create one --ensure --secret-file {}", paths[0]));
    assert!(output.code == 1 && output.stderr.contains("the file holds no working secret of one"), "{output}");
}

#[test]
fn a_backup_keeps_them_and_a_restore_does_not_bring_back_what_was_rotated() {
    let sandbox = imported();
    let backup = sandbox.path("backup.db").display().to_string();
    assert_eq!(sandbox.run(&format!("backup {backup}")).code, 0);
    assert_eq!(sandbox.reason("", TWO), "allowed");
    sandbox.run("rotate one --yes");
    sandbox.run("disable three");
    let restored = sandbox.run(&format!("restore {backup} --yes"));
    assert_eq!(restored.code, 0, "{restored}");
    assert_eq!(sandbox.reason("", TWO), "allowed");
    assert_eq!(sandbox.reason("", ONE), "secret_retired");
    assert_eq!(sandbox.reason("", &format!("three:{THREE}")), "key_disabled");
    let revived = sandbox.run(&format!("restore {backup} --yes --as-it-was"));
    assert_eq!(revived.code, 0, "{revived}");
    assert_eq!((sandbox.reason("", ONE), sandbox.reason("", TWO)), ("allowed".to_owned(), "allowed".to_owned()));
    let secret = secret_of(&sandbox, "two");
    assert_eq!((&secret["imported"], &secret["renewed"]), (&json!("sha256"), &json!(true)));
}

#[test]
fn the_fast_hash_leaves_the_file_when_it_is_renewed() {
    let sandbox = imported();
    let fast = format!("$sha256${}", hex(TWO));
    let holds = || {
        sandbox.files().iter().any(|(path, bytes)| {
            path.to_string_lossy().contains("keys.db") && bytes.windows(fast.len()).any(|part| part == fast.as_bytes())
        })
    };
    assert!(holds());
    assert_eq!(sandbox.reason("", TWO), "allowed");
    // The last process to close the store clears the log.
    sandbox.run("settings set default-lifetime 90d");
    assert!(!holds());
    assert_eq!(sandbox.reason("", TWO), "allowed");
}
