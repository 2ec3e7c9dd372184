//! Guesses what was meant by a command line that does not parse.
//!
//! Other tools have other words for what keyward does. A user who types one of those is told the right word by its
//! meaning: the most similarly spelled one may mean the opposite.

use clap::Command;

use crate::text::did_you_mean;

/// Words for verbs, and what they mean here.
const VERBS: &[(&[&str], &str)] = &[
    (&["add", "make", "mint", "generate", "gen", "issue", "mk"], "keyward create NAME"),
    (
        &["remove", "del", "destroy", "erase", "drop", "unset", "purge"],
        "keyward delete KEY; to stop it for a while: keyward disable KEY",
    ),
    (&["describe", "info", "view", "inspect", "read", "cat", "details"], "keyward show KEY"),
    (&["search", "find", "grep", "query", "filter"], "keyward list --search TEXT"),
    (
        &["roll", "rollover", "renew", "regenerate", "regen", "refresh", "cycle", "reset", "reissue"],
        "keyward rotate KEY",
    ),
    (&["whoami", "me", "who", "summary", "overview", "dashboard", "ping"], "keyward status"),
    (&["init", "setup", "install", "bootstrap"], "there is nothing to set up; start with: keyward create first-key"),
    (
        &["check", "validate", "test", "auth", "authenticate", "authorize", "introspect"],
        "keyward verify for a credential, keyward doctor for the store",
    ),
    (&["stop", "suspend", "deactivate", "block", "lock", "pause", "ban", "freeze"], "keyward disable KEY"),
    (&["start", "activate", "unblock", "unlock", "resume", "unsuspend", "restore-key", "unban"], "keyward enable KEY"),
    (&["update", "set", "change", "modify", "alter", "put", "patch", "configure-key"], "keyward edit KEY"),
    (&["rename", "mv", "move"], "keyward edit KEY --name NEW"),
    (&["copy", "clone", "cp", "dup"], "keyward duplicate KEY NEW_NAME"),
    (&["audit", "event", "events", "logs", "activity", "trail", "journal"], "keyward history"),
    (&["stats", "statistics", "metrics", "top", "count", "calls", "analytics"], "keyward usage"),
    (&["config", "configure", "setting", "options", "preferences", "prefs"], "keyward settings list"),
    (&["dump", "save"], "keyward export for the settings, keyward backup FILE for everything"),
    (&["sync", "plan", "diff", "provision"], "keyward apply FILE; with --dry-run it only shows the changes"),
    (&["load"], "keyward apply FILE for a manifest, keyward import FILE for keys of another system"),
    (&["ingest", "adopt", "onboard", "take-over", "takeover"], "keyward import FILE, for keys of another system"),
    (&["server", "guard", "proxy", "daemon", "run", "listen", "http"], "keyward serve"),
    (&["health", "diagnose", "fsck", "repair", "lint"], "keyward doctor"),
    (
        &["login", "signin", "logout", "connect"],
        "there is no login: the store is named with --store PATH, the acting user with --as USER",
    ),
    (
        &["key", "keys", "apikey", "apikeys", "api-key", "api-keys"],
        "keys need no word of their own: keyward create NAME, keyward list, keyward delete KEY",
    ),
    (&["users"], "keyward user list"),
    (&["groups", "team", "teams", "project", "projects"], "keyward group list"),
    (&["roles"], "keyward role list"),
    (&["tenants", "org", "orgs", "organization", "workspace", "account"], "keyward tenant list"),
    (
        &["migrate", "upgrade"],
        "a store in a file is brought up to date by itself; one on a server: keyward store migrate; to take over keys \
         of another system: keyward import FILE",
    ),
    (&["completion", "complete"], "keyward completions SHELL"),
    (&["manual", "docs", "doc"], "keyward man"),
    (&["expire", "extend", "prolong", "renew-expiry"], "keyward edit KEY --expires WHEN"),
    (
        &["reveal", "secret", "secrets", "unmask", "print-secret"],
        "a secret cannot be shown again; to get a new one: keyward rotate KEY",
    ),
    (&["token", "tokens", "credential", "credentials"], "keyward create NAME, keyward verify"),
    (&["leak", "leaks", "detect"], "keyward scan"),
];

/// Words for verbs inside `group`, `user`, `role` and `tenant`.
const INNER_VERBS: &[(&[&str], &str)] = &[
    (&["add", "new", "make"], "create NAME"),
    (&["remove", "rm", "del"], "delete NAME"),
    (&["ls", "all"], "list"),
    (&["get", "info", "describe", "view"], "show NAME"),
    (&["update", "set", "rename"], "edit NAME"),
    (&["suspend", "block", "deactivate"], "disable NAME"),
    (&["unblock", "activate"], "enable NAME"),
];

/// Words for verbs inside `settings`.
const SETTINGS_VERBS: &[(&[&str], &str)] = &[
    (&["get", "show", "view", "ls", "all", "print"], "list"),
    (&["update", "edit", "put", "change", "add", "unset", "reset"], "set NAME VALUE"),
];

/// What was meant by a flag, and for which commands: for all if none is named.
const FLAGS: &[(&[&str], &[&str], &str)] = &[
    (
        &["secret", "reveal", "show-secret", "unmask", "with-secret"],
        &["show", "list", "edit", "export"],
        "a secret cannot be shown again; to get a new one: keyward rotate KEY",
    ),
    (
        &["all", "name", "label", "group", "owner", "scope", "filter", "glob", "search", "state", "tag"],
        &["disable", "enable", "delete", "rotate"],
        "name the keys, or let list do it: keyward list -q --name 'ci-*' | xargs -r keyward disable --",
    ),
    (&["name", "key-name", "id"], &["create"], "the name stands for itself: keyward create NAME"),
    (&["port", "bind", "addr", "host", "p"], &["serve"], "--listen ADDRESS, such as --listen 127.0.0.1:9180"),
    (&["ignore", "exclude", "skip"], &["scan"], "name the files and folders to look through: keyward scan src docs"),
    (&["config", "configuration"], &["list", "show", "create", "edit"], "keyward settings list"),
    (
        &["token", "key", "secret", "api-key", "apikey", "credential", "password", "bearer"],
        &["verify"],
        "a credential is read from standard input, or with --from-file PATH or --from-env NAME; never from the command line",
    ),
    (
        &["secret", "token", "value", "password"],
        &["create", "duplicate", "rotate"],
        "leave it out: keyward makes the secret; choose where it goes: --secret-file PATH, --secret-to COMMAND or --copy",
    ),
    (&["out", "output-file", "file", "to-file", "save-to"], &["create", "duplicate", "rotate"], "--secret-file PATH"),
    (&["clipboard", "clip"], &["create", "duplicate", "rotate"], "--copy"),
    (
        &[
            "ttl",
            "expiry",
            "expire",
            "expires-in",
            "expires-at",
            "expiration",
            "lifetime",
            "valid-for",
            "validity",
            "duration",
            "max-age",
        ],
        &[],
        "--expires WHEN, such as --expires 90d",
    ),
    (&["output", "format", "o", "raw", "plain"], &["list", "usage"], "--json or --csv"),
    (&["output", "format", "o"], &[], "--json"),
    (&["yaml", "yml", "table", "wide"], &[], "--json; the usual output is for people"),
    (&["enabled", "active", "enable"], &["list"], "--state active"),
    (&["disabled", "inactive"], &["list"], "--state disabled"),
    (&["expired"], &["list"], "--state expired"),
    (&["enabled", "active", "enable"], &["edit", "show"], "keyward enable KEY"),
    (&["enabled", "active", "enable"], &[], "it is enabled unless --disabled is given"),
    (&["inactive", "disable", "suspended"], &["create", "duplicate"], "--disabled"),
    (&["disabled", "inactive", "disable"], &["edit", "show"], "keyward disable KEY"),
    (&["filter", "query", "find", "grep", "contains", "match"], &["list"], "--search TEXT, or --name GLOB"),
    (&["all"], &["list"], "all keys are listed unless a filter or --limit is given"),
    (&["count", "n", "max", "top", "page-size", "per-page"], &["list", "history"], "--limit N"),
    (&["order", "order-by", "sort-by"], &["list"], "--sort FIELD"),
    (&["desc", "descending"], &["list"], "--reverse"),
    (&["fields", "select", "only", "column"], &["list"], "--columns NAME,…"),
    (&["unused", "stale", "idle", "inactive-for"], &["list"], "--unused-for 90d"),
    (&["expiring", "expires-soon", "expires-before"], &["list"], "--expires-within 14d"),
    (&["scopes", "permission", "permissions", "perm", "perms", "access", "grant"], &[], "--scope SCOPE"),
    (&["levels"], &[], "--level PATH"),
    (&["tag", "tags", "labels", "meta", "metadata", "annotation"], &[], "--label KEY=VALUE"),
    (
        &["ip", "ips", "cidr", "allow", "allowed-ip", "allowed-ips", "allow-ips", "whitelist", "allowlist", "network"],
        &["create", "edit", "duplicate"],
        "--allow-ip CIDR",
    ),
    (
        &["rate", "rate-limit", "ratelimit", "quota", "throttle", "limits", "rps"],
        &[],
        "--limit N/PERIOD, such as --limit 100/1m",
    ),
    (&["desc", "comment", "note", "notes", "title", "reason"], &[], "--description TEXT"),
    (&["user", "username", "account"], &["create", "edit", "duplicate", "list"], "--owner USER; who acts is --as USER"),
    (&["user", "username", "actor", "login"], &[], "--as USER"),
    (&["team", "project", "folder", "namespace"], &["create", "edit", "duplicate", "list"], "--group GROUP"),
    (
        &["org", "organization", "customer", "workspace"],
        &["create", "edit", "duplicate", "list", "verify"],
        "--tenant TENANT",
    ),
    (&["readonly", "ro"], &[], "--read-only"),
    (&["readwrite", "rw", "writable", "write"], &[], "--read-write"),
    (&["https", "https-only", "tls", "secure", "ssl"], &["create", "edit", "duplicate"], "--require-secure"),
    (&["insecure", "http"], &["create", "edit", "duplicate"], "--allow-insecure"),
    (&["overlap", "grace-period", "keep", "keep-old", "keep-for"], &["rotate"], "--grace DURATION"),
    (&["overwrite", "replace"], &["create", "duplicate", "rotate"], "--force"),
    (&["upsert", "if-not-exists", "if-missing", "idempotent"], &["create"], "--ensure"),
    (&["remote-addr", "client-ip", "from-ip", "address", "remote-ip"], &["verify"], "--ip ADDR"),
    (&["verb", "http-method", "request-method", "x"], &["verify"], "--method M"),
    (&["stdin"], &["verify"], "the credential is read from standard input already"),
    (&["file", "from"], &["verify"], "--from-file PATH"),
    (&["env"], &["verify"], "--from-env NAME"),
    (&["check", "what-if", "plan", "diff", "preview", "noop", "simulate"], &["apply", "import"], "--dry-run"),
    (&["delete", "remove", "purge"], &["apply"], "--prune"),
    (
        &["force", "f", "assume-yes", "confirm", "no-confirm", "noconfirm", "non-interactive"],
        &["delete", "apply", "import", "restore", "create", "rotate"],
        "--yes",
    ),
    (&["verify", "integrity", "validate"], &["history"], "--check"),
    (&["period", "group-by", "interval"], &["usage"], "--by hour, day or month"),
    (&["days", "from", "after", "start"], &["usage", "history"], "--since WHEN, such as --since 30d"),
    (&["db", "database", "path", "dir", "data-dir", "dsn", "url", "home"], &[], "--store PATH"),
    (&["non-interactive", "batch", "noninteractive", "no-prompt", "no-interactive"], &[], "--no-input"),
    (&["silent", "s", "short"], &[], "--quiet"),
    (
        &["verbose", "v", "debug", "trace", "vv"],
        &[],
        "there is nothing more to say; --json tells all fields, keyward doctor checks the store",
    ),
    (&["no-color", "no-colour", "nocolor", "colour", "colors"], &[], "--color never"),
    (&["pager"], &[], "KEYWARD_PAGER names the pager; --no-pager uses none"),
];

/// A hint: a command is offered to try, and a sentence is shown as it is.
fn tried(meant: &str) -> String {
    if meant.starts_with("keyward ") || meant.starts_with("--") { format!("try: {meant}") } else { meant.to_owned() }
}

/// What was probably meant by a word that is not a verb of `command`, as a hint.
pub(super) fn verb(word: &str, command: &Command) -> Option<String> {
    let is_root = command.get_name() == "keyward";
    let lower = word.to_ascii_lowercase();
    let table = match command.get_name() {
        _ if is_root => VERBS,
        "settings" => SETTINGS_VERBS,
        _ => INNER_VERBS,
    };
    if let Some((_, meant)) = table.iter().find(|(words, _)| words.contains(&lower.as_str())) {
        let name = command.get_name();
        return Some(if is_root { tried(meant) } else { format!("try: keyward {name} {meant}") });
    }
    let verbs: Vec<&str> =
        command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(Command::get_name).collect();
    did_you_mean(&verbs, word)
}

/// What was probably meant by a word that a verb does not accept.
fn word(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "list" => "one key: keyward show KEY; keys by their names: keyward list --name 'web*', or --search web",
        "create" => "one key at a time, its name first: keyward create NAME",
        "status" | "doctor" | "export" => "it is about the whole store; about a key: keyward show KEY",
        _ => return None,
    })
}

/// What was probably meant by a flag that `command` does not have, as a hint.
pub(super) fn flag(flag: &str, command: &Command) -> Option<String> {
    if !flag.starts_with('-') {
        return word(command.get_name()).map(str::to_owned);
    }
    let (name, _) = flag.split_once('=').unwrap_or((flag, ""));
    let lower = name.trim_start_matches('-').to_ascii_lowercase();
    let (verb, is_meant) = (command.get_name(), |words: &[&str]| words.contains(&lower.as_str()));
    let takes = |meant: &str| {
        // A suggested flag must exist.
        let long = meant.strip_prefix("--").and_then(|meant| meant.split([' ', ',', ';']).next());
        long.is_none_or(|long| command.get_arguments().any(|argument| argument.get_long() == Some(long)))
    };
    let found = FLAGS
        .iter()
        .find(|(words, verbs, meant)| is_meant(words) && (verbs.is_empty() || verbs.contains(&verb)) && takes(meant));
    if let Some((_, _, meant)) = found {
        return Some(tried(meant));
    }
    let longs: Vec<String> = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
        .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
        .collect();
    if name.starts_with("--") { did_you_mean(&longs, name) } else { None }
}
