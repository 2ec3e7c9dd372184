//! The examples of the README, run as they stand there.

use std::process::Command;

use keyward_cli::error::Exit;
use regex::Regex;

use crate::harness::{Sandbox, finish};

const README: &str = include_str!("../../README.md");

/// The commands and outputs of all `console` blocks, in order.
fn session() -> String {
    let blocks = README.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.collect()
}

#[test]
fn every_example_prints_what_the_readme_shows() {
    let sandbox = Sandbox::empty();
    let mut script = "exec 2>&1\n".to_owned();
    for command in session().lines().filter_map(|line| line.strip_prefix("$ ")) {
        // Printed as a prompt would print it, then run in the same shell, so that variables live on.
        script.push_str(&format!("cat <<'END_OF_COMMAND'\n$ {command}\nEND_OF_COMMAND\n{command}\n"));
    }
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_keyward"));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", binary.parent().unwrap().display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(sandbox.path("")).env_clear();
    shell.env("PATH", path).env("KEYWARD_STORE", sandbox.store());
    let output = finish(&mut shell);
    let (printed, shown) = (comparable(&output.stdout), comparable(&session()));
    for (printed, shown) in printed.lines().zip(shown.lines()) {
        assert_eq!(printed, shown);
    }
    assert_eq!(printed.lines().count(), shown.lines().count());
}

/// Ids, secrets and times differ from run to run, and the widths of columns do not matter.
fn comparable(text: &str) -> String {
    let replace =
        |text: &str, pattern: &str, with: &str| Regex::new(pattern).unwrap().replace_all(text, with).into_owned();
    let text = replace(text, r"kw_[0-9a-z]{12}_[0-9A-Za-z]{49}\b", "SECRET");
    let text = replace(&text, r"\b[0-9a-hjkmnp-tv-z]{12}\b", "ID");
    let text = replace(&text, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME");
    let text = replace(&text, r"\(\d{4}-\d\d-\d\d\)", "(DATE)");
    let text = replace(&text, r"\b(now|\d+ seconds? ago)(\s|$)", "NOW$2");
    let text = replace(&text, r"full again [^)]*", "full again LATER");
    let text = replace(&text, r"(?m)^\d{4}-\d\d ", "MONTH ");
    let text = replace(&text, r"(made a new store:|keys into|the former store is kept:) /.*", "$1 PATH");
    replace(&text, r"(?m)[ ]+", " ")
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    for (exit, meaning) in Exit::TABLE {
        let row = format!(
            "| {} | {} |",
            exit.0,
            meaning.replace("verify:", "`verify`:").replace("--fail-if-any", "`--fail-if-any`")
        );
        assert!(README.contains(&row), "{row}");
    }
}

#[test]
fn the_commands_that_set_everything_up_are_there() {
    for command in ["cargo run --release -- create first-key", "tests/run"] {
        assert!(README.contains(&format!("```sh\n{command}\n```")), "{command}");
    }
}
