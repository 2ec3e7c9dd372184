//! Standard output as the place of a secret: alone on its line, or inside the JSON document of the command.

use keyward_core::rules::key::KeyJson;
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

impl<'d> MintDocument<'d> {
    fn new(session: &Session, secret: Option<&'d Secret>, told: Told<'d>) -> Self {
        let Told { key, outcome, warnings } = told;
        Self { key: key.to_json(session.now()), secret: secret.map(Secret::expose), outcome, warnings }
    }
}

/// Prints the JSON document of a command that shows no secret; with `in_array`, those of several keys.
///
/// # Errors
/// Where stdout takes nothing.
pub fn print_outcomes(session: &mut Session, told: &[Told<'_>], in_array: bool) -> Result<(), Error> {
    let documents: Vec<_> = told.iter().map(|told| MintDocument::new(session, None, *told)).collect();
    match &documents[..] {
        [document] if !in_array => session.terminal.print_json(document),
        documents => session.terminal.print_json(&documents),
    }
}

/// The documents with the secrets in them, on one line.
pub(super) fn documents(
    session: &Session,
    secrets: &[(&Secret, Told<'_>)],
    in_array: bool,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let documents: Vec<_> =
        secrets.iter().map(|(secret, told)| MintDocument::new(session, Some(secret), *told)).collect();
    // Room for all of it at once: a buffer that grows leaves copies of the secrets behind.
    let mut text = Zeroizing::new(Vec::with_capacity(64 * 1024 * documents.len().max(1)));
    match &documents[..] {
        [document] if !in_array => serde_json::to_writer(&mut *text, document),
        documents => serde_json::to_writer(&mut *text, documents),
    }
    .map_err(anyhow::Error::new)?;
    text.push(b'\n');
    Ok(text)
}

/// The secrets, each on its line; `with_names`, that of its key and a tab stand in front of it.
pub(super) fn lines(secrets: &[(&Secret, Told<'_>)], with_names: bool) -> Zeroizing<Vec<u8>> {
    let name = |told: &Told<'_>| if with_names { told.key.name.to_string() + "\t" } else { String::new() };
    let size = |(secret, told): &(&Secret, Told<'_>)| name(told).len() + secret.expose().len() + 1;
    let mut lines = Zeroizing::new(Vec::with_capacity(secrets.iter().map(size).sum()));
    for (secret, told) in secrets {
        lines.extend_from_slice(name(told).as_bytes());
        lines.extend_from_slice(secret.expose().as_bytes());
        lines.push(b'\n');
    }
    lines
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
