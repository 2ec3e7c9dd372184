//! The command line: the root, the global flags, and one `match` from subcommand to verb.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{self, directory};
use crate::domain::names::Name;
use crate::error::{Code, Error, Exit};
use crate::session::Session;
use crate::terminal::ColorChoice;

/// Mint, manage and verify API keys for your own services
///
/// A key's secret is shown once, when it is made; the store keeps only its Argon2id hash. Everything
/// is in one file that belongs to you.
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

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// The store [env: KEYWARD_STORE] [default: keys.db in the data folder of your platform]
    #[arg(long, global = true, value_name = "PATH")]
    pub store: Option<PathBuf>,
    /// Print one JSON document, and errors as JSON on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no notes; for lists, names alone
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Ask nothing: what needs an answer is refused
    #[arg(long, global = true)]
    pub no_input: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = true)]
    pub color: ColorChoice,
    /// The user who acts [env: KEYWARD_AS] [default: the owner of the store, who may do everything]
    ///
    /// It guards against mistakes and is recorded in the history. It is not a security boundary:
    /// that is the permissions of the store's file.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub acting: Option<Name>,
}

impl GlobalArgs {
    /// Fills in from the environment what the command line leaves open.
    ///
    /// # Errors
    /// Where a variable holds a value that does not parse.
    pub fn or_environment(mut self, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        self.store = self.store.or_else(|| set("KEYWARD_STORE").map(PathBuf::from));
        if self.acting.is_none()
            && let Some(user) = set("KEYWARD_AS")
        {
            let user = user
                .to_string_lossy()
                .parse()
                .map_err(|error| Error::new(Code::Usage, format!("KEYWARD_AS is not the name of a user: {error}")))?;
            self.acting = Some(user);
        }
        Ok(self)
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each is described by its own Args, which is its help")]
pub enum Command {
    Create(Box<commands::create::Create>),
    List(commands::list::List),
    Show(commands::show::Show),
    Edit(Box<commands::edit::Edit>),
    Duplicate(Box<commands::duplicate::Duplicate>),
    Rotate(commands::rotate::Rotate),
    Enable(commands::enable::Enable),
    Disable(commands::enable::Disable),
    Delete(commands::delete::Delete),
    Verify(commands::verify::Verify),
    History(commands::history::History),
    /// Manage groups: sets of keys that belong together
    #[command(subcommand, after_help = directory::GROUP_EXAMPLES)]
    Group(directory::Verb<directory::GroupArgs>),
    /// Manage users: on whose behalf keys act, and who may act with --as
    #[command(subcommand, after_help = directory::USER_EXAMPLES)]
    User(directory::SwitchVerb<directory::UserArgs>),
    /// Manage roles: what users and keys may do at most, by rank
    #[command(subcommand, after_help = directory::ROLE_EXAMPLES)]
    Role(directory::Verb<directory::RoleArgs>),
    /// Manage tenants: whose data a key is good for
    #[command(subcommand, after_help = directory::TENANT_EXAMPLES)]
    Tenant(directory::SwitchVerb<directory::TenantArgs>),
    Settings(commands::settings::Settings),
    Completions(commands::completions::Completions),
    Man(commands::man::Manual),
    Help(commands::help::Help),
    #[command(hide = true)]
    HoldClipboard(commands::hold_clipboard::HoldClipboard),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// What the verb says.
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
            Self::Group(verb) => verb.run(session),
            Self::User(verb) => verb.run(session),
            Self::Role(verb) => verb.run(session),
            Self::Tenant(verb) => verb.run(session),
            Self::Settings(verb) => verb.run(session),
            Self::Completions(verb) => verb.run(session),
            Self::Man(verb) => verb.run(session),
            Self::Help(verb) => verb.run(session),
            Self::HoldClipboard(verb) => verb.run(session),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
