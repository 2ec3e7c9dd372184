//! The settings of a key as a text for a person to edit: TOML with comments.
//!
//! What is left out stays unchanged; an empty text, list or table clears a setting. All mistakes are found at once,
//! each with its line, so that they can be marked where they are.

use std::fmt::Write as _;

use jiff::Timestamp;
use toml::Value;

use super::settings_draft::{SettingsDraft, no_such_field, one};
use super::tree::{LocatedMistake, Mistake, from_toml, locate};
use keyward_core::rules::names::Name;
use keyward_core::rules::setting::{Setting, SettingValue, Settings};
use keyward_core::rules::time::{When, rfc3339};

/// The start of lines that mark mistakes; they are comments, and are removed again.
const MARK: &str = "#!";

/// The text for a key.
pub fn render(name: &Name, settings: &Settings) -> String {
    let mut text = format!(
        "# The settings of the key {name}.\n\
         # Save and close this text to go on; close it as it is to change nothing.\n\
         # What is left out stays as it was; \"\" and [] empty a setting.\n"
    );
    let _ = write!(text, "\n# letters, digits and . _ - @ /\nname = {}\n", Value::from(name.as_str()));
    for setting in Setting::ALL {
        if let Some(value) = on_one_line(setting.value(settings)) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n# {}\n{} = {value}\n", setting.purpose, setting.name);
        }
    }
    // Tables come last: what follows the head of one belongs to it.
    for setting in Setting::ALL {
        if let SettingValue::Labels(labels) = setting.value(settings) {
            let _ = write!(text, "\n# {}\n[{}]\n", setting.purpose, setting.name);
            for (label, value) in labels {
                let _ = writeln!(text, "{} = {}", Value::from(label.as_str()), Value::from(value.as_str()));
            }
        }
    }
    text
}

/// A value after the name of its setting; `None` for labels, which have a table of their own.
fn on_one_line(value: SettingValue<'_>) -> Option<Value> {
    Some(match value {
        SettingValue::Labels(_) => return None,
        SettingValue::Text(text) => text.unwrap_or_default().into(),
        SettingValue::Texts(_) => Value::Array(value.texts().into_iter().map(Value::from).collect()),
        SettingValue::Switch(on) => on.into(),
        SettingValue::Time(None) => "never".into(),
        SettingValue::Time(Some(time)) => rfc3339(time).to_string().into(),
        SettingValue::Prefix(prefix) => prefix.as_str().into(),
    })
}

/// What a text asks for.
#[derive(Debug, Clone)]
pub struct Edited {
    /// The name.
    pub name: Name,
    /// The settings, with the end resolved at the time of reading.
    pub settings: Settings,
    /// The end as stated in the text, if any.
    pub end: Option<When>,
}

/// Reads a text back: the name and the settings that it asks for, based on the former ones.
///
/// # Errors
/// All mistakes, in the order of their lines.
pub fn parse(text: &str, name: &Name, settings: &Settings, now: Timestamp) -> Result<Edited, Vec<LocatedMistake>> {
    let fields = from_toml(text).map_err(|mistakes| locate(text, mistakes))?;
    let (mut new_name, mut draft, mut mistakes) = (name.clone(), SettingsDraft::new(settings.clone()), vec![]);
    for field in &fields {
        let read = if field.name == "name" {
            one(&field.node)
                .and_then(|name| name.ok_or_else(|| Mistake::new(field.node.at, "a key needs a name")))
                .map(|name| {
                    new_name = name;
                    true
                })
                .map_err(Vec::from)
        } else {
            draft.read(field)
        };
        match read {
            Ok(true) => {}
            Ok(false) => {
                let names: Vec<&str> = Setting::ALL.iter().map(|setting| setting.name).chain(["name"]).collect();
                mistakes.push(no_such_field(field, &names));
            }
            Err(found) => {
                let name = &field.name;
                mistakes.extend(
                    found.into_iter().map(|mistake| Mistake::new(mistake.at, format!("{name}: {}", mistake.what))),
                );
            }
        }
    }
    if let Some((at, when)) = draft.expires {
        match when.resolve(now) {
            Err(error) => mistakes.push(Mistake::new(at, format!("expires_at: {error}"))),
            // A key that has already expired may stay so while something else is changed.
            Ok(end) if end != settings.expires_at && end.is_some_and(|end| end <= now) => {
                mistakes.push(Mistake::new(at, "expires_at: this time is in the past"));
            }
            Ok(end) => draft.settings.expires_at = end,
        }
    }
    if mistakes.is_empty() {
        Ok(Edited { name: new_name, settings: draft.settings, end: draft.expires.map(|(_, when)| when) })
    } else {
        Err(locate(text, mistakes))
    }
}

/// The text with its mistakes marked, each above its line.
pub fn mark(text: &str, mistakes: &[LocatedMistake]) -> String {
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

    fn read(text: &str) -> Result<(Name, Settings), Vec<LocatedMistake>> {
        let key = sample();
        parse(text, &key.name, &key.settings, at(1_000)).map(|edited| (edited.name, edited.settings))
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
        let read = parse(&text, &key.name, &key.settings, at(1_000)).unwrap();
        assert_eq!((read.name, read.settings), (key.name.clone(), key.settings.clone()));
    }

    #[test]
    fn what_is_left_out_stays_and_what_is_empty_goes() {
        let mut key = sample();
        key.settings.description = Some("text".parse().unwrap());
        key.settings.scopes = ["a".parse().unwrap()].into();
        let read = |text| parse(text, &key.name, &key.settings, at(1_000)).unwrap().settings;
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
            (3, "did you mean `scopes`?"),
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
