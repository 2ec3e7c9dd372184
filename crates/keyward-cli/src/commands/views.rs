//! Keys for people: a row, a card, a change, an outcome.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use super::setting_args::list::field_in_words;
use super::setting_args::list::{CARD, Words};
use crate::delivery::Effect;
use crate::error::{Code, Error};
use crate::formats::limits;
use crate::session::{Enter, Session, find_key};
use crate::terminal::{Cell, Tone, card};
use crate::words::owner_of_limit;
use keyward_core::rules::directory::{Draft, Facts, Kind};
use keyward_core::rules::imported::Import;
use keyward_core::rules::key::{Key, KeyJson, SecretInfo, SecretState, State};
use keyward_core::rules::limits::{Limit, Reckoning, Standing, Whose};
use keyward_core::rules::names::Name;
use keyward_core::rules::patch::differences;
use keyward_core::rules::setting::{Setting, SettingValue, Settings};
use keyward_core::rules::time::{relative, rfc3339};
use keyward_core::store::Store;

/// A value in words; `moment` words a time.
pub(super) fn text_of(value: SettingValue<'_>, words: Words, moment: impl Fn(Timestamp) -> String) -> String {
    match (value, words) {
        (SettingValue::Switch(on), Words::OnOff(one, other)) => if on { one } else { other }.to_owned(),
        (SettingValue::Time(Some(time)), _) => moment(time),
        (value, Words::ValueOr(other)) if value.is_empty() => other.to_owned(),
        (SettingValue::Text(text), _) => text.unwrap_or_default().to_owned(),
        (value, _) => value.texts().join(", "),
    }
}

/// The state of a key in its colour.
pub(super) fn state(key: &Key, now: Timestamp) -> Cell {
    let state = key.state(now);
    let tone = match state {
        State::Active => Tone::Good,
        State::Disabled | State::Suspended => Tone::Warning,
        State::Expired => Tone::Bad,
    };
    Cell::new(state.as_str(), tone)
}

/// Everything about a key except its secret.
pub fn key_card(session: &Session, key: &Key, left: &Reckoning) -> String {
    let now = session.now();
    let moment = |time: Timestamp| format!("{} ({})", rfc3339(time), relative(time, now));
    let secrets = key.secrets.iter().map(|secret| {
        let state = match (secret.state(now), secret.expires_at) {
            (SecretState::Staged, _) => "works too: its delivery did not come to its end".to_owned(),
            (SecretState::Grace, Some(end)) => format!("replaced, works until {}", rfc3339(end)),
            (_, Some(end)) if end > now => "retired".to_owned(),
            (_, Some(end)) => format!("retired {}", relative(end, now)),
            _ => "current".to_owned(),
        };
        let imported = imported(secret).map_or_else(String::new, |imported| format!(", {imported}"));
        format!("{} ({state}{imported})", secret.id)
    });
    let made = match &key.created_by {
        Some(user) => format!("{} by {user}", moment(key.created_at)),
        None => moment(key.created_at),
    };
    let mut first =
        vec![("name", key.name.to_string().into()), ("id", key.id.to_string().into()), ("state", state(key, now))];
    if let Some(why) = why_suspended(key) {
        first.push(("", why.into()));
    }
    let settings = CARD.map(|(setting, title, words)| {
        let is_limits = setting == Setting::LIMITS;
        let text =
            if is_limits { limits_left(left, now) } else { text_of(setting.value(&key.settings), words, moment) };
        (title, text.into())
    });
    let last = [
        ("last used", last_used(key, now).into()),
        ("created", made.into()),
        ("changed", moment(key.updated_at).into()),
        ("secrets", secrets.collect::<Vec<_>>().join("\n").into()),
    ];
    card(&session.terminal, &first.into_iter().chain(settings).chain(last).collect::<Vec<_>>())
}

/// How a secret came into the store, if another system made it.
pub fn imported(secret: &SecretInfo) -> Option<String> {
    let Import { origin, is_renewed } = secret.imported?;
    let waits = if is_renewed { "" } else { ", not renewed yet" };
    Some(format!("imported as {}{waits}", origin.as_str()))
}

/// Who is disabled, if that suspends a key.
fn why_suspended(key: &Key) -> Option<String> {
    let because = |kind: &str, name: &Option<Name>| name.as_ref().map(|name| format!("its {kind} {name} is disabled"));
    let owner = because("owner", &key.settings.owner).filter(|_| !key.standing.owner_enabled);
    let tenant = because("tenant", &key.settings.tenant).filter(|_| !key.standing.tenant_enabled);
    let all: Vec<_> = owner.into_iter().chain(tenant).collect();
    (!all.is_empty()).then(|| all.join(", and "))
}

/// When and how often a key was used, for the label "last used".
pub fn last_used(key: &Key, now: Timestamp) -> String {
    match (last(key, now), key.use_count) {
        (Some(last), 1) => format!("{last} (once in all)"),
        (Some(last), count) => format!("{last} ({count} times in all)"),
        (None, _) => "never".to_owned(),
    }
}

/// The same, as part of a sentence.
pub fn last_use(key: &Key, now: Timestamp) -> String {
    match (last(key, now), key.use_count) {
        (Some(last), 1) => format!("used once, {last}"),
        (Some(last), count) => format!("used {count} times, last {last}"),
        (None, _) => "never used".to_owned(),
    }
}

/// When and from where a key was last used.
fn last(key: &Key, now: Timestamp) -> Option<String> {
    let from = key.last_used_from.map_or_else(String::new, |address| format!(" from {address}"));
    key.last_used_at.map(|time| format!("{}{from}", relative(time, now)))
}

/// The limits of a key, its owner and its tenant, one per line, with what is left of each and when it is full again.
pub fn limits_left(left: &Reckoning, now: Timestamp) -> String {
    let line = |(whose, limit, standing): &(Whose, Limit, Standing)| {
        // The card already names the key.
        let whose = if *whose == Whose::Key { String::new() } else { format!(" of {}", owner_of_limit(*whose)) };
        let full = match left.full_in(standing) {
            0 => "nothing used".to_owned(),
            _ => format!("{} left, full again {}", standing.remaining, relative(standing.full_at, now)),
        };
        format!("{limit}{whose} ({full})")
    };
    let lines: Vec<_> = left.standings.iter().map(line).collect();
    if lines.is_empty() { "none".to_owned() } else { lines.join("\n") }
}

/// What differs: `field: old → new`, one per line.
pub fn changes(name: &Name, settings: &Settings, new_name: &Name, new_settings: &Settings) -> String {
    let renamed = (name != new_name).then(|| format!("  name: {name} → {new_name}"));
    let changed = differences(settings, new_settings);
    let changed =
        changed.iter().map(|d| format!("  {}: {} → {}", field_in_words(&d.field), in_words(&d.old), in_words(&d.new)));
    renamed.into_iter().chain(changed).collect::<Vec<_>>().join("\n")
}

/// A JSON value for people: without quotation marks, and with a word for null.
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

/// The keys that `texts` name, each once, in order to change them.
///
/// # Errors
/// If one of them does not exist.
pub fn find_all_to_change(store: &Store, texts: &[String]) -> Result<Vec<Key>, Error> {
    find_all(store, texts).map_err(|error| match texts {
        [_] => error,
        _ => error.hint("no key was changed"),
    })
}

/// The keys that `texts` name, each once.
///
/// # Errors
/// If one of them does not exist.
pub fn find_all(store: &Store, texts: &[String]) -> Result<Vec<Key>, Error> {
    let mut keys: Vec<Key> = vec![];
    for text in texts {
        let key = find_key(store, text)?;
        if keys.iter().all(|other| other.id != key.id) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Offers to make the group for a key, if it does not exist and a person can be asked. If they decline, the store
/// reports that it is missing.
///
/// # Errors
/// Errors of the store, or an interruption.
pub fn offer_group(session: &mut Session, store: &mut Store, group: Option<&Name>) -> Result<(), Error> {
    let Some(name) = group.filter(|_| session.terminal.can_ask()) else { return Ok(()) };
    if store.view()?.entry(Kind::Group, name)?.is_some() {
        return Ok(());
    }
    match session.confirm(&format!("There is no group {name} yet. Make it?"), Enter::MeansYes) {
        Ok(()) => {}
        Err(error) if error.code() == Code::Cancelled => return Ok(()),
        Err(error) => return Err(error),
    }
    let draft = Draft { name: name.clone(), description: None, facts: Facts::Group };
    session.write(store, |changes| changes.insert_entry(&draft).map(drop))?;
    session.terminal.note(&format!("created the group {name}"));
    Ok(())
}

/// What happened to a key, in JSON.
#[derive(Debug, Serialize)]
pub struct KeyDocument<'k> {
    /// The key.
    pub key: KeyJson<'k>,
    /// What happened to it.
    pub outcome: Effect,
}

/// Says what happened to several keys: in JSON always an array, even for one.
///
/// # Errors
/// If stdout cannot be written.
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
