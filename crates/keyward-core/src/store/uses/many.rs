//! Many rows with one statement, for a server.
//!
//! Others count at the same time, and changed rows stay locked until the end of the transaction. So all processes lock
//! them in the order of the keys' rows; otherwise two could wait for each other.

use std::collections::HashMap;

use super::{CALLED_AGAIN, USED_AGAIN, Used, Uses, from};
use crate::rules::token::Id;
use crate::rules::usage::Calls;
use crate::store::db::{AT_ONCE, Conn, Value, tuples};
use crate::store::error::StoreError;

pub(super) fn record(conn: &Conn, uses: &Uses) -> Result<(), StoreError> {
    let mut keys = with_rows(conn, uses)?;
    keys.sort_unstable_by_key(|(row, ..)| *row);
    record_uses(conn, uses, &keys)?;
    record_calls(conn, &keys)
}

/// The uses of existing keys, each with the key's row.
fn with_rows<'u>(conn: &Conn, uses: &'u Uses) -> Result<Vec<(i64, &'u Id, &'u Used)>, StoreError> {
    let mut found = Vec::with_capacity(uses.0.len());
    let all: Vec<_> = uses.0.iter().collect();
    for part in all.chunks(AT_ONCE) {
        let by_text: HashMap<&str, _> = part.iter().map(|(key, used)| (key.as_str(), (*key, *used))).collect();
        let values: Vec<Value<'_>> = part.iter().map(|(key, _)| (*key).into()).collect();
        let places: Vec<_> = (1..=values.len()).map(|number| format!("?{number}")).collect();
        let sql = format!("SELECT id, public_id FROM key WHERE public_id IN ({})", places.join(", "));
        conn.each(&sql, &values, |row| {
            if let Some((key, used)) = by_text.get(row.text(1)?) {
                found.push((row.integer(0)?, *key, *used));
            }
            Ok::<_, StoreError>(())
        })?;
    }
    Ok(found)
}

fn record_uses(conn: &Conn, uses: &Uses, keys: &[(i64, &Id, &Used)]) -> Result<(), StoreError> {
    let in_row = |(row, key, _): &(i64, &Id, &Used)| {
        let (count, last) = uses.of(key)?;
        Some((*row, last.at, count, from(last)))
    };
    let all: Vec<_> = keys.iter().filter_map(in_row).collect();
    for part in all.chunks(AT_ONCE) {
        let values: Vec<Value<'_>> = part
            .iter()
            .flat_map(|(row, at, count, from)| {
                [Value::from(*row), Value::from(*at), Value::from(*count), Value::from(from.as_deref())]
            })
            .collect();
        let sql = format!(
            "WITH used (row, last_used_at, use_count, last_used_from) AS (VALUES {})
             INSERT INTO key_use (key, last_used_at, use_count, last_used_from)
             SELECT key.id, used.last_used_at, used.use_count, used.last_used_from
               FROM used JOIN key ON key.id = used.row ORDER BY key.id {USED_AGAIN}",
            tuples(part.len(), &["BIGINT", "BIGINT", "BIGINT", "TEXT"])
        );
        conn.execute(&sql, &values)?;
    }
    Ok(())
}

fn record_calls(conn: &Conn, keys: &[(i64, &Id, &Used)]) -> Result<(), StoreError> {
    let all: Vec<_> =
        keys.iter().flat_map(|(row, _, used)| used.hours.iter().map(|(hour, calls)| (*row, *hour, *calls))).collect();
    for part in all.chunks(AT_ONCE) {
        let values: Vec<Value<'_>> = part
            .iter()
            .flat_map(|(row, hour, Calls { allowed, forbidden, limited })| {
                [Value::from(*row), (*hour).into(), (*allowed).into(), (*forbidden).into(), (*limited).into()]
            })
            .collect();
        let sql = format!(
            "WITH called (row, hour, allowed, forbidden, limited) AS (VALUES {})
             INSERT INTO usage (key, hour, allowed, forbidden, limited)
             SELECT key.id, called.hour, called.allowed, called.forbidden, called.limited
               FROM called JOIN key ON key.id = called.row ORDER BY key.id, called.hour {CALLED_AGAIN}",
            tuples(part.len(), &["BIGINT"; 5])
        );
        conn.execute(&sql, &values)?;
    }
    Ok(())
}
