//! Help: reachable from everywhere, and complete.

use clap::CommandFactory as _;
use keyward_cli::cli::Cli;

use crate::harness::Sandbox;
use crate::pty::Screen;

#[test]
fn exit_codes_are_explained_in_the_help_and_by_name() {
    let sandbox = Sandbox::empty();
    let table = sandbox.run("help exit-codes");
    for code in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "70", "130"] {
        assert!(table.stdout.lines().any(|line| line.split_whitespace().next() == Some(code)), "{code}: {table}");
    }
    for line in ["--help", "help"] {
        assert!(sandbox.run(line).stdout.contains("the secret could not be delivered"), "{line}");
    }
}

/// Calls `f` with the words of each command without subcommands.
fn each_command(command: &clap::Command, before: &str, f: &mut impl FnMut(&str)) {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        let words = format!("{before}{} ", verb.get_name());
        if verb.get_subcommands().next().is_none() {
            f(words.trim_end());
        }
        each_command(verb, &words, f);
    }
}

#[test]
fn every_command_has_a_summary_and_examples_before_its_flags() {
    let sandbox = Sandbox::empty();
    let mut seen = 0;
    each_command(&Cli::command(), "", &mut |verb| {
        let help = sandbox.run(&format!("help {verb}"));
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{verb}");
        let example = help.stdout.find("\nExample").unwrap_or_else(|| panic!("{verb}: {help}"));
        let flags = ["\nOptions:", "\nArguments:"].into_iter().filter_map(|heading| help.stdout.find(heading)).min();
        assert!(example < flags.unwrap(), "{verb}: {help}");
        // The global flags take one line, which says where to read about them.
        assert!(help.stdout.contains("\nGlobal: --store --json") && !help.stdout.contains("--store <PATH>"), "{verb}");
        let short = sandbox.run(&format!("{verb} -h"));
        assert_eq!(short.code, 0);
        assert_eq!(short.stdout.lines().next(), help.stdout.lines().next());
        seen += 1;
    });
    assert!(seen > 40, "{seen}");
    assert!(sandbox.run("--help").stdout.contains("--store <PATH>"));
}

#[test]
fn short_help_fits_on_a_screen() {
    let sandbox = Sandbox::new();
    let mut longer = vec![];
    each_command(&Cli::command(), "", &mut |verb| {
        let mut screen = Screen::start(&sandbox.store(), &format!("{verb} -h"), 80);
        assert_eq!(screen.end(), 0, "{verb}");
        if screen.raw().trim_end().lines().count() > 24 {
            longer.push(verb.to_owned());
        }
    });
    assert_eq!(longer, ["create", "edit", "duplicate"]);
}

#[test]
fn nothing_at_all_shows_how_to_start() {
    let output = Sandbox::empty().run("");
    assert_eq!((output.code, output.stdout.as_str()), (2, ""));
    assert!(output.stderr.contains("keyward create first-key"), "{output}");
    assert_eq!(Sandbox::empty().run("--version").stdout, format!("keyward {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_error_code_is_explained_in_the_help_and_in_the_manual() {
    let help = Sandbox::empty().run("help exit-codes").stdout;
    let (_, codes) = help.split_once("Error codes").expect("a part of its own");
    let pages = keyward_cli::manual::pages(Cli::shown()).unwrap();
    let main = pages.iter().find(|page| page.file == "keyward.1").unwrap();
    let (_, section) = main.text.split_once(".SH \"ERROR CODES\"\n").expect("a section of its own");
    let section = section.split(".SH ").next().unwrap().replace('\n', " ").replace("\\-", "-");
    let mut told = vec![];
    for (code, exit, meaning) in keyward_cli::error::Code::table() {
        let line =
            codes.lines().find(|line| line.split_whitespace().next() == Some(code)).unwrap_or_else(|| panic!("{code}"));
        assert!(line.contains(meaning) && line.split_whitespace().nth(1) == Some(&exit.0.to_string()), "{line}");
        assert!(section.contains(&format!("\\fB{code}\\fR")) && section.contains(meaning), "{code}: {section}");
        told.push(code);
    }
    // And no others.
    let listed: Vec<_> = codes.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(listed, told);
}
