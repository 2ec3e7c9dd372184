//! The command line: the root, the global flags, and one `match` from subcommand to verb.
//!
//! The whole definition, with its help, is `Cli::command()`. Building it takes as long as the rest of a short command,
//! so [`Cli::read`] parses with a definition of only the wanted verb. If that fails, it parses again with the whole
//! one.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Args as _, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{self, directory};
use crate::error::{Error, Exit};
use crate::global::GlobalArgs;
use crate::session::Session;
use crate::synopsis::synopsis;

/// Mint, manage and verify API keys for your own services
///
/// A key's secret is shown once, when it is made; the store keeps only its Argon2id hash. The store is one file that
/// belongs to you, or a PostgreSQL database that several hosts share.
#[derive(Debug, Parser)]
#[command(
    name = "keyward",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Start with `keyward create first-key`. More: `keyward help COMMAND`, `keyward help exit-codes`.",
    after_long_help = crate::commands::help::after_long_help()
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each is described by its own Args, which is its help")]
pub enum Command {
    #[command(alias = "new")]
    Create(Box<commands::create::Create>),
    #[command(alias = "ls")]
    List(commands::list::List),
    #[command(alias = "get")]
    Show(commands::show::Show),
    Edit(Box<commands::edit::Edit>),
    Duplicate(Box<commands::duplicate::Duplicate>),
    Rotate(commands::rotate::Rotate),
    Enable(commands::enable::Enable),
    #[command(alias = "revoke")]
    Disable(commands::enable::Disable),
    #[command(alias = "rm")]
    Delete(commands::delete::Delete),
    Verify(commands::verify::Verify),
    #[command(alias = "log")]
    History(commands::history::History),
    Usage(commands::usage::Usage),
    /// Manage groups: sets of keys that belong together
    #[command(subcommand, after_help = directory::GROUP_EXAMPLES)]
    Group(directory::Verb<directory::GroupArgs>),
    /// Manage users: on whose behalf keys act, and who may act with --as
    #[command(subcommand, after_help = directory::USER_EXAMPLES)]
    User(directory::SwitchVerb<directory::UserArgs>),
    /// Manage roles: the most that users and keys may do, by rank
    #[command(subcommand, after_help = directory::ROLE_EXAMPLES)]
    Role(directory::Verb<directory::RoleArgs>),
    /// Manage tenants: whose data a key may reach
    #[command(subcommand, after_help = directory::TENANT_EXAMPLES)]
    Tenant(directory::SwitchVerb<directory::TenantArgs>),
    Status(commands::status::Status),
    Export(commands::export::Export),
    Apply(commands::apply::Apply),
    Import(commands::import::Import),
    Doctor(commands::doctor::Doctor),
    Backup(commands::backup::Backup),
    Restore(commands::restore::Restore),
    Scan(commands::scan::Scan),
    #[cfg(feature = "serve")]
    Serve(Box<commands::serve::Serve>),
    Settings(commands::settings::Settings),
    #[cfg(feature = "postgres")]
    Store(commands::store::Store),
    Completions(commands::completions::Completions),
    Man(commands::man::Manual),
    Help(commands::help::Help),
    /// Print the version
    #[command(hide = true)]
    Version,
    #[command(hide = true)]
    HoldClipboard(commands::hold_clipboard::HoldClipboard),
}

/// A verb, and what adds its arguments.
type Verb = (&'static str, fn(clap::Command) -> clap::Command);

/// The verbs of [`Command`]; a test compares the two.
const VERBS: &[Verb] = &[
    ("create", commands::create::Create::augment_args),
    ("list", commands::list::List::augment_args),
    ("show", commands::show::Show::augment_args),
    ("edit", commands::edit::Edit::augment_args),
    ("duplicate", commands::duplicate::Duplicate::augment_args),
    ("rotate", commands::rotate::Rotate::augment_args),
    ("enable", commands::enable::Enable::augment_args),
    ("disable", commands::enable::Disable::augment_args),
    ("delete", commands::delete::Delete::augment_args),
    ("verify", commands::verify::Verify::augment_args),
    ("history", commands::history::History::augment_args),
    ("usage", commands::usage::Usage::augment_args),
    ("group", directory::Verb::<directory::GroupArgs>::augment_subcommands),
    ("user", directory::SwitchVerb::<directory::UserArgs>::augment_subcommands),
    ("role", directory::Verb::<directory::RoleArgs>::augment_subcommands),
    ("tenant", directory::SwitchVerb::<directory::TenantArgs>::augment_subcommands),
    ("status", commands::status::Status::augment_args),
    ("export", commands::export::Export::augment_args),
    ("apply", commands::apply::Apply::augment_args),
    ("import", commands::import::Import::augment_args),
    ("doctor", commands::doctor::Doctor::augment_args),
    ("backup", commands::backup::Backup::augment_args),
    ("restore", commands::restore::Restore::augment_args),
    ("scan", commands::scan::Scan::augment_args),
    #[cfg(feature = "serve")]
    ("serve", commands::serve::Serve::augment_args),
    ("settings", commands::settings::Settings::augment_args),
    #[cfg(feature = "postgres")]
    ("store", commands::store::Store::augment_args),
    ("completions", commands::completions::Completions::augment_args),
    ("man", commands::man::Manual::augment_args),
    ("help", commands::help::Help::augment_args),
    ("version", |command| command),
    ("hold-clipboard", commands::hold_clipboard::HoldClipboard::augment_args),
];

/// The help of a verb: its purpose, its usage, examples, and then its arguments.
const HELP_OF_VERB: &str = "{about-with-newline}\n{usage-heading} {usage}{after-help}\n\n{all-args}\n\n\
     Global: --store --json -q --no-input --no-pager --color --as (keyward --help)";

/// Verbs with more options than fit on a screen, with the options that `-h` shows.
const MOST_USED: &[(&str, &[&str])] = &[
    ("list", &["search", "name", "owner", "scope", "state", "limit", "csv"]),
    ("rotate", &["keys", "grace", "secret_file", "secrets_dir", "yes"]),
    ("verify", &["from_file", "request", "method", "ip", "tenant", "scope", "all"]),
    ("history", &["key", "since", "by", "action", "limit", "check"]),
    ("apply", &["file", "dry_run", "prune", "secrets_dir", "yes"]),
    ("import", &["file", "format", "dry_run", "yes"]),
    ("scan", &["paths", "git", "fail_if_any", "disable"]),
    ("serve", &["listen", "config", "trust", "check"]),
    ("user create", &["name", "role", "tenant"]),
    ("user edit", &["name", "new_name", "role", "tenant"]),
    ("role edit", &["name", "new_name", "rank", "manages_keys", "no_manages_keys"]),
    ("tenant create", &["name", "description", "limit"]),
    ("tenant edit", &["name", "new_name", "description", "limit"]),
];

/// The verb as its help shows it: without the options that all verbs take. `before` are the words before it.
fn shown(verb: clap::Command, before: &str) -> clap::Command {
    let words = format!("{before}{}", verb.get_name());
    let inner = format!("{words} ");
    let verb = verb.help_template(HELP_OF_VERB).mut_subcommands(|verb| shown(verb, &inner));
    let verb = verb.mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
    let usage = synopsis(&verb, &words);
    let verb = verb.override_usage(usage);
    let Some((_, most_used)) = MOST_USED.iter().find(|(name, _)| *name == words) else { return verb };
    let examples = verb.get_after_help().cloned().unwrap_or_default();
    verb.mut_args(|arg| {
        let is_shown = most_used.iter().any(|id| arg.get_id() == id) || arg.get_id() == "help";
        arg.hide_short_help(!is_shown)
    })
    .after_long_help(examples)
    .after_help(format!("Examples and all options: keyward help {words}"))
}

impl Cli {
    /// The whole definition as help and man pages show it.
    pub fn shown() -> clap::Command {
        let mut root = Self::command();
        // The verbs get their common options only here.
        root.build();
        root.mut_subcommands(|verb| shown(verb, ""))
    }

    /// Parses a command line, the name of the program first.
    ///
    /// # Errors
    /// What clap reports; also if help or the version is requested.
    pub fn read(args: &[OsString]) -> Result<Self, clap::Error> {
        let parse = |command: clap::Command| Self::from_arg_matches(&command.try_get_matches_from(args)?);
        match parse(outline(args)) {
            Err(error) if error.kind() != ErrorKind::DisplayVersion => parse(Self::shown()),
            read => read,
        }
    }
}

/// The definition without help, and with only the verbs among the words: it parses a correct command line just as the
/// whole definition does.
fn outline(words: &[OsString]) -> clap::Command {
    let root = clap::Command::new("keyward").version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    let wanted = VERBS.iter().filter(|(name, _)| words.iter().any(|word| word == name));
    let verbs = wanted.map(|(name, arguments)| clap::Command::new(name).defer(*arguments));
    GlobalArgs::augment_args(root).subcommands(verbs)
}

impl Command {
    /// Whether the verb only shows things to a person.
    pub fn only_reads(&self) -> bool {
        match self {
            Self::List(list) => !list.is_for_programs(),
            Self::Usage(usage) => !usage.is_for_programs(),
            Self::Show(_)
            | Self::History(_)
            | Self::Status(_)
            | Self::Export(_)
            | Self::Doctor(_)
            | Self::Man(_)
            | Self::Help(_) => true,
            _ => false,
        }
    }

    /// Runs the verb.
    ///
    /// # Errors
    /// The error of the verb.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        match self {
            Self::Create(verb) => verb.run(session),
            Self::List(verb) => verb.run(session),
            Self::Show(verb) => verb.run(session),
            Self::Edit(verb) => verb.run(session),
            Self::Duplicate(verb) => verb.run(session),
            Self::Rotate(verb) => verb.run(session),
            Self::Enable(verb) => verb.run(session),
            Self::Disable(verb) => verb.run(session),
            Self::Delete(verb) => verb.run(session),
            Self::Verify(verb) => verb.run(session),
            Self::History(verb) => verb.run(session),
            Self::Usage(verb) => verb.run(session),
            Self::Group(verb) => verb.run(session),
            Self::User(verb) => verb.run(session),
            Self::Role(verb) => verb.run(session),
            Self::Tenant(verb) => verb.run(session),
            Self::Status(verb) => verb.run(session),
            Self::Export(verb) => verb.run(session),
            Self::Apply(verb) => verb.run(session),
            Self::Import(verb) => verb.run(session),
            Self::Doctor(verb) => verb.run(session),
            Self::Backup(verb) => verb.run(session),
            Self::Restore(verb) => verb.run(session),
            Self::Scan(verb) => verb.run(session),
            #[cfg(feature = "serve")]
            Self::Serve(verb) => verb.run(session),
            Self::Settings(verb) => verb.run(session),
            #[cfg(feature = "postgres")]
            Self::Store(verb) => verb.run(session),
            Self::Completions(verb) => verb.run(session),
            Self::Man(verb) => verb.run(session, Cli::shown()),
            Self::Help(verb) => verb.run(session, Cli::shown()),
            Self::Version => {
                session.terminal.print(concat!("keyward ", env!("CARGO_PKG_VERSION"), "\n"))?;
                Ok(Exit::DONE)
            }
            Self::HoldClipboard(verb) => verb.run(session),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
        outline(&every_verb()).debug_assert();
    }

    fn every_verb() -> Vec<OsString> {
        VERBS.iter().map(|(name, _)| name.into()).collect()
    }

    #[test]
    fn the_outline_parses_what_all_of_it_does() {
        let (mut all, mut outline) = (Cli::command(), outline(&every_verb()));
        all.build();
        outline.build();
        assert_same(&all, &outline);
    }

    fn assert_same(all: &clap::Command, outline: &clap::Command) {
        let arguments = |command: &clap::Command| {
            let mut arguments: Vec<String> = command.get_arguments().map(|arg| format!("{arg:?}")).collect();
            arguments.sort();
            arguments
        };
        assert_eq!(arguments(all), arguments(outline), "{}", all.get_name());
        let verbs = |command: &clap::Command| command.get_subcommands().cloned().collect::<Vec<_>>();
        assert_eq!(all.get_subcommands().count(), outline.get_subcommands().count());
        for (all, outline) in verbs(all).iter().zip(&verbs(outline)) {
            assert_eq!(all.get_name(), outline.get_name());
            assert_same(all, outline);
        }
    }
}
