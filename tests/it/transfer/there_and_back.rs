//! A copy equals its source, there and back again.

use serde_json::Value as Json;

use super::{Scene, full_store, rows};

const KEYS: u32 = 2_000;

#[test]
#[ignore = "needs postgresql"]
fn a_store_is_the_same_on_a_server_and_back_in_a_file() {
    let scene = Scene::new();
    let (first, url) = (scene.file("keys.db"), scene.empty_store("s"));
    let secrets = full_store(&scene, &first, KEYS);
    let (told, answers, was) = (scene.told(&first), scene.answers(&first, &secrets), rows(&first));
    for (table, rows) in &was {
        assert!(!rows.is_empty(), "there is something in {table} to lose");
    }
    assert!(answers.iter().filter(|(reason, _)| reason == "\"allowed\"").count() > KEYS as usize / 2);

    let moved: Json = serde_json::from_str(&scene.done(&first, &format!("store move --to {url} --json"))).unwrap();
    assert_eq!(moved["tables"]["key"], was["key"].len());
    assert!(told == scene.told(&url), "the server tells the same");
    assert_eq!(answers, scene.answers(&url, &secrets));
    assert!(scene.done(&url, "history --check").starts_with("the history is intact"));
    let newest: Json = serde_json::from_str(&scene.done(&url, "history --json --limit 1")).unwrap();
    assert_eq!((&newest[0]["action"], &newest[0]["detail"]["from"]), (&"store.move".into(), &first.as_str().into()));

    // Numbers of new rows continue after the copied ones.
    for line in ["create new", "group create new", "role create new --rank 1", "rotate plain", "tenant create new"] {
        scene.done(&url, line);
    }
    for line in ["group delete new --yes", "role delete new --yes", "tenant delete new --yes"] {
        scene.done(&url, line);
    }

    let second = scene.file("second.db");
    let copied: Json = serde_json::from_str(&scene.done(&url, &format!("store copy --to {second} --json"))).unwrap();
    let backup = scene.file("backup.db");
    scene.done(&url, &format!("backup {backup}"));
    assert_eq!(rows(&second), rows(&backup), "a backup is a copy");
    let (told, answers) = (scene.told(&url), scene.answers(&url, &secrets));
    for file in [&second, &backup] {
        assert!(told == scene.told(file), "{file} tells the same");
        assert_eq!(answers, scene.answers(file, &secrets), "{file}");
        assert!(scene.done(file, "history --check").starts_with("the history is intact"));
        assert_eq!(
            scene
                .run(file, "doctor --json")
                .json()
                .as_array()
                .unwrap()
                .iter()
                .filter(|one| one["level"] == "problem")
                .count(),
            0
        );
    }

    // Back to where it came from, with the changes made meanwhile, and there again.
    let back: Json = serde_json::from_str(&scene.done(&url, &format!("store move --to {first} --json"))).unwrap();
    assert_eq!(back["tables"], copied["tables"]);
    assert!(told == scene.told(&first), "the former file tells the same");
    assert_eq!(rows(&second), rows(&first));
    assert_eq!(scene.refused(&url, "create x"), "store_moved");
    scene.done(&first, "create after");
    scene.done(&first, &format!("store move --to {url}"));
    assert!(scene.told(&first) == scene.told(&url), "the server tells the same again");
    assert!(scene.done(&url, "history --check").starts_with("the history is intact"));
    assert_eq!(scene.done(&url, "history --json --action store.move").matches("\"store.move\"").count(), 3);
}

#[test]
#[ignore = "needs postgresql"]
fn a_file_is_copied_to_a_file_and_a_server_to_a_server() {
    let scene = Scene::new();
    let (first, second) = (scene.file("keys.db"), scene.file("copy.db"));
    let secrets = full_store(&scene, &first, 20);
    scene.done(&first, &format!("store copy --to {second}"));
    assert_eq!(rows(&first), rows(&second));
    let (one, other) = (scene.empty_store("one"), scene.empty_store("other"));
    scene.done(&first, &format!("store copy --to {one}"));
    scene.done(&one, &format!("store move --to {other}"));
    assert!(scene.told(&first) == scene.told(&other));
    assert_eq!(scene.answers(&first, &secrets), scene.answers(&other, &secrets));
    // Both files are the same store; another file is not.
    let id = |store: &str| {
        let id: String = rusqlite::Connection::open(store)
            .unwrap()
            .query_row("SELECT store_id FROM history_head", [], |row| row.get(0))
            .unwrap();
        id
    };
    assert_eq!(id(&first), id(&second));
}

/// Every table of both schemas is either copied or listed with the reason why not.
#[test]
#[ignore = "needs postgresql"]
fn no_table_and_no_column_is_forgotten() {
    let scene = Scene::new();
    let (file, url) = (scene.file("keys.db"), scene.empty_store("s"));
    full_store(&scene, &file, 1);
    let copied: Json = serde_json::from_str(&scene.done(&file, &format!("store copy --to {url} --json"))).unwrap();
    let mut tables: Vec<_> = copied["tables"].as_object().unwrap().keys().cloned().collect();
    tables.extend(["history_head", "reservation"].map(str::to_owned));
    tables.sort();
    assert_eq!(tables, rows_of_schema(&file));
    tables.extend(["store", "use_batch"].map(str::to_owned));
    tables.sort();
    let select = "SELECT string_agg(table_name, ' ' ORDER BY table_name COLLATE \"C\") FROM information_schema.tables \
                  WHERE table_schema = 's'";
    assert_eq!(tables.join(" "), scene.server.sql("keyward", select));
    // A column that was not copied would have its default there.
    let conn = rusqlite::Connection::open(&file).unwrap();
    for table in copied["tables"].as_object().unwrap().keys() {
        let mut columns: Vec<String> = conn
            .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        columns.sort();
        let rows =
            columns.iter().map(|column| format!("coalesce(CAST(\"{column}\" AS TEXT), '~')")).collect::<Vec<_>>();
        let line = rows.join(" || '|' || ");
        let there = scene.server.sql(
            "keyward",
            &format!("SET bytea_output = 'hex'; SELECT string_agg(line, ' ; ' ORDER BY line COLLATE \"C\") FROM (SELECT {line} AS line FROM s.\"{table}\") x"),
        );
        let hex = line.replace(
            "CAST(\"hash\" AS TEXT)",
            "CASE typeof(hash) WHEN 'blob' THEN '\\x' || lower(hex(hash)) ELSE hash END",
        );
        let mut here: Vec<String> = conn
            .prepare(&format!("SELECT {hex} AS line FROM \"{table}\""))
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        here.sort();
        assert_eq!(here.join(" ; "), there, "{table}");
    }
}

fn rows_of_schema(path: &str) -> Vec<String> {
    let conn = rusqlite::Connection::open(path).unwrap();
    let mut tables = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}
