//! The alternate screen: what is shown on it leaves no trace in the scrollback.

use std::io::Write;

use super::Section;

/// Enters the alternate screen.
pub(super) const ENTER: &[u8] = b"\x1b[?1049h";
/// Clears it, and moves to the top left.
const CLEAR: &[u8] = b"\x1b[2J\x1b[H";
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
        let mut screen = Self { section, out };
        let out = &mut screen.out;
        section.on_screen(|is_shown| {
            *is_shown = true;
            out.write_all(&[ENTER, CLEAR].concat())?;
            out.flush()
        })?;
        Ok(screen)
    }

    /// Clears it and writes `text` from the top.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn show(&mut self, text: &str) -> std::io::Result<()> {
        let out = &mut self.out;
        self.section.on_screen(|is_shown| {
            if *is_shown {
                out.write_all(CLEAR)?;
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
            Ok(())
        })
    }
}

impl<W: Write> Drop for AlternateScreen<'_, W> {
    fn drop(&mut self) {
        let out = &mut self.out;
        let _ = self.section.on_screen(|is_shown| {
            // If it were left twice, the second time would clear the former content of the terminal.
            if std::mem::replace(is_shown, false) {
                out.write_all(LEAVE)?;
                out.flush()?;
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::*;
    use crate::error::Code;
    use crate::platform::EndingSignal;
    use crate::terminal::Interrupts;

    /// A question that is being asked.
    fn question() -> (Arc<Interrupts>, Section) {
        let interrupts = Arc::new(Interrupts::default());
        let section = interrupts.section(Code::Interrupted, "interrupted");
        (interrupts, section)
    }

    #[test]
    fn nothing_is_drawn_after_a_signal_has_ended_the_question() {
        let (interrupts, section) = question();
        let mut out = vec![];
        let mut screen = AlternateScreen::enter(&section, &mut out).unwrap();
        screen.show("before").unwrap();
        let _ = interrupts.fire(EndingSignal::Other);
        screen.show("a secret").unwrap();
        drop(screen);
        assert!(out.ends_with(b"before"), "{out:?}");
    }

    #[test]
    fn drawing_waits_while_the_program_is_being_stopped() {
        let (interrupts, section) = question();
        let mut out = vec![];
        let mut screen = AlternateScreen::enter(&section, &mut out).unwrap();
        interrupts.stops().store(true, Ordering::Release);
        std::thread::scope(|scope| {
            let drawing = scope.spawn(|| screen.show("a secret").unwrap());
            std::thread::sleep(Duration::from_millis(100));
            assert!(!drawing.is_finished(), "it draws on the screen of the shell");
            interrupts.resume(None);
            drawing.join().unwrap();
        });
        drop(screen);
        assert!(out.ends_with(&[b"a secret", LEAVE].concat()), "{out:?}");
    }
}
