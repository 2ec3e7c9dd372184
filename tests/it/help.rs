//! Help: found from everywhere, and complete.

use crate::harness::Sandbox;

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

#[test]
fn every_command_has_a_summary_and_examples() {
    let sandbox = Sandbox::empty();
    for verb in [
        "create",
        "list",
        "show",
        "edit",
        "duplicate",
        "rotate",
        "enable",
        "disable",
        "delete",
        "verify",
        "history",
        "group",
        "user",
        "role",
        "tenant",
        "settings",
    ] {
        let help = sandbox.run(&format!("help {verb}"));
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{verb}");
        assert!(help.stdout.contains("Example"), "{verb}");
        assert!(help.stdout.contains("--store <PATH>"), "{verb}");
        let short = sandbox.run(&format!("{verb} -h"));
        assert_eq!(short.code, 0);
        assert_eq!(short.stdout.lines().next(), help.stdout.lines().next());
    }
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
    let pages = keyward_cli::manual::pages(<keyward_cli::cli::Cli as clap::CommandFactory>::command()).unwrap();
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
    // And no other.
    let listed: Vec<_> = codes.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(listed, told);
}
