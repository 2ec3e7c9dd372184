//! Secrets in the wrong places, characters that a terminal obeys, and words for messages.

use std::borrow::Cow;

use super::digits::{ID_DIGITS, behind_id};

/// How many digits of a secret make a text suspicious.
const SECRET_DIGITS: usize = 8;
/// A word shorter than this never looks like a secret: an id between underscores, and the beginning of a secret.
const LEAST_WORD: usize = 1 + ID_DIGITS + 1 + SECRET_DIGITS;
/// A run of letters and digits this long can be the random part of a secret, or a secret in base64.
const ENCODED_DIGITS: usize = 40;

/// Whether a terminal obeys this character instead of showing it: control characters, and those
/// that override the writing direction (Unicode Bidirectional Algorithm, section 2).
pub fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Untrusted bytes, made safe for a message: at most this many characters, without secrets or anything that a terminal
/// obeys.
pub fn shown(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = redact(&text);
    let mut shown: String = text.chars().take(most).map(|c| if is_obeyed(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// How far a clock is from another one, given the seconds that it is ahead: `3 seconds ahead of`, `1 second behind`.
pub fn ahead(seconds: i64) -> String {
    let side = if seconds < 0 { "behind" } else { "ahead of" };
    format!("{} {side}", count(seconds.unsigned_abs(), "second"))
}

/// A number of things: `1 key`, `2 keys`.
pub fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// Whether something in the text looks like a secret.
pub fn holds_secret(text: &str) -> bool {
    matches!(redact(text), Cow::Owned(_))
}

/// Replaces everything in `text` that looks like a secret, whole or damaged, plain or in base64. So a message about a
/// credential in the wrong place (an argument, a path) does not repeat it.
pub fn redact(text: &str) -> Cow<'_, str> {
    let is_end = |c: char| c.is_whitespace() || "'\"`;<>()[]{}".contains(c);
    // Every name read from a store passes through here, and most are short.
    if text.len() < LEAST_WORD || !text.split(is_end).any(looks_secret) {
        return Cow::Borrowed(text);
    }
    let mut redacted = String::with_capacity(text.len());
    for word in text.split_inclusive(is_end) {
        let end = word.strip_suffix(is_end).map_or(word.len(), str::len);
        if looks_secret(&word[..end]) {
            redacted.push_str("[secret]");
            redacted.push_str(&word[end..]);
        } else {
            redacted.push_str(word);
        }
    }
    Cow::Owned(redacted)
}

/// A word with an id between underscores and the beginning of a secret after it, or with something encoded in it.
fn looks_secret(word: &str) -> bool {
    if word.len() < LEAST_WORD {
        return false;
    }
    let bytes = word.as_bytes();
    let digits = |rest: &[u8]| rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    let plain =
        (0..bytes.len()).any(|start| behind_id(&bytes[start..]).is_some_and(|rest| digits(rest) >= SECRET_DIGITS));
    plain || word.split(|c: char| !c.is_ascii_alphanumeric()).any(is_encoded)
}

/// A long run of lower-case and capital letters and digits, as in base64 but not in words.
fn is_encoded(run: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| run.as_bytes().iter().any(kind);
    run.len() >= ENCODED_DIGITS && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use proptest::prelude::*;

    use super::*;
    use crate::rules::token::{Id, Secret};

    /// A made-up secret.
    fn secret() -> String {
        Secret::build(&"my_app".parse().unwrap(), Id::from_random([7; 8]), &[42; 32]).expose().to_owned()
    }

    #[test]
    fn whatever_looks_like_a_secret_is_redacted() {
        let secret = secret();
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("u:{secret}"));
        for (text, redacted) in [
            ("nothing to hide: kw_0123456789ab".to_owned(), "nothing to hide: kw_0123456789ab"),
            (
                "/home/somebody/with/a/rather/long/path/that/is/no/secret/of/any/kind/keys.db".to_owned(),
                "/home/somebody/with/a/rather/long/path/that/is/no/secret/of/any/kind/keys.db",
            ),
            (secret.clone(), "[secret]"),
            (format!("unexpected '{secret}' found, twice: {secret}"), "unexpected '[secret]' found, twice: [secret]"),
            (format!("{secret}_x"), "[secret]"),
            (format!("name:{secret}."), "[secret]"),
            (format!("{}-{}", &secret[..35], &secret[36..]), "[secret]"),
            (format!("my_app_i{}", &secret[8..]), "[secret]"),
            (
                "my_deployment01_production and k_0123456789ab_short".to_owned(),
                "my_deployment01_production and k_0123456789ab_short",
            ),
            (secret[..50].to_owned(), "[secret]"),
            (format!("Basic {basic}"), "Basic [secret]"),
        ] {
            assert_eq!(redact(&text), redacted);
            assert_eq!(holds_secret(&text), text != redacted);
        }
    }

    #[test]
    fn what_somebody_else_wrote_is_shown_clean_and_short() {
        for (bytes, text) in [
            (b"plain".to_vec(), "plain".to_owned()),
            (b"a\x1b[2J\xff".to_vec(), "a\u{fffd}[2J\u{fffd}".to_owned()),
            ("a\u{202e}b".into(), "a\u{fffd}b".to_owned()),
            (vec![b'x'; 11], "xxxxxxxxxx…".to_owned()),
            (format!("for={}", secret()).into(), "[secret]".to_owned()),
        ] {
            assert_eq!(shown(&bytes, 10), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_redacted_without_a_panic(text in "\\PC{0,200}") {
            let redacted = redact(&text).into_owned();
            prop_assert_eq!(redact(&redacted), redacted.as_str());
        }
    }
}
