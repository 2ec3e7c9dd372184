//! The reveal: a person sees the secret once, and says that it is stored before the key exists.

use zeroize::Zeroizing;

use super::Deposit;
use super::clipboard::{self, Holder};
use crate::error::{Code, Error};
use crate::session::Session;
use crate::terminal::{AlternateScreen, Answer, Section};
use crate::text::clean;
use keyward_core::rules::key::Key;
use keyward_core::rules::token::Secret;

/// The three answers.
const ITEMS: [&str; 3] = ["I have stored it", "Copy it to the clipboard", "Discard this key"];

/// What the keys do.
const KEYS: &str = "↑ ↓ and Enter; Esc discards";

/// Shows `secret` and returns once it was acknowledged.
///
/// # Errors
/// [`Code::Cancelled`] where the person discards it; [`Code::NotDelivered`] where they interrupt, or
/// where the terminal cannot show it.
pub(super) fn reveal(session: &mut Session, key: &Key, secret: &Secret, deposit: &mut Deposit) -> Result<(), Error> {
    let section = session.interrupts.section(Code::NotDelivered, super::INTERRUPTED);
    if session.terminal.is_dumb() {
        on_dumb_terminal(session, &section, key, secret, deposit)?;
    } else {
        on_alternate_screen(session, &section, key, secret, deposit)?;
    }
    deposit.hold = Some(section.answered());
    deposit.is_final = true;
    Ok(())
}

fn on_alternate_screen(
    session: &mut Session,
    section: &Section,
    key: &Key,
    secret: &Secret,
    deposit: &mut Deposit,
) -> Result<(), Error> {
    let stderr = console::Term::stderr();
    if !fits(&short_page(key, secret), stderr.size()) {
        return Err(Error::new(
            Code::NotDelivered,
            "the terminal is too small to show the secret; nothing was changed",
        )
        .hint("make its window larger, or use --json, or send standard output to a file"));
    }
    let mut note = "It leaves no trace in this terminal once you have answered.".to_owned();
    let mut screen = AlternateScreen::enter(section, stderr).map_err(lost)?;
    loop {
        let answer = screen.menu(section, &ITEMS, KEYS, |size| page(size, key, secret, &note))?;
        match settle(session, secret, answer, deposit)? {
            None => return Ok(()),
            Some(copied) => note = copied,
        }
    }
}

fn on_dumb_terminal(
    session: &mut Session,
    section: &Section,
    key: &Key,
    secret: &Secret,
    deposit: &mut Deposit,
) -> Result<(), Error> {
    let stderr = console::Term::stderr();
    let note = "This terminal keeps what it shows: clear its scrollback afterwards.";
    stderr.write_str(&full_page(key, secret, note)).map_err(lost)?;
    loop {
        let answer = session.terminal.select(section, "And now?", &ITEMS)?;
        match settle(session, secret, answer, deposit)? {
            None => return Ok(()),
            Some(copied) => stderr.write_line(&clean(&copied)).map_err(lost)?,
        }
    }
}

/// `None` where the secret was acknowledged, and what came of copying where it was to be copied.
fn settle(
    session: &Session,
    secret: &Secret,
    answer: Answer<usize>,
    deposit: &mut Deposit,
) -> Result<Option<String>, Error> {
    match answer {
        Answer::Given(0) => Ok(None),
        Answer::Given(1) => Ok(Some(match clipboard::copy(session, secret, clipboard::CLEAR_AFTER) {
            Ok(copied) => {
                let note = copied.note();
                if let Holder::Keeper(_, keeper) = copied {
                    deposit.keeper = Some(keeper);
                }
                note
            }
            Err(error) => format!("Not copied: {error}"),
        })),
        Answer::Given(_) | Answer::Declined => Err(Error::new(Code::Cancelled, "discarded; nothing was changed")),
    }
}

/// As much of the page as there is room for, and never less than the whole secret: there is no page that
/// shows less of it.
fn page(size: (u16, u16), key: &Key, secret: &Secret, note: &str) -> Option<Zeroizing<String>> {
    let pages = [full_page(key, secret, note), page_with_note(key, secret, note), short_page(key, secret)];
    pages.into_iter().find(|page| fits(page, size))
}

fn fits(page: &str, (rows, columns): (u16, u16)) -> bool {
    let lines = page.lines().map(|line| line.chars().count().div_ceil(usize::from(columns).max(1)).max(1));
    // The keys below the items, and the cursor on a line of its own.
    lines.sum::<usize>() + ITEMS.len() + 1 < usize::from(rows)
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
        "Ready to paste, whichever your service reads:\n",
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

fn page_with_note(key: &Key, secret: &Secret, note: &str) -> Zeroizing<String> {
    let note = clean(note);
    joined(&["The secret of ", key.name.as_str(), ", shown once:\n", secret.expose(), "\n", &note, "\n"])
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
