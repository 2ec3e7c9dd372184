//! Text on its way to a terminal or into a message.

use std::borrow::Cow;

use keyward_core::rules::text::is_obeyed;
pub use keyward_core::rules::text::{count, shell_path, shell_word};

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
}
