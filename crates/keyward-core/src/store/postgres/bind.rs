//! What is bound to the placeholders of a statement, and with which type.
//!
//! The types are sent with the statement, so that they need not be asked for first: an integer is a `bigint`, a text is
//! `text`, bytes are `bytea`. Booleans are integers as everywhere in the store. A null has no type; the server infers
//! it from the context, such as the column that it is written to or compared with. Without such a context, as in `$1 IS
//! NULL`, the statement must name one: `$1::text IS NULL`.

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
