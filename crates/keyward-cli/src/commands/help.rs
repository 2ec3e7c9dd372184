//! `keyward help`

use std::fmt::Write as _;

use clap::{Args, Command};

use crate::error::{Code, Error, Exit};
use crate::manual::TOPICS;
use crate::session::Session;

/// Explain a command, the exit codes and error codes, or a topic such as provisioning
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward help create
  keyward help exit-codes
  keyward help provisioning
  keyward help manifest")]
pub struct Help {
    #[arg(value_name = "TOPIC", help = format!("A command, or {}", others()))]
    topic: Vec<String>,
}

impl Help {
    /// Prints the help of the command line that `root` defines, or of one of its commands.
    ///
    /// # Errors
    /// If there is no such topic.
    pub fn run(self, session: &mut Session, mut root: Command) -> Result<Exit, Error> {
        let words = self.topic.join("-");
        if ["exit-codes", "exit-code", "exit", "error-codes", "error-code", "errors", "codes"].contains(&&*words) {
            session.terminal.print(&format!("{}\n{}", exit_codes(), error_codes()))?;
            return Ok(Exit::DONE);
        }
        if let Some(topic) = TOPICS.iter().find(|topic| self.topic == [topic.name]) {
            session.terminal.print(&topic.text())?;
            return Ok(Exit::DONE);
        }
        root.build();
        let mut command = &mut root;
        for word in &self.topic {
            command = command.find_subcommand_mut(word).ok_or_else(|| {
                Error::new(Code::Usage, format!("there is no command {word:?}"))
                    .hint(format!("the commands are listed by `keyward --help`; other topics are {}", others()))
            })?;
        }
        let help = command.render_long_help();
        session.terminal.print(&help.to_string())?;
        Ok(Exit::DONE)
    }
}

/// The topics that are not commands.
fn others() -> String {
    let topics = TOPICS.iter().map(|topic| topic.name);
    std::iter::once("exit-codes").chain(topics).collect::<Vec<_>>().join(", ")
}

/// The end of the long help: exit codes, environment, files.
pub fn after_long_help() -> String {
    format!(
        "{}\n\
         Environment:\n\
         \x20 KEYWARD_STORE  the store, unless --store names one\n\
         \x20 KEYWARD_AS     the acting user, unless --as names one\n\
         \x20 KEYWARD_PAGER  the pager for output that is longer than the screen, instead of PAGER; empty for none\n\
         \x20 NO_COLOR       set to anything: no colours and symbols\n\n\
         Start with `keyward create first-key`. More about a command: `keyward help COMMAND`.",
        exit_codes()
    )
}

/// The codes of errors in JSON, each with its exit code.
fn error_codes() -> String {
    let mut text = "Error codes (with --json), their exit codes, and what they mean:\n".to_owned();
    for (code, exit, meaning) in Code::table() {
        let _ = writeln!(text, "  {code:<22} {:<4} {meaning}", exit.0);
    }
    text
}

fn exit_codes() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (exit, meaning) in Exit::TABLE {
        // A String takes whatever is written to it.
        let _ = writeln!(text, "  {:<4} {meaning}", exit.0);
    }
    text
}
