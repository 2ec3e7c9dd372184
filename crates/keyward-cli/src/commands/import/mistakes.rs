//! The mistakes in an import, by line.

use std::collections::BTreeMap;

use super::input::Input;
use crate::error::{Code, Error};
use crate::formats::import::{Line, Record};
use crate::text::count;

/// The most mistakes that are reported.
const MOST: usize = 10_000;

/// Mistakes, by the line on which their record begins.
#[derive(Default)]
pub(super) struct Mistakes {
    by_line: BTreeMap<u64, Vec<String>>,
    codes: Vec<Code>,
    total: u64,
}

impl Mistakes {
    pub(super) fn add(&mut self, line: u64, code: Code, what: String) {
        if !self.codes.contains(&code) {
            self.codes.push(code);
        }
        self.total += 1;
        if self.total as usize <= MOST {
            self.by_line.entry(line).or_default().push(what);
        }
    }

    /// The record of a line; if it has mistakes, they are added.
    pub(super) fn take(&mut self, Line { number, read }: Line) -> Option<Record> {
        let add = |wrong: Vec<String>| wrong.into_iter().for_each(|what| self.add(number, Code::InvalidValue, what));
        read.map_err(add).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Whether this line already has one.
    pub(super) fn is_on(&self, line: u64) -> bool {
        self.by_line.contains_key(&line)
    }

    /// Reports all of them.
    ///
    /// # Errors
    /// If there are any: with their code if all have the same.
    pub(super) fn check(&self, input: &Input) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let name = input.name();
        let mut message = format!("{} in {name}", count(self.total, "mistake"));
        for (line, mistakes) in &self.by_line {
            for what in mistakes {
                message.push_str(&format!("\n  {name}:{line}: {what}"));
            }
        }
        if let Some(more) = self.total.checked_sub(MOST as u64).filter(|more| *more > 0) {
            message.push_str(&format!("\n  and {more} more"));
        }
        let code = if let [only] = self.codes[..] { only } else { Code::InvalidValue };
        Err(Error::new(code, message).hint("nothing was imported; the formats are in: keyward help import"))
    }
}
