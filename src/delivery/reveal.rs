//! The reveal: a person sees the secret once, and says that it is stored before the key exists.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::clipboard;
use crate::domain::key::Key;
use crate::domain::text::clean;
use crate::domain::token::Secret;
use crate::error::{Code, Error};
use crate::session::Session;
use crate::terminal::{AlternateScreen, Answer, Section};

const STORED: &str = "I have stored it";
const COPY: &str = "Copy it to the clipboard";
const DISCARD: &str = "Discard this key";

/// Shows `secret` and returns once it was acknowledged.
///
/// # Errors
/// [`Code::Cancelled`] where the person discards it, [`Code::NotDelivered`] where they interrupt.
pub(super) fn reveal(session: &mut Session, key: &Key, secret: &Secret) -> Result<(), Error> {
    let section = session
        .interrupts
        .section(Code::NotDelivered, "interrupted before the secret was acknowledged; nothing was changed");
    if session.terminal.is_dumb() {
        session.terminal.tell(&page(
            key,
            secret,
            "This terminal keeps what it shows: clear its scrollback afterwards.",
        ));
        return ask(session, &section, secret, |_| Ok(()));
    }
    let mut screen =
        AlternateScreen::enter(&section, std::io::BufWriter::new(console::Term::stderr())).map_err(lost)?;
    let first = page(key, secret, "It leaves no trace in this terminal once you have answered.");
    screen.show(&first).map_err(lost)?;
    ask(session, &section, secret, |note| screen.show(&page(key, secret, note)).map_err(lost))
}

/// Asks until the answer is final. `redraw` shows the page anew with a note.
fn ask(
    session: &mut Session,
    section: &Section,
    secret: &Secret,
    mut redraw: impl FnMut(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        match session.terminal.select(section, "What now?", &[STORED, COPY, DISCARD])? {
            Answer::Given(0) => return Ok(()),
            Answer::Given(1) => {
                let note = match clipboard::copy(session, secret) {
                    Ok(note) => note,
                    Err(error) => format!("Not copied: {error}"),
                };
                redraw(&note)?;
                if session.terminal.is_dumb() {
                    session.terminal.tell(&note);
                }
            }
            Answer::Given(_) | Answer::Declined => {
                return Err(Error::new(Code::Cancelled, "discarded; nothing was changed"));
            }
        }
    }
}

/// The page: the secret on a line of its own, so that it can be selected even where it wraps.
fn page(key: &Key, secret: &Secret, note: &str) -> Zeroizing<String> {
    let (name, secret) = (&key.name, secret.expose());
    let mut page = Zeroizing::new(String::with_capacity(4096));
    // A String takes whatever is written to it.
    let _ = write!(
        *page,
        "The secret of {name}. It is shown once: store it now.\n\n\
         {secret}\n\n\
         Ready to paste:\n\
         Authorization: Bearer {secret}\n\
         Authorization: Bearer {name}:{secret}\n\
         X-API-Key: {secret}\n\n\
         {}\n\n",
        clean(note),
    );
    page
}

fn lost(error: std::io::Error) -> Error {
    Error::new(Code::NotDelivered, format!("the terminal did not show the secret: {error}"))
        .hint("nothing was changed; try again with --json, or send standard output to a file")
}
