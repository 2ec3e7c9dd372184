//! `apply`: the secrets of new keys, and what happens to them when something fails.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use keyward_cli::world::StreamKinds;
use serde_json::json;

use crate::harness::{Sandbox, finish, finish_with, words};
use crate::manifest::apply;

#[test]
fn a_secret_goes_where_the_manifest_says() {
    let sandbox = Sandbox::new();
    let at = |name: &str| sandbox.path(name).display().to_string();
    let key = |name: &str, deliver: &str| format!("[[key]]\nname = '{name}'\ndeliver = {{ {deliver} }}\n");
    fs::write(at(".env"), "A=1\nB_KEY='old' # ours\n").unwrap();
    fs::write(at("github"), "BEFORE=1\n").unwrap();
    let text = [
        key("file", &format!("secret_file = '{}'", at("file"))),
        key("line", &format!("env_file = '{}', env_name = 'B_KEY'", at(".env"))),
        key("line2", &format!("env_file = '{}', env_name = 'C_KEY'", at(".env"))),
        key("line3", &format!("env_file = '{}', env_name = 'A'", at("new.env"))),
        key("line4", &format!("env_file = '{}', env_name = 'B'", at("new.env"))),
        key("command", &format!("secret_to = 'cat > {}'", at("command"))),
        key("step", "github_env = 'STEP_KEY'"),
        key("output", "github_output = 'out-key'"),
        "[[key]]\nname = 'folder'\n".to_owned(),
    ]
    .concat();
    let variables = [("GITHUB_ENV", at("github")), ("GITHUB_OUTPUT", at("outputs"))];
    let variables = variables.each_ref().map(|(name, path)| (*name, path.as_str()));
    let args = words(&format!("apply - --json --secrets-dir {}", at("s")));
    let output = sandbox.run_in(&args, text.as_bytes(), &variables, StreamKinds::default());
    assert_eq!(output.code, 0, "{output}");
    let read = |name: &str| fs::read_to_string(at(name)).unwrap();
    let env = read(".env");
    let rest = env.strip_prefix("A=1\nB_KEY='").unwrap();
    let (line, rest) = rest.split_once("' # ours\nC_KEY=").unwrap();
    let new = read("new.env");
    let new: Vec<_> = new.lines().map(|line| &line[2..]).collect();
    // Each value has a random delimiter that cannot be guessed.
    let github = read("github");
    let step = github.strip_prefix("BEFORE=1\nSTEP_KEY<<keyward_").unwrap().lines().nth(1).unwrap();
    let outputs = read("outputs");
    let out = outputs.strip_prefix("out-key<<keyward_").unwrap().lines().nth(1).unwrap();
    let (file, command, folder) = (read("file"), read("command"), read("s/folder"));
    let delivered = [
        ("file", &*file),
        ("line", line),
        ("line2", rest),
        ("line3", new[0]),
        ("line4", new[1]),
        ("command", &command),
    ];
    for (name, secret) in delivered.into_iter().chain([("step", step), ("output", out), ("folder", &folder)]) {
        let answer = sandbox.run_with("verify --json --no-record", secret.trim_end());
        assert_eq!((answer.code, answer.json()["key"]["name"].as_str()), (0, Some(name)), "{answer}");
        assert_eq!(
            output.stderr.contains(secret.trim_end()),
            name == "step" || name == "output",
            "masked, or not told"
        );
        assert!(!output.stdout.contains(secret.trim_end()));
    }
    for (path, mode) in [("file", 0o600), ("s/folder", 0o600), ("s", 0o700), (".env", 0o600), ("new.env", 0o600)] {
        assert_eq!(fs::metadata(at(path)).unwrap().permissions().mode() & 0o777, mode, "{path}");
    }
    let before = sandbox.files();
    assert_eq!(sandbox.run_with("apply -", text).code, 0, "a key that is there needs no runner");
    assert!(sandbox.files() == before);
}

#[test]
fn no_name_of_a_key_leaves_the_folder_of_secrets() {
    let sandbox = Sandbox::new();
    let names = ["..", ".", "../up", "/etc/x", "a/b", ".hidden", "a..b", "A@b", "a/b/", "-x"];
    let text = names.map(|name| format!("[[key]]\nname = '{name}'\n")).concat();
    let output = apply(&sandbox, &format!("--secrets-dir {}", sandbox.path("s/").display()), &text);
    assert_eq!(output.code, 0, "{output}");
    let files: Vec<_> = sandbox.files().into_keys().filter(|path| *path != sandbox.store()).collect();
    let mut found: Vec<_> =
        files.iter().map(|path| path.strip_prefix(sandbox.path("s")).unwrap().display().to_string()).collect();
    found.sort();
    let mut expected =
        ["%2E.", "%2E", "%2E.%2Fup", "%2Fetc%2Fx", "a%2Fb", "%2Ehidden", "a..b", "A@b", "a%2Fb%2F", "-x"];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// A manifest with one key for each of these deliver tables.
fn keys(delivers: &[&str], sandbox: &Sandbox) -> String {
    let folder = sandbox.path("").display().to_string();
    let key = |(number, deliver): (usize, &&str)| {
        let deliver = if deliver.is_empty() { String::new() } else { format!("deliver = {{ {deliver} }}\n") };
        format!("[[key]]\nname = 'k{number}'\n{}", deliver.replace("DIR/", &folder))
    };
    delivers.iter().enumerate().map(key).collect()
}

#[test]
fn a_place_that_cannot_take_a_secret_leaves_no_key_and_everything_as_it_was() {
    for (delivers, says) in [
        (&[""][..], "nothing says where the secret of the new key k0 goes"),
        (&["secret_file = 'DIR/there'"], "it already exists"),
        (&["secret_file = 'DIR/another'"], "it already exists"),
        (&["secret_file = 'DIR/nosuch/x'"], "its folder is not there"),
        (&["secret_file = 'DIR/s'"], "it is a folder"),
        (&["secret_file = 'DIR/'"], "folder"),
        (&["secret_file = '/'"], "it names a folder"),
        (&["secret_file = 'DIR/link'"], "it is a link"),
        (&["env_file = 'DIR/s', env_name = 'A'"], "it is a folder"),
        (&["github_output = 'a'"], "GITHUB_OUTPUT is not set"),
        (&["secret_to = 'exit 3'"], "it ended with exit code 3"),
        (&["secret_to = 'true'"], "without reading all of its standard input"),
        // Everything delivered before the failure is undone.
        (&["secret_file = 'DIR/new'", "secret_file = 'DIR/stray'", "secret_to = 'exit 3'"], "exit code 3"),
        (&["secret_file = 'DIR/new'", "secret_file = 'DIR/stray'", "env_file = 'DIR/.env', env_name = 'A'", FAILS], ""),
        (&["env_file = 'DIR/new.env', env_name = 'A'", "env_file = 'DIR/new.env', env_name = 'B'", FAILS], ""),
        (&["secret_to = 'cat > /dev/null'", FAILS], "what 1 command took opens nothing"),
        // Two secrets cannot share a place.
        (
            &["secret_file = 'DIR/new'", "secret_file = 'DIR/new'"],
            "the secrets of k0 and k1 would go to the same place",
        ),
        (&["secret_file = 'DIR/new'", "secret_file = 'DIR/s/../new'"], "the same place"),
        (&["secret_file = 'DIR/stray'", "secret_file = 'DIR/s/../stray'"], "the same place"),
        (&["env_file = 'DIR/x', env_name = 'A'", "env_file = 'DIR/x', env_name = 'A'"], "the same place"),
        (&["github_env = 'A'", "github_env = 'A'"], "the same place"),
        (&["github_env = 'A'", "github_env = 'B'", "secret_file = 'DIR/new'", FAILS], ""),
    ] {
        refused(delivers, says);
    }
}

/// Passes the checks up front, then fails: the file is not text, so no variable can be added.
const FAILS: &str = "env_file = 'DIR/binary', env_name = 'A'";

fn refused(delivers: &[&str], says: &str) {
    let sandbox = Sandbox::new();
    let another = sandbox.mint("another");
    let stray = sandbox.mint("stray");
    sandbox.run("delete stray --yes");
    for (name, content) in [
        ("there", "x"),
        ("another", &another),
        ("stray", &stray),
        (".env", "A=1 # one\nB='2'\n"),
        ("github", "A=1"),
        ("s/x", ""),
    ] {
        fs::create_dir_all(sandbox.path("s")).unwrap();
        fs::write(sandbox.path(name), content).unwrap();
    }
    fs::write(sandbox.path("binary"), [0xff]).unwrap();
    std::os::unix::fs::symlink(sandbox.path("nowhere"), sandbox.path("link")).unwrap();
    let before = files_but_links(&sandbox);
    let text = keys(delivers, &sandbox) + "[[group]]\nname = 'ci'\n[[key]]\nname = 'another'\nread_only = true\n";
    let runner = sandbox.path("github").display().to_string();
    let output = sandbox.run_in(&words("apply -"), text.as_bytes(), &[("GITHUB_ENV", &runner)], StreamKinds::default());
    assert_eq!(output.code, 7, "{delivers:?}: {output}");
    assert!(output.stderr.contains(says), "{delivers:?}: {output}");
    assert!(!output.stderr.contains("could not be put back"), "{delivers:?}: {output}");
    assert!(files_but_links(&sandbox) == before, "{delivers:?}: {output}");
}

fn files_but_links(sandbox: &Sandbox) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    fs::remove_file(sandbox.path("link")).unwrap();
    let mut files = sandbox.files();
    // The store records deliveries in progress: its bytes differ, but its content does not.
    files.retain(|path, _| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with("keys.db")));
    let said = ["export", "list --json", "history --json"].map(|line| sandbox.run(line).stdout).concat();
    files.insert("store".into(), said.into_bytes());
    std::os::unix::fs::symlink(sandbox.path("nowhere"), sandbox.path("link")).unwrap();
    files
}

#[test]
fn a_dotenv_file_that_takes_two_secrets_is_put_back() {
    refused(&["env_file = 'DIR/.env', env_name = 'A'", "env_file = 'DIR/.env', env_name = 'C'", FAILS], "");
}

#[test]
fn two_secrets_in_one_variable_are_refused_however_the_file_is_spelled() {
    refused(&["env_file = 'DIR/.env', env_name = 'A'", "env_file = 'DIR/s/../.env', env_name = 'A'"], "");
}

#[test]
fn a_file_of_a_secret_is_no_dotenv_file_of_another() {
    refused(&["secret_file = 'DIR/new'", "env_file = 'DIR/new', env_name = 'A'"], "the same place");
}

#[test]
fn the_secret_of_another_store_is_no_leftover() {
    let [sandbox, other] = [Sandbox::new(), Sandbox::new()];
    let line = format!("--secrets-dir {}", sandbox.path("s").display());
    assert_eq!(apply(&sandbox, &line, "[[key]]\nname = 'a'\n").code, 0);
    let secret = fs::read_to_string(sandbox.path("s/a")).unwrap();
    other.mint("shifts-the-generator");
    assert_eq!(apply(&other, &line, &sandbox.run("export").stdout).code, 7);
    assert_eq!(fs::read_to_string(sandbox.path("s/a")).unwrap(), secret);
}

#[test]
fn a_leftover_secret_is_replaced() {
    let sandbox = Sandbox::new();
    let stray = sandbox.mint("stray");
    sandbox.run("delete stray --yes");
    for place in ["deliver", "folder"] {
        fs::create_dir_all(sandbox.path("s")).unwrap();
        fs::write(sandbox.path("s").join(place), &stray).unwrap();
    }
    let text = format!(
        "[[key]]\nname = 'deliver'\ndeliver = {{ secret_file = '{}' }}\n[[key]]\nname = 'folder'\n",
        sandbox.path("s/deliver").display()
    );
    let output = apply(&sandbox, &format!("--secrets-dir {}", sandbox.path("s").display()), &text);
    assert_eq!(output.code, 0, "{output}");
    for name in ["s/deliver", "s/folder"] {
        assert_eq!(sandbox.reason("", &fs::read_to_string(sandbox.path(name)).unwrap()), "allowed");
    }
    assert_eq!(fs::read_dir(sandbox.path("s")).unwrap().count(), 2, "no neighbours stay");
    // Neither a working secret nor any other content is overwritten.
    let working = fs::read(sandbox.path("s/folder")).unwrap();
    for (name, content) in [("working", &working[..]), ("text", b"x"), ("empty", b"")] {
        fs::write(sandbox.path("s").join(name), content).unwrap();
        let before = sandbox.files();
        let text = format!("[[key]]\nname = '{name}'\n");
        let output = apply(&sandbox, &format!("--secrets-dir {}", sandbox.path("s").display()), &text);
        assert_eq!((output.code, output.stderr.contains("it already exists")), (7, true), "{output}");
        assert!(sandbox.files() == before, "{name}");
    }
}

#[test]
fn what_somebody_else_changes_in_the_meantime_is_planned_again_where_it_matters() {
    let keyward = env!("CARGO_BIN_EXE_keyward");
    for (line, plans) in [
        ("edit old --read-only", 2),
        ("delete old --yes", 2),
        // Changes outside the manifest, or without effect, do not cause a new plan.
        ("group create theirs", 1),
        ("create theirs -q --secret-to \"cat > /dev/null\"", 1),
        ("list", 1),
        ("edit old --read-write", 1),
    ] {
        let sandbox = Sandbox::new();
        sandbox.mint("old");
        let text = format!(
            "[[key]]\nname = 'first'\ndeliver = {{ secret_file = '{3}' }}\n[[key]]\nname = 'new'\n\
             deliver = {{ secret_to = 'cat >> {0}; echo >> {0}; {keyward} --store {1} {line} || true' }}\n\
             [[key]]\nname = 'old'\ndeliver = {{ secret_file = '{2}' }}\n",
            sandbox.path("taken").display(),
            sandbox.store().display(),
            sandbox.path("old").display(),
            sandbox.path("first").display(),
        );
        let output = apply(&sandbox, "", &text);
        assert_eq!(output.code, 0, "{line}: {output}");
        let taken = fs::read_to_string(sandbox.path("taken")).unwrap();
        let reasons: Vec<_> = taken.lines().map(|secret| sandbox.reason("", secret)).collect();
        let expected = if plans == 1 { &["allowed"][..] } else { &["not_genuine", "allowed"] };
        assert_eq!(reasons, expected, "{line}: {output}");
        let is_told = output.stderr.contains("what 1 command took opens nothing");
        assert_eq!(is_told, plans > 1, "{line}: {output}");
        assert_eq!(output.stderr.contains("the plan is now"), plans > 1, "{line}: {output}");
        assert_eq!(sandbox.reason("", &fs::read_to_string(sandbox.path("first")).unwrap()), "allowed");
        assert_eq!(sandbox.run("show old --json").json()["read_only"], false);
        assert_eq!(sandbox.run("history --check").code, 0);
    }
}

/// Runs the real binary, and kills it once the folder has this many files. Returns whether it was killed.
fn kill_at(sandbox: &Sandbox, line: &str, folder: &Path, files: usize) -> bool {
    let mut child = sandbox.binary(line).stdout(std::process::Stdio::null()).spawn().unwrap();
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if fs::read_dir(folder).is_ok_and(|found| found.count() >= files) {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_thousand_keys_are_made_all_or_none_of_them() {
    let sandbox = Sandbox::empty();
    assert_eq!(sandbox.run("settings set hash-parameters m=1024,t=1,p=1").code, 0);
    let names: Vec<String> = (0..1000).map(|number| format!("team-{}/key-{number:03}", number % 7)).collect();
    let mut text = "[[group]]\nname = 'ci'\n".to_owned();
    for name in &names {
        text.push_str(&format!("[[key]]\nname = '{name}'\ngroup = 'ci'\nscopes = ['rest']\n"));
    }
    fs::write(sandbox.path("keys.toml"), text).unwrap();
    let folder = sandbox.path("secrets");
    let line = format!("apply {} --secrets-dir {}", sandbox.path("keys.toml").display(), folder.display());
    // First over nothing, then over what the previous run left: secrets, and temporary files next to replaced ones.
    let mut killed = 0;
    for files in [0, 500, 1050] {
        killed += usize::from(kill_at(&sandbox, &line, &folder, files));
        assert_eq!(sandbox.run("export --json").json()["group"], json!([]), "{files}");
        assert_eq!(sandbox.run("list -q").stdout, "", "{files}");
        assert_eq!(sandbox.run("history --check").code, 0, "{files}");
    }
    assert_eq!(killed, 3);
    let leftover = fs::read_dir(&folder).unwrap().count();
    assert!(leftover > 1000, "{leftover}");
    let output = finish(&mut sandbox.binary(&line));
    assert_eq!((output.code, output.stdout.lines().filter(|line| line.starts_with('+')).count()), (0, 1001));
    assert_eq!(output.stderr, "created 1001, changed 0, deleted 0\n");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1000, "no neighbours stay");
    let file = |name: &str| fs::read_to_string(folder.join(name.replace('/', "%2F"))).unwrap();
    for name in names.iter().step_by(50) {
        assert_eq!(sandbox.reason("--scope rest --no-record", &format!("{name}:{}", file(name).trim_end())), "allowed");
    }
    let mut ids: Vec<_> = names.iter().map(|name| file(name)[3..15].to_owned()).collect();
    let mut stored: Vec<_> = sandbox.run("list --json").json().as_array().unwrap().clone();
    assert_eq!(stored.len(), 1000);
    let mut stored: Vec<_> =
        stored.iter_mut().map(|key| key["secrets"][0]["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    stored.sort();
    assert_eq!(ids, stored, "each key's secret is in a file");
    let before = sandbox.files();
    let again = finish(&mut sandbox.binary(&line));
    assert_eq!((again.code, again.stdout.as_str()), (0, ""), "{again}");
    let manifest = finish(&mut sandbox.binary("export")).stdout;
    let again = finish_with(&mut sandbox.binary("apply - --dry-run --prune --fail-if-any"), manifest.as_bytes());
    assert_eq!(again.code, 0, "{again}");
    assert!(sandbox.files() == before);
    assert_eq!(sandbox.run("history --check").code, 0);
}
