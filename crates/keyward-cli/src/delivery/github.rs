//! A step of GitHub Actions: the runner is told to mask the secret, and then reads it from the file that it named.
//!
//! The runner reads workflow commands such as `::add-mask::` from both standard output and standard error of a step.
//! Here they go to standard error: standard output is often captured by the step itself, and then the runner would
//! never see the mask.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::files::Files;
use crate::error::{Code, Error};
use crate::session::Session;
use keyward_core::rules::token::Secret;

/// A file of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepFile {
    /// Variables of the following steps.
    Env,
    /// Outputs of this step.
    Output,
}

impl StepFile {
    /// The variable in which the runner names the file.
    pub(super) fn variable(self) -> &'static str {
        match self {
            Self::Env => "GITHUB_ENV",
            Self::Output => "GITHUB_OUTPUT",
        }
    }

    /// The file that the runner named.
    ///
    /// # Errors
    /// If this is not a step of a runner.
    pub(super) fn path(self, session: &Session) -> Result<PathBuf, Error> {
        let variable = self.variable();
        let path = session.environment(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        path.ok_or_else(|| {
            Error::new(Code::NotDelivered, format!("{variable} is not set, so there is no runner to take the secret"))
                .hint(
                    "this flag is for a step of GitHub Actions; elsewhere use --secret-file, --env-file or --secret-to",
                )
        })
    }
}

/// Masks the secret, and adds it to the file under `name`.
pub(super) fn add(
    session: &mut Session,
    files: &mut Files,
    file: StepFile,
    name: &str,
    secret: &Secret,
) -> Result<(), Error> {
    let path = file.path(session)?;
    // A mask that no runner reads masks nothing.
    if session.terminal.kinds().stderr_is_nowhere {
        let message = "nothing would mask the secret: standard error is closed, or leads nowhere (/dev/null)";
        return Err(Error::new(Code::NotDelivered, message).hint("leave standard error of this command to the runner"));
    }
    // A runner never gives a step a terminal; on one, the mask would itself leak the secret.
    if !session.terminal.kinds().stderr_is_terminal {
        session.terminal.write_runner_command("add-mask", secret.expose()).map_err(|error| {
            Error::new(Code::NotDelivered, format!("standard error did not take the mask of the secret: {error}"))
                .hint("the runner reads it there: do not close or fill standard error")
        })?;
    }
    // A value between two unguessable lines: no value can end early.
    let end = u128::from_le_bytes(session.random()?);
    let end = format!("keyward_{end:032x}");
    let mut lines = Zeroizing::new(String::with_capacity(name.len() + 2 * end.len() + secret.expose().len() + 8));
    for part in [name, "<<", &end, "\n", secret.expose(), "\n", &end, "\n"] {
        lines.push_str(part);
    }
    files.append(&path, lines.as_bytes())
}
