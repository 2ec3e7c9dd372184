//! Text on its way to a terminal or into a message.

use std::borrow::Cow;
use std::path::Path;

pub use keyward_core::rules::text::count;
use keyward_core::rules::text::is_obeyed;

/// A set or a map of these, inserted one by one. `collect` would sort them first, and bring 6 KiB of sorting into the
/// program for each type.
pub fn gather<T, C: Default + Extend<T>>(items: impl IntoIterator<Item = T>) -> C {
    let mut gathered = C::default();
    gathered.extend(items);
    gathered
}

/// The one of `names` that was probably meant with `text`.
pub fn closest<'n, N: AsRef<str>>(names: &'n [N], text: &str) -> Option<&'n N> {
    let similarity = |name: &N| strsim::jaro_winkler(name.as_ref(), text);
    let similar = names.iter().map(|name| (similarity(name), name)).filter(|(similarity, _)| *similarity > 0.8);
    similar.max_by(|one, two| one.0.total_cmp(&two.0)).map(|(_, name)| name)
}

/// The text without anything that a terminal would obey, but the line feed: a value from a store or
/// from a command line cannot move the cursor, ring the bell, change the title or turn the writing
/// direction.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if c != '\n' && is_obeyed(c) { '\u{fffd}' } else { c }).collect())
}

/// The text as one word of a shell's command line: a remedy may be pasted, and a scope may hold what a
/// shell obeys.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@/:,+=".contains(&b)) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

/// The path as one word of a shell's command line.
pub fn shell_path(path: &Path) -> String {
    shell_word(&path.display().to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_does_not_reach_it() {
        assert_eq!(
            clean("a\u{1b}[2Jb\u{7}c\r\nd\u{9b}e\u{202e}f"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\nd\u{fffd}e\u{fffd}f"
        );
    }

    #[test]
    fn a_word_is_one_word_to_a_shell() {
        for (text, word) in [
            ("", "''"),
            ("rest,ui", "rest,ui"),
            ("a;b$(x)", "'a;b$(x)'"),
            ("it's", r"'it'\''s'"),
            ("A/Line Lead", "'A/Line Lead'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
