//! The values of settings by their kind, so that code for all settings knows a few kinds and no individual setting.
//!
//! [`SettingValue`] borrows: a million keys are listed without a copy of their settings.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::field::{OptionalText, TextSet};
use crate::rules::names::{InvalidText, Label, LabelKey, LabelValue, Prefix};
use crate::rules::time::{parse_time, rfc3339};

/// The value of a setting. The enum is exhaustive, because a new kind affects all code that shows settings.
#[derive(Clone, Copy)]
pub enum SettingValue<'s> {
    /// A text, or none.
    Text(Option<&'s str>),
    /// A set whose items have texts.
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

    /// Its texts: the items of a set, labels as `KEY=VALUE`, or its one text; none if it is empty.
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

/// Where the value of a setting is put. The kinds match [`SettingValue`].
pub enum SettingSlot<'s> {
    /// A text, or none.
    Text(&'s mut dyn OptionalText),
    /// A set whose items have texts.
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
    /// Empties it. A switch and a prefix cannot be empty, and keep their values.
    pub fn clear(&mut self) {
        match self {
            Self::Text(text) => text.clear(),
            Self::Texts(texts) => texts.clear(),
            Self::Labels(labels) => labels.clear(),
            Self::Time(time) => **time = None,
            Self::Switch(_) | Self::Prefix(_) => {}
        }
    }

    /// Sets the value from a text, or adds one item to a set or to labels (`KEY=VALUE`). An empty text means no value.
    ///
    /// # Errors
    /// If the text is not a valid value of this setting.
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

    /// As [`SettingSlot::parse`], but the text need only say which item is meant: for a label, its key.
    ///
    /// # Errors
    /// As [`SettingSlot::parse`].
    pub fn parse_key(&mut self, text: &str) -> Result<(), InvalidText> {
        match self {
            Self::Labels(labels) => drop(labels.insert(text.parse()?, "".parse()?)),
            Self::Texts(texts) => texts.insert_key(text)?,
            other => other.parse(text)?,
        }
        Ok(())
    }
}
