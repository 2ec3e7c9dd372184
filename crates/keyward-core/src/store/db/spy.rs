//! Records which places in the store run which statements, for tests that need all of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::Location;

use super::Value;

/// Statements, each with the values of its last run.
pub(in crate::store) type Statements = BTreeMap<String, Vec<Kept>>;
/// The same, by the file and the line that ran them.
pub(in crate::store) type Seen = BTreeMap<(&'static str, u32), Statements>;

/// A [`Value`] that owns its data.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only a server is asked for plans with values"))]
pub(in crate::store) enum Kept {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

thread_local! {
    static SEEN: RefCell<Seen> = const { RefCell::new(Seen::new()) };
}

/// Records the statement under the caller's caller.
#[track_caller]
pub(super) fn note(sql: &str, values: &[Value<'_>]) {
    let place = Location::caller();
    let values = values.iter().map(|value| match *value {
        Value::Null => Kept::Null,
        Value::Integer(number) => Kept::Integer(number),
        Value::Text(text) => Kept::Text(text.to_owned()),
        Value::Bytes(bytes) => Kept::Bytes(bytes.to_vec()),
    });
    SEEN.with_borrow_mut(|seen| {
        seen.entry((place.file(), place.line())).or_default().insert(sql.to_owned(), values.collect());
    });
}

/// What this thread has run since the last call.
pub(in crate::store) fn take() -> Seen {
    SEEN.take()
}

#[cfg(feature = "postgres")]
impl Kept {
    /// The value it was made from.
    pub(in crate::store) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}
