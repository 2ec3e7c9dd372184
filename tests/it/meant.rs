//! Commands from other tools, and typos: the hint says what was meant.

use crate::harness::{Sandbox, words};

/// The command line, and what its hint must contain.
const MISTAKES: &[(&str, &str)] = &[
    ("add deploy", "keyward create NAME"),
    ("generate", "keyward create NAME"),
    ("remove deploy", "keyward delete KEY"),
    ("destroy deploy", "keyward delete KEY"),
    ("describe deploy", "keyward show KEY"),
    ("info", "keyward show KEY"),
    ("search x", "keyward list --search TEXT"),
    ("find x", "keyward list --search TEXT"),
    ("roll deploy", "keyward rotate KEY"),
    ("renew deploy", "keyward rotate KEY"),
    ("whoami", "keyward status"),
    ("init", "keyward create first-key"),
    ("check", "keyward verify"),
    ("validate", "keyward verify"),
    ("suspend deploy", "keyward disable KEY"),
    ("block deploy", "keyward disable KEY"),
    ("unblock deploy", "keyward enable KEY"),
    ("activate deploy", "keyward enable KEY"),
    ("update deploy", "keyward edit KEY"),
    ("rename deploy x", "keyward edit KEY --name NEW"),
    ("clone deploy x", "keyward duplicate KEY"),
    ("audit", "keyward history"),
    ("logs", "keyward history"),
    ("stats", "keyward usage"),
    ("config", "keyward settings list"),
    ("dump", "keyward export"),
    ("sync x.toml", "keyward apply FILE"),
    ("load x.csv", "keyward import FILE for keys of another system"),
    ("adopt x.csv", "keyward import FILE"),
    ("migrate", "keyward import FILE"),
    ("migrate", "keyward store migrate"),
    ("import x --what-if", "--dry-run"),
    ("import x --force", "--yes"),
    ("run", "keyward serve"),
    ("health", "keyward doctor"),
    ("login", "there is no login"),
    ("keys list", "keyward list"),
    ("users", "keyward user list"),
    ("group add x", "keyward group create NAME"),
    ("user remove x", "keyward user delete NAME"),
    ("creat x", "did you mean create?"),
    ("LIST", "did you mean list?"),
    ("dis deploy", "did you mean disable?"),
    ("verify --token kw_x", "standard input"),
    ("create x --ttl 90d", "--expires WHEN"),
    ("create x --expires-in 90d", "--expires WHEN"),
    ("create x --enabled", "it is enabled unless --disabled is given"),
    ("list --enabled", "--state active"),
    ("list --disabled", "--state disabled"),
    ("edit deploy --enabled", "keyward enable KEY"),
    ("edit deploy --disable", "keyward disable KEY"),
    ("list --output json", "--json or --csv"),
    ("show deploy --format json", "--json"),
    ("list --filter x", "--search TEXT"),
    ("list --tag x", "--label KEY=VALUE"),
    ("create x --scopes a", "--scope SCOPE"),
    ("create x --permissions a", "--scope SCOPE"),
    ("create x --cidr 10.0.0.0/8", "--allow-ip CIDR"),
    ("create x --rate-limit 5", "--limit N/PERIOD"),
    ("create x --readonly", "--read-only"),
    ("create x --team a", "--group GROUP"),
    ("create x --out f", "--secret-file PATH"),
    ("create x --comment y", "--description TEXT"),
    ("rotate deploy --overlap 1h", "--grace DURATION"),
    ("delete deploy --force", "--yes"),
    ("apply x --plan", "--dry-run"),
    ("apply x --delete", "--prune"),
    ("list --db x", "--store PATH"),
    ("list --verbose", "--json"),
    ("list --silent", "--quiet"),
    ("list --no-color", "--color never"),
    ("verify --client-ip 10.0.0.1", "--ip ADDR"),
    ("show deploy --secret", "a secret cannot be shown again"),
    ("reveal deploy", "a secret cannot be shown again"),
    ("secret deploy", "a secret cannot be shown again"),
    ("token create", "keyward create NAME"),
    ("extend deploy", "keyward edit KEY --expires WHEN"),
    ("settings get max-lifetime", "keyward settings list"),
    ("settings unset max-lifetime", "keyward settings set NAME VALUE"),
    ("disable --all", "xargs -r keyward disable --"),
    ("disable --label team=web", "xargs -r keyward disable --"),
    ("delete --name 'ci-*'", "keyward list -q --name"),
    ("create --name deploy", "keyward create NAME"),
    ("serve --port 80", "--listen ADDRESS"),
    ("scan --ignore x", "keyward scan src docs"),
    ("list --config x", "keyward settings list"),
    ("create x --scop y", "did you mean --scope?"),
    ("list --STATE active", "did you mean --state?"),
    ("list --unused 90d", "--unused-for"),
    ("create x --descr y", "did you mean --description?"),
];

#[test]
fn the_hint_says_what_was_meant() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    for (line, says) in MISTAKES {
        let output = sandbox.run(&format!("{line} --json"));
        assert_eq!(output.code, 2, "{line}: {output}");
        let hint = output.error()["hint"].as_str().unwrap_or_default().to_owned();
        assert!(hint.contains(says), "{line}: {hint}");
        // No one wants to pass a flag as a value, and suggesting the opposite verb is worse than no hint.
        assert!(!hint.contains("-- -"), "{line}: {hint}");
    }
    assert_eq!(sandbox.reason("", &secret), "allowed");
}

/// What a hint tells users to type must exist.
#[test]
fn the_verbs_and_flags_in_the_hints_are_there() {
    let sandbox = Sandbox::new();
    let root = <keyward_cli::cli::Cli as clap::CommandFactory>::command();
    for (line, _) in MISTAKES {
        let hint = sandbox.run(&format!("{line} --json")).error()["hint"].as_str().unwrap().to_owned();
        for verb in hint
            .split("keyward ")
            .skip(1)
            .filter_map(|rest| rest.split(|c: char| c.is_whitespace() || ",;`".contains(c)).next())
        {
            assert!(verb.starts_with('-') || root.find_subcommand(verb).is_some(), "{line}: {hint}");
        }
        let of = words(line).into_iter().next().unwrap();
        for flag in hint
            .split("try: --")
            .skip(1)
            .filter_map(|rest| rest.split(|c: char| c.is_whitespace() || ",;".contains(c)).next())
        {
            let command = root.find_subcommand(&of).unwrap();
            let all = || command.get_arguments().chain(root.get_arguments());
            assert!(all().any(|argument| argument.get_long() == Some(flag)), "{line}: {hint}");
        }
    }
}
