//! The reveal: a person sees the secret once, and says that it is stored before the key exists.

use zeroize::Zeroizing;

use super::clipboard;
use crate::domain::key::Key;
use crate::domain::text::clean;
use crate::domain::token::Secret;
use crate::error::{Code, Error};
use crate::session::Session;
use crate::terminal::{AlternateScreen, Answer, Answered, Section};

const STORED: &str = "I have stored it";
const COPY: &str = "Copy it to the clipboard";
const DISCARD: &str = "Discard this key";
/// Lines that the question takes, with the line of the cursor.
const QUESTION_LINES: usize = 5;

/// Shows `secret` and returns once it was acknowledged.
///
/// # Errors
/// [`Code::Cancelled`] where the person discards it; [`Code::NotDelivered`] where they interrupt, or
/// where the terminal cannot show it.
pub(super) fn reveal(session: &mut Session, key: &Key, secret: &Secret) -> Result<Answered, Error> {
    let section = session.interrupts.section(Code::NotDelivered, super::INTERRUPTED);
    let stderr = console::Term::stderr();
    if session.terminal.is_dumb() {
        let note = "This terminal keeps what it shows: clear its scrollback afterwards.";
        stderr.write_str(&full_page(key, secret, note)).map_err(lost)?;
        ask(session, &section, secret, |note| stderr.write_line(&clean(note)).map_err(lost))?;
    } else {
        let first = page(&stderr, key, secret, "It leaves no trace in this terminal once you have answered.")?;
        let mut screen = AlternateScreen::enter(&section, stderr.clone()).map_err(lost)?;
        screen.show(&first).map_err(lost)?;
        ask(session, &section, secret, |note| screen.show(&page(&stderr, key, secret, note)?).map_err(lost))?;
    }
    Ok(section.answered())
}

/// Asks until the answer is final. `tell` shows what came of copying.
fn ask(
    session: &mut Session,
    section: &Section,
    secret: &Secret,
    mut tell: impl FnMut(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        match session.terminal.select(section, "What now?", &[STORED, COPY, DISCARD])? {
            Answer::Given(0) => return Ok(()),
            Answer::Given(1) => match clipboard::copy(session, secret, clipboard::CLEAR_AFTER) {
                Ok(copied) => tell(&copied.note())?,
                Err(error) => tell(&format!("Not copied: {error}"))?,
            },
            Answer::Given(_) | Answer::Declined => {
                return Err(Error::new(Code::Cancelled, "discarded; nothing was changed"));
            }
        }
    }
}

/// As much of the page as the terminal has room for, and never less than the whole secret.
fn page(terminal: &console::Term, key: &Key, secret: &Secret, note: &str) -> Result<Zeroizing<String>, Error> {
    let (rows, columns) = terminal.size();
    let fits = |page: &str| {
        let lines = page.lines().map(|line| line.chars().count().div_ceil(usize::from(columns).max(1)).max(1));
        lines.sum::<usize>() + QUESTION_LINES <= usize::from(rows)
    };
    [full_page(key, secret, note), short_page(key, secret)].into_iter().find(|page| fits(page)).ok_or_else(|| {
        Error::new(Code::NotDelivered, "the terminal is too small to show the secret; nothing was changed")
            .hint("make its window larger, or use --json, or send standard output to a file")
    })
}

/// The secret on a line of its own, so that it can be selected even where it wraps, and the lines
/// that clients send.
fn full_page(key: &Key, secret: &Secret, note: &str) -> Zeroizing<String> {
    let (name, plain) = (key.name.as_str(), secret.expose());
    let note = clean(note);
    joined(&[
        "The secret of ",
        name,
        ". It is shown once: store it now.\n\n",
        plain,
        "\n\n",
        "Ready to paste:\n",
        "Authorization: Bearer ",
        plain,
        "\n",
        "Authorization: Bearer ",
        name,
        ":",
        plain,
        "\n",
        "X-API-Key: ",
        plain,
        "\n\n",
        &note,
        "\n\n",
    ])
}

fn short_page(key: &Key, secret: &Secret) -> Zeroizing<String> {
    joined(&["The secret of ", key.name.as_str(), ", shown once:\n", secret.expose(), "\n"])
}

/// One buffer with room for all of it: one that grows leaves copies of the secret behind.
fn joined(parts: &[&str]) -> Zeroizing<String> {
    let mut page = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        page.push_str(part);
    }
    page
}

fn lost(error: std::io::Error) -> Error {
    Error::new(Code::NotDelivered, format!("the terminal did not show the secret: {error}"))
        .hint("nothing was changed; try again with --json, or send standard output to a file")
}
