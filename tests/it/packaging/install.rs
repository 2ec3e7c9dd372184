//! `install.sh`, in the archive and in a clone.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive::pack;
use super::{repository, stripped};
use crate::harness::{Output, Sandbox, finish};

/// An unpacked archive.
fn unpacked(sandbox: &Sandbox) -> PathBuf {
    let archive = pack(repository(), stripped(), &sandbox.path("out"));
    let output = finish(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(sandbox.path("out")));
    assert_eq!(output.code, 0, "{output}");
    sandbox.path("out").join(archive.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.gz").unwrap())
}

fn install(sandbox: &Sandbox, from: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("sh");
    // A home of its own, and a strict umask.
    command.arg("-c").arg("umask 077; exec \"$0\" \"$@\"").arg(from.join("install.sh")).args(args);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", sandbox.path("home"));
    finish(command.current_dir(sandbox.path("")))
}

#[test]
fn it_installs_updates_and_removes() {
    let sandbox = Sandbox::new();
    let from = unpacked(&sandbox);
    let prefix = sandbox.path("a prefix");
    let args = ["--prefix", "a prefix"];
    let output = install(&sandbox, &from, &args);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains(&format!("{}/bin is not in your PATH", prefix.display())), "{output}");
    let version = finish(Command::new(prefix.join("bin/keyward")).arg("--version"));
    assert_eq!(version.stdout, format!("keyward {}\n", env!("CARGO_PKG_VERSION")), "{version}");
    for (path, mode) in [
        ("bin/keyward", 0o755),
        ("share/man/man1/keyward-create.1", 0o644),
        ("share/man/man5/keyward-serve.toml.5", 0o644),
        ("share/man/man7/keyward-server-store.7", 0o644),
        ("share/bash-completion/completions/keyward", 0o644),
        ("share/zsh/site-functions/_keyward", 0o644),
        ("share/fish/vendor_completions.d/keyward.fish", 0o644),
    ] {
        let found = std::fs::metadata(prefix.join(path)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
    let pages = std::fs::read_dir(repository().join("man")).unwrap().count();
    let installed = std::fs::read_to_string(prefix.join("share/keyward/installed")).unwrap();
    assert_eq!(installed.lines().filter(|line| line.starts_with("share/man/")).count(), pages);

    // The next version has one page fewer, and is installed while the program runs.
    std::fs::remove_file(from.join("man/keyward-usage.1")).unwrap();
    let mut running = Command::new(prefix.join("bin/keyward"))
        .args(["verify", "--batch"])
        .env("KEYWARD_STORE", sandbox.store())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let output = install(&sandbox, &from, &args);
    assert_eq!(output.code, 0, "{output}");
    drop(running.stdin.take());
    assert!(running.wait().unwrap().success());
    assert!(!prefix.join("share/man/man1/keyward-usage.1").exists(), "a page of the version before");
    assert!(prefix.join("share/man/man1/keyward-verify.1").exists());

    std::fs::write(prefix.join("bin/another"), "").unwrap();
    let store = std::fs::read(sandbox.store()).unwrap();
    let output = install(&sandbox, &from, &["--uninstall", "--prefix", "a prefix"]);
    assert_eq!(output.code, 0, "{output}");
    let left: Vec<_> = sandbox.files().into_keys().filter(|path| path.starts_with(&prefix)).collect();
    assert_eq!(left, [prefix.join("bin/another")]);
    assert_eq!(std::fs::read(sandbox.store()).unwrap(), store);
    let output = install(&sandbox, &from, &["--uninstall", "--prefix", "a prefix"]);
    assert!(output.code == 1 && output.stderr.contains("keyward is not installed in "), "{output}");
}

#[test]
fn what_it_does_not_understand_it_refuses() {
    let sandbox = Sandbox::empty();
    let from = repository().join("packaging");
    for args in [&["--destdir", "x"][..], &["--prefix"], &["x"]] {
        let output = install(&sandbox, &from, args);
        assert!(output.code == 2 && output.stderr.contains("install.sh: "), "{args:?}: {output}");
    }
    assert!(install(&sandbox, &from, &["--help"]).stdout.starts_with("Usage: ./install.sh [--prefix DIR]"));
    assert!(sandbox.files().is_empty());
}

#[test]
fn in_a_clone_it_takes_what_cargo_built() {
    let sandbox = Sandbox::empty();
    let run = |target: &Path| {
        let mut command = Command::new(repository().join("packaging/install.sh"));
        command.arg(format!("--prefix={}", sandbox.path("prefix").display()));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", sandbox.path("home"))
            .env("CARGO_TARGET_DIR", target);
        finish(&mut command)
    };
    let output = run(&sandbox.path("target"));
    assert!(output.code == 1 && output.stderr.contains("cargo build --release"), "{output}");
    assert!(!sandbox.path("prefix").exists());
    std::fs::create_dir_all(sandbox.path("target/release")).unwrap();
    std::fs::copy(stripped(), sandbox.path("target/release/keyward")).unwrap();
    let output = run(&sandbox.path("target"));
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(finish(Command::new(sandbox.path("prefix/bin/keyward")).arg("--version")).code, 0);
}
