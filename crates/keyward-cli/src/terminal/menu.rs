//! A page with a menu below it, on the alternate screen. Both are drawn again when the size of the terminal changes: an
//! alternate screen does not rewrap its lines, and what was cut off is lost.

use std::io::{self, ErrorKind, Write};

use zeroize::Zeroizing;

use super::keys::{Key, Keyboard};
use super::{AlternateScreen, Answer, Section};
use crate::error::{Code, Error};

impl<W: Write> AlternateScreen<'_, W> {
    /// Shows what `page` returns for a terminal of these rows and columns, with `items` and the explanation of `keys`
    /// below it, and returns the item that the person chooses. If the terminal is too small for a page, nothing can be
    /// chosen.
    ///
    /// # Errors
    /// The error of `section` for an interruption; also if the terminal is gone.
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
        let mut keyboard = Keyboard::begin()?;
        let terminal = console::Term::stderr();
        let (mut chosen, mut drawn, mut can_choose) = (0, None, false);
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
            match keyboard.next()? {
                Key::Up | Key::Char('k') => chosen = (chosen + items.len() - 1) % items.len(),
                Key::Down | Key::Tab | Key::Char('j') => chosen = (chosen + 1) % items.len(),
                Key::Enter | Key::Char(' ') if can_choose => return Ok(Answer::Given(chosen)),
                Key::Escape => return Ok(Answer::Declined),
                Key::Control('c') => return Err(ErrorKind::Interrupted.into()),
                _ => {}
            }
        }
    }
}

/// One buffer with room for everything: one that grows leaves copies of a secret behind.
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
