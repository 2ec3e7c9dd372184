//! Questions to the person: yes or no, one of several, and a hidden line.
//!
//! They are asked on stderr and answered on the terminal. An interruption is an error like any other, so everything in
//! progress is undone on the way out; [`super::Interrupts`] restores the terminal.

use std::io::{self, ErrorKind, Write as _};
use std::sync::Arc;

use console::measure_text_width;
use dialoguer::Select;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use zeroize::Zeroizing;

use super::keys::{Key, Keyboard};
use super::{Interrupts, Section, Terminal};
use crate::error::{Code, Error};
use crate::platform::{self, RawMode, forget_typed_ahead};
use crate::text::clean;

/// The answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<T> {
    /// This.
    Given(T),
    /// Esc: no answer, on purpose.
    Declined,
}

impl Terminal {
    fn theme(&self) -> Box<dyn Theme> {
        if self.options.no_color || self.options.dumb || self.options.color == super::ColorChoice::Never {
            Box::new(SimpleTheme)
        } else {
            Box::new(ColorfulTheme::default())
        }
    }

    /// Asks a yes-or-no question. Enter without an answer means `default`, which is no for anything that cannot be
    /// undone. Any other text means no: the person may be typing something else.
    ///
    /// # Errors
    /// The error of `section` for an interruption; also if the terminal is gone.
    pub fn confirm(&mut self, section: &Section, question: &str, default: bool) -> Result<bool, Error> {
        if self.options.dumb {
            let hint = if default { "Y/n" } else { "y/N" };
            let answer = self.line(section, &format!("{question} [{hint}]"))?;
            return Ok(match answer {
                Answer::Given(text) if text.trim().is_empty() => default,
                Answer::Given(text) => matches!(text.trim(), "y" | "Y" | "yes"),
                Answer::Declined => false,
            });
        }
        let prompt = format!("{} {} ", clean(question), if default { "[Y/n]" } else { "[y/N]" });
        let is_letter = |text: &str| ["y", "Y", "n", "N"].contains(&text);
        Ok(match self.typed(section, &prompt, is_letter)? {
            Answer::Given(text) if text.trim().is_empty() => default,
            Answer::Given(text) => matches!(text.trim().to_lowercase().as_str(), "y" | "yes"),
            Answer::Declined => false,
        })
    }

    /// Asks to choose one of `items`; returns its index.
    ///
    /// # Errors
    /// The error of `section` for an interruption; also if the terminal is gone.
    pub fn select(&mut self, section: &Section, question: &str, items: &[&str]) -> Result<Answer<usize>, Error> {
        self.select_from(section, question, items, false)
    }

    fn select_from(
        &mut self,
        section: &Section,
        question: &str,
        items: &[&str],
        report: bool,
    ) -> Result<Answer<usize>, Error> {
        if self.options.dumb {
            return self.select_by_number(section, question, items);
        }
        forget_typed_ahead();
        let ask = || {
            Select::with_theme(&*self.theme())
                .with_prompt(question)
                .items(items)
                .default(0)
                .report(report)
                .interact_opt()
        };
        settle(section, ask)
    }

    /// For a terminal that can only print lines.
    pub(super) fn select_by_number(
        &mut self,
        section: &Section,
        question: &str,
        items: &[&str],
    ) -> Result<Answer<usize>, Error> {
        self.say(question);
        for (place, item) in items.iter().enumerate() {
            self.say(&format!("  {}) {item}", place + 1));
        }
        loop {
            let answer = match self.line(section, &format!("Number, 1 to {}", items.len()))? {
                Answer::Given(text) => text,
                Answer::Declined => return Ok(Answer::Declined),
            };
            if let Ok(number @ 1..) = answer.trim().parse::<usize>()
                && number <= items.len()
            {
                return Ok(Answer::Given(number - 1));
            }
        }
    }

    /// The same, and leaves question and answer on the terminal.
    ///
    /// # Errors
    /// As [`Terminal::select`].
    pub fn select_and_show(
        &mut self,
        section: &Section,
        question: &str,
        items: &[&str],
    ) -> Result<Answer<usize>, Error> {
        self.select_from(section, question, items, true)
    }

    /// Asks for a line of text, which can be corrected from its end. Esc declines.
    ///
    /// # Errors
    /// The error of `section` for an interruption; also if the terminal is gone.
    pub fn line(&mut self, section: &Section, question: &str) -> Result<Answer<String>, Error> {
        self.typed(section, &prompt(question), |_| false)
    }

    /// What is typed after `prompt`. A text that `is_whole` counts without Enter, if nothing follows for a moment.
    fn typed(
        &mut self,
        section: &Section,
        prompt: &str,
        is_whole: impl Fn(&str) -> bool,
    ) -> Result<Answer<String>, Error> {
        forget_typed_ahead();
        let answer = type_line(section, &mut self.stderr, prompt, is_whole);
        let _ = self.stderr.write_all(b"\r\n");
        answer.map_err(|error| match error.kind() {
            ErrorKind::Interrupted => section.interrupted(),
            _ => gone(&error),
        })
    }

    /// Asks for a line that is not shown while it is typed or pasted. The buffer is wiped when it
    /// is dropped.
    ///
    /// # Errors
    /// [`Code::Interrupted`]; also if the terminal is gone.
    pub fn hidden(&mut self, interrupts: &Arc<Interrupts>, question: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let section = interrupts.section(Code::Interrupted, "interrupted");
        let _ = write!(self.stderr, "{}", prompt(question));
        let _ = self.stderr.flush();
        let line = read_hidden_line();
        self.say("");
        line.map_err(|error| match error.kind() {
            ErrorKind::Interrupted => section.interrupted(),
            _ => gone(&error),
        })
    }
}

/// A question as shown before its answer.
fn prompt(question: &str) -> String {
    let end = if question.ends_with('?') { "" } else { ":" };
    format!("{question}{end} ")
}

/// Asks until there is an answer. After the program was stopped and resumed, it asks again, because the terminal no
/// longer shows the question.
fn settle<T>(section: &Section, ask: impl Fn() -> dialoguer::Result<Option<T>>) -> Result<Answer<T>, Error> {
    loop {
        let returns = section.returns();
        return match ask() {
            Ok(Some(answer)) => Ok(Answer::Given(answer)),
            Ok(None) => Ok(Answer::Declined),
            Err(dialoguer::Error::IO(error)) if error.kind() == ErrorKind::Interrupted => {
                if section.came_back_since(returns) {
                    continue;
                }
                Err(section.interrupted())
            }
            Err(dialoguer::Error::IO(error)) => Err(gone(&error)),
        };
    }
}

pub(super) fn gone(error: &io::Error) -> Error {
    Error::new(Code::Cancelled, format!("the terminal could not be asked: {error}"))
        .hint("where there is no terminal, answer with --yes or in the flags of the command")
}

/// How many waits must pass without a key before a text counts without Enter.
const QUIET: u32 = 2;

/// Reads keys until Enter or Esc, or until the text `is_whole` and a moment passes without a key: a `y` may be the
/// beginning of a command for the shell.
fn type_line(
    section: &Section,
    out: &mut dyn io::Write,
    prompt: &str,
    is_whole: impl Fn(&str) -> bool,
) -> io::Result<Answer<String>> {
    let mut keyboard = Keyboard::begin()?;
    let (mut text, mut drawn, mut silence) = (String::new(), None, 0);
    loop {
        // After the program was stopped and resumed, the terminal no longer shows the question.
        let returns = section.returns();
        if drawn != Some(returns) {
            write!(out, "{prompt}{text}")?;
            drawn = Some(returns);
        }
        out.flush()?;
        let key = match keyboard.next() {
            // Stopped by another program, and resumed.
            Err(error) if error.kind() == ErrorKind::Interrupted && section.came_back_since(returns) => continue,
            key => key?,
        };
        silence = if key == Key::Nothing { silence + 1 } else { 0 };
        match key {
            Key::Enter => return Ok(Answer::Given(text)),
            Key::Escape => return Ok(Answer::Declined),
            Key::Control('c') => return Err(ErrorKind::Interrupted.into()),
            Key::Control('z') => platform::stop_this_process(),
            Key::Nothing if silence >= QUIET && is_whole(&text) => return Ok(Answer::Given(text)),
            Key::Backspace => {
                if let Some(last) = text.pop() {
                    erase(out, &last.to_string())?;
                }
            }
            Key::Control('u') => {
                erase(out, &text)?;
                text.clear();
            }
            Key::Char(c) => {
                text.push(c);
                write!(out, "{c}")?;
            }
            _ => {}
        }
    }
}

/// Erases what was shown last.
fn erase(out: &mut dyn io::Write, shown: &str) -> io::Result<()> {
    out.write_all("\x08 \x08".repeat(measure_text_width(shown)).as_bytes())
}

/// Reads a line from the terminal with the echo off. Not from a library, because those keep unwiped copies of the line,
/// and leave the echo off after a signal.
fn read_hidden_line() -> io::Result<Zeroizing<Vec<u8>>> {
    /// More than any credential has.
    const MOST: usize = 64 * 1024;
    let mode = RawMode::begin()?;
    let mut line = Zeroizing::new(Vec::with_capacity(MOST));
    loop {
        let mut bytes = Zeroizing::new([0; 1]);
        for &byte in mode.read(&mut *bytes, None)? {
            match byte {
                b'\r' | b'\n' | 0x04 => return Ok(line),
                0x03 => return Err(ErrorKind::Interrupted.into()),
                0x7f | 0x08 => drop(line.pop()),
                0x15 => line.clear(),
                _ if line.len() < MOST => line.push(byte),
                _ => {}
            }
        }
    }
}
