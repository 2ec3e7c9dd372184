//! The recipes of the README and `docs/`, run verbatim, with stand-ins for what runs them.

pub mod services;

use std::process::Command;

use crate::harness::{Output, Sandbox, finish};

const README: &str = include_str!("../../../README.md");
const CHECKING: &str = include_str!("../../../docs/manual/checking.md");
const LIMITS: &str = include_str!("../../../docs/manual/limits.md");
const PROVISIONING: &str = include_str!("../../../docs/manual/provisioning.md");

/// The page's only block in this language.
fn block(page: &'static str, language: &str) -> &'static str {
    block_with(page, language, "")
}

/// The page's only block in this language that contains `part`.
fn block_with(page: &'static str, language: &str, part: &str) -> &'static str {
    let start = format!("```{language}\n");
    let blocks = page.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut blocks = blocks.filter(|block| block.contains(part));
    let block = blocks.next().unwrap();
    assert!(blocks.next().is_none(), "{language} stands there twice");
    block
}

/// A command in the sandbox's folder, with keyward in its path.
fn command(sandbox: &Sandbox, program: &str) -> Command {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap();
    let mut command = Command::new(program);
    command.current_dir(sandbox.path("")).env_clear().env("KEYWARD_STORE", sandbox.store());
    command.env("PATH", format!("{}:{}:/usr/local/bin:/usr/bin:/bin", sandbox.path("bin").display(), folder.display()));
    command
}

fn shell(sandbox: &Sandbox, script: &str) -> Output {
    finish(command(sandbox, "bash").args(["-e", "-o", "pipefail", "-c", script]))
}

#[test]
fn a_step_of_github_actions() {
    let sandbox = Sandbox::new();
    let step = block(PROVISIONING, "yaml");
    assert_eq!(block(README, "yaml"), step);
    let script = step.split("run: |\n").nth(1).unwrap();
    let mut step = command(&sandbox, "bash");
    step.args(["-e", "-o", "pipefail", "-c", script]);
    for (name, file) in [("GITHUB_ENV", "env"), ("GITHUB_OUTPUT", "output")] {
        std::fs::write(sandbox.path(file), "EARLIER=1\n").unwrap();
        step.env(name, sandbox.path(file));
    }
    let output = finish(step.env("GITHUB_RUN_ID", "42"));
    assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{output}");
    // As a runner does: it masks first, then reads the file line by line.
    let masked = output.stderr.lines().next().unwrap().strip_prefix("::add-mask::").unwrap();
    let file = std::fs::read_to_string(sandbox.path("env")).unwrap();
    let lines: Vec<_> = file.lines().collect();
    let (name, end) = lines[1].split_once("<<").unwrap();
    assert_eq!((lines[0], name, lines[2], lines[3], lines.len()), ("EARLIER=1", "DEPLOY_KEY", masked, end, 4));
    assert_eq!(std::fs::read_to_string(sandbox.path("output")).unwrap(), "EARLIER=1\n");
    assert_eq!(sandbox.reason("--scope deploy", masked), "allowed");
}

#[test]
fn a_service_of_systemd() {
    let sandbox = Sandbox::new();
    let unit = block(PROVISIONING, "ini").replace("/etc/keyward", &sandbox.path("etc").display().to_string());
    let setting = |name: &str| {
        let mut lines = unit.lines().filter_map(|line| line.strip_prefix(&format!("{name}=")));
        lines.next().unwrap().to_owned()
    };
    // The service itself: it prints the key it was given.
    std::fs::create_dir(sandbox.path("bin")).unwrap();
    std::fs::write(sandbox.path("bin/reports"), "#!/bin/sh\ntest \"$1\" = --key-file && cat \"$2\"\n").unwrap();
    assert_eq!(shell(&sandbox, "chmod +x bin/reports; mkdir etc run").code, 0);
    let mut keys = vec![];
    for _ in 0..2 {
        let before = shell(&sandbox, setting("ExecStartPre").strip_prefix('+').unwrap());
        assert_eq!(before.code, 0, "{before}");
        let (name, path) =
            setting("LoadCredential").split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        std::fs::copy(path, sandbox.path("run").join(name)).unwrap();
        let mut service = command(&sandbox, "bash");
        let service =
            finish(service.args(["-c", &setting("ExecStart")]).env("CREDENTIALS_DIRECTORY", sandbox.path("run")));
        assert_eq!(service.code, 0, "{service}");
        assert_eq!(sandbox.reason("", service.stdout.trim()), "allowed");
        keys.push(service.stdout);
    }
    assert_eq!(keys[0], keys[1], "a restart changes nothing");
}

#[test]
#[ignore = "needs make"]
fn a_target_of_a_makefile() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("Makefile"), block(PROVISIONING, "make")).unwrap();
    std::fs::write(sandbox.path("keys.toml"), "[[group]]\nname = \"dev\"\n").unwrap();
    std::fs::write(sandbox.path(".env"), "# settings\nDEBUG=1\n").unwrap();
    assert_eq!(shell(&sandbox, "touch -d 2000-01-01 .env").code, 0);
    for _ in 0..2 {
        let output = finish(command(&sandbox, "make").args(["-B", ".env"]));
        assert_eq!(output.code, 0, "{output}");
        let file = std::fs::read_to_string(sandbox.path(".env")).unwrap();
        let secret = file.strip_prefix("# settings\nDEBUG=1\nAPI_KEY=").unwrap();
        assert_eq!(sandbox.reason("--scope rest", secret), "allowed");
    }
    assert_eq!(sandbox.run("show dev --json").json()["secrets"].as_array().unwrap().len(), 1);
}

#[test]
fn a_line_for_cron_is_silent_until_there_is_something_to_say() {
    let sandbox = Sandbox::new();
    let line = block(PROVISIONING, "cron").trim().splitn(6, ' ').nth(5).unwrap();
    // The real binary uses the real clock.
    finish(&mut sandbox.binary("create far --expires 90d"));
    assert_eq!(shell(&sandbox, line), Output { code: 0, stdout: String::new(), stderr: String::new() });
    finish(&mut sandbox.binary("create near --expires 9d"));
    assert_eq!(shell(&sandbox, line), Output { code: 0, stdout: "near\n".to_owned(), stderr: String::new() });
}

#[test]
fn a_gate_for_ci() {
    let sandbox = Sandbox::new();
    let gate = block(PROVISIONING, "sh");
    std::fs::write(sandbox.path("keys.toml"), "[[group]]\nname = \"dev\"\n").unwrap();
    assert_eq!(shell(&sandbox, gate).code, 8, "the manifest is not applied");
    assert_eq!(shell(&sandbox, "keyward apply keys.toml").code, 0);
    assert_eq!(shell(&sandbox, gate).code, 0);
    finish(&mut sandbox.binary("create near --expires 9d"));
    assert_eq!(shell(&sandbox, gate).code, 8, "a key expires soon");
}

#[test]
fn a_function_for_a_script() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("webhook --scope deploy");
    for (secret, printed) in [(secret.as_str(), "go on\n"), ("kw_nonsense", "")] {
        let mut script = command(&sandbox, "bash");
        script.args(["-c", block(CHECKING, "sh")]).env("HTTP_AUTHORIZATION", format!("Bearer {secret}"));
        let output = finish(script.env("REMOTE_ADDR", "203.0.113.9").env("REQUEST_METHOD", "POST"));
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), (printed, ""), "{output}");
    }
}

#[test]
fn limits_of_keys_and_tenants() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run("tenant create acme").code, 0);
    let output = shell(&sandbox, block(LIMITS, "sh"));
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(sandbox.run("tenant show acme --json").json()["limits"][0]["count"], 50_000);
}
