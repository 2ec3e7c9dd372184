//! `keyward completions`

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::complete::{script, shells};
use crate::error::{Error, Exit};
use crate::session::Session;

/// Print the completion script of a shell
///
/// The script completes commands, flags and their values, and names of keys, groups, users, roles,
/// tenants, scopes and levels from the store.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward completions bash > ~/.local/share/bash-completion/completions/keyward
  keyward completions zsh > ~/.zfunc/_keyward  # fpath+=~/.zfunc before compinit
  keyward completions fish > ~/.config/fish/completions/keyward.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_parser = PossibleValuesParser::new(shells()))]
    shell: String,
}

impl Completions {
    /// Prints the script.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        session.terminal.print(&script(&self.shell)?)?;
        Ok(Exit::DONE)
    }
}
