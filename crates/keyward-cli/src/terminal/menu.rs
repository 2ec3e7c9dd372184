//! A page with a menu below it, on the alternate screen. Both are drawn again when the size of the
//! terminal changes: an alternate screen is not wrapped again by itself, and what was cut off is gone.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};

use zeroize::Zeroizing;

use super::{AlternateScreen, Answer, Section};
use crate::error::{Code, Error};
use crate::platform::RawMode;

/// How often the size of the terminal is checked, in milliseconds.
const LOOK_EVERY: u32 = 200;
/// How long to wait for the rest of a key that begins with Esc, in milliseconds.
const ESCAPE: u32 = 50;

/// What a person can press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Press {
    Up,
    Down,
    Choose,
    Leave,
    Interrupt,
    Nothing,
}

impl<W: Write> AlternateScreen<'_, W> {
    /// Shows what `page` makes for a terminal of these rows and columns, with `items` and what the `keys` do below it,
    /// and returns the item that the person chooses. Where the terminal is too small for a page, nothing can be
    /// chosen.
    ///
    /// # Errors
    /// What `section` says for an interruption, or where the terminal is gone.
    pub fn menu(
        &mut self,
        section: &Section,
        items: &[&str],
        keys: &str,
        page: impl Fn((u16, u16)) -> Option<Zeroizing<String>>,
    ) -> Result<Answer<usize>, Error> {
        match self.ask(section, items, keys, page) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(section.interrupted()),
            Err(error) => Err(Error::new(Code::NotDelivered, format!("the terminal is gone: {error}"))
                .hint("nothing was changed; try again with --json, or send standard output to a file")),
            Ok(answer) => Ok(answer),
        }
    }

    fn ask(
        &mut self,
        section: &Section,
        items: &[&str],
        keys: &str,
        page: impl Fn((u16, u16)) -> Option<Zeroizing<String>>,
    ) -> io::Result<Answer<usize>> {
        let mode = RawMode::begin()?;
        let terminal = console::Term::stderr();
        let (mut chosen, mut drawn, mut typed, mut can_choose) = (0, None, VecDeque::new(), false);
        loop {
            let size = terminal.size();
            let wanted = Some((size, chosen, section.returns()));
            if drawn != wanted {
                let page = page(size);
                can_choose = page.is_some();
                match page {
                    Some(page) => self.show(&with_menu(&page, items, keys, chosen))?,
                    None => self.show("The window is too small to show the secret: make it larger.\n")?,
                }
                drawn = wanted;
            }
            match press(&mode, &mut typed)? {
                Press::Up => chosen = (chosen + items.len() - 1) % items.len(),
                Press::Down => chosen = (chosen + 1) % items.len(),
                Press::Choose if can_choose => return Ok(Answer::Given(chosen)),
                Press::Leave => return Ok(Answer::Declined),
                Press::Interrupt => return Err(ErrorKind::Interrupted.into()),
                Press::Choose | Press::Nothing => {}
            }
        }
    }
}

/// One buffer with room for all of it: one that grows leaves copies of a secret behind.
fn with_menu(page: &str, items: &[&str], keys: &str, chosen: usize) -> Zeroizing<String> {
    let room: usize = items.iter().map(|item| item.len() + 8).sum();
    let mut text = Zeroizing::new(String::with_capacity(page.len() + room + keys.len() + 2));
    text.push_str(page);
    for (place, item) in items.iter().enumerate() {
        text.push_str(if place == chosen { "❯ " } else { "  " });
        text.push_str(item);
        text.push('\n');
    }
    text.push_str(keys);
    text.push('\n');
    text
}

/// The next key. `typed` holds bytes that came together with the keys before.
fn press(mode: &RawMode, typed: &mut VecDeque<u8>) -> io::Result<Press> {
    let mut bytes = [0; 16];
    if typed.is_empty() {
        typed.extend(mode.read(&mut bytes, Some(LOOK_EVERY))?);
    }
    let Some(first) = typed.pop_front() else { return Ok(Press::Nothing) };
    if first != b'\x1b' {
        return Ok(match first {
            b'k' => Press::Up,
            b'j' | b'\t' => Press::Down,
            b'\r' | b'\n' | b' ' => Press::Choose,
            0x03 => Press::Interrupt,
            _ => Press::Nothing,
        });
    }
    if typed.is_empty() {
        typed.extend(mode.read(&mut bytes, Some(ESCAPE))?);
    }
    match typed.front() {
        Some(b'[' | b'O') => drop(typed.pop_front()),
        _ => return Ok(Press::Leave),
    }
    // A sequence ends with a letter or a tilde (ECMA-48 section 5.4).
    let end = typed.iter().position(|b| (0x40..=0x7e).contains(b)).unwrap_or(typed.len());
    let sequence: Vec<u8> = typed.drain(..typed.len().min(end + 1)).collect();
    Ok(match &sequence[..] {
        b"A" => Press::Up,
        b"B" => Press::Down,
        _ => Press::Nothing,
    })
}
