//! Standard output as the place of a secret: alone on its line, or inside the JSON document of the command.

use keyward_core::rules::key::{Key, KeyJson};
use keyward_core::rules::token::Secret;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Deposit, Effect, Told};
use crate::error::{Code, Error};
use crate::session::Session;

/// The document of `create`, `duplicate` and `rotate`.
#[derive(Serialize)]
struct MintDocument<'d> {
    key: KeyJson<'d>,
    secret: Option<&'d str>,
    outcome: Effect,
    warnings: &'d [&'static str],
}

/// Prints the JSON document of a command that shows no secret.
///
/// # Errors
/// Where stdout takes nothing.
pub fn print_outcome(session: &mut Session, key: &Key, told: Told<'_>) -> Result<(), Error> {
    let Told { outcome, warnings } = told;
    let document = MintDocument { key: key.to_json(session.now()), secret: None, outcome, warnings };
    session.terminal.print_json(&document)
}

/// The document with the secret in it.
pub(super) fn document(
    session: &Session,
    key: &Key,
    secret: &Secret,
    Told { outcome, warnings }: Told<'_>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (key, secret) = (key.to_json(session.now()), Some(secret.expose()));
    let document = MintDocument { key, secret, outcome, warnings };
    // Room for all of it at once: a buffer that grows leaves copies of the secret behind.
    let mut text = Zeroizing::new(Vec::with_capacity(64 * 1024));
    serde_json::to_writer(&mut *text, &document).map_err(anyhow::Error::new)?;
    text.push(b'\n');
    Ok(text)
}

/// The secret on its line.
pub(super) fn line(secret: &Secret) -> Zeroizing<Vec<u8>> {
    let mut line = Zeroizing::new(Vec::with_capacity(secret.expose().len() + 1));
    line.extend_from_slice(secret.expose().as_bytes());
    line.push(b'\n');
    line
}

/// Writes a text with a secret to stdout, at once. With `is_staged`, the secret works already: a signal that comes
/// while nobody reads ends the program in an orderly way, and one that comes later waits for the change.
pub(super) fn write(session: &mut Session, text: &[u8], is_staged: bool, deposit: &mut Deposit) -> Result<(), Error> {
    let section = is_staged.then(|| session.interrupts.section(Code::Interrupted, super::INTERRUPTED));
    session.terminal.deliver(text).map_err(not_delivered)?;
    deposit.is_final = true;
    deposit.hold = section.map(crate::terminal::Section::answered);
    Ok(())
}

/// The error for a standard output that nobody reads.
pub(super) fn closed() -> Error {
    not_delivered(std::io::Error::new(std::io::ErrorKind::NotConnected, "it is closed, or leads nowhere (/dev/null)"))
}

fn not_delivered(error: std::io::Error) -> Error {
    Error::new(Code::NotDelivered, format!("standard output did not take the secret: {error}"))
        .hint("nothing was changed; send standard output to a file, a pipe or a terminal that takes it")
}
