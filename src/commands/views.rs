//! Keys as people see them: a row, a card, a change, an outcome.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::delivery::Outcome;
use crate::error::Error;
use crate::session::{Session, find_key};
use crate::terminal::{Cell, Column, Tone, card};
use keyward_core::rules::key::{Key, KeyJson, Settings, State};
use keyward_core::rules::names::Name;
use keyward_core::rules::patch::differences;
use keyward_core::rules::time::{relative, rfc3339};
use keyward_core::store::Store;

/// The columns of a list of keys. In a narrow terminal the name and the state stay, and of the rest
/// what tells whether a key still works and is still needed.
pub const KEY_COLUMNS: [Column; 12] = [
    Column::new("name", Column::ALWAYS),
    Column::new("state", Column::ALWAYS),
    Column::new("group", 3),
    Column::new("owner", 7),
    Column::new("role", 4),
    Column::new("tenant", 5),
    Column::new("scopes", 6),
    Column::new("levels", 2),
    Column::new("expires", 9),
    Column::new("last used", 8),
    Column::new("created", 1),
    Column::new("description", 0),
];

/// A key in a list.
pub fn key_row(key: &Key, now: Timestamp) -> Vec<Cell> {
    let settings = &key.settings;
    vec![
        key.name.to_string().into(),
        state(key, now),
        settings.group.as_ref().into(),
        settings.owner.as_ref().into(),
        settings.role.as_ref().into(),
        settings.tenant.as_ref().into(),
        join(&settings.scopes).into(),
        join(&settings.levels).into(),
        settings.expires_at.map_or_else(|| "never".to_owned(), |time| relative(time, now)).into(),
        key.last_used_at.map_or_else(|| "never".to_owned(), |time| relative(time, now)).into(),
        relative(key.created_at, now).into(),
        settings.description.as_ref().into(),
    ]
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
    let settings = &key.settings;
    let moment = |time: Timestamp| format!("{} ({})", rfc3339(time), relative(time, now));
    let secrets = key.secrets.iter().map(|secret| match secret.expires_at {
        None => format!("{} (current)", secret.id),
        Some(_) if secret.is_staged() => format!("{} (works too: its delivery did not come to its end)", secret.id),
        Some(end) if end > now => format!("{} (replaced, works until {})", secret.id, rfc3339(end)),
        Some(end) => format!("{} (retired {})", secret.id, relative(end, now)),
    });
    let labels = settings.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let made = match &key.created_by {
        Some(user) => format!("{} by {user}", moment(key.created_at)),
        None => moment(key.created_at),
    };
    let yes_no = |yes: bool, one: &str, other: &str| if yes { one } else { other }.to_owned();
    let networks = if settings.allowed_ips.is_empty() { "anywhere".to_owned() } else { join(&settings.allowed_ips) };
    card(
        &session.terminal,
        &[
            ("name", key.name.to_string().into()),
            ("id", key.id.to_string().into()),
            ("state", state(key, now)),
            ("description", settings.description.as_ref().into()),
            ("group", settings.group.as_ref().into()),
            ("owner", settings.owner.as_ref().into()),
            ("role", settings.role.as_ref().into()),
            ("tenant", settings.tenant.as_ref().into()),
            ("scopes", join(&settings.scopes).into()),
            ("levels", join(&settings.levels).into()),
            ("may be used from", networks.into()),
            ("access", yes_no(settings.read_only, "read only", "read and write").into()),
            ("plain http", yes_no(settings.require_secure, "refused", "allowed").into()),
            ("labels", labels.collect::<Vec<_>>().join(", ").into()),
            ("expires", settings.expires_at.map_or_else(|| "never".to_owned(), moment).into()),
            ("last used", last_use(key, now).into()),
            ("created", made.into()),
            ("changed", moment(key.updated_at).into()),
            ("secrets", secrets.collect::<Vec<_>>().join("\n").into()),
        ],
    )
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

/// The name of a JSON field for people.
pub fn field_in_words(field: &str) -> String {
    match field {
        "expires_at" => "expires".to_owned(),
        field => field.replace('_', " "),
    }
}

/// A JSON value for people: no quotation marks, and a word for nothing.
pub fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(in_words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key}={}", in_words(value))).collect::<Vec<_>>().join(", ")
        }
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
            _ => error.hint("nothing was changed: it is all of them or none"),
        })?;
        if keys.iter().all(|other| other.id != key.id) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// What became of a key, in JSON.
#[derive(Debug, Serialize)]
pub struct KeyOutcome<'k> {
    /// The key.
    pub key: KeyJson<'k>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Says what became of several keys: in JSON always an array, however many they are.
///
/// # Errors
/// Where stdout takes nothing.
pub fn print_outcomes(session: &mut Session, outcomes: &[(Key, Outcome)], verb: &str) -> Result<(), Error> {
    if session.json() {
        let now = session.now();
        let documents: Vec<_> =
            outcomes.iter().map(|(key, outcome)| KeyOutcome { key: key.to_json(now), outcome: *outcome }).collect();
        return session.terminal.print_json(&documents);
    }
    for (key, outcome) in outcomes {
        session.terminal.note(&match outcome {
            Outcome::Unchanged => format!("the key {} is {verb} already", key.name),
            _ => format!("{verb} the key {}", key.name),
        });
    }
    Ok(())
}

fn join<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
