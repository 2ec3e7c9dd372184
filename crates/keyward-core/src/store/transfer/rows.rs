//! Writes the rows of a store to another place, and compares what arrived.

use sha2::{Digest as _, Sha256};

use super::TransferError;
use super::tables::{HISTORY, TABLES, Table};
use crate::store::db::{Conn, Filling, Row, Value};
use crate::store::error::StoreError;
use crate::store::history::{self, EMPTY, Head, Stop};

/// The number of rows in each table, in the order of the tables.
pub(super) type Counts = Vec<(&'static str, u64)>;

/// The largest number of columns in a table.
const MOST: usize = 23;
/// How much is hashed at once, in bytes.
const PART: usize = 1 << 16;

/// Copies all rows into the open transaction of `target`, which is empty except for the first `known` events of the
/// history, then reads them back and compares: the number of rows and a SHA-256 of each table, and the history row by
/// row. With `is_strict`, a history that is not as it was written is refused.
///
/// Rows are streamed: memory use does not grow with their number.
pub(super) fn copy(source: &Conn, target: &Conn, known: i64, is_strict: bool) -> Result<Counts, TransferError> {
    let filling = Filling::new(target).map_err(TransferError::Target)?;
    let sent = TABLES.iter().map(|table| send(source, &filling, table, known)).collect::<Result<Vec<_>, _>>()?;
    check_lists(source, &sent)?;
    let counted = TABLES.iter().filter(|table| table.is_counted).map(|table| table.name);
    filling.end(counted).map_err(|error| not_taken(source, target, "an index", error))?;
    let end = history::head(source)?;
    for (table, sent) in TABLES.iter().zip(&sent) {
        let mut chain = Chain::new();
        let arrived = walk(target, table, TransferError::Target, |row, _| {
            if table.name == HISTORY { chain.follow(row).map_err(TransferError::Target) } else { Ok(()) }
        })?;
        let detail = |what: String| TransferError::Differs { path: target.place().to_owned(), detail: what };
        if arrived.rows != sent.rows {
            let [arrived, sent] = [arrived.rows, sent.rows];
            return Err(detail(format!("{arrived} of {sent} rows of {} arrived", table.title())));
        }
        if arrived.hash != sent.hash {
            return Err(detail(format!("the rows of {} are other ones there", table.title())));
        }
        if table.name == HISTORY && is_strict {
            // They are the same rows in both.
            chain.check(end).map_err(|detail| damaged(source, detail))?;
        }
    }
    set_end(source, target, known)?;
    Ok(TABLES.iter().zip(&sent).map(|(table, sent)| (table.title(), sent.rows)).collect())
}

/// Sets the end of the history, and the identity of the store.
fn set_end(source: &Conn, target: &Conn, known: i64) -> Result<(), TransferError> {
    let from = history::identity(source)?;
    let Some((id, head)) = &from else {
        return Err(damaged(source, "the end of its history is missing".to_owned()));
    };
    let set = "UPDATE history_head SET store_id = ?1, seq = ?2, hash = ?3 WHERE one = 1";
    let id = &id.to_string();
    target
        .execute(set, &[id.as_str().into(), head.seq.into(), (&head.hash).into()])
        .and_then(|_| {
            target.begin_anew(id, head.seq, &head.hash);
            let read = |row: &Row<'_>| history::identity_in(row);
            target.optional("SELECT store_id, seq, hash FROM history_head", &[], read)
        })
        .map_err(TransferError::Target)
        .and_then(|now| {
            if now == from && head.seq >= known {
                return Ok(());
            }
            let detail = "the end of the history is another one there".to_owned();
            Err(TransferError::Differs { path: target.place().to_owned(), detail })
        })
}

/// The number of rows in each table of the store that `conn` reads.
pub(super) fn counts(conn: &Conn) -> Result<Counts, StoreError> {
    TABLES
        .iter()
        .map(|table| {
            let count = format!("SELECT count(*) FROM {}", table.name);
            Ok((table.title(), conn.alone(&count, &[], |row| row.count(0))?))
        })
        .collect()
}

/// Sums over the content of a table.
struct Sum {
    rows: u64,
    hash: [u8; 32],
    /// The sums of the last four columns, if they are numbers.
    totals: [i64; 4],
}

/// Sends the rows of a table, and returns their sums.
fn send(source: &Conn, filling: &Filling<'_>, table: &Table, known: i64) -> Result<Sum, TransferError> {
    let target = filling.conn();
    let not_taken = |error| not_taken(source, target, table.title(), error);
    let mut rows = filling.table(table.name, table.columns, table.kinds()).map_err(not_taken)?;
    let sum = walk(source, table, TransferError::Store, |row, values| {
        for (column, (value, kind)) in values.iter().zip(table.kinds()).enumerate() {
            if !value.is(kind) {
                return Err(row.damage(column).into());
            }
        }
        // The target may already have some of the history.
        let is_there = table.name == HISTORY && matches!(values, [Value::Integer(seq), ..] if *seq <= known);
        if is_there { Ok(()) } else { rows.add(values).map_err(not_taken) }
    })?;
    rows.end().map_err(not_taken)?;
    Ok(sum)
}

/// Calls `f` with each row of a table and its values.
fn walk(
    conn: &Conn,
    table: &Table,
    failed: fn(StoreError) -> TransferError,
    mut f: impl FnMut(&Row<'_>, &[Value<'_>]) -> Result<(), TransferError>,
) -> Result<Sum, TransferError> {
    let width = table.kinds().len();
    let (mut hasher, mut bytes) = (Sha256::new(), Vec::with_capacity(2 * PART));
    let (mut rows, mut totals) = (0, [0_i64; 4]);
    conn.each(&table.select(), &[], |row| {
        let mut values = [Value::Null; MOST];
        for (column, value) in values.iter_mut().take(width).enumerate() {
            *value = row.value(column).map_err(failed)?;
        }
        let values = &values[..width];
        for value in values {
            write(value, &mut bytes);
        }
        if bytes.len() >= PART {
            hasher.update(&bytes);
            bytes.clear();
        }
        for (total, value) in totals.iter_mut().zip(values.iter().rev()) {
            if let Value::Integer(number) = value {
                *total = total.wrapping_add(*number);
            }
        }
        rows += 1;
        f(row, values)
    })?;
    hasher.update(&bytes);
    Ok(Sum { rows, hash: hasher.finalize().into(), totals })
}

/// Writes a value so that different rows never give the same bytes.
fn write(value: &Value<'_>, bytes: &mut Vec<u8>) {
    let mut long = |mark: u8, content: &[u8]| {
        bytes.push(mark);
        bytes.extend_from_slice(&(content.len() as u64).to_be_bytes());
        bytes.extend_from_slice(content);
    };
    match value {
        Value::Null => bytes.push(0),
        Value::Integer(number) => {
            bytes.push(1);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        Value::Text(text) => long(2, text.as_bytes()),
        Value::Bytes(content) => long(3, content),
    }
}

/// Each key records the lengths of its lists: a missing row must be noticed here, not only in the new place.
fn check_lists(source: &Conn, sent: &[Sum]) -> Result<(), TransferError> {
    let sum_of = |name: &str| TABLES.iter().zip(sent).find(|(table, _)| table.name == name).map(|(_, sum)| sum);
    let Some(keys) = sum_of("key") else { return Ok(()) };
    for (list, total) in ["key_label", "key_address", "key_level", "key_scope"].iter().zip(keys.totals) {
        let rows = sum_of(list).map_or(0, |sum| sum.rows);
        if u64::try_from(total) != Ok(rows) {
            let detail = format!("its keys should have {total} rows in {list}, and there are {rows}");
            return Err(damaged(source, detail));
        }
    }
    Ok(())
}

/// The walk along the chain of the history.
struct Chain {
    end: Head,
    broken: Option<String>,
}

impl Chain {
    fn new() -> Self {
        Self { end: EMPTY, broken: None }
    }

    fn follow(&mut self, row: &Row<'_>) -> Result<(), StoreError> {
        if self.broken.is_some() {
            return Ok(());
        }
        match history::follows(&self.end, row) {
            Ok(end) => self.end = end,
            Err(Stop::Broken { seq, what }) => {
                self.broken = Some(format!("its history is not as it was written: at row {seq}, {what}"));
            }
            Err(Stop::Failed(error)) => return Err(error),
        }
        Ok(())
    }

    fn check(self, end: Head) -> Result<(), String> {
        match self.broken {
            Some(what) => Err(what),
            None if self.end == end => Ok(()),
            None => Err("rows at the end of its history are missing".to_owned()),
        }
    }
}

fn damaged(source: &Conn, detail: String) -> TransferError {
    StoreError::Corrupt { path: source.place().to_owned(), detail }.into()
}

/// Why the target refuses rows: a row that breaks a rule of the schema is damage in the source.
fn not_taken(source: &Conn, target: &Conn, what: &str, error: StoreError) -> TransferError {
    match error {
        StoreError::Corrupt { detail, .. } => {
            damaged(source, format!("{} does not take what is in {what}: {detail}", target.place().display()))
        }
        error => TransferError::Target(error),
    }
}
