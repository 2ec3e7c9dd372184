//! Runs every example of every help text unchanged, in a real bash, with a store that has what the example mentions.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory as _;
use keyward_cli::cli::Cli;

use crate::harness::{Sandbox, finish};

/// Creates what the examples mention.
const THERE: &[&str] = &[
    "role create auditor --rank 5",
    "user create bob --role editor",
    "create backup",
    "create ci-1",
    "create ci-2",
    "create old-deploy",
];

/// Examples that are not run here, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("keyward create ", "the form; the tests of the terminal fill it in"),
    ("keyward edit deploy ", "the editor; the tests of the terminal open it"),
    ("keyward verify --batch", "lines of the co-process, which the tests of the gateways run"),
    ("jq -Rc", "a line of the co-process"),
    ("read -r ANSWER", "a line of the co-process"),
    ("proxy_set_header", "lines of nginx, which the tests of the gateways run"),
    ("postgres://", "a server, on which the tests of the server store run every verb"),
    ("keyward store ", "what names no store means the server of KEYWARD_STORE"),
];

/// The example lines of a help text, without their comments.
fn examples(help: &str) -> Vec<String> {
    let (_, rest) = help.split_once("\nExample").unwrap();
    let lines = rest.lines().skip(1).take_while(|line| line.is_empty() || line.starts_with("  "));
    let command = |line: &str| line.split("  # ").next().unwrap_or_default().trim_end().to_owned();
    let lines =
        lines.filter(|line| line.starts_with("  ") && !line.starts_with("    ")).map(|line| line[2..].to_owned());
    lines.filter(|line| !line.starts_with('#')).map(|line| command(&line)).collect()
}

/// The words of each command with examples.
fn verbs(command: &clap::Command, before: &str, found: &mut Vec<String>) {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        let words = format!("{before}{}", verb.get_name());
        verbs(verb, &format!("{words} "), found);
        found.push(words);
    }
}

/// Adds a stand-in for a command that only reads its input.
fn stand_in(folder: &Path, name: &str) {
    let path = folder.join(name);
    fs::write(&path, "#!/bin/sh\nexec cat > /dev/null\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A store to run the examples in, and the variables that they read.
fn scene() -> (Sandbox, Vec<(&'static str, String)>) {
    let sandbox = Sandbox::new();
    for line in ["tenant create acme", "user create ann --role editor", "group create pipelines"] {
        assert_eq!(sandbox.run(line).code, 0, "{line}");
    }
    let secret = sandbox.mint("deploy --scope rest --allow-insecure");
    for line in THERE {
        assert_eq!(sandbox.run(line).code, 0, "{line}");
    }
    for folder in ["bin", "run", "src", "var", "etc", ".zfunc", ".local/share/man/man1", ".config/fish/completions"] {
        fs::create_dir_all(sandbox.path(folder)).unwrap();
    }
    fs::create_dir_all(sandbox.path(".local/share/bash-completion/completions")).unwrap();
    stand_in(&sandbox.path("bin"), "gh");
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\nX-Forwarded-For: 203.0.113.9\r\n\
         X-Forwarded-Proto: https\r\n\r\n"
    );
    fs::write(sandbox.path("head"), head).unwrap();
    let script = "git init -q -b main && git commit -q --allow-empty -m first && git checkout -q -b side";
    let mut git = Command::new("sh");
    git.args(["-c", script]).current_dir(sandbox.path("")).env("HOME", sandbox.path(""));
    for (name, value) in [("NAME", "test"), ("EMAIL", "test@example.org")] {
        git.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    assert_eq!(finish(&mut git).code, 0);
    let manifest = sandbox.run("export").stdout + "[[key]]\nname = \"fresh\"\n";
    fs::write(sandbox.path("keys.toml"), manifest).unwrap();
    fs::write(sandbox.path("keys.jsonl"), "{\"name\": \"one\", \"secret\": \"made-up-0a1b2c3d4e5f\"}\n").unwrap();
    fs::write(sandbox.path("clients.csv"), "name,secret\ntwo,made-up-5f4e3d2c1b0a\n").unwrap();
    assert_eq!(sandbox.run(&format!("backup {}", sandbox.path("copy.db").display())).code, 0);
    fs::copy(sandbox.path("copy.db"), sandbox.path("var/keyward-2026-11-22.db")).unwrap();
    fs::write(sandbox.path(".env"), "").unwrap();
    fs::write(sandbox.path("etc/serve.toml"), "[policy.default]\n").unwrap();
    let variables = vec![
        ("HTTP_AUTHORIZATION", format!("Bearer {secret}")),
        ("API_KEY", secret),
        ("REMOTE_ADDR", "203.0.113.9".to_owned()),
    ];
    (sandbox, variables)
}

/// Removes what an example will create.
fn remove_what_is_made(sandbox: &Sandbox, line: &str) {
    let words: Vec<&str> = line.split([' ', ')']).collect();
    let Some(place) = words.iter().position(|word| *word == "create") else { return };
    let kind = ["group", "user", "role", "tenant"].into_iter().find(|kind| words[place - 1] == *kind);
    let Some(name) = words.get(place + 1) else { return };
    match kind {
        Some(kind) => {
            sandbox.run(&format!("{kind} delete {name} --with-keys --yes"));
        }
        None => drop(sandbox.run(&format!("delete {name} --yes"))),
    }
}

/// The line with the machine's paths moved into the sandbox.
fn moved(line: &str, folder: &Path) -> String {
    let places = [
        ("/run/secrets/", "run/"),
        ("/run/keyward/", "run/"),
        ("/var/backups/", "var/"),
        ("/var/lib/keyward/", "var/"),
        ("/srv/", "var/"),
        ("/var/log", "var"),
        ("/etc/keyward/", "etc/"),
        ("/etc/nginx/sites-available/", "etc/"),
    ];
    places.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, &format!("{}/{to}", folder.display())))
}

#[test]
#[ignore = "needs bash, git and jq"]
fn every_example_of_every_help_does_what_it_says() {
    let mut words = vec![];
    verbs(&Cli::command(), "", &mut words);
    let (mut run, mut wrong, mut left_out) = (0, vec![], BTreeMap::new());
    let (sandbox, variables) = scene();
    let folder = sandbox.path("");
    let store = fs::read(sandbox.store()).unwrap();
    for verb in words {
        let help = sandbox.run(&format!("help {verb}")).stdout;
        if !help.contains("\nExample") {
            continue;
        }
        for line in examples(&help) {
            assert!(line.len() <= 78, "{verb}: a terminal of 80 columns would break {line:?}");
            if let Some((what, why)) = ELSEWHERE.iter().find(|(what, _)| {
                let whole = format!("{line} ");
                if what.ends_with(' ') && what.starts_with("keyward") && !what.starts_with("keyward store") {
                    whole == *what
                } else {
                    whole.contains(what)
                }
            }) {
                *left_out.entry((*what, *why)).or_insert(0) += 1;
                continue;
            }
            for log in ["keys.db-wal", "keys.db-shm"] {
                let _ = fs::remove_file(sandbox.path(log));
            }
            for made in ["secrets", "pages"] {
                let _ = fs::remove_dir_all(sandbox.path(made));
            }
            fs::write(sandbox.store(), &store).unwrap();
            remove_what_is_made(&sandbox, &line);
            let binary = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap();
            let (serves, line) =
                (line.starts_with("keyward serve") && !line.contains("example"), moved(&line, &folder));
            let line = if serves && !line.contains("--check") {
                line.replace("keyward serve", "timeout --preserve-status 2 keyward serve --listen 127.0.0.1:0")
                    .replace(",group=nginx", "")
            } else {
                line
            };
            let path = format!("{}:{}:/usr/bin:/bin", folder.join("bin").display(), binary.display());
            let bash = |line: &str| {
                let mut bash = Command::new("bash");
                bash.args(["-o", "pipefail", "-c", line]).current_dir(&folder).env_clear().envs(variables.clone());
                finish(bash.env("PATH", &path).env("KEYWARD_STORE", sandbox.store()).env("HOME", &folder))
            };
            let mut output = bash(&line);
            // This one prompts a person.
            if output.code == 5 && output.stderr.contains("add --yes") {
                output = bash(&format!("{line} --yes"));
            }
            let gates = line.contains("--fail-if-any") && output.code == 8;
            if output.code != 0 && !gates {
                wrong.push(format!("{verb}: {line}: {output}"));
            }
            run += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(run > 90, "{run}");
    for known in ELSEWHERE {
        assert!(left_out.contains_key(known), "no example is left out any more for {known:?}");
    }
}
