//! Rows removed by a tool that ignores foreign keys: they may have been restrictions, so every command that decides by
//! such a key or changes it fails with a damaged store. Commands that only show or stop it still work.

use std::fs;

use keyward_core::rules::token::Secret;
use serde_json::{Value, json};

use crate::harness::Sandbox;

/// What is removed, and what is then reported about the key `deploy`.
const LOSSES: [(&str, &str); 10] = [
    ("DELETE FROM user; DELETE FROM tenant", "its owner is missing, its tenant is missing"),
    ("DELETE FROM user", "its owner is missing"),
    ("DELETE FROM tenant", "its tenant is missing"),
    ("DELETE FROM key_group", "its group is missing"),
    ("DELETE FROM role WHERE name = 'editor'", "its role is missing"),
    ("DELETE FROM role WHERE name = 'admin'", "its owner's role is missing"),
    ("DELETE FROM key_scope WHERE scope = 'rest'", "it has 1 scope of 2"),
    ("DELETE FROM key_level", "it has 0 levels of 1"),
    ("DELETE FROM key_address", "it has 0 networks of 1"),
    ("DELETE FROM key_label", "it has 0 labels of 1"),
];

struct Scene {
    sandbox: Sandbox,
    secret: String,
    other: String,
}

/// The key `deploy` of a disabled user, restricted in every way; and `other`, which stays intact.
fn scene() -> Scene {
    let sandbox = Sandbox::new();
    for line in
        ["tenant create acme", "group create ci", "user create ann --role admin --tenant acme", "user disable ann"]
    {
        assert_eq!(sandbox.run(line).code, 0);
    }
    let secret = sandbox.mint(
        "deploy --owner ann --tenant acme --group ci --role editor --scope rest,ui --level api --allow-ip 10.0.0.0/8 \
         --label team=web",
    );
    let other = sandbox.mint("other");
    Scene { sandbox, secret, other }
}

impl Scene {
    /// A copy of the store without these rows.
    fn after(&self, loss: &str) -> Sandbox {
        let copy = self.sandbox.copy();
        let conn = rusqlite::Connection::open(copy.store()).unwrap();
        conn.execute_batch(&format!("PRAGMA foreign_keys = OFF; {loss}")).unwrap();
        copy
    }
}

#[test]
fn no_command_decides_or_changes_by_a_damaged_key() {
    let scene = scene();
    let manifest = r#"key = [{ name = "deploy", scopes = ["ui"] }]"#;
    for (loss, what) in LOSSES {
        let sandbox = scene.after(loss);
        fs::write(sandbox.path("manifest"), manifest).unwrap();
        let before = sandbox.run("show deploy --json").json();
        for line in [
            "verify --no-record",
            "verify",
            "edit deploy --description x",
            "edit deploy --name another",
            "edit deploy --tenant none",
            "rotate deploy",
            "duplicate deploy another",
            "create deploy --ensure",
            "create deploy --ensure --scope ui",
            "enable deploy",
            &format!("apply {} --dry-run", sandbox.path("manifest").display()),
            &format!("apply {} --yes", sandbox.path("manifest").display()),
        ] {
            let output = sandbox.run_with(&format!("{line} --json"), &scene.secret);
            assert_eq!((output.code, output.stdout.as_str()), (6, ""), "{loss}: {line}: {output}");
            let error = output.error();
            let message = error["message"].as_str().unwrap();
            assert_eq!(error["code"], "store_corrupt", "{loss}: {line}");
            assert!(message.contains("the key deploy: ") && message.contains(what), "{loss}: {line}: {message}");
        }
        assert_eq!(sandbox.run("show deploy --json").json(), before, "{loss}");
        // Without the secret, a client learns nothing of it.
        let id = Secret::parse(scene.secret.trim()).unwrap().id().clone();
        let guessed = Secret::build(&"kw".parse().unwrap(), id, &[7; 32]);
        assert_eq!(sandbox.reason("", guessed.expose()), "not_genuine", "{loss}");
        assert_eq!(sandbox.reason("", &scene.other), "allowed", "{loss}");
    }
}

#[test]
fn a_batch_answers_for_the_others_and_ends_as_damaged() {
    let scene = scene();
    for (loss, what) in LOSSES {
        let sandbox = scene.after(loss);
        let questions = [&scene.other, &scene.secret, &scene.other].map(|secret| json!({"credential": secret}));
        let input = questions.map(|question| question.to_string()).join("\n");
        let output = sandbox.run_with("verify --batch", input);
        let answers: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((output.code, answers.len()), (6, 3), "{loss}: {output}");
        assert_eq!([&answers[0]["allowed"], &answers[2]["allowed"]], [true, true], "{loss}");
        let error = &answers[1]["error"];
        assert_eq!(error["code"], "store_corrupt", "{loss}: {output}");
        assert!(error["message"].as_str().unwrap().contains(what), "{loss}: {error}");
    }
}

#[test]
fn lists_and_exports_go_on_and_name_what_is_damaged() {
    let scene = scene();
    for (loss, what) in LOSSES {
        let sandbox = scene.after(loss);
        for (line, says) in [
            ("list --json", "\"name\":\"other\""),
            ("list -q", "deploy\nother\n"),
            ("list", "other"),
            ("list --fail-if-any", "other"),
            ("export", "name = \"other\""),
            ("export --json", "\"name\":\"other\""),
        ] {
            let output = sandbox.run(line);
            assert_eq!(output.code, 6, "{loss}: {line}: {output}");
            assert!(output.stdout.contains(says), "{loss}: {line}: {output}");
            assert!(output.stderr.contains("the key deploy: ") && output.stderr.contains(what), "{line}: {output}");
            if line.contains("--json") {
                assert!(!output.json().is_null());
                assert_eq!(output.error()["code"], "store_corrupt", "{loss}: {line}");
            }
        }
        assert_eq!(sandbox.run("list --name other").code, 0, "{loss}: what is not listed is not told");
    }
    // A user whose role is missing is reported too.
    let sandbox = scene.after("DELETE FROM role WHERE name = 'admin'; DELETE FROM key");
    let output = sandbox.run("export");
    assert_eq!(output.code, 6, "{output}");
    assert!(output.stderr.contains("the user ann: its role is missing"), "{output}");
    assert_eq!(sandbox.run("create new --as ann").code, 6);
}

#[test]
fn a_damaged_key_can_be_looked_at_stopped_and_deleted() {
    let scene = scene();
    for (loss, what) in LOSSES {
        let sandbox = scene.after(loss);
        let shown = sandbox.run("show deploy");
        assert_eq!(shown.code, 0, "{shown}");
        assert!(shown.stdout.contains("deploy") && shown.stderr.contains(what), "{loss}: {shown}");
        let doctor = sandbox.run("doctor --json --fail-if-any");
        let findings = doctor.json();
        let found = findings.as_array().unwrap().iter().find(|found| found["check"] == "integrity").unwrap();
        assert_eq!((doctor.code, found["level"].as_str()), (8, Some("problem")), "{loss}: {doctor}");
        assert_eq!((&found["count"], &found["keys"]), (&json!(1), &json!(["deploy"])), "{loss}: {doctor}");
        assert!(found["finding"].as_str().unwrap().contains(what), "{loss}: {found}");
        // The loss is not made permanent: if the rows come back, the key is as it was.
        let reference = "SELECT owner, tenant, key_group, role, scope_count, address_count FROM key";
        let row = |sandbox: &Sandbox| {
            let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
            conn.query_row(&format!("{reference} WHERE name = 'deploy'"), [], |row| {
                (0..6).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Option<i64>>>>()
            })
            .unwrap()
        };
        let before = row(&sandbox);
        let disabled = sandbox.run("disable deploy --json");
        assert_eq!(disabled.code, 0, "{loss}: {disabled}");
        assert_eq!((&disabled.json()[0]["key"]["enabled"], row(&sandbox)), (&json!(false), before), "{loss}");
        assert_eq!(sandbox.run("enable deploy").code, 6, "{loss}");
        assert_eq!(sandbox.run("delete deploy --yes").code, 0, "{loss}");
        assert_eq!(sandbox.run("list -q --name deploy").stdout, "", "{loss}");
        assert_eq!(sandbox.run("history --check").code, 0, "{loss}");
    }
}
