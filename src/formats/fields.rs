//! The settings of a key by the names that they have in JSON: what each is for, its value, and how a text
//! sets it. The editor's text, the manifest and the documentation of both are made from this one list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use super::tree::{Field, Node, Value, Wrong};
use crate::text::closest;
use keyward_core::rules::key::Settings;
use keyward_core::rules::time::When;

/// The settings, in order, each with what it is for.
pub const FIELDS: [(&str, &str); 14] = [
    ("description", "what the key is for"),
    ("group", "the group that it is kept in"),
    ("owner", "the user on whose behalf it acts"),
    ("role", "the role that it acts in, never above its owner's"),
    ("tenant", "the one tenant that it works for"),
    ("scopes", "what it may do, such as [\"rest\", \"ui\"]"),
    ("levels", "security levels, such as [\"Authenticated/Roles/Administrator\"]"),
    ("allowed_ips", "networks that it may be used from; none for any"),
    ("labels", "marks for people and filters"),
    ("read_only", "true: GET, HEAD, OPTIONS and TRACE alone"),
    ("require_secure", "true: not over plain http"),
    ("enabled", "false: a temporary stop"),
    ("expires_at", "a date, an RFC 3339 time, a duration such as \"90d\", or \"never\""),
    ("prefix", "what the next secret starts with"),
];

/// What a text says about the settings of a key. When it ends, and what its secrets start with, is decided
/// by who knows the key.
#[derive(Debug, Clone)]
pub struct Said {
    /// The settings.
    pub settings: Settings,
    /// When it ends, with the place where that stands.
    pub expires: Option<(usize, When)>,
    /// Whether the text says what its secrets start with.
    pub has_prefix: bool,
}

impl Said {
    /// Nothing was said yet.
    pub fn nothing(settings: Settings) -> Self {
        Self { settings, expires: None, has_prefix: false }
    }

    /// Takes a field in; `false` where it is no setting of a key.
    ///
    /// # Errors
    /// Everything for which its value cannot be.
    pub fn take(&mut self, field: &Field) -> Result<bool, Vec<Wrong>> {
        let (settings, node) = (&mut self.settings, &field.node);
        match field.name.as_str() {
            "description" => settings.description = one(node)?,
            "group" => settings.group = one(node)?,
            "owner" => settings.owner = one(node)?,
            "role" => settings.role = one(node)?,
            "tenant" => settings.tenant = one(node)?,
            "scopes" => settings.scopes = several(node)?,
            "levels" => settings.levels = several(node)?,
            "allowed_ips" => settings.allowed_ips = several(node)?,
            "labels" => settings.labels = labels(node)?,
            "read_only" => settings.read_only = switch(node)?,
            "require_secure" => settings.require_secure = switch(node)?,
            "enabled" => settings.enabled = switch(node)?,
            "expires_at" => self.expires = Some((node.at, one(node)?.unwrap_or(When::Never))),
            "prefix" => {
                if let Some(prefix) = one(node)? {
                    settings.prefix = prefix;
                    self.has_prefix = true;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What is wrong with a field that there is not.
pub fn no_such_field(field: &Field, there_are: &[&str]) -> Wrong {
    let what = match closest(there_are, &field.name) {
        Some(close) => format!("there is no {}; did you mean {close}?", field.name),
        None => format!("there is no {}; there are {}", field.name, there_are.join(", ")),
    };
    Wrong::new(field.at, what)
}

/// A text.
///
/// # Errors
/// For what is none.
pub fn text(node: &Node) -> Result<&str, Wrong> {
    match &node.value {
        Value::Text(text) => Ok(text),
        _ => Err(Wrong::new(node.at, "write this in quotation marks")),
    }
}

impl From<Wrong> for Vec<Wrong> {
    fn from(wrong: Wrong) -> Self {
        vec![wrong]
    }
}

/// A value that may be absent: nothing, or an empty text.
///
/// # Errors
/// Where it does not parse.
pub fn one<T: FromStr<Err: Display>>(node: &Node) -> Result<Option<T>, Wrong> {
    if node.value == Value::Nothing {
        return Ok(None);
    }
    match text(node)? {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|error: T::Err| Wrong::new(node.at, error.to_string())),
    }
}

fn several<T: FromStr<Err: Display> + Ord>(node: &Node) -> Result<BTreeSet<T>, Vec<Wrong>> {
    let Value::List(items) = &node.value else {
        return Err(vec![Wrong::new(node.at, "write a list, such as [\"one\", \"two\"]")]);
    };
    let item = |item: &Node| text(item)?.parse().map_err(|error: T::Err| Wrong::new(item.at, error.to_string()));
    all(items.iter().map(item))
}

fn labels<K: FromStr<Err: Display> + Ord, V: FromStr<Err: Display>>(node: &Node) -> Result<BTreeMap<K, V>, Vec<Wrong>> {
    let Value::Table(fields) = &node.value else {
        return Err(vec![Wrong::new(node.at, "labels are a table, such as { team = \"web\" }")]);
    };
    let label = |field: &Field| {
        let key = field.name.parse().map_err(|error: K::Err| Wrong::new(field.at, error.to_string()))?;
        let value = text(&field.node)?.parse();
        Ok((key, value.map_err(|error: V::Err| Wrong::new(field.node.at, error.to_string()))?))
    };
    all(fields.iter().map(label))
}

/// All values, or everything that is wrong with any of them.
fn all<T, C: FromIterator<T>>(values: impl Iterator<Item = Result<T, Wrong>>) -> Result<C, Vec<Wrong>> {
    let mut wrongs = vec![];
    let values = values.filter_map(|value| value.map_err(|wrong| wrongs.push(wrong)).ok()).collect();
    if wrongs.is_empty() { Ok(values) } else { Err(wrongs) }
}

/// True or false.
///
/// # Errors
/// For what is neither.
pub fn switch(node: &Node) -> Result<bool, Wrong> {
    match node.value {
        Value::Switch(on) => Ok(on),
        _ => Err(Wrong::new(node.at, "write true or false")),
    }
}
