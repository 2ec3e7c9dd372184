//! CSV (RFC 4180): the first line names the columns, and each following line is a record. A list is one cell with commas
//! between its items; labels are written `a=b,c=d`. An empty cell says nothing.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use csv::{ByteRecord, ReaderBuilder, Terminator};
use memchr::memchr_iter;

use super::{Line, MOST_BYTES, ReadError, Record, record};
use crate::formats::tree::{Field, Node, Value};
use crate::text::did_you_mean_quoted;
use keyward_core::rules::names::Prefix;
use keyward_core::rules::setting::{Setting, SettingSlot, Settings};

pub(super) struct Rows<R> {
    reader: csv::Reader<Guarded<R>>,
    guard: Rc<Guard>,
    columns: Vec<String>,
    row: ByteRecord,
    has_ended: bool,
}

/// Facts about the bytes that were read.
#[derive(Default)]
struct Guard {
    /// How many more bytes may be read before the current record must end.
    left: Cell<usize>,
    /// How many quotation marks were read.
    quotes: Cell<usize>,
    /// Whether the end of the input was reached.
    has_ended: Cell<bool>,
}

/// Input that fails if a record is too long.
struct Guarded<R> {
    input: R,
    guard: Rc<Guard>,
    is_first: bool,
}

/// The most bytes that the reader may have read ahead.
const AHEAD: usize = 64 * 1024;

impl<R: BufRead> Read for Guarded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.guard.left.get();
        if left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if std::mem::take(&mut self.is_first) && self.input.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
            self.input.consume(3);
        }
        let most = left.min(into.len());
        let count = self.input.read(&mut into[..most])?;
        self.guard.left.set(left - count);
        self.guard.has_ended.set(count == 0);
        let quotes = memchr_iter(b'"', &into[..count]).count();
        self.guard.quotes.set(self.guard.quotes.get() + quotes);
        Ok(count)
    }
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(input: R) -> Result<Self, ReadError> {
        let guard = Rc::new(Guard::default());
        let input = Guarded { input, guard: Rc::clone(&guard), is_first: true };
        // If the carriage return were part of the line end, lines could not be counted.
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).buffer_capacity(AHEAD).terminator(Terminator::Any(b'\n'));
        let reader = builder.from_reader(input);
        let mut rows = Self { reader, guard, columns: vec![], row: ByteRecord::new(), has_ended: false };
        match rows.read() {
            Ok(false) => return Err(ReadError::Heading("there is nothing in it".to_owned())),
            Ok(true) => rows.columns = columns(&rows.row)?,
            Err(error) => return Err(error),
        }
        Ok(rows)
    }

    pub(super) fn next(&mut self) -> Option<Result<Line, ReadError>> {
        if self.has_ended {
            return None;
        }
        match self.read() {
            Ok(true) => {}
            Ok(false) => {
                self.has_ended = true;
                return None;
            }
            Err(error) => {
                self.has_ended = true;
                return Some(Err(error));
            }
        }
        let inside: usize = self.row.iter().map(|cell| memchr_iter(b'\n', cell).count()).sum();
        let behind = u64::from(!self.guard.has_ended.get());
        let number = self.reader.position().line().saturating_sub(inside as u64 + behind);
        // A quotation mark that is not closed makes the rest of the input part of the last record.
        let is_open = self.guard.has_ended.get() && self.guard.quotes.get() % 2 == 1;
        let read = if is_open { Err(vec!["a quotation mark is not closed".to_owned()]) } else { self.record() };
        Some(Ok(Line { number, read }))
    }

    /// Reads the next row that is not empty; `false` at the end.
    fn read(&mut self) -> Result<bool, ReadError> {
        loop {
            let is_there = self.read_any()?;
            if !is_there || self.row.len() > 1 || self.row.iter().any(|cell| !matches!(cell, b"" | b"\r")) {
                return Ok(is_there);
            }
        }
    }

    fn read_any(&mut self) -> Result<bool, ReadError> {
        self.guard.left.set(MOST_BYTES + AHEAD);
        let start = self.reader.position().line();
        let read = self.reader.read_byte_record(&mut self.row).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => ReadError::TooLong(start),
            csv::ErrorKind::Io(error) => ReadError::Io(error),
            other => ReadError::Io(io::Error::other(format!("{other:?}"))),
        })?;
        let length: usize = self.row.iter().map(<[u8]>::len).sum();
        if length > MOST_BYTES { Err(ReadError::TooLong(start)) } else { Ok(read) }
    }

    fn record(&self) -> Result<Record, Vec<String>> {
        if self.row.len() != self.columns.len() {
            let (cells, columns) = (self.row.len(), self.columns.len());
            return Err(vec![format!(
                "it has {cells} cells, and there are {columns} columns: is a comma not in quotation marks?"
            )]);
        }
        let (mut fields, mut mistakes) = (vec![], vec![]);
        for (place, (column, cell)) in self.columns.iter().zip(&self.row).enumerate() {
            let is_last = place + 1 == self.columns.len();
            let cell = cell.strip_suffix(b"\r").filter(|_| is_last).unwrap_or(cell);
            let Ok(cell) = std::str::from_utf8(cell) else {
                return Err(vec![format!("{column}: this is not text in UTF-8")]);
            };
            if cell.is_empty() {
                continue;
            }
            // The place of a mistake: the number of its column, or 0 for the record.
            let at = place + 1;
            match value(column, cell, at) {
                Ok(value) => {
                    fields.push(Field { name: column.clone(), at, node: Node { at, value } });
                }
                Err(what) => mistakes.push(format!("{column}: {what}")),
            }
        }
        let record = record::read(fields);
        match record {
            Ok(record) if mistakes.is_empty() => Ok(record),
            Ok(_) => Err(mistakes),
            Err(wrong) => {
                let named = wrong.into_iter().map(|mistake| {
                    match mistake.at.checked_sub(1).and_then(|place| self.columns.get(place)) {
                        Some(column) if !mistake.what.starts_with(column.as_str()) => {
                            format!("{column}: {}", mistake.what)
                        }
                        _ => mistake.what,
                    }
                });
                mistakes.extend(named);
                Err(mistakes)
            }
        }
    }
}

/// The columns named by the first row.
fn columns(row: &ByteRecord) -> Result<Vec<String>, ReadError> {
    let known = record::fields();
    let mut columns: Vec<String> = vec![];
    let mut mistakes = vec![];
    for (place, cell) in row.iter().enumerate() {
        let name = std::str::from_utf8(cell).unwrap_or_default().trim();
        if !name.is_empty() && columns.iter().any(|column| column == name) {
            mistakes.push(format!("column {}: the field is named twice", place + 1));
        } else if name.is_empty() {
            mistakes.push(format!("column {}: it has no name: remove it", place + 1));
        } else if !known.contains(&name) {
            // Without a heading, this cell belongs to the first record, and may be its secret.
            let unknown = record::unknown_field(name);
            let hint = did_you_mean_quoted(&known, name).map_or_else(String::new, |question| format!("; {question}"));
            mistakes.push(format!("column {}: {unknown}{hint}", place + 1));
        }
        columns.push(name.to_owned());
    }
    if !columns.iter().any(|column| column == record::NAME) {
        mistakes = vec![no_heading(row).to_owned()];
    }
    if mistakes.is_empty() { Ok(columns) } else { Err(ReadError::Heading(mistakes.join("; "))) }
}

/// The message for a first line that does not name the columns.
fn no_heading(row: &ByteRecord) -> &'static str {
    let first = row.get(0).unwrap_or_default();
    let is_split_by = |separator: u8| row.len() == 1 && first.split(|byte| *byte == separator).any(is_name);
    let is_name = |cell: &[u8]| is_name(cell.trim_ascii());
    match () {
        () if first.starts_with(&[0xff, 0xfe]) || first.starts_with(&[0xfe, 0xff]) => {
            "this is UTF-16 text: save it as UTF-8"
        }
        () if is_split_by(b';') => "the columns are separated by semicolons: save it with commas between them",
        () if is_split_by(b'\t') => "the columns are separated by tabs: save it with commas between them",
        () if row.iter().any(is_name) => "write the names of the columns in lower case, such as name,secret,scopes",
        () if first.starts_with(b"sep=") => {
            "this line is for a spreadsheet only: remove it, so that the first line names the columns"
        }
        () => "the first line has to name the columns, such as name,secret,scopes",
    }
}

fn is_name(cell: &[u8]) -> bool {
    cell.eq_ignore_ascii_case(record::NAME.as_bytes())
}

/// The value that a cell gives to a field.
fn value(column: &str, cell: &str, at: usize) -> Result<Value, &'static str> {
    let text = |text: &str| Node { at, value: Value::Text(text.to_owned()) };
    let items = || cell.split(',').map(str::trim).filter(|item| !item.is_empty());
    let Some(setting) = Setting::named(column) else { return Ok(Value::Text(cell.to_owned())) };
    Ok(match setting.slot(&mut Settings::with_prefix(Prefix::default())) {
        SettingSlot::Texts(_) => Value::List(items().map(text).collect()),
        SettingSlot::Labels(_) => {
            let label = |item: &str| {
                let (name, value) = item.split_once('=').ok_or("write labels as team=web,tier=1")?;
                Ok::<_, &str>(Field { name: name.to_owned(), at, node: text(value) })
            };
            let labels: Vec<Field> = items().map(label).collect::<Result<_, _>>()?;
            let is_again = |(place, label): (usize, &Field)| labels[..place].iter().any(|one| one.name == label.name);
            if labels.iter().enumerate().any(is_again) {
                return Err("a label is set twice");
            }
            Value::Table(labels)
        }
        SettingSlot::Switch(_) => match cell {
            // Spreadsheets write them in capital letters.
            "true" | "TRUE" => Value::Switch(true),
            "false" | "FALSE" => Value::Switch(false),
            _ => return Err("write true or false"),
        },
        SettingSlot::Text(_) | SettingSlot::Time(_) | SettingSlot::Prefix(_) => Value::Text(cell.to_owned()),
    })
}
