//! What is refused, and leaves nothing behind.

use rusqlite::Connection;

use super::{Scene, full_store, rows};
use crate::harness::finish;

#[test]
#[ignore = "needs postgresql"]
fn a_moved_store_is_only_read_and_says_where_it_is() {
    let scene = Scene::new();
    let (file, url) = (scene.file("keys.db"), scene.empty_store("s"));
    let secrets = full_store(&scene, &file, 3);
    scene.done(&file, &format!("store move --to {url}"));
    let was = scene.done(&file, "list --json");
    for line in [
        "create x",
        "edit plain --description e",
        "rotate plain",
        "disable plain",
        "enable off",
        "delete plain --yes",
        "group create x",
        "user disable ann",
        "settings set prefix other",
        "duplicate plain copy",
        "verify --batch",
        "serve --check --listen 127.0.0.1:0",
    ] {
        let output = scene.run(&file, &format!("{line} --json"));
        if line.starts_with("serve") {
            continue;
        }
        assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_moved")), "{line}: {output}");
        let hint = output.error()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("postgres://") && hint.ends_with("?schema=s'"), "{hint}");
    }
    for flags in ["", "--no-record", "--at 2026-02-01"] {
        let args: Vec<_> = ["--store", &file, "verify", "--json"].iter().map(|word| (*word).to_owned()).collect();
        let args = [args, crate::harness::words(flags)].concat();
        let output = scene.sandbox.run_args(&args, secrets[0].as_bytes());
        assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_moved")), "{flags}: {output}");
    }
    let backup = scene.file("backup.db");
    for line in
        ["list", "show plain", "history", "history --check", "usage", "export", "doctor", &format!("backup {backup}")]
    {
        scene.done(&file, line);
    }
    assert_eq!(scene.run(&file, "doctor --json").json()[1]["check"], "moved");
    let copy = scene.file("copy.db");
    scene.done(&file, &format!("store copy --to {copy}"));
    assert_eq!(was, scene.done(&copy, "list --json"));
    scene.done(&copy, "create works");
    // A backup of it can become a separate store again.
    let restored = scene.file("restored.db");
    scene.done(&restored, &format!("restore {backup} --yes"));
    scene.done(&restored, "create works");
    assert_eq!(scene.refused(&file, &format!("restore {backup} --yes")), "store_moved");
    // Repeating the same move does nothing; a different one is refused.
    scene.done(&file, &format!("store move --to {url}"));
    assert_eq!(scene.refused(&file, &format!("store move --to {}", scene.file("elsewhere.db"))), "store_moved");
}

#[test]
#[ignore = "needs postgresql"]
fn a_place_that_is_not_empty_is_refused_and_stays_as_it_is() {
    let scene = Scene::new();
    let (file, other, url) = (scene.file("keys.db"), scene.file("other.db"), scene.empty_store("s"));
    full_store(&scene, &file, 3);
    scene.done(&other, "create other");
    scene.done(&url, "create other");
    std::fs::write(scene.file("text"), "no store").unwrap();
    std::fs::write(scene.file("empty"), "").unwrap();
    let was = (rows(&file), rows(&other), scene.told(&url));
    for to in
        [&other, &url, &scene.file("text"), &scene.file("empty"), &scene.file("nowhere/keys.db"), &scene.file("x-wal")]
    {
        for verb in ["copy", "move"] {
            assert_eq!(scene.refused(&file, &format!("store {verb} --to {to}")), "output_failed", "{verb} {to}");
        }
    }
    for verb in ["copy", "move"] {
        assert_eq!(scene.refused(&file, &format!("store {verb} --to {file}")), "usage");
        assert_eq!(scene.refused(&file, &format!("store {verb} --to {}", scene.url("none"))), "store_missing");
        assert_eq!(scene.refused(&file, &format!("store {verb} --to postgres://a:b@h/d")), "usage", "a password");
        assert_eq!(
            scene.refused(&file, &format!("--as bob store {verb} --to {}", scene.file("new.db"))),
            "not_permitted"
        );
        assert_eq!(
            scene.refused(&file, &format!("store {verb} --to postgres://nobody@%2Fnowhere/d")),
            "store_unwritable"
        );
    }
    assert_eq!(
        scene.refused(&scene.url("none"), &format!("store copy --to {}", scene.file("new.db"))),
        "store_missing"
    );
    assert!((rows(&file), rows(&other), scene.told(&url)) == was);
    scene.done(&file, "create still-here");
    // A copy is the same store, but no target to move back to: the store was not moved from there.
    let copy = scene.file("copy.db");
    scene.done(&file, &format!("store copy --to {copy}"));
    let empty = scene.empty_store("empty");
    scene.done(&file, &format!("store move --to {empty}"));
    assert_eq!(scene.refused(&empty, &format!("store move --to {copy}")), "output_failed");
    // Nor is a former place that was changed since, behind keyward's back.
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch("UPDATE history_head SET moved_to = NULL").unwrap();
    scene.done(&file, "create past-the-mark");
    conn.execute_batch("UPDATE history_head SET moved_to = 'there', is_moved = 1").unwrap();
    drop(conn);
    assert_eq!(scene.refused(&empty, &format!("store move --to {file}")), "output_failed");
    scene.done(&empty, "create goes-on");
}

#[test]
#[ignore = "needs postgresql"]
fn a_store_that_has_arrived_goes_nowhere_else() {
    let scene = Scene::new();
    let file = scene.file("keys.db");
    let secrets = full_store(&scene, &file, 3);
    let [first, second] = ["first", "second"].map(|schema| scene.empty_store(schema));
    scene.done(&file, &format!("store move --to {first}"));
    for key in scene.done(&first, "list -q").lines() {
        scene.done(&first, &format!("disable {key}"));
    }
    // Another schema of the same database, and then a new store in the very same place.
    assert_eq!(scene.refused(&file, &format!("store move --to {second}")), "store_moved");
    assert_eq!(scene.done(&second, "list -q"), "");
    scene.server.sql("keyward", "DROP SCHEMA first CASCADE");
    scene.done(&first, "store init");
    assert_eq!(scene.refused(&file, &format!("store move --to {first}")), "store_moved");
    assert!(scene.answers(&first, &secrets).iter().all(|(reason, _)| !reason.contains("allowed")));
    // A file in whose place there is nothing, or another store.
    let (from, to) = (scene.file("from.db"), scene.file("to.db"));
    scene.done(&from, "create key");
    scene.done(&from, &format!("store move --to {to}"));
    std::fs::rename(&to, scene.file("renamed.db")).unwrap();
    assert_eq!(scene.refused(&from, &format!("store move --to {to}")), "store_moved");
    assert!(!std::path::Path::new(&to).exists());
}

#[test]
#[ignore = "needs postgresql"]
fn a_store_that_was_moved_is_in_order() {
    let scene = Scene::new();
    let (file, url) = (scene.file("keys.db"), scene.empty_store("s"));
    full_store(&scene, &file, 3);
    scene.done(&file, "group create g");
    scene.done(&file, &format!("store move --to {url}"));
    let is_late = |finding: &serde_json::Value| finding["finding"].as_str().unwrap().contains("next row");
    let findings = scene.run(&url, "doctor --json").json();
    assert!(!findings.as_array().unwrap().iter().any(is_late), "{findings}");
    for line in ["create new-one", "group create new-one", "role create new-one --rank 3", "doctor"] {
        scene.done(&url, line);
    }
}

#[test]
#[ignore = "needs postgresql"]
fn damage_is_not_taken_along() {
    let scene = Scene::new();
    let (sound, url) = (scene.file("sound.db"), scene.empty_store("s"));
    full_store(&scene, &sound, 5);
    for (what, sql) in [
        ("an event was changed", "UPDATE history SET subject_name = 'x' WHERE seq = 3"),
        ("an event is missing", "DELETE FROM history WHERE seq = 3"),
        ("the newest event is missing", "DELETE FROM history WHERE seq = (SELECT max(seq) FROM history)"),
        (
            "which secret an event tells of was changed",
            "UPDATE history SET secret_id = 'x' WHERE secret_id IS NOT NULL",
        ),
        ("a reference leads nowhere", "PRAGMA foreign_keys = OFF; DELETE FROM role WHERE name = 'auditor'"),
        ("a restriction is missing", "DELETE FROM key_scope WHERE scope = 'a'"),
        ("a restriction too many", "INSERT INTO key_level SELECT id, 'x' FROM key WHERE name = 'plain'"),
        ("a text that no server takes", "UPDATE key SET description = 'a' || char(0) WHERE name = 'plain'"),
        ("the end of the history is missing", "DELETE FROM history_head"),
    ] {
        let damaged = scene.file("damaged.db");
        let _ = std::fs::remove_file(&damaged);
        scene.done(&sound, &format!("backup {damaged}"));
        Connection::open(&damaged).unwrap().execute_batch(sql).unwrap();
        let was = rows(&damaged);
        for verb in ["copy", "move"] {
            let output = scene.run(&damaged, &format!("store {verb} --to {url} --json"));
            assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_corrupt")), "{what}: {output}");
        }
        assert_eq!(was, rows(&damaged), "{what}");
        assert_eq!(scene.server.sql("keyward", "SELECT count(*) FROM s.key"), "0", "{what}");
    }
    // Nothing of it is left: a sound store can move there.
    scene.done(&sound, &format!("store move --to {url}"));
    assert_eq!(scene.refused(&sound, "create x"), "store_moved");
    // Rows lost on a server are noticed too.
    scene.server.sql("keyward", "SET session_replication_role = replica; DELETE FROM s.key_label WHERE label = 'a'");
    let to = scene.file("new.db");
    assert_eq!(scene.refused(&url, &format!("store copy --to {to}")), "store_corrupt");
    assert!(!std::path::Path::new(&to).exists());
    assert_eq!(std::fs::read_dir(scene.sandbox.path("")).unwrap().count(), 2, "nothing half done lies about");
}

#[test]
#[ignore = "needs postgresql, unshare and mount"]
fn a_disk_that_is_too_small_takes_nothing() {
    let scene = Scene::new();
    let url = scene.empty_store("s");
    let file = scene.file("keys.db");
    full_store(&scene, &file, 2_000);
    scene.done(&file, &format!("store move --to {url}"));
    let was = scene.told(&url);
    std::fs::create_dir(scene.file("small")).unwrap();
    let keyward = scene.sandbox.binary("");
    let script = format!(
        "mount -t tmpfs -o size=600k,mode=700 tmpfs {folder} && cd {folder}
         for verb in 'store copy --to' 'store move --to' backup; do
             {keyward} --store '{url}' $verb keys.db --json; echo $?; ls -A
         done",
        folder = scene.file("small"),
        keyward = keyward.get_program().display(),
    );
    let mut command = std::process::Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let output = finish(command.args(["--mount", "sh", "-c", &script]));
    assert_eq!(output.stdout.replace('6', "1"), "1\n1\n1\n", "{output}");
    assert_eq!(output.stderr.matches("disk is full").count(), 3, "{output}");
    assert!(was == scene.told(&url));
    scene.done(&url, "create goes-on");
}

/// A target that changes what it is sent, in any table, does not get the store.
#[test]
#[ignore = "needs postgresql"]
fn what_arrives_differently_is_refused() {
    let scene = Scene::new();
    let (file, url) = (scene.file("keys.db"), scene.empty_store("s"));
    full_store(&scene, &file, 3);
    let was = scene.told(&file);
    for (table, change) in [
        ("setting", "value = NEW.value || 'x'"),
        ("role", "rank = NEW.rank + 1"),
        ("tenant", "limits = NEW.limits || 'x'"),
        ("key_group", "description = 'x'"),
        ("\"user\"", "enabled = 1 - NEW.enabled"),
        ("key", "expires_at = NULL"),
        ("key_scope", "scope = NEW.scope || 'x'"),
        ("key_level", "level = NEW.level || 'x'"),
        ("key_address", "network = '0.0.0.0/0'"),
        ("key_label", "value = NEW.value || 'x'"),
        ("secret", "hash = NEW.hash || 'x'"),
        ("key_use", "use_count = NEW.use_count + 1"),
        ("usage", "allowed = NEW.allowed + 1"),
        ("meter", "used = NEW.used + 1"),
        ("last_row", "number = NEW.number - 1"),
        ("history", "hash = decode(repeat('00', 32), 'hex')"),
        ("announced_secret", "at = NEW.at + 1"),
        ("history_head", "hash = decode(repeat('00', 32), 'hex')"),
    ] {
        // The row is changed or dropped.
        for body in [&*format!("NEW.{change}; RETURN NEW"), "RETURN NULL"] {
            let on = if table == "history_head" { "UPDATE" } else { "INSERT" };
            scene.server.sql(
                "keyward",
                &format!(
                    "CREATE FUNCTION s.other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$;
                     CREATE TRIGGER other BEFORE {on} ON s.{table} FOR EACH ROW EXECUTE FUNCTION s.other()"
                ),
            );
            for verb in ["copy", "move"] {
                let output = scene.run(&file, &format!("store {verb} --to {url} --json"));
                assert_eq!(output.code, 6, "{table}: {output}");
                assert_eq!(output.error()["code"], "store_corrupt", "{table}: {output}");
            }
            scene.server.sql("keyward", "SET client_min_messages = error; DROP FUNCTION s.other() CASCADE");
            assert_eq!(scene.server.sql("keyward", "SELECT seq FROM s.history_head"), "0", "{table}");
        }
    }
    assert!(was == scene.told(&file));
    scene.done(&file, "create goes-on");
    scene.done(&file, &format!("store move --to {url}"));
}
