//! Several keys rotated together: all or none, and no delivered secret is withdrawn.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::delivery::Failing;
use crate::harness::{Output, Sandbox, finish, full_pipe};
use crate::pty::Screen;
use crate::sinks::NO_COMMIT;

/// Keys with these names, and their secrets.
fn keys(sandbox: &Sandbox, names: &[&str]) -> BTreeMap<String, String> {
    names.iter().map(|name| ((*name).to_owned(), sandbox.mint(name))).collect()
}

/// The printed names and secrets, in order.
fn lines(output: &Output) -> Vec<(String, String)> {
    let line = |line: &str| line.split_once('\t').map(|(name, secret)| (name.to_owned(), secret.to_owned()));
    output.stdout.lines().map(|text| line(text).unwrap_or_else(|| panic!("{output}"))).collect()
}

/// What would show that a command changed something.
fn state(sandbox: &Sandbox) -> (String, String) {
    (sandbox.run("list --json").stdout, sandbox.run("history --json").stdout)
}

#[test]
fn each_has_a_line_with_its_name_or_an_element_of_the_array() {
    let sandbox = Sandbox::new();
    let old = keys(&sandbox, &["a", "b", "c"]);
    let output = sandbox.run("rotate c a --grace 1h");
    let new = lines(&output);
    assert_eq!(new.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["c", "a"], "{output}");
    for (name, secret) in &new {
        assert_eq!(sandbox.reason("", &format!("{name}:{secret}")), "allowed");
        assert_eq!(sandbox.reason("", &old[name]), "allowed", "in grace");
        assert!(output.stderr.contains(&format!("rotated the key {name}; the old secret works until")), "{output}");
    }
    // Each has the same document as a single rotation.
    let documents = sandbox.run("rotate a b --json").json();
    let one = sandbox.run("rotate c --json").json();
    for (document, name) in documents.as_array().unwrap().iter().zip(["a", "b"]) {
        let fields = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(fields(document), fields(&one));
        assert_eq!((&document["key"]["name"], &document["outcome"]), (&name.into(), &"rotated".into()));
        assert_eq!(sandbox.reason("", document["secret"].as_str().unwrap()), "allowed");
    }
    assert_eq!(sandbox.reason("", &old["b"]), "secret_retired");
    // Named twice, a key is rotated once, and the output is still a list.
    let twice = sandbox.run("rotate a a");
    assert_eq!(lines(&twice).len(), 1, "{twice}");
    assert_eq!(sandbox.run("rotate a a --json").json().as_array().unwrap().len(), 1);
    assert_eq!(sandbox.run("history --check").code, 0);
}

#[test]
fn what_is_cut_is_told_of_the_key_that_it_is_cut_of() {
    let sandbox = Sandbox::new();
    sandbox.mint("short --expires 30m");
    sandbox.mint("long --expires 90d");
    let documents = sandbox.run("rotate short long --grace 1h --json").json();
    assert_eq!(documents[0]["warnings"], serde_json::json!(["grace_cut"]));
    assert_eq!(documents[1]["warnings"], serde_json::json!([]));
}

#[test]
fn all_of_them_or_none() {
    let sandbox = Sandbox::new();
    for line in ["user create mid --role editor", "role create chief --rank 50"] {
        assert_eq!(sandbox.run(line).code, 0);
    }
    let old = keys(&sandbox, &["a", "b"]);
    sandbox.mint("high --role chief");
    let before = state(&sandbox);
    for (line, code, error) in [
        ("rotate a nosuch", 1, "not_found"),
        ("rotate a high --as mid", 1, "role_ceiling"),
        ("rotate a b --copy", 2, "usage"),
        ("rotate a b --secret-file one", 2, "usage"),
        ("rotate a b --env-file .env --env-name KEY", 2, "usage"),
        ("rotate a b --secret-to cat", 2, "usage"),
        ("rotate a b --github-env KEY", 2, "usage"),
        ("rotate a b --github-output KEY", 2, "usage"),
        ("rotate a b --secrets-dir one --copy", 2, "usage"),
        ("rotate a b --grace 9000y", 1, "invalid_value"),
    ] {
        let output = sandbox.run(&format!("{line} --json"));
        assert_eq!(output.code, code, "{line}: {output}");
        assert_eq!((output.stdout.as_str(), &output.error()["code"]), ("", &error.into()), "{line}: {output}");
    }
    assert_eq!(state(&sandbox), before);
    assert!(old.values().all(|secret| sandbox.reason("", secret) == "allowed"));
}

#[test]
fn each_goes_into_a_file_of_its_own() {
    let sandbox = Sandbox::new();
    keys(&sandbox, &["a", "ci/b"]);
    let folder = sandbox.path("secrets");
    let rotate = format!("rotate a ci/b --secrets-dir {}", folder.display());
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    for round in 0..2 {
        // The second time, the files already hold secrets of these keys.
        let output = sandbox.run(&rotate);
        assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{round}: {output}");
        for (name, file) in [("a", "a"), ("ci/b", "ci%2Fb")] {
            assert_eq!(sandbox.reason("", &format!("{name}:{}", read(file).trim_end())), "allowed", "{round}");
            assert_eq!(fs::metadata(folder.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let documents = sandbox.run(&format!("{rotate} --json")).json();
    assert!(documents.as_array().unwrap().iter().all(|document| document["secret"].is_null()), "{documents}");
    // A single key works too, and prints one document.
    let one = sandbox.run(&format!("rotate a --json --secrets-dir {}", folder.display())).json();
    assert_eq!((&one["key"]["name"], &one["secret"]), (&"a".into(), &serde_json::Value::Null));

    // A file without a secret of its key stays, and nothing else changes.
    let (of_a, before) = (read("a"), state(&sandbox));
    for other in ["mine\n".to_owned(), of_a.clone()] {
        fs::write(folder.join("ci%2Fb"), &other).unwrap();
        let output = sandbox.run(&rotate);
        assert_eq!(output.code, 7, "{output}");
        assert!(output.stderr.contains("ci%2Fb"), "{output}");
        assert_eq!((read("a"), read("ci%2Fb")), (of_a.clone(), other));
        assert_eq!(state(&sandbox), before);
    }
}

#[test]
fn where_the_commit_fails_after_the_delivery_all_secrets_work() {
    let sandbox = Sandbox::new();
    let old = keys(&sandbox, &["a", "b"]);
    rusqlite::Connection::open(sandbox.store()).unwrap().execute_batch(NO_COMMIT).unwrap();
    let output = sandbox.run("rotate a b");
    assert_ne!(output.code, 0, "{output}");
    assert!(output.stderr.contains("both secrets of a, b work now"), "{output}");
    assert!(output.stderr.contains("keyward rotate a b") && !output.stderr.contains("open nothing"), "{output}");
    let new = lines(&output);
    assert_eq!(new.len(), 2);
    for secret in old.values().chain(new.iter().map(|(_, secret)| secret)) {
        assert_eq!(sandbox.reason("", secret), "allowed");
    }
    // Files are removed again, and their secrets withdrawn.
    let folder = sandbox.path("secrets");
    let output = sandbox.run(&format!("rotate a b --secrets-dir {}", folder.display()));
    assert_ne!(output.code, 0, "{output}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert!(old.values().all(|secret| sandbox.reason("", secret) == "allowed"));
}

#[test]
fn a_key_that_is_gone_by_then_stops_the_rotation_and_the_others_keep_both_secrets() {
    let sandbox = Sandbox::new();
    let old = keys(&sandbox, &["a", "b"]);
    // A full pipe holds up the secrets until one of the keys has been deleted.
    let (mut reader, writer) = full_pipe();
    let mut rotation = sandbox.binary("rotate a b");
    let child = rotation.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(rotation);
    while sandbox.run("show a --json").json()["secrets"].as_array().unwrap().len() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(sandbox.run("delete b --yes").code, 0);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("both secrets of a work now") && stderr.contains("throw"), "{stderr}");
    let text = text.trim_start_matches('x');
    for (name, allowed) in [("a", "allowed"), ("b", "not_genuine")] {
        let secret = text.lines().find_map(|line| line.strip_prefix(&format!("{name}\t"))).unwrap();
        assert_eq!(sandbox.reason("", secret), allowed, "{name}");
    }
    assert_eq!(sandbox.reason("", &old["a"]), "allowed");
    assert_eq!(finish(&mut sandbox.binary("history --check")).code, 0);
}

#[test]
fn a_person_sees_all_of_them_and_says_that_they_are_stored() {
    let sandbox = Sandbox::new();
    let old = keys(&sandbox, &["a", "b"]);
    for (keys, code) in [("\x1b[B\r", 5), ("\x1b", 5), ("\r", 0)] {
        let mut screen = Screen::start(&sandbox.store(), "rotate a b", 80);
        screen.wait_for("I have stored them");
        let text = screen.text();
        let shown: Vec<String> =
            text.lines().map(str::trim).filter(|line| line.starts_with("kw_")).map(str::to_owned).collect();
        assert_eq!(shown.len(), 2, "{text}");
        assert!(!text.contains("clipboard"), "{text}");
        screen.press(keys);
        assert_eq!(screen.end(), code, "{keys:?}: {}", screen.text());
        screen.assert_restored();
        let (new, former) = if code == 0 { ("allowed", "secret_retired") } else { ("not_genuine", "allowed") };
        for secret in &shown {
            assert!(!screen.scrollback().contains(&secret[16..40]));
            assert_eq!(sandbox.reason("", secret), new);
        }
        assert!(old.values().all(|secret| sandbox.reason("", secret) == former), "{keys:?}");
    }
    // If they do not all fit, none is shown.
    let mut screen = Screen::start_small(&sandbox.store(), "rotate a b", 80, 7);
    assert_eq!(screen.end(), 7, "{}", screen.text());
    assert!(screen.text().contains("--secrets-dir"), "{}", screen.text());
}

#[test]
fn where_only_some_are_out_none_is_withdrawn() {
    for form in ["", "--json"] {
        let sandbox = Sandbox::new();
        let old = keys(&sandbox, &["a", "b"]);
        // All of the first, and part of the second.
        let first = if form.is_empty() { 75 } else { 900 };
        let output = sandbox.run_into(
            &format!("rotate a b {form}"),
            Box::new(Failing { left: first, with: std::io::ErrorKind::BrokenPipe }),
        );
        assert_eq!(output.code, 7, "{output}");
        assert!(output.stderr.contains("took only some of the secrets"), "{output}");
        assert!(output.stderr.contains("both secrets of a, b work now"), "{output}");
        assert!(!output.stderr.contains("nothing was changed"), "{output}");
        for (name, secret) in &old {
            assert_eq!(sandbox.reason("", secret), "allowed");
            let secrets = sandbox.run(&format!("show {name} --json")).json()["secrets"].clone();
            assert_eq!((&secrets[0]["state"], &secrets[1]["state"]), (&"staged".into(), &"current".into()));
            // A secret found later can be traced to its key.
            let id = secrets[0]["id"].as_str().unwrap().to_owned();
            assert!(sandbox.run(&format!("history {id}")).stdout.contains("key.stage"), "{name}");
        }
        assert_eq!(sandbox.run("history --check").code, 0);
        assert_eq!(sandbox.run("rotate a b").code, 0, "and another one ends it");
    }
}

#[test]
fn a_signal_waits_until_all_files_are_there() {
    let sandbox = Sandbox::new();
    let names: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    for name in &names {
        sandbox.mint(name);
    }
    let folder = sandbox.path("secrets");
    for delay in [5, 20, 40, 60, 100] {
        let mut rotation = sandbox.binary(&format!("rotate {} --secrets-dir", names.join(" ")));
        let mut child = rotation.arg(&folder).stderr(std::process::Stdio::piped()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT);
        child.wait().unwrap();
        // Only the files are left, and their secrets work.
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(names.contains(&file), "{delay}: {file}");
            assert_eq!(sandbox.reason("", fs::read_to_string(&path).unwrap().trim_end()), "allowed", "{delay}");
        }
    }
}
