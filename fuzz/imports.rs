//! What must hold for the readers of `keyward import`.

use std::io::{BufReader, Cursor};

use keyward_cli::formats::import::{Format, Given, Line, MOST_BYTES, ReadError, Records};
use keyward_core::rules::imported::{ImportedText, is_guessable};
use keyward_core::rules::plain::PlainText as _;
use serde_json::Value;

/// Checks the reader of JSON lines: a record says what another parser reads from its line.
pub fn import_lines(data: &[u8]) -> &'static str {
    let lines: Vec<&[u8]> =
        data.strip_prefix("\u{feff}".as_bytes()).unwrap_or(data).split(|byte| *byte == b'\n').collect();
    read(Format::Jsonl, data, &|number, name, secret| {
        let line = lines[usize::try_from(number).unwrap() - 1];
        let json: Value =
            serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", line.escape_ascii()));
        assert_eq!(json["name"], name);
        assert!(secret.is_none_or(|secret| json["secret"] == secret));
    })
}

/// Checks the reader of tables: what a record says is in the table, on the reported line or after it.
pub fn import_table(data: &[u8]) -> &'static str {
    let starts: Vec<usize> = std::iter::once(0)
        .chain(data.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(place, _)| place + 1))
        .collect();
    read(Format::Csv, data, &|number, name, secret| {
        let start = starts[usize::try_from(number).unwrap() - 1];
        // Quotation marks inside a cell are doubled.
        let rest: Vec<u8> = data[start..].iter().copied().filter(|byte| *byte != b'"').collect();
        let stands = |text: &str| {
            let text: Vec<u8> = text.bytes().filter(|byte| *byte != b'"').collect();
            rest.windows(text.len().max(1)).any(|part| part == text)
        };
        assert!(stands(name), "{name}");
        assert!(secret.is_none_or(stands), "a secret came from elsewhere");
    })
}

fn read(format: Format, data: &[u8], check: &dyn Fn(u64, &str, Option<&str>)) -> &'static str {
    let again = |data: &[u8]| told(format, data, &|_, _, _| ());
    let (lines, how) = told(format, data, check);
    assert_eq!((lines.clone(), how), again(data), "one input was read in two ways");
    assert!(lines.is_sorted(), "{lines:?}");
    how
}

/// The lines of the records, and how the input was read.
fn told(format: Format, data: &[u8], check: &dyn Fn(u64, &str, Option<&str>)) -> (Vec<u64>, &'static str) {
    let records = match Records::new(format, BufReader::with_capacity(7, Cursor::new(data))) {
        Ok(records) => records,
        Err(error) => {
            silent(&error.to_string(), data);
            return (vec![], "heading");
        }
    };
    let (mut lines, mut how) = (vec![], "nothing");
    for line in records {
        match line {
            Ok(Line { number, read: Ok(record) }) => {
                let secret = if let Given::Text(text) = &record.secret { Some(text.expose()) } else { None };
                check(number, record.name.as_str(), secret);
                assert!(!format!("{record:?}").contains(secret.unwrap_or("\0")));
                lines.push(number);
                how = record.secret.origin().as_str();
            }
            Ok(Line { number, read: Err(mistakes) }) => {
                assert!(!mistakes.is_empty());
                for what in &mistakes {
                    silent(what, data);
                }
                lines.push(number);
                how = "mistakes";
            }
            Err(ReadError::Io(error)) => panic!("{error}"),
            Err(error) => {
                assert!(data.len() > MOST_BYTES, "{error}");
                return (lines, "too_long");
            }
        }
    }
    (lines, how)
}

/// The example hash that messages show.
const EXAMPLE: &str = "$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH";

/// A message never repeats a word of the input that may be a secret.
fn silent(message: &str, data: &[u8]) {
    let message = message.replace(EXAMPLE, "");
    let words = data.split(|byte| !byte.is_ascii_graphic() || b"\"'{}[],:\\".contains(byte));
    for word in words.filter_map(|word| std::str::from_utf8(word).ok()) {
        if ImportedText::has_form(word) && !is_guessable(word) {
            assert!(!message.contains(word), "{message}");
        }
    }
}
