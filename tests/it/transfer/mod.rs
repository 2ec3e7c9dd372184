//! `store copy` and `store move` between files and a real PostgreSQL.

mod kills;
mod meanwhile;
mod refused;
mod restored;
mod there_and_back;

use std::collections::BTreeMap;
use std::path::Path;

use keyward_core::rules::fingerprint::{sha256, to_hex};
use keyward_core::rules::hashing::{Cost, HashedSecret};
use keyward_core::rules::imported::ImportedText;
use keyward_core::rules::key::Settings;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::rules::usage::Call;
use keyward_core::store::{LastUse, NewKey, NewSecret, Stamp, Store, Subject, Uses};
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::Value as Json;

use crate::database::postgres::{self as server, Server};
use crate::harness::{Output, Sandbox, words};

/// A folder for files, and a server.
struct Scene {
    sandbox: Sandbox,
    server: Server,
}

impl Scene {
    fn new() -> Self {
        Self { sandbox: Sandbox::empty(), server: Server::start() }
    }

    /// The URL of the store in the schema of this name, which does not exist yet.
    fn url(&self, schema: &str) -> String {
        format!("postgres://{}@{}/keyward?schema={schema}", server::OWNER, self.server.socket_host())
    }

    /// The same, with an empty store in it.
    fn empty_store(&self, schema: &str) -> String {
        let url = self.url(schema);
        self.done(&url, "store init");
        url
    }

    fn file(&self, name: &str) -> String {
        self.sandbox.path(name).to_str().unwrap().to_owned()
    }

    fn run(&self, store: &str, line: &str) -> Output {
        // A wrong clock on the host changes nothing on a server.
        self.sandbox.set_clock(jiff::Timestamp::now());
        self.sandbox.run_args(&[vec!["--store".to_owned(), store.to_owned()], words(line)].concat(), b"")
    }

    /// Runs it, expects success, and returns what it prints.
    fn done(&self, store: &str, line: &str) -> String {
        let output = self.run(store, line);
        assert_eq!(output.code, 0, "{line}: {output}");
        output.stdout
    }

    /// Runs it, expects failure, and returns the code of the error.
    fn refused(&self, store: &str, line: &str) -> String {
        let output = self.run(store, &format!("{line} --json"));
        assert_ne!(output.code, 0, "{line}: {output}");
        output.error()["code"].as_str().unwrap().to_owned()
    }

    /// Everything that the store reports about its contents.
    fn told(&self, store: &str) -> BTreeMap<&'static str, Json> {
        let lines = [
            "list --json",
            "history --json",
            "group list --json",
            "user list --json",
            "role list --json",
            "tenant list --json",
            "settings list --json",
            "usage --json",
        ];
        lines
            .into_iter()
            .map(|line| {
                let mut told: Json = serde_json::from_str(&self.done(store, line)).unwrap();
                if line == "history --json" {
                    told.as_array_mut().unwrap().retain(|event| event["action"] != "store.move");
                }
                (line, told)
            })
            .collect()
    }

    /// The reason and the key printed for each credential, without counting these uses.
    fn answers(&self, store: &str, secrets: &[String]) -> Vec<(String, String)> {
        let args = [vec!["--store".to_owned(), store.to_owned()], words("verify --batch --no-record")].concat();
        let questions: Vec<_> = secrets.iter().map(|secret| format!("{{\"credential\":\"{secret}\"}}\n")).collect();
        let output = self.sandbox.run_args(&args, questions.concat().as_bytes());
        let answer = |line: &str| {
            let answer: Json = serde_json::from_str(line).unwrap();
            (answer["reason"].to_string(), answer["key"]["name"].to_string())
        };
        let answers: Vec<_> = output.stdout.lines().map(answer).collect();
        assert_eq!(answers.len(), secrets.len(), "{output}");
        answers
    }
}

/// A store in a file with everything in it, and `keys` more keys. Returns all secrets.
fn full_store(scene: &Scene, path: &str, keys: u32) -> Vec<String> {
    let now = jiff::Timestamp::now();
    let mut store = Store::create(Path::new(path), now).unwrap();
    let mut settings = store.view().unwrap().settings().unwrap();
    settings.hash_cost = Cost::FLOOR;
    store.write(Stamp { now, actor: None }, |changes| changes.save_settings(&settings)).unwrap();
    drop(store);
    let mut secrets = vec![];
    for line in [
        "settings set prefix acme",
        "settings set usage-retention 2y",
        "role create auditor --rank 7",
        "tenant create north --limit 9/1mo",
        "tenant create south",
        "tenant disable south",
        "group create web",
        "user create ann --role admin --tenant north --limit 100/1m:20",
        "user create bob",
        "user disable bob",
        "user create carl",
        "user delete carl --yes",
    ] {
        scene.done(path, line);
    }
    for line in [
        "create plain",
        "create full --description d --group web --owner ann --role auditor --tenant north --scope a,b \
         --level A/B --allow-ip 10.0.0.0/8,192.0.2.1 --limit 100/1m:20,1000/1d --label a=b --label c=d --expires 90d",
        "create off",
        "create gone",
        "create at-its-end",
        "create rotated --limit 5/1h",
    ] {
        secrets.push(scene.done(path, line).trim_end().to_owned());
    }
    secrets.push(scene.done(path, "rotate rotated --grace 1h").trim_end().to_owned());
    for line in ["disable off", "delete gone --yes", "delete at-its-end --yes", "edit plain --label k=ß"] {
        scene.done(path, line);
    }
    for _ in 0..3 {
        let args =
            [vec!["--store".to_owned(), path.to_owned()], words("verify --ip 10.0.0.1 --tenant north -q")].concat();
        assert_eq!(scene.sandbox.run_args(&args, secrets[1].as_bytes()).code, 0);
    }
    // Made-up secrets of other systems, in each of the three forms.
    let text = ["imported-one-9f8c1b7e42", "imported:two,3e5a77c0d1", "imported-three-b7d2904c"];
    let hex = to_hex(&sha256(text[1]));
    let third = ImportedText::new(text[2].to_owned().into()).unwrap();
    let phc = HashedSecret::new(&third, [7; 16], Cost::FLOOR).unwrap();
    let records = [
        serde_json::json!({"name": "imported-1", "secret": text[0]}),
        serde_json::json!({"name": "imported-2", "sha256": hex}),
        serde_json::json!({"name": "imported-3", "phc": phc.as_phc()}),
    ];
    let lines = records.iter().map(|record| format!("{record}\n")).collect::<Vec<_>>().concat();
    let args = ["--store", path, "import", "-"].map(str::to_owned);
    assert_eq!(scene.sandbox.run_args(&args, lines.as_bytes()).code, 0);
    secrets.extend(many_keys(path, now, keys));
    secrets.extend([text[0].to_owned(), text[1].to_owned(), format!("imported-3:{}", text[2])]);
    secrets
}

/// Makes keys without running a command for each, and uses half of them. Some secrets are announced, one is staged, and
/// a name is reserved.
fn many_keys(path: &str, now: jiff::Timestamp, keys: u32) -> Vec<String> {
    let mut store = Store::open(Path::new(path)).unwrap();
    let made = |number: u32, kind: u8| {
        let mut bytes = [kind; 8];
        bytes[2..6].copy_from_slice(&number.to_le_bytes());
        bytes
    };
    let secret =
        |number, kind| Secret::build(&"acme".parse().unwrap(), Id::from_random(made(number, kind)), &[kind; 32]);
    let mut plain = vec![];
    store
        .write(Stamp { now, actor: None }, |changes| {
            let mut uses = Uses::default();
            for number in 0..keys {
                let secret = secret(number, 1);
                let hash = HashedSecret::new(&secret, [number as u8; 16], Cost::FLOOR).unwrap();
                let (id, name) = (Id::from_random(made(number, 2)), format!("key-{number}").parse().unwrap());
                let mut settings = Settings::with_prefix("acme".parse().unwrap());
                settings.enabled = number % 5 > 0;
                let first = NewSecret { id: secret.id().clone(), hash };
                let key = changes.insert_key(&NewKey { id: &id, name: &name, settings: &settings, secret: &first })?;
                for hour in 0..i64::from(number % 3) {
                    let at = now.checked_sub(jiff::SignedDuration::from_hours(hour)).unwrap();
                    uses.add(&key.id, Call::Allowed, at, Some([192, 0, 2, number as u8].into()));
                    uses.add(&key.id, Call::Forbidden, at, None);
                }
                plain.push(secret.expose().to_owned());
            }
            assert!(uses.of(&Id::from_random(made(1, 2))).is_none_or(|(_, LastUse { .. })| true));
            changes.record_uses(&uses)?;
            let [announced, staged, reserved] = [3, 4, 5].map(|kind| secret(0, kind));
            changes.announce(&[announced.id()])?;
            let hash = HashedSecret::new(&staged, [1; 16], Cost::FLOOR).unwrap();
            let key = changes.named(&"rotated".parse().unwrap())?.unwrap();
            let new = NewSecret { id: staged.id().clone(), hash };
            changes.stage_secret(&key, &new, keyward_core::store::Staging::Told)?;
            plain.push(staged.expose().to_owned());
            let later = now.checked_add(jiff::SignedDuration::from_mins(1)).unwrap();
            changes.reserve(&[(Subject::Name("soon".parse().unwrap()), reserved.id())], later)
        })
        .unwrap();
    plain
}

/// All rows of the copied tables of a file, by table name.
fn rows(path: &str) -> BTreeMap<String, Vec<Vec<Value>>> {
    let conn = Connection::open(path).unwrap();
    let mut tables = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let of = |table: &str| -> Vec<Vec<Value>> {
        let mut select = conn
            .prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1, 2, 3"))
            .or_else(|_| conn.prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1, 2")));
        let select = select.as_mut().unwrap();
        let width = select.column_count();
        let read = |row: &rusqlite::Row<'_>| (0..width).map(|column| row.get(column)).collect();
        select.query_map([], read).unwrap().map(Result::unwrap).collect()
    };
    tables
        .into_iter()
        .filter(|table| !["history_head", "reservation"].contains(&table.as_str()))
        .map(|table| {
            let mut rows = of(&table);
            if table == "history" {
                rows.retain(|row| !row.contains(&Value::Text("store.move".to_owned())));
            }
            (table, rows)
        })
        .collect()
}
