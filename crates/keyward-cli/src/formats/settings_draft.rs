//! The settings of a key as stated in a text: a manifest, or the text from an editor.
//!
//! Which settings there are, and how each is read, is the core's list ([`Setting`]); this module knows how the kinds of
//! values are written, and where each mistake is in the text.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::limits;
use super::tree::{Field, Mistake, Node, Value};
use crate::text::{did_you_mean_quoted, gather};
use keyward_core::rules::limits::Limits;
use keyward_core::rules::names::InvalidText;
use keyward_core::rules::setting::{Setting, SettingSlot, Settings, TextSet};
use keyward_core::rules::time::When;

/// The settings of a key as far as a text can state them. The caller, who knows the key, decides when it ends, and its
/// prefix if the text states none.
#[derive(Debug, Clone)]
pub struct SettingsDraft {
    /// The settings.
    pub settings: Settings,
    /// When it ends, with the position of that in the text.
    pub expires: Option<(usize, When)>,
    /// Whether the text states its prefix.
    pub has_prefix: bool,
}

impl SettingsDraft {
    /// A draft before anything was read.
    pub fn new(settings: Settings) -> Self {
        Self { settings, expires: None, has_prefix: false }
    }

    /// Reads a setting; `false` if the field is not a setting of a key.
    ///
    /// # Errors
    /// Everything that is wrong with its value.
    pub fn read(&mut self, field: &Field) -> Result<bool, Vec<Mistake>> {
        let Some(setting) = Setting::named(&field.name) else { return Ok(false) };
        let node = &field.node;
        match setting.slot(&mut self.settings) {
            SettingSlot::Text(place) => match some_text(node)? {
                None => place.clear(),
                Some(text) => place.parse(text).map_err(|error| Mistake::new(node.at, error.to_string()))?,
            },
            SettingSlot::Texts(set) => several(node, set)?,
            SettingSlot::Labels(place) => *place = labels(node)?,
            SettingSlot::Switch(place) => *place = switch(node)?,
            // Its meaning depends on when the key was made.
            SettingSlot::Time(_) => self.expires = Some((node.at, one(node)?.unwrap_or(When::Never))),
            SettingSlot::Prefix(place) => {
                if let Some(prefix) = one(node)? {
                    *place = prefix;
                    self.has_prefix = true;
                }
            }
        }
        Ok(true)
    }
}

/// The mistake for an unknown field.
pub fn no_such_field(field: &Field, there_are: &[&str]) -> Mistake {
    let what = match did_you_mean_quoted(there_are, &field.name) {
        Some(question) => format!("unknown field `{}`; {question}", field.name),
        None => format!("unknown field `{}`; known are {}", field.name, there_are.join(", ")),
    };
    Mistake::new(field.at, what)
}

/// A text.
///
/// # Errors
/// If it is not one.
pub fn text(node: &Node) -> Result<&str, Mistake> {
    match &node.value {
        Value::Text(text) => Ok(text),
        _ => Err(Mistake::new(node.at, "write this in quotation marks")),
    }
}

impl From<Mistake> for Vec<Mistake> {
    fn from(mistake: Mistake) -> Self {
        vec![mistake]
    }
}

/// A text that may be absent: nothing, or an empty text.
fn some_text(node: &Node) -> Result<Option<&str>, Mistake> {
    if node.value == Value::Nothing {
        return Ok(None);
    }
    text(node).map(|text| Some(text).filter(|text| !text.is_empty()))
}

/// A value that may be absent: nothing, or an empty text.
///
/// # Errors
/// If it does not parse.
pub fn one<T: FromStr<Err: Display>>(node: &Node) -> Result<Option<T>, Mistake> {
    let parse = |text: &str| text.parse().map_err(|error: T::Err| Mistake::new(node.at, error.to_string()));
    some_text(node)?.map(parse).transpose()
}

/// The items of a list, which replace the existing ones.
fn several(node: &Node, set: &mut dyn TextSet) -> Result<(), Vec<Mistake>> {
    let Value::List(items) = &node.value else {
        return Err(vec![Mistake::new(node.at, "write a list, such as [\"one\", \"two\"]")]);
    };
    set.clear();
    let mut insert = |item: &Node| {
        let inserted = match &item.value {
            Value::Table(fields) if set.takes_limits() => set.insert(&limits::read(item, fields)?),
            _ => set.insert(text(item)?),
        };
        inserted.map_err(|error: InvalidText| Mistake::new(item.at, error.to_string()))
    };
    all(items.iter().map(&mut insert))
}

/// The limits of a user or a tenant.
///
/// # Errors
/// Everything that is wrong with them.
pub fn limits_of(node: &Node) -> Result<Limits, Vec<Mistake>> {
    let mut limits = Limits::default();
    several(node, &mut limits)?;
    Ok(limits)
}

fn labels<K: FromStr<Err: Display> + Ord, V: FromStr<Err: Display>>(
    node: &Node,
) -> Result<BTreeMap<K, V>, Vec<Mistake>> {
    let Value::Table(fields) = &node.value else {
        return Err(vec![Mistake::new(node.at, "labels are a table, such as { team = \"web\" }")]);
    };
    let label = |field: &Field| {
        let key = field.name.parse().map_err(|error: K::Err| Mistake::new(field.at, error.to_string()))?;
        let value = text(&field.node)?.parse();
        Ok((key, value.map_err(|error: V::Err| Mistake::new(field.node.at, error.to_string()))?))
    };
    all(fields.iter().map(label))
}

/// All values, or everything that is wrong with any of them.
fn all<T, C: Default + Extend<T>>(values: impl Iterator<Item = Result<T, Mistake>>) -> Result<C, Vec<Mistake>> {
    let mut mistakes = vec![];
    let values = gather(values.filter_map(|value| value.map_err(|mistake| mistakes.push(mistake)).ok()));
    if mistakes.is_empty() { Ok(values) } else { Err(mistakes) }
}

/// True or false.
///
/// # Errors
/// If it is neither.
pub fn switch(node: &Node) -> Result<bool, Mistake> {
    match node.value {
        Value::Switch(on) => Ok(on),
        _ => Err(Mistake::new(node.at, "write true or false")),
    }
}
