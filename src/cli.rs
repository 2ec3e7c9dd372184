//! The command line: the root, the global flags, and one `match` from subcommand to verb.

use clap::{Parser, Subcommand};

use crate::commands::{self, directory};
use crate::error::{Error, Exit};
use crate::global::GlobalArgs;
use crate::session::Session;

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
    Export(commands::export::Export),
    Apply(commands::apply::Apply),
    Doctor(commands::doctor::Doctor),
    Backup(commands::backup::Backup),
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
            Self::Export(verb) => verb.run(session),
            Self::Apply(verb) => verb.run(session),
            Self::Doctor(verb) => verb.run(session),
            Self::Backup(verb) => verb.run(session),
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
