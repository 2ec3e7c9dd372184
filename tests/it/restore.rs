//! `restore`: a backup becomes the store, and later revocations stay in force.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::ToSpan as _;
use serde_json::{Value, json};

use crate::batch::Conversation;
use crate::harness::{Output, Sandbox, finish, finish_with, words};

struct Scene {
    sandbox: Sandbox,
    secrets: BTreeMap<String, String>,
}

impl Scene {
    /// A store with these keys, each given as arguments to `create`.
    fn new(keys: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        for line in ["user create ann --role editor", "user create ben", "tenant create acme", "group create ci"] {
            assert_eq!(sandbox.run(line).code, 0);
        }
        let secret = |line: &&str| (line.split(' ').next().unwrap().to_owned(), sandbox.mint(line));
        let secrets = keys.iter().map(secret).collect();
        Self { sandbox, secrets }
    }

    fn backup(&self) -> PathBuf {
        let path = self.sandbox.path("backup.db");
        let output = self.sandbox.run(&format!("backup {}", path.display()));
        assert_eq!(output.code, 0, "{output}");
        path
    }

    fn run(&self, lines: &[&str]) {
        for line in lines {
            let output = self.sandbox.run(line);
            assert_eq!(output.code, 0, "{line}: {output}");
        }
    }

    fn restore(&self, flags: &str) -> Output {
        self.sandbox.run(&format!("restore {} {flags}", self.sandbox.path("backup.db").display()))
    }

    fn restored(&self, flags: &str) -> Value {
        let output = self.restore(&format!("--yes --json {flags}"));
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output}");
        for check in ["history --check", "doctor --json"] {
            assert_eq!(self.sandbox.run(check).code, 0, "{check}");
        }
        let doctor = self.sandbox.run("doctor --json").json();
        let problem = doctor.as_array().unwrap().iter().find(|finding| finding["level"] == "problem");
        assert_eq!(problem, None);
        output.json()
    }

    fn reason(&self, key: &str, flags: &str) -> String {
        self.sandbox.reason(flags, &self.secrets[key])
    }

    fn names(&self) -> String {
        self.sandbox.run("list -q").stdout
    }
}

/// Damage to the bytes of a file.
type BytesDamage = Box<dyn Fn(&mut Vec<u8>)>;

/// Damage to a file.
type Damage = Box<dyn Fn(&Path)>;

/// `kind name change fields`
fn told(document: &Value, list: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let fields = |value: &Value| value.as_array().unwrap().iter().map(text).collect::<Vec<_>>().join(",");
    let line = |one: &Value| {
        format!("{} {} {} {}", text(&one["kind"]), text(&one["name"]), text(&one["change"]), fields(&one["fields"]))
    };
    document[list].as_array().unwrap().iter().map(|one| line(one).trim_end().to_owned()).collect()
}

#[test]
fn what_was_revoked_since_stays_revoked() {
    let scene = Scene::new(&[
        "disabled",
        "deleted",
        "rotated",
        "narrowed --scope rest,ui --allow-insecure",
        "renamed",
        "kept --scope rest",
        "owned --owner ann --role editor",
        "tenants --tenant acme",
    ]);
    scene.backup();
    scene.run(&[
        "disable disabled",
        "delete deleted --yes",
        "edit narrowed --remove-scope ui --read-only --require-secure --allow-ip 10.0.0.0/8 --expires 30d --description x",
        "edit renamed --name other",
        "edit kept --add-scope ui --description later",
        "user disable ann",
        "tenant disable acme",
        "user create eve",
        "user delete ben --yes",
    ]);
    let newer = scene.sandbox.run("rotate rotated").stdout.trim_end().to_owned();
    let later = scene.sandbox.mint("later");
    let document = scene.restored("");
    assert_eq!(
        told(&document, "made_again"),
        [
            "tenant acme disabled enabled",
            "user ann disabled enabled",
            "user ben deleted",
            "key deleted deleted",
            "key disabled disabled enabled",
            "key narrowed restricted scopes,allowed_ips,read_only,require_secure,expires_at",
            "key other restricted name",
            "key rotated rotated",
        ]
        .map(str::to_owned),
        "{document:#}"
    );
    assert_eq!((document["keys"].as_u64(), document["as_it_was"].as_bool()), (Some(7), Some(false)));
    assert_eq!(document["left_out"][0]["name"], "later");
    assert_eq!(scene.names(), "disabled\nkept\nnarrowed\nother\nowned\nrotated\ntenants\n");
    for (key, flags, reason) in [
        ("disabled", "", "key_disabled"),
        ("deleted", "", "not_genuine"),
        ("rotated", "", "secret_retired"),
        ("narrowed", "--scope ui --method GET --ip 10.1.2.3", "scope_missing"),
        ("narrowed", "--scope rest --method GET --ip 10.1.2.3", "allowed"),
        ("narrowed", "--scope rest --method POST --ip 192.0.2.1", "ip_not_allowed method_not_allowed"),
        ("kept", "--scope rest", "allowed"),
        ("kept", "--scope ui", "scope_missing"),
        ("owned", "", "owner_disabled"),
        ("tenants", "--tenant acme", "tenant_disabled"),
        ("renamed", "", "allowed"),
    ] {
        assert_eq!(scene.reason(key, flags), reason, "{key} {flags}");
    }
    assert_eq!(scene.sandbox.reason("", &newer), "allowed", "the newer secret");
    assert_eq!(scene.sandbox.reason("", &later), "not_genuine");
    // Changes that revoke nothing are undone.
    assert_eq!(scene.sandbox.run("show kept --json").json()["description"], Value::Null);
    assert_eq!(scene.sandbox.run("user show eve").code, 1);
    assert_eq!(scene.sandbox.run("user show ben").code, 1);
    // The history records all of this, and leads from the newer secret to its key.
    let history = scene.sandbox.run("history --json").json();
    let actions: Vec<_> = history.as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
    // The last two events: the key's newer secret, and the restore itself.
    assert!(actions.ends_with(&["store.restore", "store.restore"]), "{actions:?}");
    let id = newer.split('_').nth(1).unwrap();
    assert_eq!(scene.sandbox.run(&format!("history {id} --json")).json()[0]["subject_name"], "rotated");
}

#[test]
fn what_is_restored_as_it_was_revives_what_was_revoked_and_says_so() {
    let scene = Scene::new(&["disabled", "deleted", "rotated"]);
    scene.backup();
    scene.run(&["disable disabled", "delete deleted --yes", "rotate rotated", "create later"]);
    let document = scene.restored("--as-it-was");
    assert_eq!(told(&document, "made_again"), [""; 0]);
    assert_eq!(
        told(&document, "revived"),
        ["key deleted deleted", "key disabled disabled enabled", "key rotated rotated"].map(str::to_owned)
    );
    for key in ["disabled", "deleted", "rotated"] {
        assert_eq!(scene.reason(key, ""), "allowed", "{key}");
    }
    assert_eq!(scene.names(), "deleted\ndisabled\nrotated\n");
}

#[test]
fn the_former_store_is_kept_and_can_be_restored_itself() {
    let scene = Scene::new(&["a"]);
    scene.backup();
    scene.run(&["create b", "create c"]);
    let document = scene.restored("");
    let kept = Path::new(document["kept"].as_str().unwrap()).to_owned();
    assert_eq!(kept.parent(), scene.sandbox.store().parent());
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(scene.names(), "a\n");
    // Again in the same second: both old stores are kept.
    let again = scene.restored("");
    assert_ne!(again["kept"], document["kept"]);
    // Its history has diverged from the store's, so later revocations cannot be determined.
    let refused = scene.sandbox.run(&format!("restore --yes --json {}", kept.display()));
    assert_eq!((refused.code, refused.error()["code"].as_str()), (6, Some("store_corrupt")), "{refused}");
    assert!(refused.stderr.contains("--as-it-was"), "{refused}");
    let back = scene.sandbox.run(&format!("restore --yes --as-it-was {}", kept.display()));
    assert_eq!(back.code, 0, "{back}");
    assert_eq!(scene.names(), "a\nb\nc\n");
}

#[test]
fn a_restored_store_can_be_restored_again() {
    let scene = Scene::new(&["a", "b"]);
    scene.backup();
    scene.run(&["disable a"]);
    assert_eq!(told(&scene.restored(""), "made_again"), ["key a disabled enabled"]);
    scene.run(&["enable a", "disable b"]);
    assert_eq!(told(&scene.restored(""), "made_again"), ["key b disabled enabled"]);
    assert_eq!((scene.reason("a", ""), scene.reason("b", "")), ("allowed".into(), "key_disabled".into()));
    assert_eq!(scene.sandbox.run("history --action store.restore --json").json().as_array().unwrap().len(), 1);
}

#[test]
fn where_there_is_no_store_the_backup_becomes_it() {
    let scene = Scene::new(&["a"]);
    let backup = scene.backup();
    let elsewhere = scene.sandbox.path("new/folder/keys.db");
    let line = format!("--store {} restore {} --json", elsewhere.display(), backup.display());
    let output = scene.sandbox.run(&line);
    assert_eq!((output.code, output.json()["kept"].clone()), (0, Value::Null), "{output}");
    assert_eq!(fs::metadata(&elsewhere).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> =
        fs::read_dir(elsewhere.parent().unwrap()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["keys.db"]);
    assert_eq!(scene.sandbox.run(&format!("--store {} list -q", elsewhere.display())).stdout, "a\n");
    assert!(backup.exists(), "the backup stays");
}

#[test]
fn nothing_is_replaced_without_a_question() {
    let scene = Scene::new(&["a"]);
    scene.backup();
    scene.run(&["create b"]);
    let before = scene.sandbox.files();
    for flags in ["", "--as-it-was", "--json"] {
        let output = scene.restore(flags);
        assert_eq!(output.code, 5, "{flags}: {output}");
        assert!(scene.sandbox.files() == before, "{flags}");
    }
}

#[test]
fn who_may_not_change_the_store_may_not_restore_one() {
    let scene = Scene::new(&["a"]);
    scene.backup();
    let before = scene.sandbox.files();
    let output =
        scene.sandbox.run(&format!("--as ann restore --yes --json {}", scene.sandbox.path("backup.db").display()));
    assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("not_permitted")), "{output}");
    assert!(scene.sandbox.files() == before);
}

#[test]
fn what_is_no_sound_backup_is_refused_and_nothing_is_changed() {
    let scene = Scene::new(&["a --scope rest"]);
    scene.backup();
    scene.run(&["create b"]);
    let sql = |statements: &'static str| {
        move |path: &Path| rusqlite::Connection::open(path).unwrap().execute_batch(statements).unwrap()
    };
    let cases: [(&str, Damage, &str); 8] = [
        ("nothing", Box::new(|path| fs::remove_file(path).unwrap()), "store_missing"),
        ("a text", Box::new(|path| fs::write(path, "x".repeat(4096)).unwrap()), "store_foreign"),
        ("half a file", Box::new(|path| fs::write(path, &fs::read(path).unwrap()[..60_000]).unwrap()), "store_corrupt"),
        ("a newer one", Box::new(sql("PRAGMA user_version = 99")), "store_newer"),
        ("a changed history", Box::new(sql("UPDATE history SET at = 0 WHERE seq = 3")), "store_corrupt"),
        ("a missing history", Box::new(sql("DELETE FROM history")), "store_corrupt"),
        ("another store", Box::new(sql("UPDATE history_head SET hash = zeroblob(32)")), "store_corrupt"),
        (
            "a row that refers to nothing",
            Box::new(sql("PRAGMA foreign_keys = OFF; DELETE FROM role WHERE id = 2")),
            "store_corrupt",
        ),
    ];
    let good = fs::read(scene.sandbox.path("backup.db")).unwrap();
    for (what, damage, code) in cases {
        fs::write(scene.sandbox.path("backup.db"), &good).unwrap();
        damage(&scene.sandbox.path("backup.db"));
        let before = scene.sandbox.files();
        let output = scene.restore("--yes --json");
        assert_eq!((output.code, output.error()["code"].as_str()), (6, Some(code)), "{what}: {output}");
        assert!(scene.sandbox.files() == before, "{what}");
    }
    // Another, intact store has a different history.
    let other = Sandbox::new();
    other.mint("stranger");
    let output = scene.sandbox.run(&format!("restore --yes --json {}", other.store().display()));
    assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_corrupt")), "{output}");
    assert!(output.stderr.contains("--as-it-was"), "{output}");
    let empty = Sandbox::new();
    rusqlite::Connection::open(empty.store())
        .unwrap()
        .execute_batch("DELETE FROM history; UPDATE history_head SET seq = 0, hash = zeroblob(32)")
        .unwrap();
    let output = scene.sandbox.run(&format!("restore --yes --json {}", empty.store().display()));
    assert_eq!(output.code, 6, "{output}");
    assert_eq!(scene.names(), "a\nb\n");
}

#[test]
fn a_store_that_cannot_be_read_is_put_aside_where_it_is_asked_for() {
    let scene = Scene::new(&["a"]);
    scene.backup();
    let broken = fs::read(scene.sandbox.store()).unwrap()[..60_000].to_vec();
    fs::write(scene.sandbox.store(), &broken).unwrap();
    let refused = scene.restore("--yes --json");
    assert_eq!((refused.code, refused.error()["code"].as_str()), (6, Some("store_corrupt")), "{refused}");
    assert!(refused.stderr.contains("--as-it-was"), "{refused}");
    let output = scene.restore("--yes --json --as-it-was");
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(fs::read(output.json()["kept"].as_str().unwrap()).unwrap(), broken);
    assert_eq!(scene.names(), "a\n");
    assert_eq!(scene.reason("a", ""), "allowed");
}

#[test]
fn backups_of_other_forms_are_taken_too() {
    let scene = Scene::new(&["a"]);
    scene.backup();
    scene.run(&["disable a"]);
    let backup = scene.sandbox.path("backup.db");
    // Backup programs hard-link identical files.
    fs::hard_link(&backup, scene.sandbox.path("linked.db")).unwrap();
    assert_eq!(told(&scene.restored(""), "made_again"), ["key a disabled enabled"]);
    fs::remove_file(scene.sandbox.path("linked.db")).unwrap();
    // A backup with an older schema, and a read-only one.
    scene.run(&["enable a"]);
    rusqlite::Connection::open(&backup)
        .unwrap()
        .execute_batch(include_str!("../../crates/keyward-core/tests/back_to_3.sql"))
        .unwrap();
    fs::set_permissions(&backup, fs::Permissions::from_mode(0o400)).unwrap();
    let before = fs::read(&backup).unwrap();
    scene.restored("");
    assert!(fs::read(&backup).unwrap() == before);
    assert_eq!(scene.reason("a", ""), "allowed");
}

#[test]
fn whoever_has_the_store_open_goes_on_with_the_restored_one() {
    for flags in ["", " --no-record"] {
        let scene = Scene::new(&["a", "b"]);
        scene.backup();
        scene.run(&["disable a", "create c"]);
        let mut conversation = Conversation::start_as(scene.sandbox.binary(&format!("verify --batch{flags}")));
        for _ in 0..20 {
            assert_eq!(conversation.ask(&scene.secrets["a"]), "key_disabled");
            assert_eq!(conversation.ask(&scene.secrets["b"]), "allowed");
        }
        let backup = scene.sandbox.path("backup.db").display().to_string();
        let output = finish(&mut scene.sandbox.binary(&format!("restore --yes --as-it-was {backup}")));
        assert_eq!(output.code, 0, "{output}");
        for _ in 0..20 {
            assert_eq!(conversation.ask(&scene.secrets["a"]), "allowed", "{flags}");
        }
        scene.run(&["disable b"]);
        let output = finish(&mut scene.sandbox.binary(&format!("restore --yes {backup}")));
        assert_eq!(output.code, 0, "{output}");
        for _ in 0..20 {
            assert_eq!(conversation.ask(&scene.secrets["b"]), "key_disabled", "{flags}");
        }
        drop(conversation);
        assert_eq!(scene.sandbox.run("history --check").code, 0);
        assert_eq!(scene.sandbox.run("list -q").stdout, "a\nb\n");
    }
}

#[test]
fn a_command_that_waited_meets_a_conflict() {
    let scene = Scene::new(&["a"]);
    let backup = scene.backup().display().to_string();
    let mut args = words("create new --json --secret-to");
    args.push(format!("cat > /dev/null; '{}' restore --yes '{backup}'", env!("CARGO_BIN_EXE_keyward")));
    let output = finish(crate::harness::binary(&scene.sandbox.store(), &args).env("PATH", "/usr/bin:/bin"));
    assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("conflict")), "{output}");
    assert!(output.stderr.contains("opens nothing"), "{output}");
    assert_eq!(scene.names(), "a\n");
}

/// A name may have moved from one key to another, and a directory entry may have been renamed.
#[test]
fn names_that_moved_are_where_they_are_now() {
    let scene = Scene::new(&["a", "b", "c --owner ann --role editor --tenant acme"]);
    scene.backup();
    scene.run(&[
        "edit a --name x",
        "edit b --name a",
        "edit x --name b",
        "disable b",
        "user edit ann --name anna",
        "tenant edit acme --name acme2",
        "role create reader --rank 5",
        "edit c --role reader",
    ]);
    let document = scene.restored("");
    assert_eq!(scene.names(), "a\nb\nc\n");
    assert_eq!(
        (scene.reason("a", ""), scene.reason("b", "")),
        ("key_disabled".into(), "allowed".into()),
        "{document:#}"
    );
    let shown = scene.sandbox.run("show c --json").json();
    assert_eq!(
        (&shown["owner"], &shown["tenant"], &shown["role"]),
        (&json!("anna"), &json!("acme2"), &json!("reader"))
    );
    assert_eq!(scene.reason("c", "--tenant acme --role editor"), "tenant_mismatch role_too_low");
}

#[test]
fn uses_are_not_forgotten() {
    let scene = Scene::new(&["a"]);
    scene.backup();
    for _ in 0..3 {
        assert_eq!(scene.reason("a", ""), "allowed");
    }
    scene.sandbox.pass(1.hours());
    scene.restored("");
    assert_eq!(scene.sandbox.run("show a --json").json()["use_count"], 3);
}

/// A secret that turns up after a restore leads to its key, whatever happened to both.
#[test]
fn every_secret_that_there_ever_was_is_remembered() {
    for flags in ["", "--as-it-was"] {
        let scene = Scene::new(&["a", "gone"]);
        scene.backup();
        let mut secrets = vec![];
        for line in ["rotate a", "rotate a", "rotate gone", "create since", "rotate since"] {
            let output = scene.sandbox.run(line);
            secrets.push((line.split(' ').nth(1).unwrap(), output.stdout.split('_').nth(1).unwrap().to_owned()));
        }
        scene.run(&["delete gone --yes"]);
        scene.restored(flags);
        for (name, id) in secrets {
            let events = scene.sandbox.run(&format!("history {id} --json")).json();
            assert_eq!(events[0]["subject_name"], name, "{flags}: {id}");
        }
    }
}

/// What the current store refuses because of its directory, the restored one refuses too.
#[test]
fn the_directory_is_as_strict_as_it_was() {
    for (before, after, flags, refused) in [
        (
            "role create boss --rank 25; user create cat --role boss; create k --owner cat --role editor",
            "user edit cat --role viewer; role delete boss --yes",
            "--role editor",
            "role_too_low",
        ),
        (
            "tenant create t1; create k --tenant t1",
            "edit k --clear tenant; tenant delete t1 --yes; WAIT; tenant create t1; edit k --tenant t1; tenant disable t1",
            "--tenant t1",
            "tenant_disabled",
        ),
        (
            "user create cat --role admin; create k --owner cat --role editor",
            "edit k --clear owner; user delete cat --yes; WAIT; user create cat --role viewer; edit k --owner cat; user disable cat",
            "",
            "owner_disabled",
        ),
        (
            "create k --owner ann",
            "user delete ben --yes; WAIT; user create ben; edit k --owner ben; user disable ben",
            "",
            "owner_disabled",
        ),
        (
            "role create big --rank 25; create k --role big",
            "edit k --clear role; role delete big --yes; WAIT; role create big --rank 5; edit k --role big",
            "--role editor",
            "role_too_low",
        ),
        (
            "tenant create t1; tenant create t2; create k --tenant t1",
            "tenant edit t1 --name t3; tenant edit t2 --name t1; tenant edit t3 --name t2; tenant disable t2",
            "--tenant t2",
            "tenant_disabled",
        ),
        (
            "tenant create t1; tenant create t2; create k --tenant t1",
            "tenant delete t2 --yes; tenant edit t1 --name t2; tenant disable t2",
            "--tenant t2",
            "tenant_disabled",
        ),
        (
            "role create special --rank 15; create k --role special",
            "edit k --role admin; role delete special --yes",
            "--role special",
            "role_too_low",
        ),
        (
            "role create lo --rank 1; role create hi --rank 35; create k --role lo",
            "role edit lo --name x; role edit hi --name lo; role edit x --name hi",
            "--role lo",
            "role_too_low",
        ),
    ] {
        let mut scene = Scene::new(&[]);
        let run = |scene: &Scene, lines: &str| {
            let mut secret = String::new();
            for line in lines.split("; ") {
                if line == "WAIT" {
                    scene.sandbox.pass(1.seconds());
                    continue;
                }
                let output = scene.sandbox.run(line);
                assert_eq!(output.code, 0, "{line}: {output}");
                if line.starts_with("create k") {
                    secret = output.stdout.trim_end().to_owned();
                }
            }
            secret
        };
        let secret = run(&scene, before);
        scene.secrets.insert("k".to_owned(), secret);
        scene.backup();
        run(&scene, after);
        assert_eq!(scene.reason("k", flags), refused, "{after}");
        let document = scene.restored("");
        assert_eq!(scene.reason("k", flags), refused, "{after}: {document:#}");
        assert!(!document["made_again"].as_array().unwrap().is_empty(), "{after}");
    }
}

#[test]
fn uses_while_a_person_thinks_are_counted() {
    let scene = Scene::new(&["a", "b"]);
    scene.backup();
    scene.run(&["delete b --yes", "create c"]);
    let backup = scene.sandbox.path("backup.db");
    let line = format!("restore {}", backup.display());
    let mut screen = crate::pty::Screen::start(&scene.sandbox.store(), &line, 200);
    screen.wait_for("in the place of the store");
    for _ in 0..5 {
        assert_eq!(finish_with(&mut scene.sandbox.binary("verify -q"), scene.secrets["a"].as_bytes()).code, 0);
    }
    screen.press("y\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert_eq!(scene.sandbox.run("show a --json").json()["use_count"], 5);
    assert_eq!(scene.names(), "a\n");
}

#[test]
fn a_damaged_store_is_put_aside_in_every_form() {
    let page = |from: usize| move |bytes: &mut Vec<u8>| bytes[from..from + 4096].fill(0);
    let forms: [(&str, BytesDamage); 5] = [
        ("without its first page", Box::new(page(0))),
        ("with an empty page", Box::new(page(4096 * 12))),
        ("another program's", Box::new(|bytes| bytes[68..72].fill(7))),
        ("cut off", Box::new(|bytes| bytes.truncate(50_000))),
        ("empty", Box::new(Vec::clear)),
    ];
    for (what, damage) in forms {
        let scene = Scene::new(&["a"]);
        scene.backup();
        scene.run(&["disable a"]);
        let mut bytes = fs::read(scene.sandbox.store()).unwrap();
        damage(&mut bytes);
        fs::write(scene.sandbox.store(), &bytes).unwrap();
        let output = scene.restore("--yes --json --as-it-was");
        assert_eq!(output.code, 0, "{what}: {output}");
        assert_eq!((scene.names().as_str(), scene.reason("a", "").as_str()), ("a\n", "allowed"), "{what}");
        if !bytes.is_empty() {
            assert!(fs::read(output.json()["kept"].as_str().unwrap()).unwrap() == bytes, "{what}");
        }
    }
    // A WAL that does not belong to the file, as after copying by hand.
    let scene = Scene::new(&["a"]);
    let backup = scene.backup();
    scene.run(&["disable a"]);
    assert_eq!(scene.reason("a", ""), "key_disabled");
    scene.run(&["enable a"]);
    assert_eq!(scene.reason("a", ""), "allowed");
    fs::copy(&backup, scene.sandbox.store()).unwrap();
    assert_eq!(scene.sandbox.run("list --json").error()["code"], "store_insecure");
    assert!(fs::read(&backup).unwrap() == fs::read(scene.sandbox.store()).unwrap(), "nothing wrote to it");
    assert_eq!(scene.restore("--yes --as-it-was").code, 0);
    assert_eq!(scene.names(), "a\n");
}

#[test]
fn what_was_planted_is_not_restored() {
    let sql =
        |path: &Path, statements: &str| rusqlite::Connection::open(path).unwrap().execute_batch(statements).unwrap();
    for planted in [
        "ALTER TABLE key ADD COLUMN more INTEGER",
        "CREATE TABLE extra (x)",
        "CREATE TRIGGER t AFTER UPDATE ON key BEGIN SELECT 1; END",
        "CREATE INDEX i ON key (description)",
    ] {
        let scene = Scene::new(&["a"]);
        scene.backup();
        scene.run(&["disable a"]);
        // In the store: it is set aside only with `--as-it-was`.
        sql(&scene.sandbox.store(), planted);
        let refused = scene.restore("--yes --json");
        assert_eq!(
            (refused.code, refused.error()["code"].as_str()),
            (6, Some("store_corrupt")),
            "{planted}: {refused}"
        );
        assert!(refused.stderr.contains("--as-it-was"), "{refused}");
        assert_eq!(scene.restore("--yes --as-it-was").code, 0, "{planted}");
        // In the backup: never restored.
        sql(&scene.sandbox.path("backup.db"), planted);
        for flags in ["--yes --json", "--yes --json --as-it-was"] {
            let refused = scene.restore(flags);
            assert_eq!(
                (refused.code, refused.error()["code"].as_str()),
                (6, Some("store_corrupt")),
                "{planted}: {refused}"
            );
        }
    }
}

#[test]
fn two_restores_at_once_do_not_meet() {
    let scene = Scene::new(&["a"]);
    let backup = scene.backup().display().to_string();
    scene.run(&["disable a"]);
    let start = |flags: &str| {
        let mut command = scene.sandbox.binary(&format!("restore --yes --json {flags} {backup}"));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    for _ in 0..5 {
        let all: Vec<_> = (0..4).map(|_| start("")).collect();
        for child in all {
            let output = child.wait_with_output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            // If another restore ran in the meantime, the history lacks the later changes.
            assert!(matches!(output.status.code(), Some(0 | 1 | 6)), "{error}");
            assert!(!error.contains("internal"), "{error}");
        }
        assert_eq!(scene.reason("a", ""), "key_disabled");
        assert_eq!(scene.sandbox.run("history --check").code, 0);
    }
}
