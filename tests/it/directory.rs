//! Groups, users, roles and tenants.

use expect_test::expect;

use crate::harness::{Sandbox, words};

/// The JSON of a new entry of each kind, beyond the common fields.
const KINDS: [(&str, &str); 4] = [
    ("group", r#"{}"#),
    ("user", r#"{"role":null,"tenant":null,"enabled":true,"limits":[]}"#),
    ("role", r#"{"rank":0,"manages_keys":false,"users":0}"#),
    ("tenant", r#"{"enabled":true,"limits":[],"users":0}"#),
];

#[test]
fn the_four_have_the_same_verbs() {
    for (kind, facts) in KINDS {
        let sandbox = Sandbox::new();
        let created = sandbox.run_args(&words(&format!("{kind} create one --description --json")), b"");
        assert_eq!(created.code, 2, "a description needs a text");
        let created = sandbox.run(&format!("{kind} create one --description=first --json")).json();
        let mut entry = serde_json::json!({
            "name": "one", "description": "first", "keys": 0,
            "created_at": "2026-01-31T12:00:00Z", "updated_at": "2026-01-31T12:00:00Z",
        });
        let facts: serde_json::Value = serde_json::from_str(facts).unwrap();
        entry.as_object_mut().unwrap().extend(facts.as_object().unwrap().clone());
        assert_eq!(created, serde_json::json!({kind: entry, "outcome": "created"}));
        assert_eq!(sandbox.run(&format!("{kind} show one --json")).json(), entry);
        assert!(sandbox.run(&format!("{kind} list --json")).json().as_array().unwrap().contains(&entry));
        assert!(sandbox.run(&format!("{kind} list -q")).stdout.lines().any(|line| line == "one"));
        assert!(sandbox.run(&format!("{kind} list")).stdout.contains("first"));
        assert!(sandbox.run(&format!("{kind} show one")).stdout.contains("first"));

        let edited = sandbox.run(&format!("{kind} edit one --name two --clear description --json")).json();
        assert_eq!((&edited["outcome"], &edited[kind]["name"]), (&"updated".into(), &"two".into()));
        assert_eq!(edited[kind]["description"], serde_json::Value::Null);
        assert_eq!(sandbox.run(&format!("{kind} edit two --name two --json")).json()["outcome"], "unchanged");
        assert_eq!(sandbox.run(&format!("{kind} delete two --json")).json()["outcome"], "deleted");

        for (line, exit, code, says) in [
            (format!("{kind} show two"), 1, "not_found", "list"),
            (format!("{kind} edit two --name x"), 1, "not_found", "list"),
            (format!("{kind} delete two"), 1, "not_found", "list"),
            (format!("{kind} create a:b"), 2, "usage", "cannot hold ':'"),
            (format!("{kind} create"), 2, "usage", "<NAME>"),
            (format!("{kind} edit one"), 2, "usage", "no change was named"),
        ] {
            let output = sandbox.run(&format!("{line} --json"));
            let error = output.error();
            assert_eq!((output.code, error["code"].as_str()), (exit, Some(code)), "{line}: {output}");
            assert!(format!("{} {}", error["message"], error["hint"]).contains(says), "{line}: {output}");
        }
        sandbox.run(&format!("{kind} create taken"));
        sandbox.run(&format!("{kind} create other"));
        for line in [format!("{kind} create taken"), format!("{kind} edit other --name taken")] {
            assert_eq!(sandbox.run(&format!("{line} --json")).error()["code"], "name_taken", "{line}");
        }
        let output = sandbox.run(&format!("{kind} show takn --json"));
        assert!(output.error()["hint"].as_str().unwrap().contains("did you mean taken?"), "{output}");
        assert_eq!(sandbox.run("history --check").code, 0);
    }
}

#[test]
fn a_new_store_has_three_roles() {
    let sandbox = Sandbox::new();
    let roles = sandbox.run("role list --json").json();
    let roles: Vec<_> = roles
        .as_array()
        .unwrap()
        .iter()
        .map(|role| format!("{} {} {}", role["name"].as_str().unwrap(), role["rank"], role["manages_keys"]))
        .collect();
    assert_eq!(roles, ["viewer 10 false", "editor 20 true", "admin 30 true"]);
}

#[test]
fn users_and_roles_have_settings_of_their_own() {
    let sandbox = Sandbox::new();
    sandbox.run("tenant create acme");
    let user = sandbox.run("user create ann --role editor --tenant acme --json").json()["user"].clone();
    assert_eq!((&user["role"], &user["tenant"]), (&"editor".into(), &"acme".into()));
    let user = sandbox.run("user edit ann --clear role,tenant --json").json()["user"].clone();
    assert_eq!((&user["role"], &user["tenant"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    let role = sandbox.run("role create boss --rank 25 --manages-keys --json").json()["role"].clone();
    assert_eq!((&role["rank"], &role["manages_keys"]), (&25.into(), &true.into()));
    let role = sandbox.run("role edit boss --no-manages-keys --json").json()["role"].clone();
    assert_eq!((&role["rank"], &role["manages_keys"]), (&25.into(), &false.into()));
    for (line, exit, code) in [
        ("user create bob --role nosuch", 1, "not_found"),
        ("user create bob --tenant nosuch", 1, "not_found"),
        ("user edit ann --role nosuch", 1, "not_found"),
        ("role create x --rank -1", 2, "usage"),
        ("role create x --rank high", 2, "usage"),
        ("role create x --manages-keys --no-manages-keys", 2, "usage"),
        ("role edit boss --clear tenant", 2, "usage"),
        ("group edit x --clear role", 2, "usage"),
        ("user edit ann --role viewer --clear role", 2, "usage"),
        ("user edit ann --description=x --clear description", 2, "usage"),
        ("group enable x", 2, "usage"),
    ] {
        let output = sandbox.run(&format!("{line} --json"));
        assert_eq!((output.code, output.error()["code"].as_str()), (exit, Some(code)), "{line}: {output}");
    }
    assert_eq!(sandbox.run("role edit boss --no-manages-keys --json").json()["outcome"], "unchanged");
}

/// A key in group ci, of user ann, in role editor, for tenant acme.
fn with_a_key() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    for line in ["group create ci", "tenant create acme", "user create ann --role admin --tenant acme"] {
        sandbox.run(line);
    }
    let secret = sandbox.mint("deploy --group ci --owner ann --role editor --tenant acme");
    (sandbox, secret)
}

#[test]
fn what_is_in_use_is_not_deleted() {
    let (sandbox, secret) = with_a_key();
    for (line, says) in [
        ("group delete ci", "in use by 1 key"),
        ("user delete ann", "in use by 1 key"),
        ("role delete editor", "in use by 1 key"),
        ("role delete admin", "in use by 1 user"),
        ("tenant delete acme", "1 key and 1 user"),
        // Without the tenant, its users could create keys for every tenant.
        ("tenant delete acme --with-keys --yes", "1 key and 1 user"),
    ] {
        let error = sandbox.run(&format!("{line} --json")).error();
        assert_eq!(error["code"], "in_use", "{line}");
        assert!(error["message"].as_str().unwrap().contains(says), "{line}: {error}");
        assert!(!error["hint"].is_null());
    }
    let output = sandbox.run("user delete ann --with-keys --json");
    assert_eq!((output.code, output.error()["code"].as_str()), (5, Some("confirmation_required")));
    assert_eq!(sandbox.reason("--tenant acme", &secret), "allowed");
}

#[test]
fn deleting_with_keys_deletes_them_in_one_go() {
    for kind in ["group delete ci", "user delete ann", "role delete editor", "tenant delete acme"] {
        let (sandbox, secret) = with_a_key();
        sandbox.mint("other");
        sandbox.run("user edit ann --clear tenant");
        let deleted = sandbox.run(&format!("{kind} --with-keys --yes --json")).json();
        assert_eq!((&deleted["outcome"], &deleted["deleted_keys"]), (&"deleted".into(), &1.into()), "{kind}");
        assert_eq!(sandbox.reason("--tenant acme", &secret), "not_genuine");
        assert_eq!(sandbox.run("list -q").stdout, "other\n");
        let events = sandbox.run("history --json").json();
        let events = events.as_array().unwrap();
        assert_eq!(events[events.len() - 2]["action"], "key.delete", "{kind}");
        assert_eq!(sandbox.run("history --check").code, 0);
    }
}

#[test]
fn renames_are_followed_everywhere() {
    let (sandbox, secret) = with_a_key();
    for line in [
        "group edit ci --name cd",
        "user edit ann --name anna",
        "role edit editor --name author",
        "tenant edit acme --name acme2",
    ] {
        assert_eq!(sandbox.run(line).code, 0, "{line}");
    }
    let key = sandbox.run("show deploy --json").json();
    let fields = ["group", "owner", "role", "tenant"].map(|field| key[field].as_str().unwrap().to_owned());
    assert_eq!(fields, ["cd", "anna", "author", "acme2"]);
    assert_eq!(sandbox.run("user show anna --json").json()["tenant"], "acme2");
    assert_eq!(sandbox.reason("--tenant acme2 --role author", &secret), "allowed");
    assert_eq!(sandbox.reason("--tenant acme", &secret), "tenant_mismatch");
    for flag in ["--group cd", "--owner anna", "--role author", "--tenant acme2"] {
        assert_eq!(sandbox.run(&format!("list -q {flag}")).stdout, "deploy\n", "{flag}");
    }
    for flag in ["--group ci", "--owner ann", "--role editor", "--tenant acme"] {
        assert_eq!(sandbox.run(&format!("list --json {flag}")).error()["code"], "not_found", "{flag}");
    }
}

#[test]
fn a_disabled_owner_or_tenant_suspends_their_keys() {
    let (sandbox, secret) = with_a_key();
    for (kind, name, reason) in [("user", "ann", "owner_disabled"), ("tenant", "acme", "tenant_disabled")] {
        let output = sandbox.run(&format!("{kind} disable {name}"));
        assert!(output.stderr.contains("suspends 1 key"), "{output}");
        assert_eq!(sandbox.reason("--tenant acme", &secret), reason);
        assert_eq!(sandbox.run("show deploy --json").json()["state"], "suspended");
        assert_eq!(sandbox.run("list -q --state suspended").stdout, "deploy\n");
        assert_eq!(sandbox.run("list -q --state active").stdout, "");
        assert_eq!(sandbox.run(&format!("{kind} disable {name} --json")).json()[0]["outcome"], "unchanged");
        assert_eq!(sandbox.run(&format!("{kind} enable {name} --json")).json()[0][kind]["enabled"], true);
        assert_eq!(sandbox.reason("--tenant acme", &secret), "allowed");
    }
    // All or nothing.
    assert_eq!(sandbox.run("user disable ann nosuch --json").error()["code"], "not_found");
    assert_eq!(sandbox.reason("--tenant acme", &secret), "allowed");
}

#[test]
fn keys_refer_only_to_what_there_is() {
    let (sandbox, _) = with_a_key();
    for flag in ["--group", "--owner", "--role", "--tenant"] {
        for line in [
            format!("create new {flag} nosuch"),
            format!("edit deploy {flag} nosuch"),
            format!("duplicate deploy new {flag} nosuch"),
        ] {
            let error = sandbox.run(&format!("{line} --json")).error();
            assert_eq!(error["code"], "not_found", "{line}");
            assert!(error["hint"].as_str().unwrap().contains("create nosuch"), "{error}");
        }
    }
    let key = sandbox.run("edit deploy --clear group,owner,role,tenant --json").json()["key"].clone();
    for field in ["group", "owner", "role", "tenant"] {
        assert!(key[field].is_null(), "{field}");
    }
    assert_eq!(sandbox.run("list -q").stdout, "deploy\n");
}

#[test]
fn the_effective_role_follows_the_owners_present_role() {
    let (sandbox, secret) = with_a_key();
    let effective = || {
        let answer = sandbox.run_with("verify --json --tenant acme", &secret).json();
        answer["effective_role"].as_str().map(str::to_owned)
    };
    assert_eq!(effective().as_deref(), Some("editor"));
    sandbox.run("user edit ann --role viewer");
    assert_eq!(effective().as_deref(), Some("viewer"));
    assert_eq!(sandbox.reason("--tenant acme --role editor", &secret), "role_too_low");
    sandbox.run("user edit ann --clear role");
    assert_eq!(effective(), None);
    sandbox.run("user edit ann --role admin");
    assert_eq!(sandbox.reason("--tenant acme --role editor", &secret), "allowed");
}

#[test]
fn lists_are_tables_for_people() {
    let (sandbox, _) = with_a_key();
    expect![[r#"
        code: 0
        stdout: NAME  KEYS  CREATED
        stdout: ci       1  now
        code: 0
        stdout: NAME  STATE    ROLE   TENANT  KEYS  CREATED
        stdout: ann   enabled  admin  acme       1  now
        code: 0
        stdout: NAME    RANK  MANAGES KEYS  USERS  KEYS  CREATED
        stdout: viewer    10  no                0     0  now
        stdout: editor    20  yes               0     1  now
        stdout: admin     30  yes               1     0  now
        code: 0
        stdout: NAME  STATE    USERS  KEYS  CREATED
        stdout: acme  enabled      1     1  now
        code: 0
        stdout: NAME    STATE   GROUP  OWNER  ROLE    TENANT  EXPIRES  LAST USED  CREATED
        stdout: deploy  active  ci     ann    editor  acme    never    never      now
    "#]]
    .assert_eq(&format!(
        "{}{}{}{}{}",
        sandbox.run("group list"),
        sandbox.run("user list"),
        sandbox.run("role list"),
        sandbox.run("tenant list"),
        sandbox.run("list"),
    ));
    let empty = Sandbox::new();
    let nothing = empty.looked_at("there are no users yet; make one with: keyward user create NAME");
    assert_eq!(empty.run("user list").stderr, nothing + "\n");
}

#[test]
fn settings_are_checked_and_told_in_the_history() {
    let sandbox = Sandbox::new();
    for (line, code) in [
        ("settings set prefix Kw", "invalid_value"),
        ("settings set hash-parameters m=1,t=1,p=1", "invalid_value"),
        ("settings set hash-parameters m=999999999,t=1,p=1", "invalid_value"),
        ("settings set query-credentials maybe", "invalid_value"),
        ("settings set max-lifetime soon", "invalid_value"),
        ("settings set nosuch x", "usage"),
    ] {
        assert_eq!(sandbox.run(&format!("{line} --json")).error()["code"], code, "{line}");
    }
    for line in ["settings set prefix app", "settings set query-credentials refuse", "settings set max-lifetime 30d"] {
        assert_eq!(sandbox.run(line).code, 0, "{line}");
    }
    assert_eq!(
        sandbox.run("settings list --json").json(),
        serde_json::json!({
            "prefix": "app", "hash_parameters": {"memory_kib": 1024, "passes": 1, "lanes": 1},
            "query_credentials": false, "default_lifetime": null, "max_lifetime": "30d", "usage_retention": "400d",
        })
    );
    for (line, code) in
        [("create x --expires never", 1), ("create x --expires 31d", 1), ("create x --expires 30d", 0), ("create y", 0)]
    {
        assert_eq!(sandbox.run(line).code, code, "{line}");
    }
    assert_eq!(sandbox.run("show y --json").json()["expires_at"], "2026-03-02T12:00:00Z");
    assert!(sandbox.run("show x --json").json()["prefix"] == "app");
    assert_eq!(sandbox.run("edit x --expires never --json").error()["code"], "invalid_value");
    assert_eq!(sandbox.run("edit x --description y").code, 0);
    let events = sandbox.run("history --json").json();
    assert_eq!(events.as_array().unwrap().iter().filter(|event| event["action"] == "settings.edit").count(), 4);
    assert_eq!(sandbox.run("settings set max-lifetime unlimited").code, 0);
    assert_eq!(sandbox.run("edit x --expires never").code, 0);
}
