//! Conditions of a statement, put together piece by piece, with their values.

use super::db::Value;

/// Conditions that must all hold, with their bound values.
#[derive(Debug, Default)]
pub(super) struct Conditions<'v> {
    sql: String,
    values: Vec<Bound<'v>>,
}

/// A value that is bound.
#[derive(Debug, Clone)]
pub(super) enum Bound<'v> {
    Integer(i64),
    Text(&'v str),
    Made(String),
}

impl<'v> Conditions<'v> {
    /// Adds a condition; each `?` in it takes the next of `values`.
    pub(super) fn and(&mut self, sql: &str, values: Vec<Bound<'v>>) {
        self.sql.push_str(if self.sql.is_empty() { "WHERE " } else { " AND " });
        let mut parts = sql.split('?');
        self.sql.push_str(parts.next().unwrap_or_default());
        for (part, value) in parts.zip(values) {
            let placeholder = self.bind(value);
            self.sql.push_str(&placeholder);
            self.sql.push_str(part);
        }
    }

    /// Binds a value, and returns its placeholder.
    pub(super) fn bind(&mut self, value: Bound<'v>) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    /// `WHERE` and the conditions; empty if there are none.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// The bound values, in the order of the placeholders.
    pub(super) fn values(&self) -> Vec<Value<'_>> {
        let value = |bound| match bound {
            &Bound::Integer(number) => Value::Integer(number),
            &Bound::Text(text) => Value::Text(text),
            Bound::Made(text) => Value::Text(text),
        };
        self.values.iter().map(value).collect()
    }
}
