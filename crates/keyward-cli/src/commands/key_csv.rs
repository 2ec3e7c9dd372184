//! Keys as CSV (RFC 4180), for spreadsheets and for the import of another store: the fields of JSON, with the items of a
//! list in one cell.

use csv::{Terminator, WriterBuilder};
use jiff::Timestamp;
use serde_json::Value;

use super::key_columns::{self, KeyColumn};
use crate::error::Error;
use keyward_core::rules::key::Key;
use keyward_core::rules::setting::Setting;

/// The line that names the fields.
pub(super) fn heading(fields: &[&str]) -> Result<Vec<u8>, Error> {
    record(fields.iter().map(|&field| field.to_owned()))
}

/// The line of a key.
pub(super) fn line(key: &Key, fields: &[&str], now: Timestamp) -> Result<Vec<u8>, Error> {
    let whole = serde_json::to_value(key.to_json(now)).map_err(anyhow::Error::new)?;
    record(fields.iter().map(|&field| match field {
        "limits" => Setting::LIMITS.value(&key.settings).texts().join(","),
        field => cell(&whole[field]),
    }))
}

/// The fields of these columns, or all if none are named.
pub(super) fn fields(columns: &[KeyColumn]) -> Vec<&'static str> {
    let all = key_columns::all();
    (if columns.is_empty() { &all } else { columns }).iter().map(|column| column.field).collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        // A secret is represented by its id.
        Value::Object(fields) if fields.contains_key("id") => cell(&fields["id"]),
        Value::Object(labels) => {
            let labels = labels.iter().map(|(label, value)| format!("{label}={}", cell(value)));
            labels.collect::<Vec<_>>().join(",")
        }
    }
}

fn record(cells: impl Iterator<Item = String>) -> Result<Vec<u8>, Error> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).buffer_capacity(512).from_writer(vec![]);
    writer.write_record(cells.map(String::into_bytes)).map_err(anyhow::Error::new)?;
    Ok(writer.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_holds_what_the_field_does() {
        for (value, expected) in [
            (serde_json::json!(null), ""),
            (serde_json::json!("a,\"b\""), "a,\"b\""),
            (serde_json::json!(true), "true"),
            (serde_json::json!(7), "7"),
            (serde_json::json!([]), ""),
            (serde_json::json!(["rest", "ui"]), "rest,ui"),
            (serde_json::json!({"team": "web", "tier": "1"}), "team=web,tier=1"),
            (serde_json::json!([{"id": "abc", "state": "current"}, {"id": "def"}]), "abc,def"),
        ] {
            assert_eq!(cell(&value), expected);
        }
        let line = record(["a,\"b\"", "", "c"].into_iter().map(str::to_owned)).unwrap();
        assert_eq!(line, b"\"a,\"\"b\"\"\",,c\r\n");
    }
}
