//! The types that a setting can have, and how each lends its value: what a new type of setting must implement.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use super::value::{SettingSlot, SettingValue};
use crate::rules::address::Cidr;
use crate::rules::limits::{Limit, Limits};
use crate::rules::names::{Description, InvalidText, LabelKey, LabelValue, Level, Name, Prefix, Scope};

/// A text that may be absent, of any type.
pub trait OptionalText {
    /// Makes it absent.
    fn clear(&mut self);

    /// Sets it to this text; absent if the text is empty and that is allowed.
    ///
    /// # Errors
    /// If it is not valid.
    fn parse(&mut self, text: &str) -> Result<(), InvalidText>;
}

impl<T: PlainText> OptionalText for Option<T> {
    fn clear(&mut self) {
        *self = None;
    }

    fn parse(&mut self, text: &str) -> Result<(), InvalidText> {
        let value: T = text.parse()?;
        *self = (!text.is_empty()).then_some(value);
        Ok(())
    }
}

/// A set of items that have texts, of any type.
pub trait TextSet {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Passes each of them to `f`, in order.
    fn each<'s>(&'s self, f: &mut dyn FnMut(&'s dyn SetItem));

    /// Removes all of them.
    fn clear(&mut self);

    /// Adds one.
    ///
    /// # Errors
    /// If the text is not an item, or the item does not fit beside the others.
    fn insert(&mut self, text: &str) -> Result<(), InvalidText>;

    /// Adds one for which the text need only say which item is meant.
    ///
    /// # Errors
    /// As [`TextSet::insert`].
    fn insert_key(&mut self, text: &str) -> Result<(), InvalidText> {
        self.insert(text)
    }

    /// Whether its items are limits, which may be written as objects too.
    fn takes_limits(&self) -> bool {
        false
    }
}

/// A limit is identified by its period.
impl TextSet for Limits {
    fn len(&self) -> usize {
        self.iter().len()
    }

    fn each<'s>(&'s self, f: &mut dyn FnMut(&'s dyn SetItem)) {
        for limit in self.iter() {
            f(limit);
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn insert(&mut self, text: &str) -> Result<(), InvalidText> {
        let limit: Limit = text.parse()?;
        *self = Self::new(self.iter().copied().chain([limit]))?;
        Ok(())
    }

    fn takes_limits(&self) -> bool {
        true
    }

    fn insert_key(&mut self, text: &str) -> Result<(), InvalidText> {
        // The whole limit also says which period is meant.
        let period = text.split_once('/').map_or(text, |(_, rest)| rest.split(':').next().unwrap_or(rest));
        self.set(Limit::new(1, period.parse()?, None)?)
    }
}

impl<T: SetItem + Ord + FromStr<Err = InvalidText>> TextSet for BTreeSet<T> {
    fn len(&self) -> usize {
        self.len()
    }

    fn each<'s>(&'s self, f: &mut dyn FnMut(&'s dyn SetItem)) {
        for item in self {
            f(item);
        }
    }

    fn clear(&mut self) {
        self.clear();
    }

    fn insert(&mut self, text: &str) -> Result<(), InvalidText> {
        self.insert(text.parse()?);
        Ok(())
    }
}

impl Serialize for dyn TextSet + '_ {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        let mut result = Ok(());
        self.each(&mut |item| {
            if result.is_ok() {
                result = list.serialize_element(item);
            }
        });
        result?;
        list.end()
    }
}

/// An item of a set.
pub trait SetItem: Display {
    /// Its text, if it is stored as one.
    fn as_text(&self) -> Option<&str> {
        None
    }

    /// The limit, if it is one: JSON shows it as an object.
    fn as_limit(&self) -> Option<&Limit> {
        None
    }
}

/// What is not stored as a text is formatted as one.
impl Serialize for dyn SetItem + '_ {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.as_text(), self.as_limit()) {
            (Some(text), _) => serializer.serialize_str(text),
            (None, Some(limit)) => limit.serialize(serializer),
            (None, None) => serializer.collect_str(self),
        }
    }
}

impl SetItem for Scope {
    fn as_text(&self) -> Option<&str> {
        Some(self.as_str())
    }
}

impl SetItem for Level {
    fn as_text(&self) -> Option<&str> {
        Some(self.as_str())
    }
}

impl SetItem for Cidr {}

impl SetItem for Limit {
    fn as_limit(&self) -> Option<&Limit> {
        Some(self)
    }
}

/// A checked text that a key may or may not have.
pub(super) trait PlainText: AsRef<str> + FromStr<Err = InvalidText> {}

impl PlainText for Name {}
impl PlainText for Description {}

/// What each field of the settings can do, whatever its type.
pub(super) trait SettingField {
    /// Lends the value.
    fn value(&self) -> SettingValue<'_>;

    /// Lends the slot of the value.
    fn slot(&mut self) -> SettingSlot<'_>;

    /// Adds the items of another value; a value without items stays as it is.
    fn add_all(&mut self, _other: &Self) {}

    /// Removes the items of another value; a value without items stays as it is.
    fn remove_all(&mut self, _other: &Self) {}
}

impl<T: PlainText> SettingField for Option<T> {
    fn value(&self) -> SettingValue<'_> {
        SettingValue::Text(self.as_ref().map(AsRef::as_ref))
    }

    fn slot(&mut self) -> SettingSlot<'_> {
        SettingSlot::Text(self)
    }
}

impl<T: SetItem + Ord + Clone + FromStr<Err = InvalidText>> SettingField for BTreeSet<T> {
    fn value(&self) -> SettingValue<'_> {
        SettingValue::Texts(self)
    }

    fn slot(&mut self) -> SettingSlot<'_> {
        SettingSlot::Texts(self)
    }

    fn add_all(&mut self, other: &Self) {
        self.extend(other.iter().cloned());
    }

    fn remove_all(&mut self, other: &Self) {
        self.retain(|item| !other.contains(item));
    }
}

impl SettingField for Limits {
    fn value(&self) -> SettingValue<'_> {
        SettingValue::Texts(self)
    }

    fn slot(&mut self) -> SettingSlot<'_> {
        SettingSlot::Texts(self)
    }

    fn add_all(&mut self, other: &Self) {
        for limit in other.iter() {
            // The check of the patch reports too many.
            self.put(*limit);
        }
    }

    fn remove_all(&mut self, other: &Self) {
        for limit in other.iter() {
            self.remove(limit.period());
        }
    }
}

impl SettingField for BTreeMap<LabelKey, LabelValue> {
    fn value(&self) -> SettingValue<'_> {
        SettingValue::Labels(self)
    }

    fn slot(&mut self) -> SettingSlot<'_> {
        SettingSlot::Labels(self)
    }

    fn add_all(&mut self, other: &Self) {
        self.extend(other.iter().map(|(key, value)| (key.clone(), value.clone())));
    }

    fn remove_all(&mut self, other: &Self) {
        self.retain(|key, _| !other.contains_key(key));
    }
}

impl SettingField for bool {
    fn value(&self) -> SettingValue<'_> {
        SettingValue::Switch(*self)
    }

    fn slot(&mut self) -> SettingSlot<'_> {
        SettingSlot::Switch(self)
    }
}

impl SettingField for Option<Timestamp> {
    fn value(&self) -> SettingValue<'_> {
        SettingValue::Time(*self)
    }

    fn slot(&mut self) -> SettingSlot<'_> {
        SettingSlot::Time(self)
    }
}

impl SettingField for Prefix {
    fn value(&self) -> SettingValue<'_> {
        SettingValue::Prefix(self)
    }

    fn slot(&mut self) -> SettingSlot<'_> {
        SettingSlot::Prefix(self)
    }
}
