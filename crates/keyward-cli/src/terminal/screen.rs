//! The alternate screen: what is shown on it leaves no trace in the scrollback.

use std::io::Write;

use super::Section;

/// Enters the alternate screen.
pub(super) const ENTER: &[u8] = b"\x1b[?1049h";
/// Clears and leaves the alternate screen, and shows the cursor. It is cleared before it is left,
/// because some terminals let the user scroll back into it.
const LEAVE: &[u8] = b"\x1b[2J\x1b[H\x1b[?1049l\x1b[?25h";
/// Shows the cursor, which prompts hide, and leaves the line of the question.
const END_OF_PROMPT: &[u8] = b"\x1b[?25h\r\n";

/// What ends an interrupted question on the screen.
pub(super) fn end_of(alternate_screen: bool) -> &'static [u8] {
    if alternate_screen { LEAVE } else { END_OF_PROMPT }
}

/// Enters the alternate screen and leaves it when dropped, unless an interruption left it before.
#[derive(Debug)]
pub struct AlternateScreen<'s, W: Write> {
    section: &'s Section,
    out: W,
}

impl<'s, W: Write> AlternateScreen<'s, W> {
    /// Enters it, empty, with the cursor at the top left.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn enter(section: &'s Section, out: W) -> std::io::Result<Self> {
        section.set_alternate_screen(true);
        let mut screen = Self { section, out };
        screen.out.write_all(ENTER)?;
        screen.show("")?;
        Ok(screen)
    }

    /// Clears it and writes `text` from the top.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn show(&mut self, text: &str) -> std::io::Result<()> {
        self.out.write_all(b"\x1b[2J\x1b[H")?;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Drop for AlternateScreen<'_, W> {
    fn drop(&mut self) {
        // If it were left twice, the second time would clear the former content of the terminal.
        if self.section.set_alternate_screen(false) {
            let _ = self.out.write_all(LEAVE);
            let _ = self.out.flush();
        }
    }
}
