//! Writes a manifest from what exists. It contains everything except secrets, their hashes, and mere facts: when
//! something was made, by whom, and how often it was used.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{KINDS, fields_of};
use crate::formats::limits;
use keyward_core::rules::directory::Draft;
use keyward_core::rules::names::Name;
use keyward_core::rules::patch::fields;
use keyward_core::rules::setting::{Setting, SettingValue, Settings};

/// The start of a manifest in TOML: the directory. Keys follow, one by one, each made by [`key_to_toml`].
///
/// Defaults are left out, except for a key's prefix and its end: their defaults belong to the store.
pub fn to_toml(entries: &[Draft]) -> String {
    let mut text = "# A manifest of keyward: man 5 keyward-manifest. It holds no secrets.\n".to_owned();
    for kind in KINDS {
        for entry in entries.iter().filter(|entry| entry.facts.kind() == kind) {
            let mut fields = entry_fields(entry);
            fields.retain(|field, value| !is_default(field, value));
            table(&mut text, kind.as_str(), &fields);
        }
    }
    text
}

/// A key in TOML.
pub fn key_to_toml(name: &Name, settings: &Settings) -> String {
    let defaults = Settings::with_prefix(settings.prefix.clone());
    let mut fields = key_fields(name, settings);
    for setting in Setting::ALL {
        let is_default = setting.is_same(settings, &defaults);
        if is_default && !matches!(setting.value(settings), SettingValue::Prefix(_) | SettingValue::Time(_)) {
            fields.shift_remove(setting.name);
        }
    }
    let mut text = String::new();
    table(&mut text, "key", &fields);
    text
}

/// The directory as the lists of a manifest in JSON, with every field; the list of keys follows later.
pub fn to_json(entries: &[Draft]) -> Map<String, Value> {
    let of_kind = |kind| {
        let entries = entries.iter().filter(move |entry: &&Draft| entry.facts.kind() == kind);
        Value::Array(entries.map(|entry| Value::Object(entry_fields(entry))).collect())
    };
    KINDS.into_iter().map(|kind| (kind.as_str().to_owned(), of_kind(kind))).collect()
}

/// A key in JSON.
pub fn key_to_json(name: &Name, settings: &Settings) -> Value {
    Value::Object(key_fields(name, settings))
}

fn entry_fields(entry: &Draft) -> Map<String, Value> {
    let mut all = entry.fields();
    let field = |name: &&'static str| {
        let place = all.iter().position(|(field, _)| field == name)?;
        Some(((*name).to_owned(), all.swap_remove(place).1))
    };
    fields_of(entry.facts.kind()).iter().filter_map(field).collect()
}

fn key_fields(name: &Name, settings: &Settings) -> Map<String, Value> {
    let mut all: Map<String, Value> =
        std::iter::once(("name".to_owned(), json!(name))).chain(fields(settings)).collect();
    // If no end is stated, a key would keep the one that it has.
    if let Some(end) = all.get_mut(Setting::EXPIRES_AT.name).filter(|end| end.is_null()) {
        *end = json!("never");
    }
    all
}

/// One table of a list.
fn table(text: &mut String, list: &str, fields: &Map<String, Value>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n[[{list}]]");
    for (field, value) in fields {
        let _ = writeln!(text, "{field} = {}", toml(value));
    }
}

/// Whether this is the default of a group, user, role or tenant; a rank is always written.
fn is_default(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => *on == (field == "enabled"),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A value on one line of TOML.
fn toml(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Bool(on) => on.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => toml::Value::from(text.as_str()).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            // Shorter, and without a null burst, which TOML cannot express.
            if let Some(limit) = limits::in_words(fields) {
                return toml(&Value::from(limit));
            }
            let field = |(name, value): (&String, &Value)| format!("{} = {}", name_in_toml(name), toml(value));
            format!("{{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A name before `=`: bare if TOML allows that.
fn name_in_toml(name: &str) -> String {
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
        name.to_owned()
    } else {
        toml::Value::from(name).to_string()
    }
}
