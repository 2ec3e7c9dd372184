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
