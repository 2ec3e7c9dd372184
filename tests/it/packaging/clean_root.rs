//! The Debian package in an otherwise empty root: installed, used, upgraded, removed and purged.
//!
//! `tests/run` makes the root once, with debootstrap. No systemd runs in it (see `booted` for that); where a test
//! pretends that systemd runs, a stub systemctl records its calls.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{configuration_in_force, repository, stripped, target};
use crate::harness::{Output, finish};

/// A copy of the root, removed when the test ends.
pub struct Root {
    folder: tempfile::TempDir,
}

/// A command as root: the tests may run as a user who can become root.
pub fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("-n").arg(program);
    command
}

pub fn done(command: &mut Command) -> Output {
    let output = finish(command);
    assert_eq!(output.code, 0, "{command:?}: {output}");
    output
}

impl Root {
    fn new() -> Self {
        Self::copy_of("root")
    }

    /// A copy of a root that `tests/run` has made.
    pub fn copy_of(name: &str) -> Self {
        let made = target().join("tools").join(name);
        assert!(made.join("var/lib/dpkg/status").exists(), "tests/run makes {}", made.display());
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        done(as_root("cp").arg("-a").arg(made).arg(folder.path().join("root")));
        Self { folder }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path.trim_start_matches('/'))
    }

    /// Runs a script in the root, as its root user.
    fn run(&self, script: &str) -> Output {
        let mut command = as_root("chroot");
        command.arg(self.path("")).args(["/usr/bin/env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
        finish(command.args(["HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "sh", "-ec", script]))
    }

    fn sh(&self, script: &str) -> String {
        let output = self.run(script);
        assert_eq!(output.code, 0, "{script}: {output}");
        output.stdout
    }

    /// Runs keyward as an operator does with sudo, which also sets `HOME` to the user's, and names no store.
    fn as_keyward(&self, line: &str) -> Output {
        self.run(&format!("setpriv --reuid=keyward --regid=keyward --init-groups --reset-env keyward {line}"))
    }

    /// From now on, systemd seems to run. Calls of systemctl are recorded in /asked.
    fn pretend_systemd(&self) {
        self.sh(r#"mkdir -p /run/systemd/system; : > /asked; cat > /usr/local/bin/systemctl <<'END'
#!/bin/sh
echo "$*" >> /asked
case "$*" in *is-enabled*timer) echo enabled;; esac
END
chmod 755 /usr/local/bin/systemctl"#);
    }

    fn asked(&self) -> String {
        self.sh("cat /asked; : > /asked")
    }

    pub fn bring(&self, from: &Path, to: &str) {
        done(as_root("cp").arg(from).arg(self.path(to)));
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Files of the root's users can only be removed as root.
        let _ = as_root("rm").arg("-rf").arg(self.path("")).status();
    }
}

/// The package as packaging/release builds it, but with the tests' binary and fast compression.
pub fn build(folder: &Path) -> PathBuf {
    let package = folder.join("keyward.deb");
    let built = folder.join("built");
    std::fs::create_dir_all(built.join("release")).unwrap();
    std::fs::copy(stripped(), built.join("release/keyward")).unwrap();
    let mut command = Command::new(target().join("tools/cargo/bin/cargo-deb"));
    command.args(["deb", "--no-build", "--no-strip", "--locked", "--fast", "--output"]).arg(&package);
    done(command.current_dir(repository()).env("CARGO_TARGET_DIR", &built));
    package
}

/// The package of a later version, with a different configuration.
fn later(package: &Path, folder: &Path) -> PathBuf {
    let (content, later) = (folder.join("content"), folder.join("later.deb"));
    done(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(&content));
    let control = std::fs::read_to_string(content.join("DEBIAN/control")).unwrap();
    let now = format!("\nVersion: {}-1\n", env!("CARGO_PKG_VERSION"));
    assert!(control.contains(&now), "{control}");
    std::fs::write(content.join("DEBIAN/control"), control.replace(&now, "\nVersion: 99.0.0-1\n")).unwrap();
    std::fs::write(content.join("etc/keyward/serve.toml"), "# of the later version\n").unwrap();
    let mut command = Command::new("dpkg-deb");
    done(command.args(["--build", "--root-owner-group", "-Znone"]).arg(&content).arg(&later));
    later
}

#[test]
#[ignore = "needs debootstrap"]
fn the_package_is_installed_used_upgraded_and_removed_and_the_keys_stay() {
    let root = Root::new();
    let packages = tempfile::tempdir().unwrap();
    let package = build(packages.path());
    root.bring(&package, "/keyward.deb");
    root.bring(&later(&package, packages.path()), "/later.deb");

    // Installed: everything is in its place, and only the timer is enabled.
    let said = root.run("dpkg -i /keyward.deb");
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said}");
    let version = root.sh("keyward --version");
    assert_eq!(version, format!("keyward {}\n", env!("CARGO_PKG_VERSION")));
    let user = root.sh("getent passwd keyward");
    assert!(user.ends_with(":/var/lib/keyward:/usr/sbin/nologin\n"), "{user}");
    assert!(root.sh("id -u keyward").trim().parse::<u32>().unwrap() < 1_000, "a user of the system");
    assert_eq!(
        root.sh("stat -c '%a %U:%G' /var/lib/keyward /etc/keyward/serve.toml"),
        "700 keyward:keyward\n644 root:root\n"
    );
    let conffiles = root.sh("dpkg-query -f '${Conffiles}' -W keyward");
    assert!(
        conffiles.trim().starts_with("/etc/keyward/serve.toml ") && conffiles.trim().lines().count() == 1,
        "{conffiles}"
    );
    let pages = std::fs::read_dir(repository().join("man")).unwrap().count();
    assert_eq!(root.sh("dpkg -L keyward | grep -c '/man/man[157]/keyward.*gz'").trim(), pages.to_string());
    root.sh("cd /usr/share; test -s bash-completion/completions/keyward; test -s zsh/vendor-completions/_keyward
        test -s fish/vendor_completions.d/keyward.fish; test -s doc/keyward/copyright; zcat man/man1/keyward.1.gz >/dev/null
        cd /usr/lib/systemd/system; test -s keyward-expiring.service");
    let enabled = "ls /etc/systemd/system/*.wants | grep keyward";
    assert_eq!(root.sh(enabled), "keyward-expiring.timer\n");

    // Used: an operator's key is in the store of the guard, and the guard waits for a policy.
    let made = root.as_keyward("create deploy --scope api --expires 90d");
    assert_eq!(made.code, 0, "{made}");
    assert!(made.stderr.contains("made a new store: /var/lib/keyward/keys.db\n"), "{made}");
    let secret = made.stdout.trim();
    let verify = format!("verify --scope api --quiet <<'END'\n{secret}\nEND");
    assert_eq!(root.as_keyward(&verify).code, 0);
    assert_eq!(root.sh("stat -c '%a %U:%G' /var/lib/keyward/keys.db"), "600 keyward:keyward\n");
    let check = "serve --check --config /etc/keyward/serve.toml";
    let refused = root.as_keyward(check);
    assert!(refused.code == 2 && refused.stderr.contains("there is no policy"), "{refused}");
    root.sh(&format!("cat > /etc/keyward/serve.toml <<'END'\n{}END", configuration_in_force()));
    let checked = root.as_keyward(check);
    assert_eq!(checked.code, 0, "{checked}");

    // Upgraded while a guard runs: the guard is restarted, its socket is not, and edited files stay.
    root.pretend_systemd();
    root.sh("cd /etc/systemd/system; ln -s /usr/lib/systemd/system/keyward.service multi-user.target.wants/");
    let edited = root.sh("cat /etc/keyward/serve.toml");
    root.sh("dpkg --force-confold -i /later.deb");
    assert_eq!(root.sh("dpkg-query -f '${Version}' -W keyward"), "99.0.0-1");
    assert_eq!(root.sh("cat /etc/keyward/serve.toml"), edited);
    assert_eq!(root.sh("cat /etc/keyward/serve.toml.dpkg-dist"), "# of the later version\n");
    assert_eq!(root.as_keyward(&verify).code, 0);
    let asked = root.asked();
    assert!(asked.contains("try-restart keyward.service\n"), "{asked}");
    assert!(!asked.contains("keyward.socket") && !asked.contains("stop"), "{asked}");
    assert!(root.sh(enabled).contains("keyward.service\n"), "what the administrator has enabled stays so");

    // Removed: what runs is stopped, and the configuration and the keys stay.
    root.sh("dpkg -r keyward");
    let asked = root.asked();
    assert!(asked.contains("stop keyward-expiring.timer keyward.socket keyward.service\n"), "{asked}");
    assert_eq!(root.sh("cat /etc/keyward/serve.toml"), edited);
    assert_ne!(root.run("command -v keyward").code, 0);
    // Purged: the configuration is removed. The keys and their owner stay.
    let purged = root.sh("dpkg -P keyward");
    assert!(purged.contains("the keys in /var/lib/keyward were kept"), "{purged}");
    assert_eq!(root.sh("stat -c '%a %U:%G' /var/lib/keyward/keys.db"), "600 keyward:keyward\n");
    let left = root.sh("find /etc /usr /var/lib/dpkg /var/lib/systemd -name '*keyward*' -o -path '/etc/keyward/*'");
    assert_eq!(left, "");

    // Installed again: the same keys. Without keys, a purge leaves no folder.
    root.sh("dpkg -i /keyward.deb");
    assert_eq!(root.as_keyward(&verify).code, 0);
    let asked = root.asked();
    assert!(!asked.contains("start keyward.s") && asked.contains("start keyward-expiring.timer\n"), "{asked}");
    assert_eq!(root.sh(enabled), "keyward-expiring.timer\n");
    root.sh("rm /var/lib/keyward/keys.db*; dpkg -P keyward; test ! -e /var/lib/keyward");
    assert_eq!(root.sh("dpkg --audit"), "");
}
