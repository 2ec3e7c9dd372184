//! Keys of another system on their way into a store: JSON lines, or CSV (RFC 4180).
//!
//! [`Records`] reads one record after the other, whatever the size of the input is, and says of each what is wrong with
//! it. What it says repeats no secret, not even one that stands in the wrong field.
//!
//! What may break: input that is none of all this, without an end and without a line end. So a record has a greatest
//! length, and what is longer ends the reading.

mod csv;
mod jsonl;
mod record;

use std::fmt;
use std::io::{self, BufRead};
use std::str::FromStr;

pub use record::{Given, Record};

use keyward_core::rules::names::InvalidText;

/// The most bytes of a record. One with every setting that there can be is far shorter.
pub const MOST_BYTES: usize = 256 * 1024;

/// How the records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// A line that names the columns, and a record a line.
    Csv,
}

impl Format {
    /// All of them, by their words.
    pub const ALL: [(&'static str, Self); 2] = [("jsonl", Self::Jsonl), ("csv", Self::Csv)];

    /// What a text is that begins so: JSON lines begin with a brace. `None` for a JSON document of another kind.
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
    /// The record, or all that is wrong with it, each for a person.
    pub read: Result<Record, Vec<String>>,
}

/// Why there is nothing more to be read.
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
    /// Where a CSV does not name its columns.
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
