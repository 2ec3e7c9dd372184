//! Restoring a backup works the same on a server as in a file.

use rusqlite::types::Value;
use serde_json::Value as Json;

use super::{Scene, full_store, rows};

/// Two stores with the same rows, one in a file and one on a server, both changed since the backup.
struct Two {
    scene: Scene,
    file: String,
    url: String,
    backup: String,
    secrets: Vec<String>,
}

fn two() -> Two {
    let scene = Scene::new();
    let (file, backup, url) = (scene.file("keys.db"), scene.file("backup.db"), scene.empty_store("s"));
    let mut secrets = full_store(&scene, &file, 40);
    scene.done(&file, &format!("backup {backup}"));
    for line in [
        "disable key-1",
        "delete key-2 --yes",
        "edit key-3 --scope only",
        "edit key-4 --limit 1/1m",
        "user disable ann",
        "tenant disable north",
        "role edit auditor --rank 1",
        "group delete web --yes",
        "settings set query-credentials refuse",
        "enable off",
        "create since --label a=b",
        "group create since",
    ] {
        // A group in use stays.
        let output = scene.run(&file, line);
        assert!(output.code == 0 || line.starts_with("group delete"), "{line}: {output}");
    }
    secrets.push(scene.done(&file, "rotate key-6").trim_end().to_owned());
    secrets.push(scene.done(&file, "create later").trim_end().to_owned());
    for _ in 0..2 {
        let args = [vec!["--store".to_owned(), file.clone()], crate::harness::words("verify -q")].concat();
        assert_eq!(scene.sandbox.run_args(&args, secrets[14].as_bytes()).code, 0);
    }
    scene.done(&file, &format!("store copy --to {url}"));
    Two { scene, file, url, backup, secrets }
}

/// The rows, without the times and hashes of events.
fn comparable(path: &str) -> Vec<(String, Vec<Vec<Value>>)> {
    let mut tables: Vec<_> = rows(path).into_iter().collect();
    for (table, rows) in &mut tables {
        for row in rows {
            match table.as_str() {
                "history" => (row[1], row[8]) = (Value::Null, Value::Null),
                "key" | "user" | "role" | "tenant" => row.retain(|value| !is_recent(value)),
                _ => {}
            }
        }
    }
    tables
}

/// A time written by a restore.
fn is_recent(value: &Value) -> bool {
    let now = jiff::Timestamp::now().as_second();
    matches!(value, Value::Integer(second) if (now - 600..=now + 1).contains(second))
}

#[test]
#[ignore = "needs postgresql"]
fn a_backup_is_restored_as_in_a_file() {
    for flags in ["", "--as-it-was"] {
        let Two { scene, file, url, backup, secrets } = two();
        let restored = |store: &str| -> Json {
            let mut told: Json =
                serde_json::from_str(&scene.done(store, &format!("restore {backup} --yes --json {flags}"))).unwrap();
            let kept = told["kept"].take().as_str().unwrap().to_owned();
            assert!(kept.contains(".before-restore-"), "{kept}");
            assert!(scene.done(&kept, "list -q").contains("later"), "the former store is kept");
            told["store"].take();
            told
        };
        let now_kept = scene.told(&url);
        let told = restored(&url);
        assert_eq!(told, restored(&file), "{flags}");
        assert_eq!(told["made_again"].as_array().unwrap().is_empty(), !flags.is_empty());
        assert_eq!(told["revived"].as_array().unwrap().is_empty(), flags.is_empty());
        let copy = scene.file("copy.db");
        scene.done(&url, &format!("store copy --to {copy}"));
        assert_eq!(comparable(&file), comparable(&copy), "{flags}");
        assert_eq!(scene.answers(&file, &secrets), scene.answers(&url, &secrets));
        assert!(scene.done(&url, "history --check").starts_with("the history is intact"));
        assert!(scene.told(&url) != now_kept);
        scene.done(&url, "create goes-on");
        // From then on it is a separate store: what was once moved to it does not overwrite it later.
        let files = std::fs::read_dir(scene.sandbox.path("")).unwrap().map(|entry| entry.unwrap().file_name());
        let hidden: Vec<_> = files.filter(|name| name.to_string_lossy().starts_with('.')).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }
}

#[test]
#[ignore = "needs postgresql"]
fn what_cannot_be_restored_changes_nothing() {
    let Two { scene, file, url, backup, .. } = two();
    let other = scene.file("other.db");
    scene.done(&other, "create other");
    let was = scene.told(&url);
    assert_eq!(scene.refused(&url, &format!("restore {backup}")), "confirmation_required");
    assert_eq!(scene.refused(&url, &format!("restore {other} --yes")), "store_corrupt", "another store");
    assert_eq!(scene.refused(&url, &format!("--as bob restore {backup} --yes")), "not_permitted");
    assert_eq!(scene.refused(&scene.url("none"), &format!("restore {backup} --yes")), "store_missing");
    // A role that manages keys may add to the history but remove nothing from it.
    let grants = "CREATE ROLE manager LOGIN; GRANT USAGE ON SCHEMA s TO manager;
                  GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA s TO manager;
                  GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA s TO manager;
                  REVOKE UPDATE, DELETE ON s.history FROM manager";
    scene.server.let_in("local all all trust");
    scene.server.sql("keyward", grants);
    let as_manager = url.replace("postgres@", "manager@");
    scene.done(&as_manager, "list -q");
    assert_eq!(scene.refused(&as_manager, &format!("restore {backup} --yes")), "not_permitted");
    assert!(was == scene.told(&url));
    let names = std::fs::read_dir(scene.sandbox.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let new: Vec<_> = names.filter(|name| name.to_string_lossy().contains(".before-restore-")).collect();
    assert!(new.is_empty(), "{new:?}");
    scene.done(&file, &format!("restore {backup} --yes"));
    // The same role may move a store back to where it was: this only adds events.
    let (third, fourth) = (scene.file("third.db"), scene.file("fourth.db"));
    scene.done(&as_manager, &format!("store move --to {third}"));
    scene.done(&third, "create meanwhile");
    scene.done(&third, &format!("store move --to {as_manager}"));
    scene.done(&as_manager, &format!("store copy --to {fourth}"));
    scene.done(&fourth, "show meanwhile");
}
