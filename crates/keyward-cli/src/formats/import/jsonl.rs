//! JSON lines: one object on each line. Empty lines are ignored.

use std::io::{BufRead, Read as _};

use zeroize::Zeroizing;

use super::{Line, MOST_BYTES, ReadError, Record, record};
use crate::formats::tree::{Mistake, Value, from_json, locate};

pub(super) struct Lines<R> {
    input: R,
    number: u64,
    line: Zeroizing<Vec<u8>>,
    has_failed: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, number: 0, line: Zeroizing::new(Vec::with_capacity(4096)), has_failed: false }
    }

    pub(super) fn next(&mut self) -> Option<Result<Line, ReadError>> {
        while !self.has_failed {
            self.line.clear();
            self.number += 1;
            let most = MOST_BYTES as u64 + 1;
            let read = self.input.by_ref().take(most).read_until(b'\n', &mut self.line);
            match read {
                Ok(0) => return None,
                Ok(_) if self.line.len() > MOST_BYTES => {
                    self.has_failed = true;
                    return Some(Err(ReadError::TooLong(self.number)));
                }
                Ok(_) => {}
                Err(error) => {
                    self.has_failed = true;
                    return Some(Err(ReadError::Io(error)));
                }
            }
            let line = if self.number == 1 { self.line.strip_prefix("\u{feff}".as_bytes()) } else { None };
            let line = line.unwrap_or(&self.line);
            if !line.trim_ascii().is_empty() {
                return Some(Ok(Line { number: self.number, read: read_line(line) }));
            }
        }
        None
    }
}

fn read_line(line: &[u8]) -> Result<Record, Vec<String>> {
    let Ok(text) = std::str::from_utf8(line) else { return Err(vec!["this is not text in UTF-8".to_owned()]) };
    let read = from_json(text).map_err(|mistakes| mistakes.into_iter().map(record::of_syntax).collect());
    let record = read.and_then(|node| match node.value {
        Value::Table(fields) => record::read(fields),
        _ => Err(vec![Mistake::new(node.at, "write one object a line, such as {\"name\": \"…\", \"secret\": \"…\"}")]),
    });
    record.map_err(|mistakes| {
        let located = locate(text, mistakes).into_iter();
        located.map(|mistake| format!("column {}: {}", mistake.column, mistake.what)).collect()
    })
}
