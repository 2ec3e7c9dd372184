//! Dotenv files: finding a variable, and setting one without changing anything else.
//!
//! There is no standard for these files. This module reads what common readers agree on: one variable per line,
//! `NAME=value` with an optional `export` before it, values bare or in quotation marks, quoted values over several
//! lines, and comments after a `#`.

use std::ops::Range;
use std::str::FromStr;

use keyward_core::rules::names::InvalidText;

/// The name of an environment variable: `[A-Za-z_][A-Za-z0-9_]*` (POSIX, "Environment Variables").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable(String);

impl Variable {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Variable {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(is_name) {
            return Err(InvalidText::new("a variable has letters, digits and _, and starts with no digit: API_KEY"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The value of a variable; if it is set several times, the last one, as for other readers.
pub fn get<'t>(text: &'t str, name: &Variable) -> Option<&'t str> {
    values(text, name).pop().map(|value| &text[value])
}

/// The text with the variable set to `value`, which consists of letters, digits and underscores, as secrets do. If the
/// variable is already set, each of its values is replaced within its quotation marks; otherwise a line is added.
pub fn set(text: &str, name: &Variable, value: &str) -> String {
    let found = values(text, name);
    // Enough room from the start: a buffer that grows leaves copies of a secret behind.
    let mut new = String::with_capacity(text.len() + name.0.len() + (found.len() + 1) * (value.len() + 1) + 8);
    let mut rest = 0;
    for place in &found {
        new.push_str(&text[rest..place.start]);
        new.push_str(value);
        rest = place.end;
        if text[rest..].starts_with('#') {
            new.push(' ');
        }
    }
    new.push_str(&text[rest..]);
    if found.is_empty() {
        let end_of_line = if text.contains("\r\n") { "\r\n" } else { "\n" };
        if !text.is_empty() && !text.ends_with('\n') {
            new.push_str(end_of_line);
        }
        for part in [&name.0, "=", value, end_of_line] {
            new.push_str(part);
        }
    }
    new
}

/// The positions of the values of a variable, without their quotation marks.
fn values(text: &str, name: &Variable) -> Vec<Range<usize>> {
    let mut found = vec![];
    let mut start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while start < text.len() {
        let end = text[start..].find('\n').map_or(text.len(), |length| start + length + 1);
        start = match assignment(&text[start..end]) {
            None => end,
            Some((variable, offset)) => {
                let value = value_at(text, start + offset);
                let next = text[value.end..].find('\n').map_or(text.len(), |length| value.end + length + 1);
                if variable == name.0 {
                    found.push(value);
                }
                next
            }
        };
    }
    found
}

/// The variable that a line sets, and where in the line the text after its `=` begins.
fn assignment(line: &str) -> Option<(&str, usize)> {
    let (before, _) = line.split_once('=')?;
    let name = before.trim();
    let name = match name.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => name,
    };
    name.parse::<Variable>().ok()?;
    Some((name, before.len() + 1))
}

/// The value that begins at or after `start`.
fn value_at(text: &str, start: usize) -> Range<usize> {
    let blank = text[start..].len() - text[start..].trim_start_matches([' ', '\t']).len();
    let from = start + blank;
    if let Some(quote) = text[from..].chars().next().filter(|c| ['"', '\'', '`'].contains(c))
        && let Some(length) = quoted_length(&text[from + 1..], quote)
    {
        return from + 1..from + 1 + length;
    }
    let line = text[from..].lines().next().unwrap_or_default();
    // A `#` starts a comment if it comes first or after a blank or a tab.
    let comment =
        line.char_indices().find(|(place, c)| *c == '#' && (*place == 0 || line[..*place].ends_with([' ', '\t'])));
    let value = line[..comment.map_or(line.len(), |(place, _)| place)].trim_end();
    if value.is_empty() { start..start } else { from..from + value.len() }
}

/// How long a quoted value is; `None` if its end is missing.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (place, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some(place),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> Variable {
        "API_KEY".parse().unwrap()
    }

    #[test]
    fn everything_but_the_value_stays() {
        for (before, after) in [
            ("", "API_KEY=new\n"),
            ("A=1", "A=1\nAPI_KEY=new\n"),
            ("A=1\r\n", "A=1\r\nAPI_KEY=new\r\n"),
            ("API_KEY=old", "API_KEY=new"),
            ("API_KEY=", "API_KEY=new"),
            ("API_KEY=#none yet\n", "API_KEY=new #none yet\n"),
            ("API_KEY= # none yet\nB=2\n", "API_KEY=new # none yet\nB=2\n"),
            ("# API_KEY=x\nAPI_KEY=old # ours\nB='2'\n", "# API_KEY=x\nAPI_KEY=new # ours\nB='2'\n"),
            ("export API_KEY = \"old\"  # ours\n", "export API_KEY = \"new\"  # ours\n"),
            ("  API_KEY='old'\r\nB=2\r\n", "  API_KEY='new'\r\nB=2\r\n"),
            ("API_KEY=\"a\\\"b\nc\"\nB=2\n", "API_KEY=\"new\"\nB=2\n"),
            ("API_KEY=old#1\n", "API_KEY=new\n"),
            ("API_KEY=one\nAPI_KEY=two\n", "API_KEY=new\nAPI_KEY=new\n"),
            ("MY_API_KEY=x\nAPI_KEYS=y\n", "MY_API_KEY=x\nAPI_KEYS=y\nAPI_KEY=new\n"),
            ("B=\"\nAPI_KEY=inside\n\"\n", "B=\"\nAPI_KEY=inside\n\"\nAPI_KEY=new\n"),
            ("B='unfinished\nAPI_KEY=old\n", "B='unfinished\nAPI_KEY=new\n"),
            ("API_KEY=\"unfinished\nB=2\n", "API_KEY=new\nB=2\n"),
            ("exportAPI_KEY=x\n", "exportAPI_KEY=x\nAPI_KEY=new\n"),
            ("\u{feff}API_KEY=old\n", "\u{feff}API_KEY=new\n"),
            ("no assignment\n\n", "no assignment\n\nAPI_KEY=new\n"),
        ] {
            let set = set(before, &name(), "new");
            assert_eq!(set, after, "{before:?}");
            assert_eq!(get(&set, &name()), Some("new"), "{before:?}");
        }
    }

    #[test]
    fn the_last_value_counts() {
        for (text, value) in [
            ("", None),
            ("API_KEY=", Some("")),
            ("API_KEY=one\nAPI_KEY='two'\n", Some("two")),
            ("API_KEY=one two # three\n", Some("one two")),
            ("# API_KEY=one\n", None),
        ] {
            assert_eq!(get(text, &name()), value, "{text:?}");
        }
    }

    #[test]
    fn variables_are_those_of_posix() {
        assert!("_a1".parse::<Variable>().is_ok());
        for bad in ["", "1A", "A-B", "A B", "É"] {
            assert!(bad.parse::<Variable>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_set_is_read_and_set_again_without_a_change(
            text in "([A-Z_=#'\"` \n\r\t\\\\]|API_KEY=|export ){0,40}"
        ) {
            let once = set(&text, &name(), "kw_1");
            prop_assert_eq!(get(&once, &name()), Some("kw_1"));
            prop_assert_eq!(set(&once, &name(), "kw_1"), once.clone());
            // The values of other variables are not changed.
            let other: Variable = "B".parse().unwrap();
            prop_assert_eq!(get(&once, &other), get(&text, &other));
        }
    }
}
