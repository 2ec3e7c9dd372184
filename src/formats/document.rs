//! The settings of a key as a text that a person edits: TOML with comments.
//!
//! What is left out stays as it was; an empty text, an empty list or an empty table empties a setting.
//! All mistakes are found at once, each with its line, so that they can be marked where they are.

use std::fmt::Write as _;

use jiff::Timestamp;
use toml::Value;

use super::fields::{FIELDS, Said, no_such_field, one};
use super::tree::{Mistake, Wrong, from_toml, locate};
use keyward_core::rules::key::Settings;
use keyward_core::rules::names::Name;
use keyward_core::rules::time::rfc3339;

/// What starts the lines that mark mistakes; they are comments, and taken out again.
const MARK: &str = "#!";

/// The text for a key.
pub fn render(name: &Name, settings: &Settings) -> String {
    let mut text = format!(
        "# The settings of the key {name}.\n\
         # Save and close this text to go on; close it as it is to change nothing.\n\
         # What is left out stays as it was; \"\" and [] empty a setting.\n"
    );
    let _ = write!(text, "\n# letters, digits and . _ - @ /\nname = {}\n", Value::from(name.as_str()));
    for (field, comment) in FIELDS.into_iter().filter(|(field, _)| *field != "labels") {
        // A String takes whatever is written to it.
        let _ = write!(text, "\n# {comment}\n{field} = {}\n", value_of(field, settings));
    }
    text.push_str("\n# marks for people and filters\n[labels]\n");
    for (label, value) in &settings.labels {
        let _ = writeln!(text, "{} = {}", Value::from(label.as_str()), Value::from(value.as_str()));
    }
    text
}

fn value_of(field: &str, settings: &Settings) -> Value {
    fn text(value: Option<&impl ToString>) -> Value {
        Value::from(value.map(ToString::to_string).unwrap_or_default())
    }
    fn list(values: impl IntoIterator<Item = impl ToString>) -> Value {
        Value::Array(values.into_iter().map(|value| Value::from(value.to_string())).collect())
    }
    match field {
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
    let fields = from_toml(text).map_err(|wrongs| locate(text, wrongs))?;
    let (mut new_name, mut said, mut wrongs) = (name.clone(), Said::nothing(settings.clone()), vec![]);
    for field in &fields {
        let taken = if field.name == "name" {
            one(&field.node)
                .and_then(|name| name.ok_or_else(|| Wrong::new(field.node.at, "a key needs a name")))
                .map(|name| {
                    new_name = name;
                    true
                })
                .map_err(Vec::from)
        } else {
            said.take(field)
        };
        match taken {
            Ok(true) => {}
            Ok(false) => {
                let names: Vec<&str> = FIELDS.iter().map(|(field, _)| *field).chain(["name"]).collect();
                wrongs.push(no_such_field(field, &names));
            }
            Err(found) => {
                let name = &field.name;
                wrongs.extend(found.into_iter().map(|wrong| Wrong::new(wrong.at, format!("{name}: {}", wrong.what))));
            }
        }
    }
    if let Some((at, when)) = said.expires {
        match when.resolve(now) {
            Err(error) => wrongs.push(Wrong::new(at, format!("expires_at: {error}"))),
            // A key that has expired already may stay so while something else is changed.
            Ok(end) if end != settings.expires_at && end.is_some_and(|end| end <= now) => {
                wrongs.push(Wrong::new(at, "expires_at: this time is in the past"));
            }
            Ok(end) => said.settings.expires_at = end,
        }
    }
    if wrongs.is_empty() { Ok((new_name, said.settings)) } else { Err(locate(text, wrongs)) }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::formats::sample::{at, sample};

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
            (9, "quotation marks"),
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
