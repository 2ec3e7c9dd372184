//! Who may do what: `guard` has the role `keyward_verify`, `boss` the role `keyward_admin`.

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use keyward_cli::cli::Cli;

use super::Database;
use crate::harness::Output;

/// What a user who may only verify gets for a line.
enum Fate {
    /// It works.
    Works,
    /// The server denies access to this table.
    Refused(&'static str),
}

use Fate::{Refused, Works};

/// A line for every verb, for a user who may only verify.
const VERBS: [(&str, Fate); 47] = [
    ("create new", Refused("history_head")),
    ("list", Works),
    ("show deploy", Works),
    ("edit deploy --description d", Refused("history_head")),
    ("duplicate deploy copy", Refused("history_head")),
    ("rotate deploy", Refused("history_head")),
    ("enable off", Refused("history_head")),
    ("disable deploy", Refused("history_head")),
    ("delete deploy --yes", Refused("history_head")),
    ("verify --no-record", Works),
    ("history", Refused("history")),
    ("usage deploy", Works),
    ("group list", Works),
    ("group show g", Works),
    ("group create h", Refused("history_head")),
    ("group edit g --description d", Refused("history_head")),
    ("group delete g --yes", Refused("history_head")),
    ("user list", Works),
    ("user show u", Works),
    ("user create v", Refused("history_head")),
    ("user edit u --description d", Refused("history_head")),
    ("user enable u", Refused("history_head")),
    ("user disable u", Refused("history_head")),
    ("user delete u --yes", Refused("history_head")),
    ("role list", Works),
    ("role show viewer", Works),
    ("role create r --rank 5", Refused("history_head")),
    ("role edit viewer --description d", Refused("history_head")),
    ("role delete viewer --yes", Refused("history_head")),
    ("tenant list", Works),
    ("tenant show t", Works),
    ("tenant create s", Refused("history_head")),
    ("tenant edit t --description d", Refused("history_head")),
    ("tenant enable t", Refused("history_head")),
    ("tenant disable t", Refused("history_head")),
    ("tenant delete t --yes", Refused("history_head")),
    ("status", Works),
    ("export", Works),
    ("doctor", Works),
    ("scan FOLDER", Works),
    ("settings list", Works),
    ("settings set max-lifetime 30d", Refused("history_head")),
    ("store init", Works),
    ("store migrate", Works),
    ("store grants", Works),
    ("store copy --to FOLDER/copy.db", Refused("history_head")),
    ("store move --to FOLDER/copy.db", Refused("history_head")),
];

/// Verbs that need no store or are tested elsewhere.
const OTHERS: [&str; 10] =
    ["version", "apply", "import", "backup", "restore", "serve", "completions", "man", "help", "hold-clipboard"];

/// All verbs, as typed.
fn verbs() -> BTreeSet<String> {
    let mut root = Cli::command();
    root.build();
    let mut all = BTreeSet::new();
    for verb in root.get_subcommands().filter(|verb| !OTHERS.contains(&verb.get_name())) {
        let further: Vec<_> =
            verb.get_subcommands().map(clap::Command::get_name).filter(|name| *name != "help").collect();
        if further.is_empty() {
            all.insert(verb.get_name().to_owned());
        }
        all.extend(further.iter().map(|name| format!("{} {name}", verb.get_name())));
    }
    all
}

fn with_rows() -> (Database, String) {
    let database = Database::new();
    for line in ["create off", "disable off", "group create g", "user create u", "tenant create t"] {
        database.must("ann", line);
    }
    let secret = database.must("ann", "create deploy --limit 3/1h").stdout.trim_end().to_owned();
    (database, secret)
}

/// The error names the role, the table and the remedy; nothing else is printed.
fn assert_refused(output: &Output, role: &str, table: &str, line: &str) {
    let error = output.error();
    assert_eq!((output.code, error["code"].as_str()), (1, Some("not_permitted")), "{line}: {output}");
    assert_eq!(output.stdout, "", "{line}");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!("the role {role} may not do this in the store postgres://{role}@")),
        "{message}"
    );
    assert!(message.ends_with(&format!("permission denied for table {table}")), "{line}: {message}");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("keyward store grants") && hint.contains(&format!("TO {role}")), "{hint}");
}

#[test]
#[ignore = "needs postgresql"]
fn who_only_verifies_is_refused_every_change_and_leaves_nothing() {
    let (database, secret) = with_rows();
    let called: BTreeSet<_> = VERBS
        .iter()
        .map(|(line, _)| {
            let words: Vec<_> = line.split(' ').collect();
            let two = words[..2.min(words.len())].join(" ");
            if verbs().contains(&two) { two } else { words[0].to_owned() }
        })
        .collect();
    assert_eq!(called, verbs(), "left: the lines of this test; right: the verbs that there are");
    let before = database.rows();
    let folder = tempfile::tempdir().unwrap();
    for (line, fate) in &VERBS {
        let line = &*line.replace("FOLDER", folder.path().to_str().unwrap());
        let output = database.run_with("guard", &format!("{line} --json"), &secret);
        match fate {
            Refused(table) => assert_refused(&output, "guard", table, line),
            // A store exists already.
            Works if line == "store init" => assert_eq!(output.error()["code"], "name_taken", "{output}"),
            Works => assert_eq!(output.code, 0, "{line}: {output}"),
        }
        assert_eq!(database.rows(), before, "{line}");
    }
    assert_refused(&database.run("guard", "history --check --json"), "guard", "history", "history --check");
    let file = folder.path().join("x.env");
    let to_file = format!("create new --env-file {} --env-name X --json", file.display());
    for line in ["create deploy --ensure --json", &to_file, "apply - --json"] {
        let manifest = "[[key]]\nname = \"made\"\nexpires_at = \"30d\"\n";
        let output = database.run_with("guard", line, manifest);
        assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("not_permitted")), "{line}: {output}");
        assert_eq!(database.rows(), before, "{line}");
    }
    assert!(!file.exists());
    // The lookup in the history on the way prints nothing and stops nothing.
    let absent = database.run("guard", "show nothing --json");
    assert_eq!((absent.code, absent.error()["code"].as_str()), (1, Some("not_found")), "{absent}");
}

#[test]
#[ignore = "needs postgresql"]
fn who_only_verifies_counts_uses_and_keeps_to_limits() {
    let (database, secret) = with_rows();
    let uses = || database.must("ann", "show deploy --json").json()["use_count"].clone();
    let verify = || {
        let output = database.run_with("guard", "verify --json --ip 203.0.113.9", &secret);
        assert_eq!(output.stderr, "", "{output}");
        output
    };
    for number in 1..=3 {
        let output = verify();
        assert_eq!((output.code, output.json()["warnings"].to_string().as_str()), (0, "[]"), "{output}");
        assert_eq!(uses(), number);
    }
    let limited = verify();
    assert_eq!((limited.code, limited.json()["reason"].as_str()), (9, Some("rate_limited")), "{limited}");
    let plain = database.must("ann", "create plain").stdout;
    let question = format!("{{\"credential\":\"{}\"}}\n", plain.trim_end());
    let output = database.run_with("guard", "verify --batch", &question.repeat(5));
    assert_eq!((output.code, output.stderr.as_str(), output.stdout.lines().count()), (0, "", 5), "{output}");
    assert_eq!(database.must("ann", "show plain --json").json()["use_count"], 5);
    assert_eq!(database.must("guard", "usage plain --json").json()["total"]["allowed"], 5);
}

#[test]
#[ignore = "needs postgresql"]
fn a_hash_of_another_cost_stays_as_it_is_where_the_role_may_not_renew_it_and_nothing_is_said() {
    let (database, _) = with_rows();
    let secret = database.must("ann", "create plain").stdout;
    database.must("ann", "settings set hash-parameters m=2048,t=1,p=1");
    let hash = || database.sql("SELECT s.hash FROM secret s JOIN key k ON k.id = s.key WHERE k.name = 'plain'");
    let before = hash();
    let question = format!("{{\"credential\":\"{}\"}}\n", secret.trim_end());
    for (line, input) in [("verify --json", &secret), ("verify --batch", &question)] {
        let output = database.run_with("guard", line, input);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{line}: {output}");
        assert_eq!(hash(), before, "{line}");
    }
    assert_eq!(database.must("ann", "show plain --json").json()["use_count"], 2);
    assert_eq!(database.run_with("boss", "verify", &secret).code, 0);
    assert_ne!(hash(), before);
}

#[test]
#[ignore = "needs postgresql"]
fn a_verification_that_the_server_refuses_is_no_refusal_of_the_credential() {
    let (database, secret) = with_rows();
    database.sql("REVOKE ALL ON secret FROM keyward_verify");
    let question = format!("{{\"credential\":\"{secret}\"}}\n");
    for (user, what) in [("guard", "table secret"), ("stranger", "schema keyward")] {
        let output = database.run_with(user, "verify --json", &secret);
        let error = output.error();
        assert_eq!((output.code, error["code"].as_str()), (6, Some("not_permitted")), "{output}");
        assert!(error["message"].as_str().unwrap().ends_with(&format!("permission denied for {what}")), "{error}");
        assert_eq!(database.run_with(user, "verify --batch", &question).code, 6);
    }
    // A use that cannot be recorded is no reason to refuse, unless a limit depends on it.
    database.grant();
    let plain = database.must("ann", "create plain").stdout;
    database.sql("REVOKE INSERT, UPDATE ON key_use FROM keyward_verify");
    let output = database.run_with("guard", "verify --json", &plain);
    assert_eq!((output.code, output.json()["warnings"][0].as_str()), (0, Some("use_not_recorded")), "{output}");
    let limited = database.run_with("guard", "verify --json", &secret);
    assert_eq!((limited.code, limited.error()["code"].as_str()), (6, Some("not_permitted")), "{limited}");
}

#[test]
#[ignore = "needs postgresql"]
fn who_manages_keys_needs_nothing_else() {
    let (database, secret) = with_rows();
    let folder = tempfile::tempdir().unwrap();
    // A moved store can no longer be changed.
    let others = ["store init", "store move", "duplicate"];
    for (line, _) in VERBS.iter().filter(|(line, _)| !others.iter().any(|other| line.starts_with(other))) {
        let line = line.replace("FOLDER", folder.path().to_str().unwrap());
        // What an earlier line deleted, or what is in use, is not found.
        let output = database.run_with("boss", &format!("{line} --json"), &secret);
        let is_about_what_is_gone = output.code == 1 && output.error()["code"] == "not_found";
        // By then, the secret has been replaced.
        let is_no = line.starts_with("verify") && output.code == 3;
        assert!(output.code == 0 || is_about_what_is_gone || is_no, "{line}: {output}");
    }
    let manifest = "[[key]]\nname = \"made\"\nexpires_at = \"20d\"\n";
    let line = format!("apply - --secrets-dir {}", folder.path().join("secrets").display());
    let output = database.run_with("boss", &line, manifest);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(database.must("boss", "history --check --json").json()["intact"], true);
    let history = database.must("boss", "history --json").json();
    assert!(history.as_array().unwrap().len() > 20, "{history}");
}
