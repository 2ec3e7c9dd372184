//! Where the store is: a mistyped path is noticed, and "not found" messages name the path that was searched.

use crate::harness::{Sandbox, finish, words};

#[test]
fn a_new_store_is_said_with_its_place() {
    let sandbox = Sandbox::empty();
    let said = format!("made a new store: {}", sandbox.store().canonicalize().unwrap_or(sandbox.store()).display());
    for (line, says) in
        [("create a", true), ("create b", false), ("group create g", false), ("settings set prefix x", false)]
    {
        let output = sandbox.run(line);
        assert_eq!((output.code, output.stderr.contains(&said)), (0, says), "{line}: {output}");
    }
    for line in ["group create g", "settings set prefix x", "create a --ensure", "apply -"] {
        let sandbox = Sandbox::empty();
        let output = sandbox.run_with(line, "[[group]]\nname = 'g'\n");
        assert_eq!((output.code, output.stderr.matches("made a new store: /").count()), (0, 1), "{line}: {output}");
        let quiet = Sandbox::empty();
        assert!(!quiet.run_with(&format!("{line} --quiet"), "[[group]]\nname = 'g'\n").stderr.contains("new store"));
    }
    // A command that creates nothing creates no store.
    for line in ["create 'a b'", "edit a --name b", "delete a --yes", "create a --owner nobody --dry"] {
        let sandbox = Sandbox::empty();
        let output = sandbox.run(line);
        assert!(output.code != 0 && !sandbox.store().exists(), "{line}: {output}");
    }
}

#[test]
fn a_path_that_no_shell_has_replaced_is_refused() {
    let sandbox = Sandbox::empty();
    for path in ["~", "~/keys.db", "~root/keys.db", "~/a/b/keys.db", "$HOME/keys.db", "${HOME}/keys.db", "$KEYS"] {
        for line in ["create a --json", "list --json", "verify --json", "doctor --json"] {
            let mut by_flag = words(line);
            by_flag.extend(["--store".to_owned(), path.to_owned()]);
            let flag = sandbox.run_args(&by_flag, b"");
            let variable = sandbox.run_env(line, &[("KEYWARD_STORE", path)]);
            for (output, named) in [(flag, "--store"), (variable, "KEYWARD_STORE")] {
                let error = output.error();
                assert_eq!((output.code, error["code"].as_str()), (2, Some("usage")), "{path}: {line}: {output}");
                let message = error["message"].as_str().unwrap();
                assert!(message.contains(named) && message.contains(path), "{path}: {message}");
                assert!(error["hint"].as_str().unwrap().contains(&format!("./{path}")), "{error}");
            }
        }
    }
    // As in the shell, this means a folder that is really called `~`.
    std::fs::create_dir(sandbox.path("~")).unwrap();
    let output = finish(sandbox.binary("create a --store ./~/keys.db").current_dir(sandbox.path("")));
    assert_eq!(output.code, 0, "{output}");
    assert!(sandbox.path("~/keys.db").exists());
}

#[test]
fn what_is_not_there_is_said_with_the_place_that_was_looked_at() {
    let sandbox = Sandbox::new();
    let (here, nowhere) = (sandbox.store().display().to_string(), sandbox.path("nowhere.db").display().to_string());
    for line in [
        "show x",
        "edit x --name y",
        "delete x --yes",
        "history x",
        "rotate x",
        "disable x",
        "user show x",
        "group edit x --description y",
    ] {
        let output = sandbox.run(&format!("{line} --json"));
        assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("not_found")), "{line}: {output}");
        assert!(output.stderr.contains(&here), "{line}: {output}");
    }
    for line in ["list", "show x", "history", "history x", "verify", "doctor", "export", "user list", "settings list"] {
        let output = sandbox.run(&format!("--store {nowhere} {line} --json"));
        assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_missing")), "{line}: {output}");
        assert!(output.stderr.contains(&nowhere), "{line}: {output}");
    }
    // If no store was given, the default path is named.
    let default = sandbox.path("data/keys.db").display().to_string();
    for line in ["list", "history", "export", "user list", "show x", "history x"] {
        let output = sandbox.run_env(line, &[("KEYWARD_STORE", "")]);
        assert!(output.stderr.contains(&default), "{line}: {output}");
        assert_eq!(output.code, u8::from(line.ends_with('x')), "{line}: {output}");
    }
    // An empty result from an existing store names its path too.
    for line in ["list", "list --name x*", "history --action key.delete", "group list"] {
        assert!(sandbox.run(line).stderr.contains(&here), "{line}: {}", sandbox.run(line));
    }
}

#[test]
fn a_name_that_belongs_to_another_store_is_none() {
    let sandbox = Sandbox::empty();
    for end in ["-wal", "-shm", "-journal"] {
        let path = format!("{}{end}", sandbox.store().display());
        for line in ["create a --json", "list --json"] {
            let output = sandbox.run(&format!("--store {path} {line}"));
            assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_foreign")), "{path}: {output}");
            assert!(!std::path::Path::new(&path).exists());
        }
    }
}

#[test]
fn what_looks_like_a_url_makes_no_file_and_shows_no_password() {
    const PASSWORD: &str = "made-up-password";
    let sandbox = Sandbox::empty();
    for start in
        ["POSTGRES://", "Postgresql://", " postgres://", "\"postgres://", "pg://", "mysql://", "postgresql+x://"]
    {
        let url = format!("{start}u:{PASSWORD}@h/k");
        for line in ["create a --json", "list --json", "verify --json", "doctor --json", "serve --check --json"] {
            let mut by_flag = words(line);
            by_flag.extend(["--store".to_owned(), url.clone()]);
            let flag = sandbox.run_args(&by_flag, b"");
            let variable = sandbox.run_env(line, &[("KEYWARD_STORE", &url)]);
            for output in [flag, variable] {
                assert_eq!(
                    (output.code, output.error()["code"].as_str()),
                    (2, Some("usage")),
                    "{url}: {line}: {output}"
                );
                assert!(!format!("{}{}", output.stdout, output.stderr).contains(PASSWORD), "{output}");
            }
        }
    }
    assert!(std::fs::read_dir(sandbox.path("")).unwrap().all(|entry| !entry.unwrap().path().is_dir()));
    // A path is still a path.
    let output = finish(sandbox.binary("create a --store ./pg:x.db").current_dir(sandbox.path("")));
    assert_eq!(output.code, 0, "{output}");
}

#[test]
fn commands_that_are_advised_are_for_the_store_that_was_looked_at() {
    let sandbox = Sandbox::new();
    let other = sandbox.path("other's.db").display().to_string();
    let flag = ["--store".to_owned(), other.clone()];
    let run = |line: &str, input: &str| sandbox.run_args(&[flag.to_vec(), words(line)].concat(), input.as_bytes());
    let secret = run("create -- --yes", "").stdout;
    let named = format!("keyward --store '{}' ", other.replace('\'', r"'\''"));
    let scanned = run("scan -", &secret);
    assert!(scanned.stderr.contains(&format!("{named}disable -- --yes")), "{scanned}");
    // It is run as it stands.
    let line = scanned.stderr.split("stop what works with: keyward ").nth(1).unwrap().lines().next().unwrap();
    let args = shlex(line);
    let stopped = sandbox.run_args(&args, b"");
    assert_eq!(stopped.code, 0, "{stopped}");
    let refused = run("verify", &secret);
    assert!(refused.stderr.contains(&named) || refused.stdout.contains(&named), "{refused}");
    assert!(run("doctor", "").stdout.contains(&named));
    assert!(run("edit x --owner nobody", "").stderr.contains("other"), "it names the store");
    // The store of a variable is that of the next command, too.
    let output = sandbox.run_with("scan -", sandbox.mint("plain"));
    assert!(output.stderr.contains("with: keyward disable plain"), "{output}");
}

/// The words of a shell command line, as `sh` reads them.
fn shlex(line: &str) -> Vec<String> {
    let output = std::process::Command::new("sh").arg("-c").arg(format!("printf '%s\\n' {line}")).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_backup_is_no_stream() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    let output = finish(sandbox.binary("backup - --json").current_dir(sandbox.path("")));
    assert_eq!((output.code, output.error()["code"].as_str()), (2, Some("usage")), "{output}");
    assert!(!sandbox.path("-").exists());
    assert_eq!(finish(sandbox.binary("backup ./-").current_dir(sandbox.path(""))).code, 0);
}

#[test]
fn a_place_for_a_secret_that_no_shell_has_replaced_is_refused() {
    let sandbox = Sandbox::new();
    for path in ["~/keys/deploy", "~root/deploy", "$HOME/deploy", "$FILE"] {
        for flag in [format!("--secret-file={path}"), format!("--env-file={path} --env-name KEY")] {
            let output = finish(sandbox.binary(&format!("create deploy --json {flag}")).current_dir(sandbox.path("")));
            let error = output.error();
            assert_eq!((output.code, error["code"].as_str()), (7, Some("not_delivered")), "{flag}: {output}");
            assert!(error["message"].as_str().unwrap().contains("no shell replaced"), "{output}");
            assert!(!error["hint"].as_str().unwrap().contains("mkdir"), "{output}");
        }
    }
    assert_eq!(sandbox.run("list -q").stdout, "");
    std::fs::create_dir(sandbox.path("~")).unwrap();
    let output = finish(sandbox.binary("create deploy --secret-file ./~/deploy").current_dir(sandbox.path("")));
    assert!(output.code == 0 && sandbox.path("~/deploy").is_file(), "{output}");
}
