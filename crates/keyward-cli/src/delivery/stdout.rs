//! Standard output as the place of a secret: on its own line, or inside the command's JSON document.

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

/// Prints the JSON document of a command that shows no secret; with `in_array`, an array for several keys.
///
/// # Errors
/// If stdout cannot be written.
pub fn print_outcomes(session: &mut Session, told: &[Told<'_>], in_array: bool) -> Result<(), Error> {
    let documents: Vec<_> = told.iter().map(|told| MintDocument::new(session, None, *told)).collect();
    session.terminal.print_documents(&documents, in_array)
}

/// A text for each secret, in order, independent of the others.
pub(super) type Pieces = Vec<Zeroizing<Vec<u8>>>;

/// The documents with the secrets in them, on one line.
pub(super) fn documents(session: &Session, secrets: &[(&Secret, Told<'_>)], in_array: bool) -> Result<Pieces, Error> {
    let last = secrets.len().saturating_sub(1);
    let piece = |(place, (secret, told)): (usize, &(&Secret, Told<'_>))| {
        // Enough room from the start: a buffer that grows leaves copies of the secret behind.
        let mut text = Zeroizing::new(Vec::with_capacity(64 * 1024));
        text.extend_from_slice(match (in_array, place) {
            (false, _) => b"",
            (true, 0) => b"[",
            (true, _) => b",",
        });
        serde_json::to_writer(&mut *text, &MintDocument::new(session, Some(secret), *told))
            .map_err(anyhow::Error::new)?;
        text.extend_from_slice(match (in_array, place == last) {
            (true, true) => b"]\n",
            (true, false) => b"",
            (false, _) => b"\n",
        });
        Ok(text)
    };
    secrets.iter().enumerate().map(piece).collect()
}

/// The secrets, each on its own line; with `with_names`, after the name of its key and a tab.
pub(super) fn lines(secrets: &[(&Secret, Told<'_>)], with_names: bool) -> Pieces {
    let line = |(secret, told): &(&Secret, Told<'_>)| {
        let name = if with_names { told.key.name.to_string() + "\t" } else { String::new() };
        let mut line = Zeroizing::new(Vec::with_capacity(name.len() + secret.expose().len() + 1));
        line.extend_from_slice(name.as_bytes());
        line.extend_from_slice(secret.expose().as_bytes());
        line.push(b'\n');
        line
    };
    secrets.iter().map(line).collect()
}

/// Writes texts with secrets to stdout, each immediately. With `is_staged`, the secrets work already: a signal before
/// anything is read ends the program in an orderly way, and a later one waits for the change. A secret that is out is
/// not withdrawn, whatever happens to those after it.
pub(super) fn write(
    session: &mut Session,
    texts: &Pieces,
    is_staged: bool,
    deposit: &mut Deposit,
) -> Result<(), Error> {
    let section = is_staged.then(|| session.interrupts.section(Code::Interrupted, super::INTERRUPTED));
    for (done, text) in texts.iter().enumerate() {
        session
            .terminal
            .deliver(text)
            .map_err(|error| if done == 0 { not_delivered(error) } else { cut_off(&error) })?;
        deposit.set_final();
        if done + 1 < texts.len() {
            session.interrupts.hint(is_staged.then(|| SOME_ARE_OUT.to_owned()));
        }
    }
    session.interrupts.hint(None);
    deposit.hold = section.map(crate::terminal::Section::answered);
    Ok(())
}

/// The message if only some of the secrets are out.
const SOME_ARE_OUT: &str =
    "some secrets were delivered before: both secrets of each key work, until it is rotated again";

fn cut_off(error: &std::io::Error) -> Error {
    Error::new(Code::NotDelivered, format!("standard output took only some of the secrets: {error}"))
}

/// The error for a standard output that no one reads.
pub(super) fn closed() -> Error {
    not_delivered(std::io::Error::new(std::io::ErrorKind::NotConnected, "it is closed, or leads nowhere (/dev/null)"))
}

fn not_delivered(error: std::io::Error) -> Error {
    Error::new(Code::NotDelivered, format!("standard output did not take the secret: {error}"))
        .hint("nothing was changed; send standard output to a file, a pipe or a terminal that takes it")
}
