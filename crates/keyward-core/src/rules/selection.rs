//! What a filter selects in a field: certain values, no value at all, or anything except certain values.

use std::str::FromStr;

use super::names::NOT;

/// The word for "no value at all".
pub const NONE: &str = "none";

/// What is selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection<T> {
    /// One of these, if there are any. `None` stands for no value at all.
    pub any_of: Vec<Option<T>>,
    /// And none of these.
    pub none_of: Vec<Option<T>>,
}

impl<T> Default for Selection<T> {
    fn default() -> Self {
        Self { any_of: vec![], none_of: vec![] }
    }
}

impl<T> From<T> for Selection<T> {
    fn from(value: T) -> Self {
        Self { any_of: vec![Some(value)], none_of: vec![] }
    }
}

impl<T> Selection<T> {
    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.any_of.is_empty() && self.none_of.is_empty()
    }

    /// Combines this with `other`: one of the values of either, and none of those that either excludes.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.any_of.extend(other.any_of);
        self.none_of.extend(other.none_of);
        self
    }

    /// The values that it names.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.any_of.iter().chain(&self.none_of).flatten()
    }

    /// The number of conditions in it.
    pub fn len(&self) -> usize {
        self.any_of.len() + self.none_of.len()
    }

    /// Whether it selects a field, where `has` says whether the field has a value.
    pub fn takes(&self, is_empty: bool, has: impl Fn(&T) -> bool) -> bool {
        let holds = |value: &Option<T>| value.as_ref().map_or(is_empty, &has);
        (self.any_of.is_empty() || self.any_of.iter().any(holds)) && !self.none_of.iter().any(holds)
    }

    /// Reads values separated by commas. A [`NOT`] before a value excludes it.
    ///
    /// # Errors
    /// The first error of `value`.
    pub fn read<E>(text: &str, value: impl FnMut(&str) -> Result<Option<T>, E>) -> Result<Self, E> {
        Self::read_parts(text.split(','), value)
    }

    /// The same for a text that is a single value, even with commas.
    ///
    /// # Errors
    /// The error of `value`.
    pub fn read_one<E>(text: &str, value: impl FnMut(&str) -> Result<Option<T>, E>) -> Result<Self, E> {
        Self::read_parts([text], value)
    }

    fn read_parts<'t, E>(
        parts: impl IntoIterator<Item = &'t str>,
        mut value: impl FnMut(&str) -> Result<Option<T>, E>,
    ) -> Result<Self, E> {
        let mut read = Self::default();
        for part in parts {
            match part.strip_prefix(NOT) {
                Some(part) => read.none_of.push(value(part)?),
                None => read.any_of.push(value(part)?),
            }
        }
        Ok(read)
    }
}

/// The form of a filter on a command line.
impl<T: FromStr> FromStr for Selection<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        Self::read(text, or_none)
    }
}

/// A value of a field that may have none.
///
/// # Errors
/// The parse error of the type.
pub fn or_none<T: FromStr>(text: &str) -> Result<Option<T>, T::Err> {
    if text == NONE { Ok(None) } else { text.parse().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_wanted_left_out_or_none_at_all() {
        let read = |text: &str| text.parse::<Selection<u8>>().unwrap();
        for (text, wanted) in [
            ("1", [false, true, false, false]),
            ("1,2", [false, true, true, false]),
            ("none", [true, false, false, false]),
            ("none,2", [true, false, true, false]),
            ("!1", [true, false, true, true]),
            ("!1,!2", [true, false, false, true]),
            ("!none", [false, true, true, true]),
            ("1,2,!2", [false, true, false, false]),
            ("!none,!3", [false, true, true, false]),
        ] {
            let selection = read(text);
            let takes = |field: Option<u8>| selection.takes(field.is_none(), |value| field == Some(*value));
            assert_eq!([None, Some(1), Some(2), Some(3)].map(takes), wanted, "{text}");
        }
        assert_eq!(read("1").or(read("!2")), read("1,!2"));
        assert!(Selection::<u8>::default().takes(true, |_| false));
        for text in ["", "1,", "!", "x", "!!1"] {
            assert!(text.parse::<Selection<u8>>().is_err(), "{text}");
        }
    }
}
