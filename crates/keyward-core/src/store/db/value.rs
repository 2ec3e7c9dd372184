//! What is bound to a placeholder, and what a column holds: four cases, which every engine has.

use jiff::Timestamp;

use crate::rules::names::Name;
use crate::rules::token::Id;

/// A value on its way into the store or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Value<'v> {
    Null,
    Integer(i64),
    Text(&'v str),
    Bytes(&'v [u8]),
}

/// The type of a column's value, if it is not null.
#[cfg(feature = "postgres")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Number,
    Text,
    Bytes,
}

#[cfg(feature = "postgres")]
impl Value<'_> {
    /// Whether a column of this kind holds it.
    pub(in crate::store) fn is(&self, kind: Kind) -> bool {
        match self {
            Self::Null => true,
            Self::Integer(_) => kind == Kind::Number,
            Self::Text(_) => kind == Kind::Text,
            Self::Bytes(_) => kind == Kind::Bytes,
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// A number that cannot reach the storage limit: a length, a count of uses.
impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value<'_> {
    fn from(length: usize) -> Self {
        Self::from(length as u64)
    }
}

/// Yes and no are 1 and 0.
impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Integer(i64::from(flag))
    }
}

/// Times are whole seconds.
impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Integer(time.as_second())
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v Name> for Value<'v> {
    fn from(name: &'v Name) -> Self {
        Self::Text(name.as_str())
    }
}

impl<'v> From<&'v Id> for Value<'v> {
    fn from(id: &'v Id) -> Self {
        Self::Text(id.as_str())
    }
}

impl<'v> From<&'v [u8; 32]> for Value<'v> {
    fn from(bytes: &'v [u8; 32]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'v, T: Into<Value<'v>>> From<Option<T>> for Value<'v> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
