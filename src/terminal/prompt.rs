//! Questions to the person: yes or no, one of several, and a hidden line.
//!
//! They are asked on stderr and answered on the terminal. An interruption is an error like any
//! other, so everything that was being done is undone on the way out; the terminal is put back by
//! [`super::Interrupts`].

use std::io::{self, ErrorKind, Write as _};
use std::sync::Arc;

use console::{Key, Term, measure_text_width};
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, FuzzySelect, MultiSelect, Select};
use rustix::termios::{QueueSelector, tcflush};
use zeroize::Zeroizing;

use super::raw::RawMode;
use super::{Interrupts, Section, Terminal};
use crate::error::{Code, Error};

/// What came of a question.
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

    /// Asks a question that is answered with yes or no; no unless the person says yes.
    ///
    /// # Errors
    /// What `section` says for an interruption, or where the terminal is gone.
    pub fn confirm(&mut self, section: &Section, question: &str) -> Result<bool, Error> {
        forget_typed_ahead();
        let asked = Confirm::with_theme(&*self.theme()).with_prompt(question).default(false).interact_opt();
        settle(section, asked).map(|answer| answer == Answer::Given(true))
    }

    /// Asks to choose one of `items`; returns its index.
    ///
    /// # Errors
    /// What `section` says for an interruption, or where the terminal is gone.
    pub fn select(&mut self, section: &Section, question: &str, items: &[&str]) -> Result<Answer<usize>, Error> {
        forget_typed_ahead();
        let asked = Select::with_theme(&*self.theme())
            .with_prompt(question)
            .items(items)
            .default(0)
            .report(false)
            .interact_opt();
        settle(section, asked)
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
        forget_typed_ahead();
        let asked = Select::with_theme(&*self.theme()).with_prompt(question).items(items).default(0).interact_opt();
        settle(section, asked)
    }

    /// Asks to choose any number of `items`; returns their indexes.
    ///
    /// # Errors
    /// As [`Terminal::select`].
    pub fn choose(&mut self, section: &Section, question: &str, items: &[&str]) -> Result<Answer<Vec<usize>>, Error> {
        forget_typed_ahead();
        let asked = MultiSelect::with_theme(&*self.theme()).with_prompt(question).items(items).interact_opt();
        settle(section, asked)
    }

    /// Asks to choose one of many `items`, with a search; returns its index.
    ///
    /// # Errors
    /// As [`Terminal::select`].
    pub fn search(&mut self, section: &Section, question: &str, items: &[String]) -> Result<Answer<usize>, Error> {
        forget_typed_ahead();
        let asked = FuzzySelect::with_theme(&*self.theme())
            .with_prompt(question)
            .items(items)
            .default(0)
            .max_length(10)
            .interact_opt();
        settle(section, asked)
    }

    /// Asks for a line of text, which can be corrected from its end. Esc declines.
    ///
    /// # Errors
    /// What `section` says for an interruption, or where the terminal is gone.
    pub fn line(&mut self, section: &Section, question: &str) -> Result<Answer<String>, Error> {
        forget_typed_ahead();
        self.show_prompt(question);
        let answer = type_line();
        let _ = self.stderr.write_all(b"\r\n");
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(section.interrupted()),
            Err(error) => Err(gone(&error)),
        }
    }

    /// Asks for a line that is not shown while it is typed or pasted. The buffer is wiped when it
    /// is dropped.
    ///
    /// # Errors
    /// [`Code::Interrupted`], or where the terminal is gone.
    pub fn hidden(&mut self, interrupts: &Arc<Interrupts>, question: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let section = interrupts.section(Code::Interrupted, "interrupted");
        self.show_prompt(question);
        let line = read_hidden_line();
        self.tell("");
        line.map_err(|error| match error.kind() {
            ErrorKind::Interrupted => section.interrupted(),
            _ => gone(&error),
        })
    }

    fn show_prompt(&mut self, question: &str) {
        let _ = write!(self.stderr, "{question}: ");
        let _ = self.stderr.flush();
    }
}

/// What was typed before a question was shown is no answer to it.
fn forget_typed_ahead() {
    let _ = tcflush(rustix::stdio::stdin(), QueueSelector::IFlush);
}

fn settle<T>(section: &Section, asked: dialoguer::Result<Option<T>>) -> Result<Answer<T>, Error> {
    match asked {
        Ok(Some(answer)) => Ok(Answer::Given(answer)),
        Ok(None) => Ok(Answer::Declined),
        Err(dialoguer::Error::IO(error)) if error.kind() == ErrorKind::Interrupted => Err(section.interrupted()),
        Err(dialoguer::Error::IO(error)) => Err(gone(&error)),
    }
}

fn gone(error: &io::Error) -> Error {
    Error::new(Code::Cancelled, format!("the terminal could not be asked: {error}"))
        .hint("where there is no terminal, answer with --yes or in the flags of the command")
}

/// Reads keys until Enter or Esc. dialoguer's own prompt for a text knows no Esc.
fn type_line() -> io::Result<Answer<String>> {
    let terminal = Term::stderr();
    let mut text = String::new();
    loop {
        match terminal.read_key()? {
            Key::Enter => return Ok(Answer::Given(text)),
            Key::Escape => return Ok(Answer::Declined),
            Key::Backspace => {
                if let Some(last) = text.pop() {
                    terminal.clear_chars(measure_text_width(&last.to_string()))?;
                }
            }
            Key::Char('\u{15}') => {
                terminal.clear_chars(measure_text_width(&text))?;
                text.clear();
            }
            Key::Char(c) if !c.is_control() => {
                text.push(c);
                terminal.write_str(&c.to_string())?;
            }
            _ => {}
        }
    }
}

/// Reads a line from the terminal with the echo off. Ours, because the libraries keep copies of
/// the line that are not wiped, and leave the echo off when a signal comes.
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
