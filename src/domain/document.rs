//! The settings of a key as a text that a person edits: TOML with comments.
//!
//! What is left out stays as it was; an empty text, an empty list or an empty table empties a setting.
//! All mistakes are found at once, each with its line, so that they can be marked where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};
use std::str::FromStr;

use jiff::Timestamp;
use toml::{Table, Value};

use super::key::Settings;
use super::names::Name;
use super::time::{When, rfc3339};

/// What starts the lines that mark mistakes; they are comments, and taken out again.
const MARK: &str = "#!";

/// The fields, in order, each with what it is for.
const FIELDS: [(&str, &str); 14] = [
    ("name", "letters, digits and . _ - @ /"),
    ("description", "what the key is for"),
    ("group", "the group that it is kept in"),
    ("owner", "the user on whose behalf it acts"),
    ("role", "the role that it acts in, never above its owner's"),
    ("tenant", "the one tenant that it works for"),
    ("scopes", "what it may do, such as [\"rest\", \"ui\"]"),
    ("levels", "security levels, such as [\"Authenticated/Roles/Administrator\"]"),
    ("allowed_ips", "networks that it may be used from; none for any"),
    ("read_only", "true: GET, HEAD, OPTIONS and TRACE alone"),
    ("require_secure", "true: not over plain http"),
    ("enabled", "false: a temporary stop"),
    ("expires_at", "a date, an RFC 3339 time, a duration from now such as \"90d\", or \"never\""),
    ("prefix", "what the next secret starts with"),
];

/// A mistake in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// The text for a key.
pub fn render(name: &Name, settings: &Settings) -> String {
    let mut text = format!(
        "# The settings of the key {name}.\n\
         # Save and close this text to go on; close it as it is to change nothing.\n\
         # What is left out stays as it was; \"\" and [] empty a setting.\n"
    );
    for (field, comment) in FIELDS {
        // A String takes whatever is written to it.
        let _ = write!(text, "\n# {comment}\n{field} = {}\n", value_of(field, name, settings));
    }
    text.push_str("\n# marks for people and filters\n[labels]\n");
    for (label, value) in &settings.labels {
        let _ = writeln!(text, "{} = {}", Value::from(label.as_str()), Value::from(value.as_str()));
    }
    text
}

fn value_of(field: &str, name: &Name, settings: &Settings) -> Value {
    fn text(value: Option<&impl ToString>) -> Value {
        Value::from(value.map(ToString::to_string).unwrap_or_default())
    }
    fn list(values: impl IntoIterator<Item = impl ToString>) -> Value {
        Value::Array(values.into_iter().map(|value| Value::from(value.to_string())).collect())
    }
    match field {
        "name" => text(Some(name)),
        "description" => text(settings.description.as_ref()),
        "group" => text(settings.group.as_ref()),
        "owner" => text(settings.owner.as_ref()),
        "role" => text(settings.role.as_ref()),
        "tenant" => text(settings.tenant.as_ref()),
        "scopes" => list(&settings.scopes),
        "levels" => list(&settings.levels),
        "allowed_ips" => list(&settings.allowed_ips),
        "read_only" => settings.read_only.into(),
        "require_secure" => settings.require_secure.into(),
        "enabled" => settings.enabled.into(),
        "expires_at" => {
            Value::from(settings.expires_at.map_or_else(|| "never".to_owned(), |time| rfc3339(time).to_string()))
        }
        _ => text(Some(&settings.prefix)),
    }
}

/// Reads a text back: the name and the settings that it asks for, on the basis of those that were.
///
/// # Errors
/// All mistakes, by their lines.
pub fn parse(text: &str, name: &Name, settings: &Settings, now: Timestamp) -> Result<(Name, Settings), Vec<Mistake>> {
    let table: Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        vec![Mistake { line, what: error.message().to_owned() }]
    })?;
    let (mut new_name, mut new) = (name.clone(), settings.clone());
    let mut mistakes = vec![];
    for (field, value) in &table {
        if let Err(what) = set(field, value, &mut new_name, &mut new, settings, now) {
            mistakes.push(Mistake { line: line_of(text, field), what: format!("{field}: {what}") });
        }
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    if mistakes.is_empty() { Ok((new_name, new)) } else { Err(mistakes) }
}

/// The text with its mistakes marked, each above its line.
pub fn mark(text: &str, mistakes: &[Mistake]) -> String {
    let mut marked = String::new();
    for (place, line) in text.lines().enumerate() {
        for mistake in mistakes.iter().filter(|mistake| mistake.line == place + 1) {
            let _ = writeln!(marked, "{MARK} {}", mistake.what.replace('\n', " "));
        }
        marked.push_str(line);
        marked.push('\n');
    }
    marked
}

/// The text without the marks of an earlier round.
pub fn unmark(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with(MARK)).fold(String::new(), |text, line| text + line + "\n")
}

fn set(
    field: &str,
    value: &Value,
    name: &mut Name,
    new: &mut Settings,
    old: &Settings,
    now: Timestamp,
) -> Result<(), String> {
    match field {
        "name" => *name = one(value)?.ok_or("a key needs a name")?,
        "description" => new.description = one(value)?,
        "group" => new.group = one(value)?,
        "owner" => new.owner = one(value)?,
        "role" => new.role = one(value)?,
        "tenant" => new.tenant = one(value)?,
        "scopes" => new.scopes = several(value)?,
        "levels" => new.levels = several(value)?,
        "allowed_ips" => new.allowed_ips = several(value)?,
        "labels" => new.labels = labels(value)?,
        "read_only" => new.read_only = switch(value)?,
        "require_secure" => new.require_secure = switch(value)?,
        "enabled" => new.enabled = switch(value)?,
        "prefix" => new.prefix = one(value)?.ok_or("a prefix cannot be empty")?,
        "expires_at" => {
            let time = match one::<When>(value)? {
                Some(when) => when.resolve(now).map_err(|error| error.to_string())?,
                None => None,
            };
            // A key that has expired already may stay so while something else is changed.
            if time != old.expires_at && time.is_some_and(|time| time <= now) {
                return Err("this time is in the past".to_owned());
            }
            new.expires_at = time;
        }
        _ => {
            let fields = FIELDS.iter().map(|(field, _)| *field).chain(["labels"]);
            let close =
                fields.max_by(|one, two| strsim::jaro_winkler(one, field).total_cmp(&strsim::jaro_winkler(two, field)));
            return Err(format!("there is no such setting; did you mean {}?", close.unwrap_or_default()));
        }
    }
    Ok(())
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "write this in quotation marks".to_owned())
}

fn one<T: FromStr<Err: Display>>(value: &Value) -> Result<Option<T>, String> {
    match text(value)? {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|error: T::Err| error.to_string()),
    }
}

fn several<T: FromStr<Err: Display> + Ord>(value: &Value) -> Result<BTreeSet<T>, String> {
    let items = value.as_array().ok_or("write a list, such as [\"one\", \"two\"]")?;
    items.iter().map(|item| text(item)?.parse().map_err(|error: T::Err| error.to_string())).collect()
}

fn labels<K: FromStr<Err: Display> + Ord, V: FromStr<Err: Display>>(value: &Value) -> Result<BTreeMap<K, V>, String> {
    let table = value.as_table().ok_or("labels are a table of their own: [labels]")?;
    table
        .iter()
        .map(|(key, value)| {
            let key = key.parse().map_err(|error: K::Err| error.to_string())?;
            Ok((key, text(value)?.parse().map_err(|error: V::Err| error.to_string())?))
        })
        .collect()
}

fn switch(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "write true or false".to_owned())
}

/// The line on which a field is set. Fields stand at the beginning of a line, so a look is enough.
fn line_of(text: &str, field: &str) -> usize {
    let sets = |line: &str| {
        let line = line.trim_start().trim_start_matches('[').trim_start_matches(['"', '\'']);
        line.strip_prefix(field)
            .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(['=', ']', '.']))
    };
    text.lines().position(sets).map_or(1, |place| place + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::key::tests::{at, sample};

    fn read(text: &str) -> Result<(Name, Settings), Vec<Mistake>> {
        let key = sample();
        parse(text, &key.name, &key.settings, at(1_000))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut key = sample();
        let settings = &mut key.settings;
        settings.description = Some("a \"quoted\" \\ text".parse().unwrap());
        settings.group = Some("ci".parse().unwrap());
        settings.scopes = ["b", "a"].iter().map(|text| text.parse().unwrap()).collect();
        settings.allowed_ips = ["10.0.0.0/8".parse().unwrap()].into();
        settings.labels = [("a.b".parse().unwrap(), "x=y".parse().unwrap())].into();
        settings.read_only = true;
        settings.expires_at = Some(at(5));
        let text = render(&key.name, &key.settings);
        assert_eq!(parse(&text, &key.name, &key.settings, at(1_000)), Ok((key.name.clone(), key.settings.clone())));
    }

    #[test]
    fn what_is_left_out_stays_and_what_is_empty_goes() {
        let mut key = sample();
        key.settings.description = Some("text".parse().unwrap());
        key.settings.scopes = ["a".parse().unwrap()].into();
        let read = |text| parse(text, &key.name, &key.settings, at(1_000)).unwrap().1;
        assert_eq!(read(""), key.settings);
        assert_eq!((read("description = \"\"").description, read("scopes = []").scopes.len()), (None, 0));
        assert_eq!(read("expires_at = \"1h\"").expires_at, Some(at(4_600)));
    }

    #[test]
    fn all_mistakes_are_found_at_once_with_their_lines() {
        let text = "# a comment\nname = \"a b\"\nscope = [\"x\"]\nread_only = \"yes\"\nscopes = \"x\"\n\
                    expires_at = \"1970-01-01\"\nallowed_ips = [\"10.1.2.3/8\"]\n[labels]\nx = 1\n";
        let mistakes = read(text).unwrap_err();
        let found: Vec<_> = mistakes.iter().map(|mistake| (mistake.line, mistake.what.as_str())).collect();
        for ((line, says), (found_line, what)) in [
            (2, "cannot hold a space"),
            (3, "did you mean scopes?"),
            (4, "true or false"),
            (5, "write a list"),
            (6, "in the past"),
            (7, "the network is 10.0.0.0/8"),
            (8, "quotation marks"),
        ]
        .into_iter()
        .zip(&found)
        {
            assert!(line == *found_line && what.contains(says), "{line} {says}: {found:?}");
        }
        assert_eq!(found.len(), 7);
        let marked = mark(text, &mistakes);
        assert!(marked.contains("#! name: a name cannot hold a space"), "{marked}");
        assert_eq!(unmark(&marked), text);
    }

    #[test]
    fn a_text_that_is_no_toml_has_its_line() {
        let mistakes = read("name = \"x\"\nscopes = [\n\nread_only = true\n").unwrap_err();
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].line > 1, "{mistakes:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,80}", field in "[a-z_]{1,12}") {
            let _ = read(&text);
            let _ = read(&format!("{field} = {text}"));
        }
    }
}
