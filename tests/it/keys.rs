//! The life of a key, verb by verb.

use expect_test::expect;
use jiff::ToSpan as _;
use keyward_cli::world::StreamKinds;

use crate::harness::{Sandbox, words};

#[test]
fn create_prints_the_secret_alone_and_the_rest_on_stderr() {
    let sandbox = Sandbox::new();
    expect![[r#"
        code: 0
        stdout: [secret]
        stderr: created the key deploy (id j6z9307nasrf)
        stderr: it never expires
    "#]]
    .assert_eq(&sandbox.run("create deploy").to_string());
    let output = sandbox.run("create -q quiet");
    assert_eq!((output.stdout.lines().count(), output.stderr.as_str()), (1, ""));
}

#[test]
fn create_takes_every_setting() {
    let sandbox = Sandbox::new();
    let mut args = words(
        "create --json all --scope b,a --scope c --level A/B --allow-ip 10.0.0.0/8,::1 --label team=web --label env=prod \
         --read-only --limit 9000/1d,60/60s:5 \
         --allow-insecure --expires 90d --disabled --prefix my_app --description",
    );
    args.push("what it is for".to_owned());
    let output = sandbox.run_args(&args, b"");
    let document = output.json();
    let secret = document["secret"].as_str().unwrap();
    assert!(secret.starts_with("my_app_"), "{secret}");
    assert_eq!(document["outcome"], "created");
    expect![[r#"
        {
          "id": "j6z9307nasrf",
          "name": "all",
          "description": "what it is for",
          "group": null,
          "owner": null,
          "role": null,
          "tenant": null,
          "scopes": [
            "a",
            "b",
            "c"
          ],
          "levels": [
            "A/B"
          ],
          "read_only": true,
          "require_secure": false,
          "allowed_ips": [
            "10.0.0.0/8",
            "::1/128"
          ],
          "limits": [
            {
              "count": 60,
              "period": "60s",
              "burst": 5
            },
            {
              "count": 9000,
              "period": "1d",
              "burst": null
            }
          ],
          "labels": {
            "env": "prod",
            "team": "web"
          },
          "enabled": false,
          "state": "disabled",
          "created_at": "2026-01-31T12:00:00Z",
          "created_by": null,
          "updated_at": "2026-01-31T12:00:00Z",
          "expires_at": "2026-05-01T12:00:00Z",
          "last_used_at": null,
          "last_used_from": null,
          "use_count": 0,
          "prefix": "my_app",
          "secrets": [
            {
              "id": "f9q24cjhtq6n",
              "state": "current",
              "created_at": "2026-01-31T12:00:00Z",
              "expires_at": null,
              "imported": null,
              "renewed": false
            }
          ]
        }
    "#]]
    .assert_eq(&format!("{:#}\n", document["key"]));
    assert_eq!(sandbox.run("show --json all").json(), document["key"]);
}

#[test]
fn a_key_is_named_by_its_name_its_id_and_its_secrets_id() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    let key = sandbox.run("show --json deploy").json();
    for text in ["deploy", key["id"].as_str().unwrap(), key["secrets"][0]["id"].as_str().unwrap()] {
        assert_eq!(sandbox.run(&format!("show -q {text}")).stdout, "deploy\n");
    }
}

#[test]
fn show_is_a_card() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --scope rest,ui --allow-ip 10.0.0.0/8 --expires 30d --label team=web");
    sandbox.pass(3.days());
    sandbox.run_with("verify --ip 10.1.1.1", &secret);
    sandbox.run("rotate deploy --grace 2h");
    sandbox.pass(1.hour());
    expect![[r#"
        code: 0
        stdout: name              deploy
        stdout: id                j6z9307nasrf
        stdout: state             active
        stdout: scopes            rest, ui
        stdout: may be used from  10.0.0.0/8
        stdout: limits            none
        stdout: access            read and write
        stdout: plain http        refused
        stdout: labels            team=web
        stdout: expires           2026-03-02T12:00:00Z (in 4 weeks)
        stdout: last used         1 hour ago from 10.1.1.1 (once in all)
        stdout: created           2026-01-31T12:00:00Z (3 days ago)
        stdout: changed           2026-02-03T12:00:00Z (1 hour ago)
        stdout: secrets           6nr1ygv20bg7 (current)
        stdout:                   f9q24cjhtq6n (replaced, works until 2026-02-03T14:00:00Z)
    "#]]
    .assert_eq(&sandbox.run("show deploy").to_string());
}

#[test]
fn list_leaves_empty_columns_out() {
    let sandbox = Sandbox::new();
    let nothing = sandbox.looked_at("there are no keys yet; make the first one with: keyward create first-key");
    assert_eq!(sandbox.run("list").stderr, nothing + "\n");
    sandbox.mint("b --expires 2w");
    sandbox.mint("a --scope rest --disabled");
    expect![[r#"
        code: 0
        stdout: NAME  STATE     SCOPES  EXPIRES     LAST USED  CREATED
        stdout: a     disabled  rest    never       never      now
        stdout: b     active            in 2 weeks  never      now
    "#]]
    .assert_eq(&sandbox.run("list").to_string());
    assert_eq!(sandbox.run("list -q").stdout, "a\nb\n");
    let array = sandbox.run("list --json").json();
    assert_eq!(array[0], sandbox.run("show --json a").json());
    assert_eq!(array[1], sandbox.run("show --json b").json());
}

#[test]
fn without_a_store_a_list_is_empty_and_verify_an_error() {
    let sandbox = Sandbox::empty();
    // No store is named: KEYWARD_STORE is empty, so the default applies.
    let unnamed = |line: &str| sandbox.run_env(line, &[("KEYWARD_STORE", "")]);
    expect![[r#"
        code: 0
        stderr: there is no store yet at [sandbox]/data/keys.db
        stderr: there are no keys yet; make the first one with: keyward create first-key
    "#]]
    .assert_eq(
        &unnamed("list").to_string().replace(sandbox.path("").to_str().unwrap().trim_end_matches('/'), "[sandbox]"),
    );
    assert_eq!(unnamed("list --json").json(), serde_json::json!([]));
    assert_eq!(unnamed("list --fail-if-any").code, 0);
    assert_eq!(unnamed("history --json").json(), serde_json::json!([]));
    assert_eq!(unnamed("history --check --json").json(), serde_json::json!({"intact": true, "rows": 0}));
    assert_eq!(unnamed("show x").code, 1);
    assert!(!sandbox.path("data").exists(), "a command that reads makes no store");
    for line in ["list", "show x", "history", "edit x --name y", "delete x --yes"] {
        let output = sandbox.run(&format!("{line} --json"));
        assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_missing")), "{line}");
    }
    assert_eq!(unnamed("create first").code, 0);
    assert!(sandbox.path("data/keys.db").exists());
    assert_eq!(unnamed("list -q").stdout, "first\n");
}

#[test]
fn a_list_fits_the_terminal() {
    let sandbox = Sandbox::new();
    for line in ["group create pipelines", "user create ann --role editor", "tenant create acme"] {
        sandbox.run(line);
    }
    sandbox.mint("deploy-production --group pipelines --owner ann --role editor --tenant acme --scope rest,ui --level A/B --expires 90d");
    sandbox.mint("tokyo");
    sandbox.run_args(&["edit".into(), "tokyo".into(), "--description".into(), "漢字 and \u{1f600}".into()], b"");
    let mut lists = String::new();
    for width in [40, 60, 80, 120, 200] {
        let terminal = StreamKinds { stdout_is_terminal: true, width: Some(width), ..StreamKinds::default() };
        let output = sandbox.run_in(&words("list"), b"", &[("TERM", "xterm"), ("NO_COLOR", "1")], terminal);
        for line in output.stdout.lines() {
            assert!(console::measure_text_width(line) <= usize::from(width), "{width}: {line}");
        }
        assert_eq!(output.stdout.lines().count(), 3, "nothing wraps at {width}: {output}");
        lists.push_str(&output.to_string());
    }
    expect![[r#"
        code: 0
        stdout: NAME               STATE   EXPIRES
        stdout: deploy-production  active  in 3 months
        stdout: tokyo              active  never
        stderr: hidden: description, created, levels, group, role, tenant, scopes, owner, last used (widen the window or use --json)
        stderr: 2 keys
        code: 0
        stdout: NAME               STATE   OWNER  EXPIRES      LAST USED
        stdout: deploy-production  active  ann    in 3 months  never
        stdout: tokyo              active         never        never
        stderr: hidden: description, created, levels, group, role, tenant, scopes (widen the window or use --json)
        stderr: 2 keys
        code: 0
        stdout: NAME               STATE   OWNER  TENANT  SCOPES    EXPIRES      LAST USED
        stdout: deploy-production  active  ann    acme    rest, ui  in 3 months  never
        stdout: tokyo              active                           never        never
        stderr: hidden: description, created, levels, group, role (widen the window or use --json)
        stderr: 2 keys
        code: 0
        stdout: NAME               STATE   GROUP      OWNER  ROLE    TENANT  SCOPES    LEVELS  EXPIRES      LAST USED  CREATED
        stdout: deploy-production  active  pipelines  ann    editor  acme    rest, ui  A/B     in 3 months  never      now
        stdout: tokyo              active                                                      never        never      now
        stderr: hidden: description (widen the window or use --json)
        stderr: 2 keys
        code: 0
        stdout: NAME               STATE   GROUP      OWNER  ROLE    TENANT  SCOPES    LEVELS  EXPIRES      LAST USED  CREATED  DESCRIPTION
        stdout: deploy-production  active  pipelines  ann    editor  acme    rest, ui  A/B     in 3 months  never      now
        stdout: tokyo              active                                                      never        never      now      漢字 and 😀
        stderr: 2 keys
    "#]].assert_eq(&lists);
    assert_eq!(sandbox.run("list --limit 1").stderr, "1 of 2 keys\n");
}

#[test]
fn colours_are_there_when_asked_for_and_not_otherwise() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    for line in ["list", "show deploy"] {
        assert!(sandbox.run(&format!("{line} --color always")).stdout.contains("\u{1b}["), "{line}");
        assert!(!sandbox.run(line).stdout.contains('\u{1b}'), "{line}");
    }
    assert!(sandbox.run_with("verify --all --color always", &secret).stdout.contains("\u{1b}[32m"));
    let terminal = StreamKinds { stdout_is_terminal: true, width: Some(80), ..StreamKinds::default() };
    for (variables, flags, colours) in [
        (vec![("TERM", "xterm")], "", true),
        (vec![("TERM", "xterm"), ("NO_COLOR", "1")], "", false),
        (vec![("TERM", "dumb")], "", false),
        (vec![("TERM", "xterm")], " --color never", false),
    ] {
        let output = sandbox.run_in(&words(&format!("list{flags}")), b"", &variables, terminal);
        assert_eq!(output.stdout.contains('\u{1b}'), colours, "{variables:?} {flags}");
    }
}

#[test]
fn edit_replaces_adds_takes_away_and_empties() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy --scope a,b --level A --label team=web --description old");
    sandbox.pass(1.hour());
    expect![[r#"
        code: 0
        stderr: changed the key deploy
        stderr:   name: deploy → prod
        stderr:   description: old → none
        stderr:   scopes: a, b → b, c
        stderr:   levels: A → B/C
        stderr:   labels: team=web → env=x
        stderr:   read only: false → true
        stderr:   expires: none → 2027-01-01T00:00:00Z
        stderr: it expires in 334 days (2027-01-01)
    "#]].assert_eq(
        &sandbox
            .run(
                "edit deploy --name prod --add-scope c --remove-scope a --level B/C --add-label env=x --remove-label team \
                 --clear description --read-only --expires 2027-01-01",
            )
            .to_string(),
    );
    let key = sandbox.run("show --json prod").json();
    assert_eq!(key["scopes"], serde_json::json!(["b", "c"]));
    assert_eq!(key["labels"], serde_json::json!({"env": "x"}));
    assert_eq!(key["updated_at"], "2026-01-31T13:00:00Z");
    assert_eq!(sandbox.run("show deploy").code, 1);

    let output = sandbox.run("edit prod --json --scope x --clear level,label,read-only,expires,allow-ip");
    let document = output.json();
    assert_eq!(document["outcome"], "updated");
    for (field, value) in [
        ("scopes", serde_json::json!(["x"])),
        ("levels", serde_json::json!([])),
        ("labels", serde_json::json!({})),
        ("read_only", serde_json::json!(false)),
        ("expires_at", serde_json::Value::Null),
    ] {
        assert_eq!(document["key"][field], value, "{field}");
    }
    assert_eq!(sandbox.run("edit prod --json --scope x").json()["outcome"], "unchanged");
    assert_eq!(sandbox.run("edit prod --disabled --json").json()["key"]["state"], "disabled");
    assert_eq!(sandbox.run("edit prod --clear disabled --json").json()["key"]["state"], "active");
    sandbox.run("edit prod --prefix app --description text");
    let key = sandbox.run("edit prod --clear prefix,require-secure --json --description=").json()["key"].clone();
    assert_eq!(
        (&key["prefix"], &key["require_secure"], &key["description"]),
        (&"kw".into(), &false.into(), &serde_json::Value::Null)
    );
}

#[test]
fn an_edit_of_nothing_writes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy --scope a");
    let before = sandbox.run("history --json").stdout;
    assert_eq!(sandbox.run("edit deploy --scope a").code, 0);
    assert_eq!(sandbox.run("enable deploy").code, 0);
    assert_eq!(sandbox.run("history --json").stdout, before);
}

#[test]
fn duplicate_keeps_every_setting_but_those_that_are_named() {
    let sandbox = Sandbox::new();
    let secret = sandbox
        .mint("deploy --scope a,b --level A --allow-ip 10.0.0.1 --label k=v --read-only --expires 9d --prefix app");
    let output = sandbox.run("duplicate --json deploy copy --scope c");
    let (copy, original) = (output.json()["key"].clone(), sandbox.run("show --json deploy").json());
    for (field, value) in original.as_object().unwrap() {
        match field.as_str() {
            "id" | "name" | "secrets" => assert_ne!(copy[field], *value),
            "scopes" => assert_eq!(copy[field], serde_json::json!(["c"])),
            _ => assert_eq!(copy[field], *value, "{field}"),
        }
    }
    let new_secret = output.json()["secret"].as_str().unwrap().to_owned();
    assert_ne!(new_secret, secret);
    assert_eq!(sandbox.reason("--method GET --ip 10.0.0.1", &new_secret), "allowed");
    assert_eq!(sandbox.reason("--method GET --ip 10.0.0.1", &secret), "allowed");
}

#[test]
fn a_duplicate_of_an_expired_key_needs_an_expiry_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.mint("old --expires 1d");
    sandbox.pass(2.days());
    let output = sandbox.run("duplicate old new --json");
    assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("invalid_value")));
    assert_eq!(sandbox.run("duplicate old new --expires 1d").code, 0);
}

#[test]
fn rotate_gives_the_old_secret_its_grace() {
    let sandbox = Sandbox::new();
    let first = sandbox.mint("deploy");
    let second = sandbox.run("rotate deploy --grace 2h").stdout.trim_end().to_owned();
    assert_eq!((sandbox.reason("", &first), sandbox.reason("", &second)), ("allowed".into(), "allowed".into()));
    sandbox.pass(2.hours());
    assert_eq!((sandbox.reason("", &first), sandbox.reason("", &second)), ("secret_retired".into(), "allowed".into()));
    let third = sandbox.run("rotate deploy --json").json();
    assert_eq!(third["outcome"], "rotated");
    assert_eq!(third["key"]["secrets"].as_array().unwrap().len(), 3);
    assert_eq!(sandbox.reason("", &second), "secret_retired");
}

#[test]
fn a_rotation_at_once_ends_every_earlier_grace() {
    let sandbox = Sandbox::new();
    let first = sandbox.mint("deploy");
    sandbox.run("rotate deploy --grace 30d");
    assert_eq!(sandbox.reason("", &first), "allowed");
    sandbox.run("rotate deploy");
    assert_eq!(sandbox.reason("", &first), "secret_retired");
}

#[test]
fn disable_and_enable_work_on_several_keys_or_on_none() {
    let sandbox = Sandbox::new();
    let (a, b) = (sandbox.mint("a"), sandbox.mint("b"));
    expect![[r#"
        code: 0
        stderr: disabled the key a
        stderr: disabled the key b
    "#]]
    .assert_eq(&sandbox.run("disable a b").to_string());
    assert_eq!((sandbox.reason("", &a), sandbox.reason("", &b)), ("key_disabled".into(), "key_disabled".into()));
    assert_eq!(sandbox.run("enable a nosuch").code, 1);
    assert_eq!(sandbox.reason("", &a), "key_disabled");
    let outcomes = sandbox.run("enable a a --json").json();
    assert_eq!((outcomes.as_array().unwrap().len(), outcomes[0]["outcome"].as_str()), (1, Some("updated")));
    assert_eq!(sandbox.run("enable a --json").json()[0]["outcome"], "unchanged");
    assert_eq!(sandbox.reason("", &a), "allowed");
}

#[test]
fn delete_needs_a_yes_and_frees_the_name() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    expect![[r#"
        code: 5
        stderr: error: refusing to delete without confirmation
        stderr: hint: add --yes if you mean it; to stop a key temporarily: keyward disable KEY
    "#]]
    .assert_eq(&sandbox.run("delete deploy").to_string());
    assert_eq!(sandbox.reason("", &secret), "allowed");
    assert_eq!(sandbox.run("delete deploy nosuch --yes").code, 1);
    assert_eq!(sandbox.reason("", &secret), "allowed");
    assert_eq!(sandbox.run("delete deploy --yes --json").json()[0]["outcome"], "deleted");
    assert_eq!(sandbox.reason("", &secret), "not_genuine");
    let again = sandbox.mint("deploy");
    assert_eq!((sandbox.reason("", &again), sandbox.reason("", &secret)), ("allowed".into(), "not_genuine".into()));
}

#[test]
fn no_key_can_be_named_like_the_id_of_another() {
    let sandbox = Sandbox::new();
    sandbox.mint("victim");
    sandbox.mint("other");
    let key = sandbox.run("show --json victim").json();
    for id in [key["id"].as_str().unwrap(), key["secrets"][0]["id"].as_str().unwrap()] {
        for line in [format!("create {id}"), format!("edit other --name {id}"), format!("duplicate other {id}")] {
            let output = sandbox.run(&format!("{line} --json"));
            assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("name_taken")), "{line}");
        }
    }
    // Its own id belongs to no other key.
    assert_eq!(sandbox.run(&format!("edit victim --name {}", key["id"].as_str().unwrap())).code, 0);
}

#[test]
fn history_tells_the_whole_life_even_after_the_end() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy --scope a");
    sandbox.mint("other");
    for line in ["edit deploy --name prod --scope b", "disable prod", "enable prod", "rotate prod", "delete prod --yes"]
    {
        sandbox.pass(1.day());
        assert_eq!(sandbox.run(line).code, 0, "{line}");
    }
    expect![[r#"
        code: 0
        stdout: WHEN                  WHO    WHAT         NAME    DETAILS
        stdout: 2026-01-31T12:00:00Z  owner  key.create   deploy  scopes: none → a; secret: f9q24cjhtq6n
        stdout: 2026-02-01T12:00:00Z  owner  key.edit     deploy  scopes: a → b; name: deploy → prod
        stdout: 2026-02-02T12:00:00Z  owner  key.disable  prod    enabled: true → false
        stdout: 2026-02-03T12:00:00Z  owner  key.enable   prod    enabled: false → true
        stdout: 2026-02-04T12:00:00Z  owner  key.rotate   prod    secret: dj5xnmp67vqb; grace_end: 2026-02-04T12:00:00Z
        stdout: 2026-02-05T12:00:00Z  owner  key.delete   prod    use_count: 0
    "#]]
    .assert_eq(&sandbox.run("history prod").to_string());
    assert_eq!(sandbox.run("history prod").stdout, sandbox.run("history deploy").stdout);
    assert_eq!(sandbox.run("history --since 36h --json").json().as_array().unwrap().len(), 2);
    let events = sandbox.run("history prod --json").json();
    let id = events[0]["subject_id"].as_str().unwrap();
    assert_eq!(sandbox.run(&format!("history {id}")).stdout, sandbox.run("history prod").stdout);
    assert_eq!(sandbox.run("history nosuch").code, 1);
    assert_eq!(sandbox.run("history --check --json").json(), serde_json::json!({"intact": true, "rows": 8}));
}

#[test]
fn acting_as_a_user_that_does_not_exist_is_refused() {
    let sandbox = Sandbox::new();
    for (line, variables) in
        [("create x --as nobody --json", vec![]), ("create x --json", vec![("KEYWARD_AS", "nobody")])]
    {
        let output = sandbox.run_env(line, &variables);
        assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("not_permitted")));
    }
    assert_eq!(sandbox.run("list -q").stdout, "");
}
