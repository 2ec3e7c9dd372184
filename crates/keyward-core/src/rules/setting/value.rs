//! The values of settings by their kind, so that what reads or writes all settings knows a few kinds and no
//! single setting.
//!
//! [`SettingValue`] borrows: a million keys are listed without a copy of their settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use crate::rules::address::Cidr;
use crate::rules::names::{Description, InvalidText, Label, LabelKey, LabelValue, Level, Name, Prefix, Scope};
use crate::rules::time::{parse_time, rfc3339};

/// The value of a setting.
#[derive(Clone, Copy)]
pub enum SettingValue<'s> {
    /// A text, or none.
    Text(Option<&'s str>),
    /// A set, each of whose items has a text.
    Texts(&'s dyn TextSet),
    /// Labels.
    Labels(&'s BTreeMap<LabelKey, LabelValue>),
    /// On or off.
    Switch(bool),
    /// A moment, or none.
    Time(Option<Timestamp>),
    /// What secrets start with. There is always one.
    Prefix(&'s Prefix),
}

impl SettingValue<'_> {
    /// Whether it is absent or empty.
    pub fn is_empty(self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Texts(texts) => texts.len() == 0,
            Self::Labels(labels) => labels.is_empty(),
            Self::Time(time) => time.is_none(),
            Self::Switch(_) | Self::Prefix(_) => false,
        }
    }

    /// Its texts: the items of a set, labels as `KEY=VALUE`, or the one text that it is; none where it is empty.
    /// [`SettingSlot::parse`] reads each of them.
    pub fn texts(self) -> Vec<String> {
        match self {
            Self::Text(text) => text.map(str::to_owned).into_iter().collect(),
            Self::Texts(set) => {
                let mut texts = vec![];
                set.each(&mut |item| texts.push(item.to_string()));
                texts
            }
            Self::Labels(labels) => labels.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            Self::Switch(on) => vec![on.to_string()],
            Self::Time(time) => time.map(|time| rfc3339(time).to_string()).into_iter().collect(),
            Self::Prefix(prefix) => vec![prefix.to_string()],
        }
    }
}

/// As in the JSON of a key.
impl Serialize for SettingValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Texts(texts) => texts.serialize(serializer),
            Self::Labels(labels) => labels.serialize(serializer),
            Self::Switch(on) => on.serialize(serializer),
            Self::Time(time) => time.map(rfc3339).serialize(serializer),
            Self::Prefix(prefix) => prefix.serialize(serializer),
        }
    }
}

/// Where the value of a setting is put.
pub enum SettingSlot<'s> {
    /// A text, or none.
    Text(&'s mut dyn OptionalText),
    /// A set, each of whose items has a text.
    Texts(&'s mut dyn TextSet),
    /// Labels.
    Labels(&'s mut BTreeMap<LabelKey, LabelValue>),
    /// On or off.
    Switch(&'s mut bool),
    /// A moment, or none.
    Time(&'s mut Option<Timestamp>),
    /// What secrets start with.
    Prefix(&'s mut Prefix),
}

impl SettingSlot<'_> {
    /// Empties it. A switch and a prefix cannot be empty, and stay.
    pub fn clear(&mut self) {
        match self {
            Self::Text(text) => text.clear(),
            Self::Texts(texts) => texts.clear(),
            Self::Labels(labels) => labels.clear(),
            Self::Time(time) => **time = None,
            Self::Switch(_) | Self::Prefix(_) => {}
        }
    }

    /// Puts in the value that a text stands for, or one more item of a set or of labels (`KEY=VALUE`). A text that
    /// is empty is none.
    ///
    /// # Errors
    /// Where the text cannot be a value of this setting.
    pub fn parse(&mut self, text: &str) -> Result<(), InvalidText> {
        match self {
            Self::Text(place) => place.parse(text)?,
            Self::Texts(texts) => texts.insert(text)?,
            Self::Labels(labels) => {
                let label: Label = text.parse()?;
                labels.insert(label.key, label.value);
            }
            Self::Switch(on) => **on = text.parse().map_err(|_| InvalidText::new("write true or false"))?,
            Self::Time(time) => {
                let moment = parse_time(text).ok_or_else(|| InvalidText::new("write a date or an RFC 3339 time"));
                **time = if text.is_empty() { None } else { Some(moment?) };
            }
            Self::Prefix(prefix) => **prefix = text.parse()?,
        }
        Ok(())
    }

    /// As [`SettingSlot::parse`], where the text only has to say which item is meant: of a label, its key.
    ///
    /// # Errors
    /// As [`SettingSlot::parse`].
    pub fn parse_key(&mut self, text: &str) -> Result<(), InvalidText> {
        match self {
            Self::Labels(labels) => drop(labels.insert(text.parse()?, "".parse()?)),
            other => other.parse(text)?,
        }
        Ok(())
    }
}

/// A text that may be absent, whatever its type.
pub trait OptionalText {
    /// Makes it absent.
    fn clear(&mut self);

    /// Makes it this text; absent where it is empty and may be.
    ///
    /// # Errors
    /// Where it is not valid.
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

/// A set of items that have a text, whatever their type.
pub trait TextSet {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands each of them out, in order.
    fn each<'s>(&'s self, f: &mut dyn FnMut(&'s dyn SetItem));

    /// Takes all of them out.
    fn clear(&mut self);

    /// Puts one in.
    ///
    /// # Errors
    /// Where the text is not one.
    fn insert(&mut self, text: &str) -> Result<(), InvalidText>;
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
                result = match item.as_text() {
                    Some(text) => list.serialize_element(text),
                    None => list.serialize_element(&format_args!("{item}")),
                };
            }
        });
        result?;
        list.end()
    }
}

/// An item of a set.
pub trait SetItem: Display {
    /// Its text, where it is kept as one.
    fn as_text(&self) -> Option<&str> {
        None
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

/// A checked text that a key may have or not.
pub(super) trait PlainText: AsRef<str> + FromStr<Err = InvalidText> {}

impl PlainText for Name {}
impl PlainText for Description {}

/// What each field of the settings can do, whatever its type.
pub(super) trait SettingField {
    /// Lends the value.
    fn value(&self) -> SettingValue<'_>;

    /// Lends the place of the value.
    fn slot(&mut self) -> SettingSlot<'_>;

    /// Adds the items of another value; a value that has no items stays.
    fn add_all(&mut self, _other: &Self) {}

    /// Takes the items of another value away; a value that has no items stays.
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
