//! How the server finds what a command asks for, in a large store: each statement with its actual values, because the
//! server plans it each time.
//!
//! [`KEYS`] is fewer than a store may hold, to keep the test short. With more keys, an index pays off even more; this
//! was checked with 1,000,000.

use jiff::Timestamp;

use super::schema::{self, with_store};
use super::*;
use crate::rules::key::State;
use crate::store::db::{Value, spy};
use crate::store::sqlite::plan_tests::live_and_die;
use crate::store::{Filter, Sort, Store};

const KEYS: i64 = 100_000;

/// Tables that grow with the keys, or with what is done with them. Groups, users, roles and tenants are few compared
/// with keys: reading all of them once can be cheaper than looking up each.
const GROWING: [&str; 12] = [
    "key",
    "secret",
    "key_scope",
    "key_level",
    "key_address",
    "key_label",
    "key_use",
    "usage",
    "meter",
    "history",
    "announced_secret",
    "reservation",
];

/// Many keys, each with something in every table.
fn fill(postgres: &Postgres) {
    let sql = "
        SET search_path = keyward; SET session_replication_role = replica;
        CREATE TEMP TABLE n AS SELECT g AS i, lpad(g::text, 12, '0') AS t FROM generate_series(1000, 999 + @KEYS@) g;
        INSERT INTO \"user\" (id, name, enabled, created_at, updated_at) SELECT i, 'u' || t, 1, 0, 0 FROM n WHERE i % 10 = 0;
        INSERT INTO key_group (id, name, created_at, updated_at) SELECT i, 'g' || t, 0, 0 FROM n WHERE i % 100 = 0;
        INSERT INTO tenant (id, name, enabled, created_at, updated_at) SELECT i, 't' || t, 1, 0, 0 FROM n WHERE i % 100 = 0;
        INSERT INTO key (id, public_id, name, key_group, owner, tenant, read_only, require_secure, enabled, expires_at, prefix,
                         created_at, updated_at)
            SELECT i, t, md5(t), i / 100 * 100, i / 10 * 10, i / 100 * 100, 0, 1, (i % 500 <> 0)::int, 2000000000 + i, 'kw',
                   i, i
              FROM n;
        INSERT INTO secret (id, public_id, key, hash, created_at) SELECT i, 's' || t, i, repeat('h', 90), i FROM n;
        INSERT INTO key_scope SELECT i, 'scope' || i % 1000 FROM n;
        INSERT INTO key_level SELECT i, 'level/' || i % 1000 FROM n;
        INSERT INTO key_address SELECT i, '10.0.0.0/8' FROM n;
        INSERT INTO key_label SELECT i, 'team', 'v' || i % 1000 FROM n;
        INSERT INTO key_use SELECT i, i, i % 7, NULL FROM n;
        INSERT INTO usage SELECT i, 3600 * (i % 100), 1, 0, 0 FROM n;
        INSERT INTO meter SELECT 'key', i, 60, 0, 0 FROM n;
        INSERT INTO announced_secret SELECT 'a' || t, i FROM n;
        INSERT INTO reservation SELECT 'r' || t, 'x' || t, 'h', i FROM n;
        INSERT INTO history (seq, at, action, subject_kind, subject_id, subject_name, detail, hash, secret_id)
            SELECT i, i, 'key.create', 'key', t, md5(t), '{}', '\\x00', 's' || t FROM n;
        -- All rows are the sample: with a part of them, chance decides how many a filter is believed to find.
        SET default_statistics_target = 1000;
        ANALYZE";
    postgres.sql("keyward", &sql.replace("@KEYS@", &KEYS.to_string()));
}

/// The plan of a statement, one step per line.
fn plan(client: &Client, sql: &str, values: &[Value<'_>]) -> String {
    let mut steps = String::new();
    client
        .query_each(&format!("EXPLAIN {}", sql.replace('?', "$")), values, |row| {
            steps.push_str(row.get(0));
            steps.push('\n');
            Ok::<_, StoreError>(())
        })
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    steps
}

/// The growing tables that the plan reads whole.
fn read_whole(plan: &str) -> Vec<&str> {
    let scans = plan.lines().filter_map(|step| step.split_once("Seq Scan on ").map(|(_, rest)| rest));
    scans.filter_map(|rest| rest.split(' ').next()).filter(|table| GROWING.contains(table)).collect()
}

fn is_about_rows(sql: &str) -> bool {
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].iter().any(|verb| sql.trim_start().starts_with(verb))
}

/// A filter, and how the keys are found.
fn lists() -> Vec<(&'static str, Filter, &'static str)> {
    let with = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    vec![
        ("a few", with(|f| f.limit = Some(20)), "using key_name_key on key k"),
        ("from the end", with(|f| (f.reverse, f.limit) = (true, Some(20))), "Backward using key_name_key on key k"),
        ("name", with(|f| f.name = "abcd*".to_owned().into()), "key_name_key"),
        ("owner", with(|f| f.owner = "u000000001000".parse().unwrap()), "key_by_owner"),
        ("group", with(|f| f.group = "g000000001000".parse().unwrap()), "key_by_group"),
        ("tenant", with(|f| f.tenant = "t000000001000".parse().unwrap()), "key_by_tenant"),
        ("scope", with(|f| f.scopes = vec!["scope7".parse().unwrap()]), "key_scope_by_scope"),
        ("level", with(|f| f.levels = vec!["level/7".parse().unwrap()]), "key_level_by_level"),
        ("label", with(|f| f.labels = vec!["team=v7".parse().unwrap()]), "key_label_by_label"),
        ("expiry", with(|f| f.expires_by = Timestamp::from_second(2_000_001_100).ok()), "key_by_expiry"),
        ("disabled", with(|f| f.state = State::Disabled.into()), "key_by_enabled"),
        ("the oldest", with(|f| (f.sort, f.limit) = (Sort::Created, Some(20))), "key_by_creation"),
        ("the next to expire", with(|f| (f.sort, f.limit) = (Sort::Expires, Some(20))), "key_by_expiry"),
    ]
}

#[test]
#[ignore = "needs postgresql"]
fn what_is_about_one_key_reads_no_table_whole_and_lists_search_by_their_filters() {
    let postgres = with_store();
    let mut store = Store::connect(schema::url(&postgres, "ann"), Surroundings::default()).unwrap();
    spy::take();
    live_and_die(&mut store).unwrap();
    let seen = spy::take();
    fill(&postgres);
    let client = over_socket(&postgres);
    let mut found = vec![];
    for ((file, line), statements) in seen {
        for (sql, values) in statements.iter().filter(|(sql, _)| is_about_rows(sql)) {
            let values: Vec<_> = values.iter().map(spy::Kept::value).collect();
            let plan = plan(&client, sql, &values);
            let whole = read_whole(&plan);
            if !whole.is_empty() {
                found.push(format!("{file}:{line} reads {whole:?}\n{sql}\n{plan}"));
            }
        }
    }
    for (what, filter, expected) in lists() {
        let (sql, conditions) = filter.list(Timestamp::UNIX_EPOCH, store.conn.dialect());
        let plan = plan(&client, &sql, &conditions.values());
        if !read_whole(&plan).is_empty() || !plan.contains(expected) {
            found.push(format!("the list by {what} is not found by {expected}:\n{plan}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
