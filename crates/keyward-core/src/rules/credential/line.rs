//! One line: a bare secret, a header, a header's value, or a URL.

use super::authorization::{self, Scheme};
use super::search::{Search, is_credential_field};
use super::{Accepted, CredentialError, Credentials, malformed};
use crate::rules::http::BLANKS;

const NOTHING: &str = "no credential was presented";

/// The byte order mark that some editors and shells put in front of UTF-8 text.
const MARK: char = '\u{feff}';

/// The text without a byte order mark at the start and line ends at the end, which are never part of a credential.
/// Nothing else is removed. Every reader of credentials follows this rule.
///
/// ```
/// use keyward_core::rules::credential::trimmed;
///
/// assert_eq!(trimmed("\u{feff}secret\r\n\n"), "secret");
/// assert_eq!(trimmed(" secret \n"), " secret ");
/// ```
pub fn trimmed(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text).trim_end_matches(['\r', '\n'])
}

/// [`trimmed`], for bytes.
pub fn trimmed_bytes(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    while let Some(before) = rest.strip_suffix(b"\n").or_else(|| rest.strip_suffix(b"\r")) {
        rest = before;
    }
    rest
}

/// Reads a credential from one line, in whatever form it was copied from a client.
///
/// If the line holds nothing, two different credentials, or something that cannot be one, [`Credentials::own`] is a
/// [`CredentialError`].
pub fn parse_line(line: &str) -> Credentials {
    parse_line_for(line.as_bytes(), Accepted::ALL)
}

/// The same, but accepts only these presentations.
pub fn parse_line_for(line: &[u8], accepted: Accepted) -> Credentials {
    let Ok(line) = std::str::from_utf8(line) else {
        return malformed(match line {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the credential is UTF-16 text, not UTF-8 text",
            _ => "the credential is not UTF-8 text",
        })
        .into();
    };
    let line = trimmed(line);
    if line.trim().is_empty() {
        return CredentialError::Missing(NOTHING.to_owned()).into();
    }
    if line.contains(['\n', '\r']) {
        return CredentialError::ManyLines.into();
    }
    let mut search = Search::new(accepted);
    let otherwise = match read(&mut search, line) {
        Ok(otherwise) => otherwise,
        Err(error) => {
            search.refuse(error);
            NOTHING
        }
    };
    search.whole_line(line);
    search.finish(otherwise)
}

/// Adds what the line holds. Returns the message for a line that holds nothing.
fn read(search: &mut Search, line: &str) -> Result<&'static str, CredentialError> {
    if let Some((field, value)) = line.split_once(':')
        && is_credential_field(field)
    {
        // White space around a field's value does not belong to it (RFC 9110 section 5.5).
        search.field(field, value.trim_matches(BLANKS).as_bytes());
        return Ok("the header is empty");
    }
    if line.trim() != line {
        return Err(malformed("there is white space around the credential"));
    }
    if line.starts_with(',') || line.ends_with(',') {
        return Err(malformed("there is a comma around the credential"));
    }
    // The name of a key may start with a slash, but holds neither a question mark nor a colon.
    let is_url = line.contains("://") || line.starts_with('/') && line.contains('?');
    if is_url && !line.contains(' ') {
        search.query(line);
        return Ok("the URL has neither _auth_key nor _api_auth in its query");
    }
    search.place(
        |search| authorization::read(search, line, Scheme::Bare),
        |accepted| authorization::other(line, Scheme::Bare, accepted),
    );
    Ok(NOTHING)
}
