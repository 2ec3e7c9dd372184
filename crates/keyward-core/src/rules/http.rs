//! How a request came and what it does: read from its head, used by the decision.

use std::fmt;
use std::str::FromStr;

use super::names::InvalidText;

/// The optional white space around the value of a field (RFC 9110 section 5.6.3).
pub const BLANKS: [char; 2] = [' ', '\t'];

/// Whether the text is a token, as field names and methods are (RFC 9110 section 5.6.2).
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| {
            matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.')
                || matches!(byte, b'^'..=b'`' | b'|' | b'~')
        })
}

/// Splits the text at separators outside quoted strings (RFC 9110 section 5.6.4); `None` if a quoted string has no end.
pub fn split_unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (vec![], 0, false, false);
    for (place, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!quoted).then_some(parts)
}

/// Passes each item of a comma-separated list to `take`. If a quoted string has no end, every comma separates: readers
/// disagree on such a list, and no item may be missed.
pub fn list_items(list: &str, take: &mut dyn FnMut(&str)) {
    match list.contains('"').then(|| split_unquoted(list, ',')).flatten() {
        Some(items) => items.into_iter().for_each(take),
        None => list.split(',').for_each(take),
    }
}

/// An HTTP method: a token, case-sensitive (RFC 9110 section 9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method(String);

impl Method {
    /// GET, HEAD, OPTIONS and TRACE: the methods that ask for no change (RFC 9110 section 9.2.1).
    pub fn is_safe(&self) -> bool {
        matches!(self.0.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }
}

impl AsRef<str> for Method {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Method {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        if text.len() <= 64 && is_token(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText::new("not an HTTP method: write it like GET or POST"))
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the request reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Within one machine; counts as secure.
    Local,
    /// Over TLS.
    Https,
    /// In the clear.
    Http,
}

impl Transport {
    /// The word for it, on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

impl FromStr for Transport {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        match text {
            "local" => Ok(Self::Local),
            "https" => Ok(Self::Https),
            "http" => Ok(Self::Http),
            _ => Err(InvalidText::new("a transport is local, https or http")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_characters_of_the_rfc() {
        const OTHERS: &str = "!#$%&'*+-.^_`|~";
        for c in (0..=0xff).map(char::from) {
            assert_eq!(is_token(&c.to_string()), c.is_ascii_alphanumeric() || OTHERS.contains(c), "{c:?}");
        }
        assert!(!is_token("") && !is_token("a b") && is_token("X-Api_Key"));
    }

    #[test]
    fn a_list_is_split_outside_of_quoted_strings() {
        for (list, items) in [
            ("a", &["a"][..]),
            ("a,,b", &["a", "", "b"]),
            ("a=\"b,c\",d", &["a=\"b,c\"", "d"]),
            ("a=\"b\\\",c\",d", &["a=\"b\\\",c\"", "d"]),
            ("a=\"b,c", &["a=\"b", "c"]),
            ("", &[""]),
        ] {
            let mut found = vec![];
            list_items(list, &mut |item| found.push(item.to_owned()));
            assert_eq!(found, items, "{list}");
        }
    }
}
