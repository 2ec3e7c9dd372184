//! What a release publishes: the archive with `install.sh`, the Debian package, and the metadata of both.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;

use crate::asking::{At, Running, get};
use crate::harness::{Sandbox, finish};
use crate::ports::free_port;

mod archive;
mod booted;
mod clean_root;
mod install;

const TIMER_SERVICE: &str = include_str!("../../../packaging/systemd/keyward-expiring.service");
const CONFIGURATION: &str = include_str!("../../../packaging/serve.toml");
const DEBIAN_CHANGELOG: &str = include_str!("../../../packaging/debian/changelog");
const CHANGELOG: &str = include_str!("../../../CHANGELOG.md");

/// The root of the repository.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo builds, and where `tests/run` puts the tools.
fn target() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_keyward")).ancestors().nth(2).unwrap()
}

/// The test binary without symbols: a twelfth of the bytes to pack.
fn stripped() -> &'static Path {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stripped-keyward");
        let output = finish(Command::new("strip").arg("-o").arg(&path).arg(env!("CARGO_BIN_EXE_keyward")));
        assert_eq!(output.code, 0, "{output}");
        path
    })
}

/// The installed configuration, with its commented-out settings enabled.
fn configuration_in_force() -> String {
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => rest.to_owned(),
        _ => line.to_owned(),
    };
    CONFIGURATION.lines().map(|line| uncommented(line) + "\n").collect()
}

#[test]
fn the_changelogs_tell_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(CHANGELOG.contains(&format!("\n## {version} - 20")), "{version}");
    assert!(DEBIAN_CHANGELOG.starts_with(&format!("keyward ({version}-1) ")), "{DEBIAN_CHANGELOG}");
}

/// A guard would start with it if an administrator enabled it before writing a policy.
#[test]
fn the_configuration_that_is_installed_lets_nobody_in() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy --scope api");
    std::fs::write(sandbox.path("serve.toml"), CONFIGURATION).unwrap();
    let check = format!("serve --check --config {}", sandbox.path("serve.toml").display());
    let output = sandbox.run(&check);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("there is no policy\nhint: describe one in a table: [policy.default]"), "{output}");
}

#[test]
fn its_example_of_a_policy_is_in_order_and_strict() {
    let sandbox = Sandbox::new();
    let (may, may_not) = (sandbox.mint("may --scope api"), sandbox.mint("may-not --scope other"));
    std::fs::write(sandbox.path("serve.toml"), configuration_in_force()).unwrap();
    let flags = format!("--config {}", sandbox.path("serve.toml").display());
    let checked = sandbox.run(&format!("serve --check --json {flags}"));
    assert_eq!((checked.code, checked.json()["policies"].clone()), (0, serde_json::json!(["default"])), "{checked}");

    let guard = sandbox.path("guard.sock");
    let places = format!("--listen unix:{} --admin 127.0.0.1:{}", guard.display(), free_port());
    let mut command = sandbox.binary(&format!("serve {flags} {places}"));
    let _running = Running::start_at(command.stderr(Stdio::null()), At::Path(&guard));
    let ask = |secret: &str, scheme: &str| {
        let headers = [format!("X-Api-Key: {secret}"), format!("X-Forwarded-Proto: {scheme}")];
        get(At::Path(&guard), "/forward/default", &[&headers[0], &headers[1]])
    };
    let (status, answer) = ask(&may, "https");
    assert!(status == 200 && answer.to_lowercase().contains("ratelimit-policy: \"1m\";q=600"), "{answer}");
    for (secret, scheme) in [(&may_not, "https"), (&may, "http")] {
        let (status, answer) = ask(secret, scheme);
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        assert!(status == 403 && !body.contains("reason"), "a refused client is not told why: {answer}");
    }
    let encoded =
        format!("Authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("a:{may}")));
    assert_eq!(get(At::Path(&guard), "/forward/default", &[&encoded, "X-Forwarded-Proto: https"]).0, 401);
}

/// Runs the timer's command as the unit defines it.
#[test]
fn the_timer_fails_while_a_key_expires_within_14_days() {
    let line = TIMER_SERVICE.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/keyward ")).unwrap();
    let sandbox = Sandbox::new();
    sandbox.mint("later --expires 15d");
    sandbox.mint("endless");
    let quiet = sandbox.run(line);
    assert_eq!((quiet.code, quiet.stdout.contains("later")), (0, false), "{quiet}");
    sandbox.mint("soon --expires 13d");
    sandbox.mint("off --expires 13d");
    sandbox.run("disable off");
    let told = sandbox.run(line);
    assert_eq!(told.code, 8, "{told}");
    assert!(told.stdout.contains("soon") && told.stdout.contains("in 13 days"), "{told}");
    assert!(["later", "endless", "off"].iter().all(|name| !told.stdout.contains(name)), "{told}");
    sandbox.run("edit soon --expires 90d");
    assert_eq!(sandbox.run(line).code, 0);
    // Without a store, systemd skips the check, unless the configuration names another store.
    let store = TIMER_SERVICE.lines().find_map(|line| line.strip_prefix("Environment=KEYWARD_STORE=")).unwrap();
    assert!(TIMER_SERVICE.contains(&format!("\nConditionPathExists=|{store}\n")), "{store}");
}
