//! The mistakes in an import, by line.

use std::collections::BTreeMap;

use super::input::Input;
use crate::error::{Code, Error};
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

    /// Adds all mistakes in the form of a record.
    pub(super) fn add_all(&mut self, line: u64, wrong: Vec<String>) {
        for what in wrong {
            self.add(line, Code::InvalidValue, what);
        }
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
