//! `export` and `apply`: what a store should hold, as text.

use std::fs;

use expect_test::expect;
use jiff::ToSpan as _;
use keyward_cli::world::StreamKinds;
use serde_json::json;

use crate::harness::{Output, Sandbox, words};
use crate::pty::Screen;

/// A store in which every setting of every kind is in use.
fn full() -> Sandbox {
    let sandbox = Sandbox::new();
    for line in [
        "role create ops --rank 25 --manages-keys",
        "role edit viewer --rank 0",
        "role edit editor --no-manages-keys --description -",
        "role delete admin",
        "tenant create acme",
        "tenant create globex",
        "tenant disable globex",
        "group create ci",
        "user create ann --role ops --tenant acme",
        "user create bob",
        "user disable bob",
        "create plain",
        "create other/prefix --prefix live",
        "create stopped --disabled --allow-insecure --expires 1d",
        "create all.things@v1 --group ci --owner ann --role viewer --tenant acme --scope b,a:*,#'{}= --level A/B,C \
         --allow-ip 10.0.0.0/8,::1,192.0.2.7 --label team=web --label a.b/c=x=y --label empty= --read-only \
         --expires 2030-01-31T12:34:56Z",
    ] {
        let output = sandbox.run(line);
        assert_eq!(output.code, 0, "{line}: {output}");
    }
    for (what, text) in [
        ("edit plain", "\"double\" 'single' '''three''' \"\"\"three\"\"\" \\ \\n # = [x] { é 🔑 }"),
        ("edit stopped", "'"),
        ("group edit ci", "\\"),
        ("user edit ann", "\""),
        ("tenant edit acme", " blanks "),
        ("role edit ops", "true"),
    ] {
        let mut args = words(what);
        args.extend(["--description".to_owned(), text.to_owned()]);
        assert_eq!(sandbox.run_args(&args, b"").code, 0, "{what}");
    }
    sandbox
}

pub fn apply(sandbox: &Sandbox, flags: &str, manifest: &str) -> Output {
    sandbox.run_with(&format!("apply - {flags}"), manifest)
}

/// The report of each mistake: `line:column: what`.
fn mistakes(output: &Output) -> Vec<String> {
    let lines = output.stderr.lines().filter_map(|line| line.strip_prefix("error: ").or(line.strip_prefix("  ")));
    lines.skip(1).map(|line| line.strip_prefix("stdin:").unwrap_or(line).to_owned()).collect()
}

#[test]
fn what_is_exported_and_applied_changes_nothing() {
    let sandbox = full();
    let before = sandbox.files();
    for export in ["export", "export --json"] {
        let manifest = sandbox.run(export).stdout;
        for flags in ["", "--prune", "--dry-run --fail-if-any", "--dry-run --prune --fail-if-any"] {
            let output = apply(&sandbox, flags, &manifest);
            assert_eq!(output.to_string(), "code: 0\nstderr: the store matches the manifest\n");
            let output = apply(&sandbox, &format!("--json {flags}"), &manifest);
            assert_eq!(output.json(), json!({"outcome": "unchanged", "changes": []}), "{output}");
        }
    }
    assert!(sandbox.files() == before);
}

#[test]
fn what_is_exported_makes_the_same_store_elsewhere() {
    let sandbox = full();
    let [toml, json] = ["export", "export --json"].map(|line| sandbox.run(line).stdout);
    assert_eq!(json.lines().count(), 4, "a key a line: {json}");
    for manifest in [&toml, &json] {
        let new = Sandbox::new();
        let output = apply(&new, &format!("--prune --yes --secrets-dir {}", new.path("s").display()), manifest);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!((new.run("export").stdout, new.run("export --json").stdout), (toml.clone(), json.clone()));
        // If there is no store yet, applying creates one.
        let empty = Sandbox::empty();
        fs::create_dir(empty.path("s")).unwrap();
        assert_eq!(apply(&empty, "--dry-run --fail-if-any", manifest).code, 8);
        assert!(!empty.store().exists());
        let output = apply(&empty, &format!("--prune -y --secrets-dir {}", empty.path("s").display()), manifest);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!(empty.run("export").stdout, toml);
    }
}

#[test]
fn export_says_what_is_not_the_default() {
    let sandbox = Sandbox::new();
    for line in ["role delete viewer", "role delete editor", "create deploy --scope rest --label a.b=c --expires 30d"] {
        sandbox.run(line);
    }
    expect![[r##"
        # A manifest of keyward: man 5 keyward-manifest. It holds no secrets.

        [[role]]
        name = "admin"
        rank = 30
        manages_keys = true

        [[key]]
        name = "deploy"
        scopes = ["rest"]
        labels = { "a.b" = "c" }
        expires_at = "2026-03-02T12:00:00Z"
        prefix = "kw"
    "##]]
    .assert_eq(&sandbox.run("export").stdout);
    let empty = Sandbox::empty();
    let data = words("export --json");
    let output = empty.run_in(&data, b"", &[("KEYWARD_STORE", "")], StreamKinds::default());
    assert_eq!(output.json(), json!({"role": [], "tenant": [], "group": [], "user": [], "key": []}));
    assert_eq!(empty.run("export").code, 6, "a store that was named is missing");
}

const CHANGES: &str = r#"
    [[key]]
    name = "new"
    group = "ci"
    scopes = ["rest", "ui"]
    deliver = { secret_file = "SECRETS/new" }
    [[key]]
    name = "old"
    read_only = true
    labels = { team = "web" }
    [[group]]
    name = "ci"
    description = "pipelines"
    [[role]]
    name = "viewer"
    rank = 11
"#;

fn with_changes() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    for line in ["create old --scope rest", "create gone", "group create leftover"] {
        assert_eq!(sandbox.run(line).code, 0);
    }
    let manifest = CHANGES.replace("SECRETS", &sandbox.path("").display().to_string());
    (sandbox, manifest)
}

#[test]
fn the_plan_says_what_happens_and_the_second_run_that_nothing_does() {
    let (sandbox, manifest) = with_changes();
    let before = sandbox.files();
    let planned = apply(&sandbox, "--dry-run --prune", &manifest);
    expect![[r#"
        code: 0
        stdout: ~ change role viewer rank: 10 → 11
        stdout: + create group ci
        stdout:     description: pipelines
        stdout: + create key new
        stdout:     group: ci
        stdout:     scopes: rest, ui
        stdout: ~ change key old scopes: rest → none
        stdout: ~ change key old labels: none → team=web
        stdout: ~ change key old read only: false → true
        stdout: - delete key gone
        stdout: - delete group leftover
        stdout: - delete role editor
        stdout: - delete role admin
        stderr: 2 to create, 2 to change, 4 to delete; nothing was changed, because of --dry-run
    "#]]
    .assert_eq(&planned.to_string());
    let document = apply(&sandbox, "--dry-run --json", &manifest).json();
    let changes: Vec<_> = document["changes"].as_array().unwrap().iter().map(|change| format!("{change}\n")).collect();
    assert_eq!(document["outcome"], "planned");
    expect![[r#"
        {"action":"change","kind":"role","name":"viewer","fields":[{"field":"rank","old":10,"new":11}]}
        {"action":"create","kind":"group","name":"ci","fields":[{"field":"description","old":null,"new":"pipelines"}]}
        {"action":"create","kind":"key","name":"new","fields":[{"field":"group","old":null,"new":"ci"},{"field":"scopes","old":[],"new":["rest","ui"]}]}
        {"action":"change","kind":"key","name":"old","fields":[{"field":"scopes","old":["rest"],"new":[]},{"field":"labels","old":{},"new":{"team":"web"}},{"field":"read_only","old":false,"new":true}]}
    "#]]
    .assert_eq(&changes.concat());
    for (flags, code) in [("--dry-run", 0), ("--dry-run --fail-if-any", 8), ("--fail-if-any", 2), ("-q --dry-run", 0)] {
        let output = apply(&sandbox, flags, &manifest);
        assert_eq!((output.code, output.stdout.is_empty()), (code, code == 2 || flags.starts_with("-q")), "{output}");
    }
    assert!(sandbox.files() == before, "--dry-run changes nothing");
    let made = apply(&sandbox, "--prune --yes", &manifest);
    assert_eq!(made.stdout, planned.stdout, "what is planned is what is made");
    assert_eq!(made.stderr, "created 2, changed 2, deleted 4\n");
    assert_eq!(sandbox.run("list -q").stdout, "new\nold\n");
    assert_eq!(sandbox.reason("--no-record", &fs::read_to_string(sandbox.path("new")).unwrap()), "allowed");
    let after = sandbox.files();
    for flags in ["--prune", "--dry-run --fail-if-any", ""] {
        let output = apply(&sandbox, flags, &manifest);
        assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{output}");
    }
    assert!(sandbox.files() == after);
    assert_eq!(sandbox.run("history --check").code, 0);
}

#[test]
fn pruning_is_asked_about_before_anything_is_changed() {
    let (sandbox, manifest) = with_changes();
    fs::write(sandbox.path("keys.toml"), manifest).unwrap();
    let before = sandbox.files();
    let apply = format!("apply {} --prune", sandbox.path("keys.toml").display());
    let output = sandbox.run(&format!("{apply} --json"));
    assert_eq!((output.code, output.error()["code"].as_str()), (5, Some("confirmation_required")), "{output}");
    assert!(sandbox.files() == before);
    for (keys, code) in [("n", 5), ("\x1b", 5), ("\x03", 130), ("y", 0)] {
        let mut screen = Screen::start(&sandbox.store(), &apply, 100);
        screen.wait_for("Delete 4 things permanently?");
        assert!(screen.text().contains("- delete key gone"), "the plan comes first: {}", screen.text());
        screen.press(keys);
        assert_eq!(screen.end(), code, "{keys:?}: {}", screen.text());
        screen.assert_restored();
        assert_eq!(sandbox.run("list -q").stdout, if code == 0 { "new\nold\n" } else { "gone\nold\n" }, "{keys:?}");
        assert_eq!(sandbox.path("new").exists(), code == 0, "{keys:?}");
    }
    // It only asks before it deletes something.
    let mut screen = Screen::start(&sandbox.store(), &apply, 100);
    assert_eq!(screen.end(), 0, "{}", screen.text());
}

#[test]
fn what_goes_goes_in_an_order_that_works() {
    let sandbox = full();
    // A truncated file, or the output of a failed command, is not a request to delete everything.
    let before = sandbox.files();
    for nothing in ["", "# keyward\n", "{}", "key = []\n"] {
        for flags in ["--prune --yes", "--prune --dry-run"] {
            let output = apply(&sandbox, &format!("{flags} --json"), nothing);
            assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{nothing}: {output}");
            assert!(output.error()["message"].as_str().unwrap().contains("would delete everything"), "{output}");
        }
        assert_eq!(apply(&sandbox, "", nothing).code, 0);
    }
    assert!(sandbox.files() == before);
    let output = apply(&sandbox, "--prune --yes", "[[tenant]]\nname = 'globex'\nenabled = false\n");
    assert_eq!(output.code, 0, "{output}");
    let gone: Vec<_> = output.stdout.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    let mut kinds = gone.clone();
    kinds.dedup();
    assert_eq!(kinds, ["key", "user", "group", "tenant", "role"], "{output}");
    assert_eq!(
        sandbox.run("export --json").json(),
        json!({"role": [], "tenant": [{"name": "globex", "description": null, "enabled": false, "limits": []}], "group": [], "user": [], "key": []})
    );
    assert_eq!(sandbox.run("history --check").code, 0);
}

#[test]
fn what_a_manifest_refers_to_is_in_it_or_in_the_store() {
    for (setup, flags, manifest, says) in [
        ("", "", "[[key]]\nname='k'\ngroup='ci'\n", "3:7: there is no group named ci; add a [[group]] with this name"),
        ("", "", "[[key]]\nname='k'\nrole='viewr'\n", "3:6: there is no role named viewr; did you mean viewer?"),
        ("", "", "[[user]]\nname='u'\nrole='x'\n", "3:6: there is no role named x; add a [[role]] with this name"),
        (
            "",
            "",
            "[[user]]\nname='u'\ntenant='x'\n",
            "3:8: there is no tenant named x; add a [[tenant]] with this name",
        ),
        // A user is not a group, nor a group a user.
        ("group create x", "", "[[key]]\nname='k'\nowner='x'\n", "3:7: there is no user named x"),
        ("group create ci", "", "[[key]]\nname='k'\ngroup='ci'\n", ""),
        ("group create ci", "--prune", "[[key]]\nname='k'\ngroup='ci'\n", "3:7: there is no group named ci"),
        ("group create ci", "--prune", "[[key]]\nname='k'\ngroup='ci'\n[[group]]\nname='ci'\n", ""),
        ("", "--prune", "[[user]]\nname='u'\nrole='viewer'\n", "3:6: there is no role named viewer"),
        ("", "", "[[key]]\nname='k'\nowner='u'\n[[user]]\nname='u'\nrole='r'\n[[role]]\nname='r'\n", ""),
    ] {
        let sandbox = Sandbox::new();
        if !setup.is_empty() {
            assert_eq!(sandbox.run(setup).code, 0);
        }
        let before = sandbox.files();
        let output = apply(&sandbox, &format!("--dry-run {flags}"), manifest);
        let found = mistakes(&output);
        assert_eq!((output.code == 0, found.len()), (says.is_empty(), usize::from(!says.is_empty())), "{output}");
        assert!(found.iter().all(|found| found.starts_with(says)), "{manifest}: {output}");
        if !says.is_empty() {
            assert_eq!(apply(&sandbox, &format!("--yes {flags}"), manifest).code, 1);
        }
        assert!(sandbox.files() == before);
    }
}

const WRONG_TOML: &str = r#"[[role]]
name = "r"
rank = "high"
manages_key = true
[[role]]
rank = -1
[[tenant]]
name = "a b"
enabled = 1
enable = true
[[group]]
name = "g"
description = ["x"]
descripton = "x"
[[group]]
name = "g"
[[user]]
name = "u"
tenent = "acme"
[[key]]
name = "k"
scope = ["rest"]
scopes = "rest"
levels = ["A", 1]
allowed_ips = ["10.0.0.1/8"]
labels = ["team"]
read_only = "yes"
expires_at = "soon"
prefix = "KW"
deliver = { secret_files = "x" }
[[key]]
name = "l"
labels = { "a b" = "x" }
expires_at = 2020-01-01
deliver = { env_file = ".env" }
[[key]]
name = ""
deliver = { secret_file = "x", github_env = "X" }
[[key]]
name = "m"
deliver = { secret_file = "" }
[[key]]
name = "n"
deliver = { github_output = "1x" }
[[key]]
name = "o"
deliver = "x"
[[keys]]
name = "p"
[group.x]
"#;

const WRONG_JSON: &str = r#"{
  "role": [{"name": "r", "rank": 1.5, "ranks": 2}, {"rank": null}],
  "tenant": [{"name": 1, "enable": true}],
  "group": [{"name": "g"}, {"name": "g", "enabled": true}, "x"],
  "user": {"name": "u"},
  "key": [{"name": "é", "scopes": ["é"], "group ": "x", "deliver": {"env_name": "1X", "env_file": "x"}}],
  "version": 1
}"#;

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("keys.toml");
    fs::write(&path, WRONG_TOML).unwrap();
    let before = sandbox.files();
    let output = apply(&sandbox, "--prune --yes", WRONG_TOML);
    expect![[r#"
        code: 1
        stderr: error: 29 mistakes in the manifest stdin
        stderr:   stdin:3:8: write a whole number from 0 to 1000000
        stderr:   stdin:4:1: unknown field `manages_key`; did you mean `manages_keys`?
        stderr:   stdin:5:1: this role has no name
        stderr:   stdin:6:8: write a whole number from 0 to 1000000
        stderr:   stdin:8:8: a name cannot hold a space: use letters, digits and . _ - @ /
        stderr:   stdin:9:11: write true or false
        stderr:   stdin:10:1: unknown field `enable`; did you mean `enabled`?
        stderr:   stdin:13:15: write this in quotation marks
        stderr:   stdin:14:1: unknown field `descripton`; did you mean `description`?
        stderr:   stdin:16:8: the group g stands here twice
        stderr:   stdin:19:1: unknown field `tenent`; did you mean `tenant`?
        stderr:   stdin:22:1: unknown field `scope`; did you mean `scopes`?
        stderr:   stdin:23:10: write a list, such as ["one", "two"]
        stderr:   stdin:24:16: write this in quotation marks
        stderr:   stdin:25:16: 10.0.0.1/8 has host bits set: the network is 10.0.0.0/8, the single address 10.0.0.1
        stderr:   stdin:26:10: labels are a table, such as { team = "web" }
        stderr:   stdin:27:13: write true or false
        stderr:   stdin:28:14: not a time: write a duration (90d, 12h, 1d 6h), a date (2030-01-31, which is its first moment in UTC), an RFC 3339 time (2030-01-31T12:00:00Z), or never
        stderr:   stdin:29:10: a prefix cannot hold 'K': use a-z, 0-9 and _
        stderr:   stdin:30:13: unknown field `secret_files`; did you mean `secret_file`?
        stderr:   stdin:33:12: a label's key cannot hold a space: use letters, digits and . _ - /
        stderr:   stdin:35:24: env_file and env_name belong together
        stderr:   stdin:37:8: a name cannot be empty
        stderr:   stdin:38:11: a secret is delivered to one place: keep one of them
        stderr:   stdin:41:27: a path cannot be empty
        stderr:   stdin:44:29: an output has letters, digits, _ and -, such as api-key, and starts with a letter or _
        stderr:   stdin:47:11: write a table, such as { secret_file = "deploy.key" }
        stderr:   stdin:48:3: unknown field `keys`; did you mean `key`?
        stderr:   stdin:50:8: unknown field `x`; known are name, description
        stderr: hint: nothing was changed; a manifest is TOML or JSON, and the format is in: keyward help manifest
    "#]]
    .assert_eq(&output.to_string());
    let from_file = sandbox.run(&format!("apply {}", path.display()));
    assert_eq!(from_file.stderr, output.stderr.replace("stdin", &path.display().to_string()));
    expect![[r#"
        code: 1
        stderr: error: 15 mistakes in the manifest stdin
        stderr:   stdin:2:34: write a whole number from 0 to 1000000
        stderr:   stdin:2:39: unknown field `ranks`; did you mean `rank`?
        stderr:   stdin:2:52: this role has no name
        stderr:   stdin:2:61: write a whole number from 0 to 1000000
        stderr:   stdin:3:23: write this in quotation marks
        stderr:   stdin:3:26: unknown field `enable`; did you mean `enabled`?
        stderr:   stdin:4:37: the group g stands here twice
        stderr:   stdin:4:42: unknown field `enabled`; known are name, description
        stderr:   stdin:4:60: write a table with the fields of a group
        stderr:   stdin:5:3: write a list: [[user]] in TOML, "user": [ … ] in JSON
        stderr:   stdin:6:20: a name cannot hold 'é': use letters, digits and . _ - @ /
        stderr:   stdin:6:36: a scope cannot hold 'é': use printable ASCII without spaces, commas, quotation marks and backslashes
        stderr:   stdin:6:42: unknown field `group `; did you mean `group`?
        stderr:   stdin:6:81: a variable has letters, digits and _, and starts with no digit: API_KEY
        stderr:   stdin:7:3: unknown field `version`; known are role, tenant, group, user, key
        stderr: hint: nothing was changed; a manifest is TOML or JSON, and the format is in: keyward help manifest
    "#]]
    .assert_eq(&apply(&sandbox, "", WRONG_JSON).to_string());
    let error = apply(&sandbox, "--json --dry-run", WRONG_JSON).error();
    assert_eq!((&error["code"], error["message"].as_str().unwrap().lines().count()), (&"invalid_value".into(), 16));
    assert!(sandbox.files() == before);
}

#[test]
fn every_mistake_inside_a_value_is_told_too() {
    let sandbox = Sandbox::new();
    let text = "[[key]]\nname = 'a'\nallowed_ips = ['x', 'y']\nlabels = { 'a b' = 'x', c = 1 }\n\
                deliver = { secret_file = '', github_env = '1' }\n";
    assert_eq!(mistakes(&apply(&sandbox, "", text)).len(), 6);
}

#[test]
fn a_text_that_is_no_manifest_is_refused_with_the_place() {
    let sandbox = Sandbox::new();
    let before = sandbox.files();
    for (text, says) in [
        ("[[key]]\nname = x\nprefix = y\n", "2:8: write this in quotation marks"),
        ("[[key]]\nname = 'a'\nname = 'b'\n", "3:1: this is set twice"),
        ("[[key]\n", "1:7: "),
        ("{\"key\": [], \"key\": []}", "1:13: key is set twice"),
        ("{\"key\": [],}", "1:11: "),
        ("{\"key\": [", "1:9: "),
        ("key = 1\n", "1:1: write a list: [[key]] in TOML"),
        ("[key]\nname = 'a'\n", "1:2: write a list: [[key]] in TOML"),
        ("[]", "1:"),
    ] {
        let output = apply(&sandbox, "--prune --yes", text);
        assert_eq!(output.code, 1, "{text}: {output}");
        assert!(mistakes(&output)[0].starts_with(says), "{text}: {output}");
    }
    let latin = sandbox.run_with("apply -", b"# \xe9");
    assert!(latin.code == 1 && latin.stderr.contains("not text in UTF-8"), "{latin}");
    assert_eq!(sandbox.run("apply nosuch.toml").code, 1);
    assert!(sandbox.files() == before);
    // An empty text is a manifest too.
    for text in ["", "# nothing\n", "{}", "{\"key\": []}"] {
        assert_eq!(apply(&sandbox, "", text).code, 0, "{text}");
    }
}

#[test]
fn what_only_this_store_forbids_is_told_with_its_place() {
    let sandbox = Sandbox::new();
    for line in [
        "create old",
        "create above --role admin",
        "user create ed --role editor",
        "user create adm --role admin",
        "settings set max-lifetime 60d",
    ] {
        assert_eq!(sandbox.run(line).code, 0, "{line}");
    }
    let before = sandbox.files();
    let text = "[[key]]\nname = 'old'\n[[key]]\nname = 'a'\nexpires_at = 'never'\n[[key]]\nname = 'b'\n\
                expires_at = '61d'\n[[key]]\nname = 'c'\n";
    let found = mistakes(&apply(&sandbox, "", text));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("5:14: ") && found[0].contains("never expire"), "{found:?}");
    assert!(found[1].starts_with("8:14: ") && found[1].contains("60d"), "{found:?}");
    for (actor, text, code) in [
        ("ed", "\n[[key]]\nname = 'new'\nexpires_at = '1d'\nrole = 'admin'\n", "role_ceiling"),
        ("ed", "\n[[key]]\nname = 'above'\n", "role_ceiling"),
        ("ed", "\n[[role]]\nname = 'new'\n", "not_permitted"),
        ("ed", "\n[[user]]\nname = 'ed'\n", "not_permitted"),
        ("adm", "\n[[role]]\nname = 'new'\nrank = 31\n", "role_ceiling"),
        ("nobody", "\n[[group]]\nname = 'new'\n", "not_permitted"),
    ] {
        for flags in ["--dry-run", ""] {
            let output = apply(&sandbox, &format!("--json --as {actor} {flags}"), text);
            let error = output.error();
            assert_eq!((output.code, error["code"].as_str()), (1, Some(code)), "{text}: {output}");
            assert!(
                error["hint"].as_str().unwrap().contains("it stands in stdin:2:1; nothing was changed"),
                "{output}"
            );
        }
    }
    assert_eq!(
        apply(&sandbox, "--json --as ed --prune --yes", "[[group]]\nname = 'ci'\n").error()["code"],
        "role_ceiling"
    );
    assert!(sandbox.files() == before);
    let text = "[[group]]\nname = 'new'\n[[key]]\nname = 'old'\nrole = 'editor'\n";
    assert_eq!(apply(&sandbox, "--as ed", text).code, 0);
}

#[test]
fn a_duration_means_the_same_at_every_time() {
    let sandbox = Sandbox::new();
    let text = "[[key]]\nname = 'a'\nexpires_at = '90d'\n";
    let run = |text: &str| apply(&sandbox, &format!("--secrets-dir {}", sandbox.path("s").display()), text);
    assert_eq!(run(text).code, 0);
    let end = || sandbox.run("show a --json").json()["expires_at"].clone();
    for (days, text, changes, then) in [
        (30, text, false, "2026-05-01T12:00:00Z"),
        // It has expired by now, and still matches the manifest.
        (61, text, false, "2026-05-01T12:00:00Z"),
        (0, "[[key]]\nname = 'a'\nexpires_at = 2026-05-01T12:00:00Z\n", false, "2026-05-01T12:00:00Z"),
        (0, "[[key]]\nname = 'a'\nexpires_at = '1y'\n", true, "2027-01-31T12:00:00Z"),
        (9, "[[key]]\nname = 'a'\nexpires_at = '1y'\n", false, "2027-01-31T12:00:00Z"),
        (0, "[[key]]\nname = 'a'\nexpires_at = 2028-01-01\n", true, "2028-01-01T00:00:00Z"),
    ] {
        sandbox.pass(days.days());
        let output = run(text);
        assert_eq!((output.code, output.stdout.contains("~ change key a expires:")), (0, changes), "{output}");
        assert_eq!(end(), then);
    }
    let found = mistakes(&run(text));
    assert!(found[0].starts_with("3:14: this time is in the past"), "{found:?}");
    assert_eq!(run("[[key]]\nname = 'a'\n").code, 0);
    assert_eq!(end(), "2028-01-01T00:00:00Z", "an end that nobody names stays");
    assert_eq!(run("[[key]]\nname = 'a'\nexpires_at = 'never'\n").code, 0);
    assert_eq!(end(), serde_json::Value::Null);
}

#[test]
fn a_plan_that_cannot_be_made_is_refused_by_a_dry_run_too() {
    let sandbox = Sandbox::new();
    // A CI gate that checks for drift has no secrets to deliver.
    let output = apply(&sandbox, "--dry-run", "[[key]]\nname = 'a'\n");
    assert!(output.code == 0 && output.stderr.contains("warning: nothing says where the secret of a goes"), "{output}");
    let place = sandbox.path("there").display().to_string();
    fs::write(&place, "x").unwrap();
    let text = format!("[[key]]\nname = 'a'\ndeliver = {{ secret_file = '{place}' }}\n");
    assert_eq!(apply(&sandbox, "--dry-run", &text).code, 7);
}

#[test]
fn a_store_with_an_expired_key_can_be_made_elsewhere() {
    let sandbox = Sandbox::new();
    sandbox.run("create a --expires 1d");
    sandbox.pass(2.days());
    let manifest = sandbox.run("export").stdout;
    let new = Sandbox::new();
    new.pass(2.days());
    assert_eq!(apply(&new, &format!("--secrets-dir {}", new.path("s").display()), &manifest).code, 0);
}

#[test]
fn a_refused_manifest_makes_no_store() {
    for text in ["[[key]]\nname = 'a'\ngroup = 'nosuch'\n", "[[key]]\nname = 'a'\n"] {
        let sandbox = Sandbox::empty();
        assert_ne!(apply(&sandbox, "", text).code, 0);
        assert!(!sandbox.store().exists(), "{text}");
    }
}
