//! The reveal: a person sees the secret once, and confirms that it is stored before the key exists.

use zeroize::Zeroizing;

use super::clipboard::{self, Holder};
use super::{Deposit, Effect, Told};
use crate::error::{Code, Error};
use crate::session::Session;
use crate::terminal::{AlternateScreen, Answer, Section};
use crate::text::{clean, count};
use keyward_core::rules::token::Secret;

/// The answers. Only a single secret can be copied.
const ITEMS: [&str; 3] = ["I have stored it", "Copy it to the clipboard", "Discard this key"];
const ITEMS_OF_ROTATION: [&str; 3] =
    ["I have stored it", "Copy it to the clipboard", "Discard it, and keep the old secret"];
const ITEMS_OF_SEVERAL: [&str; 2] = ["I have stored them", "Discard them, and keep the old secrets"];

/// What the keys do.
const KEYS: &str = "↑ ↓ and Enter; Esc discards";

/// A secret, and what is reported about its key.
type Revealed<'r> = (&'r Secret, Told<'r>);

/// Shows the secrets, and returns once the person has confirmed that they are stored.
///
/// # Errors
/// [`Code::Cancelled`] if the person discards them; [`Code::NotDelivered`] if they interrupt, or if the terminal cannot
/// show them.
pub(super) fn reveal(session: &mut Session, secrets: &[Revealed<'_>], deposit: &mut Deposit) -> Result<(), Error> {
    let section = session.interrupts.section(Code::NotDelivered, super::INTERRUPTED);
    if session.terminal.is_dumb() {
        on_dumb_terminal(session, &section, secrets, deposit)?;
    } else {
        on_alternate_screen(session, &section, secrets, deposit)?;
    }
    deposit.hold = Some(section.answered());
    deposit.set_final();
    Ok(())
}

fn items(secrets: &[Revealed<'_>]) -> &'static [&'static str] {
    match secrets {
        [(_, told)] if told.outcome == Effect::Rotated => &ITEMS_OF_ROTATION,
        [_] => &ITEMS,
        _ => &ITEMS_OF_SEVERAL,
    }
}

fn on_alternate_screen(
    session: &mut Session,
    section: &Section,
    secrets: &[Revealed<'_>],
    deposit: &mut Deposit,
) -> Result<(), Error> {
    let stderr = console::Term::stderr();
    let what = if secrets.len() == 1 { "the secret" } else { "all of the secrets" };
    if !fits(&short_page(secrets), stderr.size()) {
        let (otherwise, message) = (
            if secrets.len() == 1 { "" } else { "--secrets-dir, " },
            format!("the terminal is too small to show {what}; nothing was changed"),
        );
        return Err(Error::new(Code::NotDelivered, message)
            .hint(format!("make its window larger, or use {otherwise}--json, or send standard output to a file")));
    }
    let mut note = "It leaves no trace in this terminal once you have answered.".to_owned();
    let mut screen = AlternateScreen::enter(section, stderr).map_err(lost)?;
    loop {
        let answer = screen.menu(section, items(secrets), KEYS, |size| page(size, secrets, &note))?;
        match settle(session, secrets, answer, deposit)? {
            None => return Ok(()),
            Some(copied) => note = copied,
        }
    }
}

fn on_dumb_terminal(
    session: &mut Session,
    section: &Section,
    secrets: &[Revealed<'_>],
    deposit: &mut Deposit,
) -> Result<(), Error> {
    let stderr = console::Term::stderr();
    let note = "This terminal keeps what it shows: clear its scrollback afterwards.";
    stderr.write_str(&full_page(secrets, note)).map_err(lost)?;
    loop {
        let answer = session.terminal.select(section, "And now?", items(secrets))?;
        match settle(session, secrets, answer, deposit)? {
            None => return Ok(()),
            Some(copied) => stderr.write_line(&clean(&copied)).map_err(lost)?,
        }
    }
}

/// `None` if the person confirmed that the secrets are stored; otherwise the result of copying one.
fn settle(
    session: &Session,
    secrets: &[Revealed<'_>],
    answer: Answer<usize>,
    deposit: &mut Deposit,
) -> Result<Option<String>, Error> {
    match (answer, secrets) {
        (Answer::Given(0), _) => Ok(None),
        (Answer::Given(1), [(secret, _)]) => Ok(Some(match clipboard::copy(session, secret, clipboard::CLEAR_AFTER) {
            Ok(copied) => {
                let note = copied.note();
                if let Holder::Keeper(_, keeper) = copied {
                    deposit.keeper = Some(keeper);
                }
                note
            }
            Err(error) => format!("Not copied: {error}"),
        })),
        (Answer::Given(_) | Answer::Declined, _) => Err(Error::new(Code::Cancelled, "discarded; nothing was changed")),
    }
}

/// The most detailed page that fits on the screen with every secret in full; `None` if none does.
fn page(size: (u16, u16), secrets: &[Revealed<'_>], note: &str) -> Option<Zeroizing<String>> {
    let pages = [full_page(secrets, note), page_with_note(secrets, note), short_page(secrets)];
    pages.into_iter().find(|page| fits(page, size))
}

fn fits(page: &str, (rows, columns): (u16, u16)) -> bool {
    let lines = page.lines().map(|line| line.chars().count().div_ceil(usize::from(columns).max(1)).max(1));
    // The keys below the items, and the cursor on a line of its own.
    lines.sum::<usize>() + ITEMS.len() + 1 < usize::from(rows)
}

/// The secret on its own line, so that it can be selected even if it wraps, and the lines that clients send. Several
/// secrets are each below the name of their key.
fn full_page(secrets: &[Revealed<'_>], note: &str) -> Zeroizing<String> {
    let note = clean(note);
    let [(secret, told)] = secrets else {
        return of_several(secrets, ". They are shown once: store them now.\n", "\n", &["\n", &note, "\n\n"]);
    };
    let (name, plain) = (told.key.name.as_str(), secret.expose());
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

fn page_with_note(secrets: &[Revealed<'_>], note: &str) -> Zeroizing<String> {
    let note = clean(note);
    let [(secret, told)] = secrets else { return of_several(secrets, ", shown once:\n", "", &[&note, "\n"]) };
    joined(&["The secret of ", told.key.name.as_str(), ", shown once:\n", secret.expose(), "\n", &note, "\n"])
}

fn short_page(secrets: &[Revealed<'_>]) -> Zeroizing<String> {
    let [(secret, told)] = secrets else { return of_several(secrets, ", shown once:\n", "", &[]) };
    joined(&["The secret of ", told.key.name.as_str(), ", shown once:\n", secret.expose(), "\n"])
}

/// Several secrets, below the names of their keys; `between` precedes each.
fn of_several(secrets: &[Revealed<'_>], title: &str, between: &str, end: &[&str]) -> Zeroizing<String> {
    let count = format!("The secrets of {}", count(secrets.len() as u64, "key"));
    let mut parts = vec![count.as_str(), title];
    for (secret, told) in secrets {
        parts.extend([between, told.key.name.as_str(), "\n", secret.expose(), "\n"]);
    }
    parts.extend(end);
    joined(&parts)
}

/// One buffer with room for everything: one that grows leaves copies of the secret behind.
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
