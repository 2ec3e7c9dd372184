//! Names, scopes, levels, labels and prefixes as types: a value that exists is valid.
//!
//! Each type is parsed once, at the edge (the command line, a manifest, a row of the store), and
//! trusted after that. The messages are written for the person who typed the value: they say what
//! is wrong and what would be right. None of these values is a secret.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::text::{holds_secret, is_obeyed};

/// Why a text is not a valid name, scope, level, label, prefix or description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidText(String);

impl InvalidText {
    /// Takes the message for the person who typed the value.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Declares a checked text: a newtype over `String` that can only be made by its check.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidText;

            fn from_str(text: &str) -> Result<Self, InvalidText> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

checked_text! {
    /// The name of a key, user, group, role or tenant: 1 to 100 characters of
    /// `A-Z a-z 0-9 . _ - @ /`. It holds no `:`, so `NAME:SECRET` splits in one way only.
    Name, check_name
}
checked_text! {
    /// One permission: an OAuth 2.0 scope token (RFC 6749 section 3.3) without commas, which separate scopes on the
    /// command line. 1 to 100 characters.
    Scope, check_scope
}
checked_text! {
    /// A security level: a path in a tree, such as `Authenticated/Roles/Administrator`. 1 to 200 characters in segments
    /// separated by `/`.
    Level, check_level
}
checked_text! {
    /// What a secret starts with: `[a-z][a-z0-9_]{0,15}`.
    Prefix, check_prefix
}
checked_text! {
    /// A line of free text: up to 1,000 characters, no control characters.
    Description, check_description
}
checked_text! {
    /// The key of a label: 1 to 63 characters of `A-Z a-z 0-9 . _ - /`.
    LabelKey, check_label_key
}
checked_text! {
    /// The value of a label: up to 255 characters, no control characters.
    LabelValue, check_label_value
}

impl Level {
    /// Whether holding this level includes `wanted`: the level itself and every level above it.
    ///
    /// Levels compare by whole segments, so `A/B` is not above `A/Bc`.
    pub fn includes(&self, wanted: &Self) -> bool {
        match self.0.strip_prefix(wanted.as_str()) {
            Some("") => true,
            Some(rest) => rest.starts_with('/'),
            None => false,
        }
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("kw".to_owned())
    }
}

/// A label as it is written on the command line: `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// What the label is about.
    pub key: LabelKey,
    /// What it says; may be empty.
    pub value: LabelValue,
}

impl FromStr for Label {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(InvalidText::new("a label is written KEY=VALUE, for example team=billing"));
        };
        Ok(Self { key: key.parse()?, value: value.parse()? })
    }
}

/// A label in a filter: `KEY` (any value) or `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter {
    /// The label that must be there.
    pub key: LabelKey,
    /// The value that it must have, if one was given.
    pub value: Option<LabelValue>,
}

impl FromStr for LabelFilter {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Ok(match text.split_once('=') {
            Some((key, value)) => Self { key: key.parse()?, value: Some(value.parse()?) },
            None => Self { key: text.parse()?, value: None },
        })
    }
}

/// Words that filters, manifests and the history read as something else. No new thing may have such a name; existing
/// ones keep working.
pub const RESERVED: [&str; 4] = ["-", "none", "never", "owner"];

/// The first character of a value that a filter excludes. No new scope may begin with it.
pub const NOT: char = '!';

/// The most characters in a prefix.
pub(super) const PREFIX_LENGTH: usize = 16;

fn check_name(text: &str) -> Result<(), InvalidText> {
    check_length("a name", text, 1, 100)?;
    check_characters("a name", text, "letters, digits and . _ - @ /", |c| {
        c.is_ascii_alphanumeric() || "._-@/".contains(c)
    })
}

fn check_scope(text: &str) -> Result<(), InvalidText> {
    check_length("a scope", text, 1, 100)?;
    check_characters("a scope", text, "printable ASCII without spaces, commas, quotation marks and backslashes", |c| {
        c.is_ascii_graphic() && !",\"\\".contains(c)
    })
}

fn check_level(text: &str) -> Result<(), InvalidText> {
    check_length("a level", text, 1, 200)?;
    check_characters("a level", text, "letters, digits, spaces and . _ - @ in segments separated by /", |c| {
        c.is_ascii_alphanumeric() || "._-@/ ".contains(c)
    })?;
    for segment in text.split('/') {
        if segment.is_empty() {
            return Err(InvalidText::new(
                "a level is a path like Authenticated/Roles: no / at either end, and no two in a row",
            ));
        }
        if segment.trim() != segment {
            return Err(InvalidText::new("a segment of a level cannot start or end with a space"));
        }
    }
    Ok(())
}

fn check_prefix(text: &str) -> Result<(), InvalidText> {
    check_length("a prefix", text, 1, PREFIX_LENGTH)?;
    check_characters("a prefix", text, "a-z, 0-9 and _", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')?;
    if text.starts_with(|c: char| c.is_ascii_lowercase()) {
        Ok(())
    } else {
        Err(InvalidText::new("a prefix starts with a letter from a to z"))
    }
}

/// Whether `text` is a prefix, for callers that check many texts and need no message.
pub(super) fn is_prefix(text: &str) -> bool {
    (1..=PREFIX_LENGTH).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn check_description(text: &str) -> Result<(), InvalidText> {
    check_length("a description", text, 0, 1000)?;
    check_characters("a description", text, "one line of text", |c| !is_obeyed(c))
}

fn check_label_key(text: &str) -> Result<(), InvalidText> {
    check_length("a label's key", text, 1, 63)?;
    check_characters("a label's key", text, "letters, digits and . _ - /", |c| {
        c.is_ascii_alphanumeric() || "._-/".contains(c)
    })
}

fn check_label_value(text: &str) -> Result<(), InvalidText> {
    check_length("a label's value", text, 0, 255)?;
    check_characters("a label's value", text, "one line of text", |c| !is_obeyed(c))
}

/// A secret pasted into the wrong place would be kept in the store and its history, and shown in every list.
fn check_no_secret(what: &str, text: &str) -> Result<(), InvalidText> {
    if holds_secret(text) {
        return Err(InvalidText::new(format!(
            "{what} must not hold a secret, and this looks like one: if it is one, rotate its key"
        )));
    }
    Ok(())
}

fn check_length(what: &str, text: &str, least: usize, most: usize) -> Result<(), InvalidText> {
    let length = text.chars().count();
    if length < least {
        Err(InvalidText::new(format!("{what} cannot be empty")))
    } else if length > most {
        Err(InvalidText::new(format!("{what} has at most {most} characters; this one has {length}")))
    } else {
        Ok(())
    }
}

fn check_characters(
    what: &str,
    text: &str,
    allowed: &str,
    is_allowed: impl Fn(char) -> bool,
) -> Result<(), InvalidText> {
    check_no_secret(what, text)?;
    match text.chars().find(|&c| !is_allowed(c)) {
        None => Ok(()),
        Some(' ') => Err(InvalidText::new(format!("{what} cannot hold a space: use {allowed}"))),
        Some(c) if is_obeyed(c) => Err(InvalidText::new(format!(
            "{what} cannot hold a control character (U+{:04X}): use {allowed}",
            u32::from(c)
        ))),
        Some(c) => Err(InvalidText::new(format!("{what} cannot hold {c:?}: use {allowed}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row per value: what it is parsed as, and the error message, if any.
    #[test]
    fn names_are_checked() {
        let long = "x".repeat(100);
        let too_long = "x".repeat(101);
        for good in ["a", "ci/deploy@prod_1.2-x", long.as_str()] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for (bad, says) in [
            ("", "cannot be empty"),
            (too_long.as_str(), "at most 100 characters; this one has 101"),
            ("a:b", "cannot hold ':'"),
            ("a b", "cannot hold a space"),
            ("a\u{1b}b", "control character (U+001B)"),
            ("a\nb", "control character (U+000A)"),
            ("naïve", "cannot hold 'ï'"),
        ] {
            let error = bad.parse::<Name>().unwrap_err().to_string();
            assert!(error.contains(says), "{bad:?}: {error}");
        }
    }

    #[test]
    fn scopes_are_oauth_scope_tokens_without_the_comma() {
        for good in ["rest", "read:all", "https://example.com/a", "*"] {
            assert!(good.parse::<Scope>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a,b", "a\"b", "a\\b", "é", "a\tb"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn levels_are_paths() {
        for good in ["A", "Authenticated/Roles/Line Lead", "a.b_c-d@e"] {
            assert!(good.parse::<Level>().is_ok(), "{good}");
        }
        for bad in ["", "/A", "A/", "A//B", "A/ B", "A /B", "A:B", "A,B", "A\u{7}"] {
            assert!(bad.parse::<Level>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_level_includes_the_levels_above_it_and_no_sibling() {
        let level = |text: &str| text.parse::<Level>().unwrap();
        for (held, wanted, includes) in [
            ("A/B/C", "A/B/C", true),
            ("A/B/C", "A/B", true),
            ("A/B/C", "A", true),
            ("A/B", "A/B/C", false),
            ("A/Bc", "A/B", false),
            ("A/B", "A/Bc", false),
            ("B", "A", false),
        ] {
            assert_eq!(level(held).includes(&level(wanted)), includes, "{held} {wanted}");
        }
    }

    #[test]
    fn prefixes_and_labels_are_checked() {
        for good in ["k", "kw", "live_key_0", "a234567890123456"] {
            assert!(good.parse::<Prefix>().is_ok() && is_prefix(good), "{good}");
        }
        for bad in ["", "0a", "_a", "Kw", "a-b", "a2345678901234567", "ä"] {
            assert!(bad.parse::<Prefix>().is_err() && !is_prefix(bad), "{bad:?}");
        }
        let label: Label = "team=a=b".parse().unwrap();
        assert_eq!((label.key.as_str(), label.value.as_str()), ("team", "a=b"));
        for bad in ["team", "=x", "a b=c", "a=\u{0}"] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
        assert_eq!("team".parse::<LabelFilter>().unwrap().value, None);
    }
}
