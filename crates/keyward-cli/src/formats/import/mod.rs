//! Keys of another system, to be imported: JSON lines or CSV (RFC 4180).
//!
//! [`Records`] reads one record after another, from input of any size, and reports all mistakes of each. The messages
//! repeat no secret, not even one in the wrong field.
//!
//! What may break: input without an end and without a line end. So records have a greatest length, and a longer one ends
//! the reading.

mod csv;
mod jsonl;
mod record;

use std::fmt;
use std::io::{self, BufRead};
use std::str::FromStr;

pub use record::{Given, Record};

use keyward_core::rules::names::InvalidText;

/// The most bytes in a record. A record with every possible setting is far shorter.
pub const MOST_BYTES: usize = 256 * 1024;

/// The format of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object on each line.
    Jsonl,
    /// A line with the names of the columns, then one record on each line.
    Csv,
}

impl Format {
    /// All formats, with their names.
    pub const ALL: [(&'static str, Self); 2] = [("jsonl", Self::Jsonl), ("csv", Self::Csv)];

    /// The format of a text with this beginning: JSON lines begin with a brace. `None` for another kind of JSON document.
    pub fn of(start: &[u8]) -> Option<Self> {
        let start = start.strip_prefix("\u{feff}".as_bytes()).unwrap_or(start);
        match start.trim_ascii_start().first() {
            Some(b'{') => Some(Self::Jsonl),
            Some(b'[') => None,
            _ => Some(Self::Csv),
        }
    }
}

impl FromStr for Format {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let found = Self::ALL.iter().find(|(word, _)| *word == text);
        found.map(|(_, format)| *format).ok_or_else(|| InvalidText::new("a format is jsonl or csv"))
    }
}

/// A record, or what is wrong with it.
#[derive(Debug)]
pub struct Line {
    /// The line on which it begins, from 1.
    pub number: u64,
    /// The record, or all its mistakes, in words for a person.
    pub read: Result<Record, Vec<String>>,
}

/// Why reading ended early.
#[derive(Debug)]
pub enum ReadError {
    /// The input failed.
    Io(io::Error),
    /// A record that begins on this line has no end within [`MOST_BYTES`].
    TooLong(u64),
    /// The first line of a CSV does not name the columns.
    Heading(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::TooLong(line) => {
                write!(
                    f,
                    "line {line}: a record is longer than {} KiB: is a quotation mark not closed?",
                    MOST_BYTES / 1024
                )
            }
            Self::Heading(what) => write!(f, "line 1: {what}"),
        }
    }
}

/// Reads records.
pub struct Records<R>(Kind<R>);

enum Kind<R> {
    Jsonl(jsonl::Lines<R>),
    Csv(Box<csv::Rows<R>>),
}

impl<R: BufRead> Records<R> {
    /// Reads records of this format.
    ///
    /// # Errors
    /// If a CSV does not name its columns.
    pub fn new(format: Format, input: R) -> Result<Self, ReadError> {
        Ok(Self(match format {
            Format::Jsonl => Kind::Jsonl(jsonl::Lines::new(input)),
            Format::Csv => Kind::Csv(Box::new(csv::Rows::new(input)?)),
        }))
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Line, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Kind::Jsonl(lines) => lines.next(),
            Kind::Csv(rows) => rows.next(),
        }
    }
}

#[cfg(test)]
mod tests;
