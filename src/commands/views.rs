//! Keys as people see them: a row, a card, a change, an outcome.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use super::setting_args::list::field_in_words;
use super::setting_args::list::{CARD, COLUMNS, LAST_COLUMNS, SettingColumn, Words};
use crate::delivery::Effect;
use crate::error::Error;
use crate::formats::limits;
use crate::session::{Session, find_key};
use crate::terminal::{Cell, Column, Tone, card};
use keyward_core::rules::key::{Key, KeyJson, SecretState, State};
use keyward_core::rules::names::Name;
use keyward_core::rules::patch::differences;
use keyward_core::rules::setting::{SettingValue, Settings};
use keyward_core::rules::time::{relative, rfc3339};
use keyward_core::store::Store;

/// The columns of a list of keys. In a narrow terminal the name and the state stay, and of the rest
/// what tells whether a key still works and is still needed.
pub static KEY_COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let setting = |(_, title, rank, _): SettingColumn| Column::new(title, rank);
    let first = [Column::new("name", Column::ALWAYS), Column::new("state", Column::ALWAYS)];
    let times = [Column::new("last used", 8), Column::new("created", 1)];
    first.into_iter().chain(COLUMNS.map(setting)).chain(times).chain(LAST_COLUMNS.map(setting)).collect()
});

/// A key in a list.
pub fn key_row(key: &Key, now: Timestamp) -> Vec<Cell> {
    let ago = |time: Timestamp| relative(time, now);
    let setting = |(setting, _, _, words): SettingColumn| text_of(setting.value(&key.settings), words, ago).into();
    let first = [key.name.to_string().into(), state(key, now)];
    let times = [key.last_used_at.map_or_else(|| "never".to_owned(), ago).into(), ago(key.created_at).into()];
    first.into_iter().chain(COLUMNS.map(setting)).chain(times).chain(LAST_COLUMNS.map(setting)).collect()
}

/// A value in words, with moments as `moment` tells them.
fn text_of(value: SettingValue<'_>, words: Words, moment: impl Fn(Timestamp) -> String) -> String {
    match (value, words) {
        (SettingValue::Switch(on), Words::OnOff(one, other)) => if on { one } else { other }.to_owned(),
        (SettingValue::Time(Some(time)), _) => moment(time),
        (value, Words::ValueOr(other)) if value.is_empty() => other.to_owned(),
        (SettingValue::Text(text), _) => text.unwrap_or_default().to_owned(),
        (value, _) => value.texts().join(", "),
    }
}

fn state(key: &Key, now: Timestamp) -> Cell {
    let state = key.state(now);
    let tone = match state {
        State::Active => Tone::Good,
        State::Disabled | State::Suspended => Tone::Warning,
        State::Expired => Tone::Bad,
    };
    Cell::new(state.as_str(), tone)
}

/// Everything about a key but its secret.
pub fn key_card(session: &Session, key: &Key) -> String {
    let now = session.now();
    let moment = |time: Timestamp| format!("{} ({})", rfc3339(time), relative(time, now));
    let secrets = key.secrets.iter().map(|secret| match (secret.state(now), secret.expires_at) {
        (SecretState::Staged, _) => format!("{} (works too: its delivery did not come to its end)", secret.id),
        (SecretState::Grace, Some(end)) => format!("{} (replaced, works until {})", secret.id, rfc3339(end)),
        (_, Some(end)) if end > now => format!("{} (retired)", secret.id),
        (_, Some(end)) => format!("{} (retired {})", secret.id, relative(end, now)),
        _ => format!("{} (current)", secret.id),
    });
    let made = match &key.created_by {
        Some(user) => format!("{} by {user}", moment(key.created_at)),
        None => moment(key.created_at),
    };
    let first = [("name", key.name.to_string().into()), ("id", key.id.to_string().into()), ("state", state(key, now))];
    let settings =
        CARD.map(|(setting, title, words)| (title, text_of(setting.value(&key.settings), words, moment).into()));
    let last = [
        ("last used", last_use(key, now).into()),
        ("created", made.into()),
        ("changed", moment(key.updated_at).into()),
        ("secrets", secrets.collect::<Vec<_>>().join("\n").into()),
    ];
    card(&session.terminal, &first.into_iter().chain(settings).chain(last).collect::<Vec<_>>())
}

/// When and how often a key was used, in words.
pub fn last_use(key: &Key, now: Timestamp) -> String {
    match (key.last_used_at, key.use_count) {
        (Some(time), 1) => format!("used once, {}", relative(time, now)),
        (Some(time), count) => format!("used {count} times, last {}", relative(time, now)),
        (None, _) => "never used".to_owned(),
    }
}

/// What differs: `field: old → new`, a line each.
pub fn changes(name: &Name, settings: &Settings, new_name: &Name, new_settings: &Settings) -> String {
    let renamed = (name != new_name).then(|| format!("  name: {name} → {new_name}"));
    let changed = differences(settings, new_settings);
    let changed =
        changed.iter().map(|d| format!("  {}: {} → {}", field_in_words(&d.field), in_words(&d.old), in_words(&d.new)));
    renamed.into_iter().chain(changed).collect::<Vec<_>>().join("\n")
}

/// A JSON value for people: no quotation marks, and a word for nothing.
pub fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(in_words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        Value::Object(fields) => limits::in_words(fields).unwrap_or_else(|| {
            fields.iter().map(|(key, value)| format!("{key}={}", in_words(value))).collect::<Vec<_>>().join(", ")
        }),
        other => other.to_string(),
    }
}

/// The keys that `texts` name, each once.
///
/// # Errors
/// Where one of them is not there.
pub fn find_all(store: &Store, texts: &[String]) -> Result<Vec<Key>, Error> {
    let mut keys: Vec<Key> = vec![];
    for text in texts {
        let key = find_key(store, text).map_err(|error| match texts {
            [_] => error,
            _ => error.hint("no key was changed"),
        })?;
        if keys.iter().all(|other| other.id != key.id) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// What became of a key, in JSON.
#[derive(Debug, Serialize)]
pub struct KeyDocument<'k> {
    /// The key.
    pub key: KeyJson<'k>,
    /// What became of it.
    pub outcome: Effect,
}

/// Says what became of several keys: in JSON always an array, however many they are.
///
/// # Errors
/// Where stdout takes nothing.
pub fn print_outcomes(session: &mut Session, outcomes: &[(Key, Effect)], verb: &str) -> Result<(), Error> {
    if session.json() {
        let now = session.now();
        let documents: Vec<_> =
            outcomes.iter().map(|(key, outcome)| KeyDocument { key: key.to_json(now), outcome: *outcome }).collect();
        return session.terminal.print_json(&documents);
    }
    for (key, outcome) in outcomes {
        session.terminal.note(&match outcome {
            Effect::Unchanged => format!("the key {} is {verb} already", key.name),
            _ => format!("{verb} the key {}", key.name),
        });
    }
    Ok(())
}
