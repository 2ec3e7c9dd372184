//! Where the credential is read from.

use zeroize::Zeroizing;

use super::{MOST_INPUT, Verify};
use crate::error::{Code, Error};
use crate::session::Session;

impl Verify {
    /// The presented bytes: one more than allowed, if there are too many.
    pub(super) fn read(&self, session: &mut Session) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut input = Zeroizing::new(Vec::new());
        if let Some(path) = &self.from_file {
            let failed = |error| {
                Error::new(
                    Code::InvalidValue,
                    format!("the credential cannot be read from {}: {error}", path.display()),
                )
                .hint("name a file that holds the credential, and that you may read")
            };
            let file = std::fs::File::open(path).map_err(failed)?;
            std::io::Read::read_to_end(&mut std::io::Read::take(file, MOST_INPUT + 1), &mut input).map_err(failed)?;
        } else if let Some(name) = &self.from_env {
            let value = session.environment(name).ok_or_else(|| {
                Error::new(Code::InvalidValue, format!("the environment variable {name} is not set"))
                    .hint("set it for this command, or pipe the credential in")
            })?;
            let value = Zeroizing::new(value.into_encoded_bytes());
            input.extend_from_slice(&value);
        } else if !session.terminal.kinds().stdin_is_terminal {
            session.terminal.read_input(MOST_INPUT, &mut input).map_err(|error| {
                Error::new(Code::InvalidValue, format!("standard input cannot be read: {error}"))
                    .hint("pipe the credential in, or name where it is: --from-file PATH, --from-env NAME")
            })?;
        } else if session.terminal.can_ask() && !self.request {
            input = session.terminal.hidden(&session.interrupts, "Credential (it is not shown)")?;
        } else {
            return Err(Error::new(Code::Usage, "no credential was given")
                .hint("pipe it in, or name where it is: --from-file PATH, --from-env NAME"));
        }
        Ok(input)
    }
}
