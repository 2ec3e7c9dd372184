//! What is bound to the placeholders of a statement, and as which type.
//!
//! The type is told with the statement, so that none is asked for beforehand: an integer is a `bigint`, a text is `text`,
//! bytes are `bytea`. Yes and no are integers as everywhere in the store. A null has no type; the server takes that of
//! its place, such as the column that it is written to or compared with. Where there is no such place, as in
//! `$1 IS NULL`, the statement has to say one: `$1::text IS NULL`.

use tokio_postgres::types::{ToSql, Type};

use crate::store::db::Value;

/// A null.
const NULL: Option<&str> = None;

/// A value and its type, as tokio-postgres wants them.
pub(super) type Bound<'v> = (&'v (dyn ToSql + Sync), Type);

/// The values with their types.
pub(super) fn bound<'v>(values: &'v [Value<'_>]) -> Vec<Bound<'v>> {
    let one = |value: &'v Value<'_>| -> Bound<'v> {
        match value {
            Value::Null => (&NULL, Type::UNKNOWN),
            Value::Integer(number) => (number, Type::INT8),
            Value::Text(text) => (text, Type::TEXT),
            Value::Bytes(bytes) => (bytes, Type::BYTEA),
        }
    };
    values.iter().map(one).collect()
}
