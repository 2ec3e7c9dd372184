//! The examples of the README and of the tour, run as written.

use std::process::Command;

use keyward_cli::error::Exit;
use regex::Regex;

use crate::harness::{Sandbox, finish};

const README: &str = include_str!("../../README.md");

const TOUR: &str = include_str!("../../docs/tour.md");

/// The commands and outputs of all `console` blocks of a page, in order.
fn session(page: &str) -> String {
    let blocks = page.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.collect()
}

#[test]
fn every_example_prints_what_the_readme_shows() {
    prints_what_it_shows(&session(README));
}

#[test]
fn every_example_prints_what_the_tour_shows() {
    prints_what_it_shows(&session(TOUR));
}

/// Runs the commands in one shell, with a new store.
fn prints_what_it_shows(session: &str) {
    let sandbox = Sandbox::empty();
    let mut script = "exec 2>&1\n".to_owned();
    for command in session.lines().filter_map(|line| line.strip_prefix("$ ")) {
        // Printed as a prompt would print it, then run in the same shell, so that variables persist.
        script.push_str(&format!("cat <<'END_OF_COMMAND'\n$ {command}\nEND_OF_COMMAND\n{command}\n"));
    }
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_keyward"));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", binary.parent().unwrap().display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(sandbox.path("")).env_clear();
    shell.env("PATH", path).env("KEYWARD_STORE", sandbox.store());
    let output = finish(&mut shell);
    let (printed, shown) = (comparable(&output.stdout), comparable(session));
    for (printed, shown) in printed.lines().zip(shown.lines()) {
        assert_eq!(printed, shown);
    }
    assert_eq!(printed.lines().count(), shown.lines().count());
}

/// Ids, secrets and times differ from run to run, and column widths do not matter.
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

/// All exit codes, in the order of the program's table.
#[test]
fn the_exit_codes_are_those_of_the_program() {
    let (_, codes) = README.split_once("[Exit codes](docs/manual/keyward.md#exit-codes): ").unwrap();
    let codes = codes.split(". ").next().unwrap();
    let code = Regex::new(r"(?:^|,)\s*(\d+) ").unwrap();
    let told: Vec<_> = code.captures_iter(codes).map(|found| found[1].to_owned()).collect();
    assert_eq!(told, Exit::TABLE.map(|(exit, _)| exit.0.to_string()));
}

#[test]
#[cfg(feature = "postgres")]
fn every_command_is_in_the_table() {
    let mut rows = "\n| command | what it does |\n|---|---|\n".to_owned();
    for verb in
        keyward_cli::cli::Cli::shown().get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
    {
        let name = verb.get_name();
        rows.push_str(&format!("| [{name}](docs/manual/keyward-{name}.md) | {} |\n", verb.get_about().unwrap()));
    }
    assert!(README.contains(&format!("{rows}\n")), "{rows}");
}

#[test]
fn it_can_be_read_at_once() {
    let lines = README.lines().count();
    assert!(lines <= 180, "{lines}");
}

#[test]
fn the_commands_that_set_everything_up_are_there() {
    for command in ["cargo run --release -- create first-key", "tests/run"] {
        assert!(README.contains(&format!("```sh\n{command}\n```")), "{command}");
    }
}
