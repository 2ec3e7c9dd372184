//! A row of an answer, column by column. A column that does not hold what keyward writes there is damage.

use std::path::Path;
use std::str::FromStr;

use jiff::Timestamp;

use super::value::Value;
use crate::store::error::StoreError;

/// One row, valid until the next one is read.
pub(in crate::store) struct Row<'r> {
    row: Source<'r>,
    place: &'r Path,
}

/// The engine's row.
enum Source<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    #[cfg(feature = "postgres")]
    Postgres(&'r tokio_postgres::Row),
}

impl<'r> Row<'r> {
    pub(super) fn new(row: &'r rusqlite::Row<'r>, place: &'r Path) -> Self {
        Self { row: Source::Sqlite(row), place }
    }

    #[cfg(feature = "postgres")]
    pub(super) fn of_server(row: &'r tokio_postgres::Row, place: &'r Path) -> Self {
        Self { row: Source::Postgres(row), place }
    }

    /// What the column holds.
    pub(in crate::store) fn value(&self, column: usize) -> Result<Value<'_>, StoreError> {
        match self.row {
            Source::Sqlite(row) => self.value_of_file(row, column),
            #[cfg(feature = "postgres")]
            Source::Postgres(row) => self.value_of_server(row, column),
        }
    }

    fn value_of_file<'v>(&self, row: &'v rusqlite::Row<'_>, column: usize) -> Result<Value<'v>, StoreError> {
        use rusqlite::types::ValueRef;
        let value = row.get_ref(column).map_err(|error| StoreError::Bug(error.into()))?;
        Ok(match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).map_err(|_| self.damage(column))?),
            ValueRef::Blob(bytes) => Value::Bytes(bytes),
            ValueRef::Real(_) => return Err(self.damage(column)),
        })
    }

    #[cfg(feature = "postgres")]
    fn value_of_server<'v>(&self, row: &'v tokio_postgres::Row, column: usize) -> Result<Value<'v>, StoreError> {
        use tokio_postgres::types::Type;
        let kind = row.columns().get(column).map(|column| column.type_().clone());
        let failed = |error: tokio_postgres::Error| StoreError::Bug(error.into());
        Ok(match kind {
            Some(Type::INT8) => {
                row.try_get::<_, Option<i64>>(column).map_err(failed)?.map_or(Value::Null, Value::Integer)
            }
            Some(Type::INT4) => {
                let number = row.try_get::<_, Option<i32>>(column).map_err(failed)?;
                number.map_or(Value::Null, |number| Value::Integer(number.into()))
            }
            Some(Type::BYTEA) => {
                row.try_get::<_, Option<&[u8]>>(column).map_err(failed)?.map_or(Value::Null, Value::Bytes)
            }
            Some(Type::TEXT) => {
                row.try_get::<_, Option<&str>>(column).map_err(failed)?.map_or(Value::Null, Value::Text)
            }
            _ => return Err(self.damage(column)),
        })
    }

    pub(in crate::store) fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.optional_text(column)?.ok_or_else(|| self.damage(column))
    }

    pub(in crate::store) fn optional_text(&self, column: usize) -> Result<Option<&str>, StoreError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Integer(_) | Value::Bytes(_) => Err(self.damage(column)),
        }
    }

    pub(in crate::store) fn integer(&self, column: usize) -> Result<i64, StoreError> {
        self.optional_integer(column)?.ok_or_else(|| self.damage(column))
    }

    pub(in crate::store) fn optional_integer(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Integer(number) => Ok(Some(number)),
            Value::Text(_) | Value::Bytes(_) => Err(self.damage(column)),
        }
    }

    /// A hash of the chain.
    pub(in crate::store) fn hash(&self, column: usize) -> Result<[u8; 32], StoreError> {
        match self.value(column)? {
            Value::Bytes(bytes) => bytes.try_into().map_err(|_| self.damage(column)),
            Value::Null | Value::Integer(_) | Value::Text(_) => Err(self.damage(column)),
        }
    }

    pub(in crate::store) fn flag(&self, column: usize) -> Result<bool, StoreError> {
        match self.integer(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damage(column)),
        }
    }

    /// A number of things.
    pub(in crate::store) fn count(&self, column: usize) -> Result<u64, StoreError> {
        self.integer(column)?.try_into().map_err(|_| self.damage(column))
    }

    /// A text, parsed as the type that checks it.
    pub(in crate::store) fn parsed<T: FromStr>(&self, column: usize) -> Result<T, StoreError> {
        self.parse(self.text(column)?, column)
    }

    pub(in crate::store) fn optional_parsed<T: FromStr>(&self, column: usize) -> Result<Option<T>, StoreError> {
        self.optional_text(column)?.map(|text| self.parse(text, column)).transpose()
    }

    /// The items of a list, which arrive as one text separated by U+001F.
    pub(in crate::store) fn items(&self, column: usize) -> Result<impl Iterator<Item = &str>, StoreError> {
        Ok(self.optional_text(column)?.into_iter().flat_map(|list| list.split('\u{1f}')))
    }

    pub(in crate::store) fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        self.timestamp(self.integer(column)?, column)
    }

    pub(in crate::store) fn optional_time(&self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        self.optional_integer(column)?.map(|second| self.timestamp(second, column)).transpose()
    }

    /// Part of a column's text, parsed as the type that checks it.
    pub(in crate::store) fn parse<T: FromStr>(&self, text: &str, column: usize) -> Result<T, StoreError> {
        text.parse().map_err(|_| self.damage(column))
    }

    /// Converts a number from this column to a time.
    pub(in crate::store) fn timestamp(&self, second: i64, column: usize) -> Result<Timestamp, StoreError> {
        Timestamp::from_second(second).map_err(|_| self.damage(column))
    }

    /// The error for a column that holds what keyward never writes.
    pub(in crate::store) fn damage(&self, column: usize) -> StoreError {
        let name = match self.row {
            Source::Sqlite(row) => row.as_ref().column_name(column).unwrap_or("?"),
            #[cfg(feature = "postgres")]
            Source::Postgres(row) => row.columns().get(column).map_or("?", |column| column.name()),
        };
        self.broken(format!("the column {name} of a row holds a value that keyward never writes"))
    }

    /// The error for a row that keyward did not write like this.
    pub(in crate::store) fn broken(&self, detail: String) -> StoreError {
        StoreError::Corrupt { path: self.place.to_owned(), detail }
    }
}
