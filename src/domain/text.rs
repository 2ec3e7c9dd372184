//! Text that goes to a terminal.

/// The text without control characters but the line feed: a value from a store or from a command
/// line cannot move the cursor, ring the bell or change the title.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\u{7}c\r\nd\u{9b}e"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\nd\u{fffd}e");
    }
}
