//! What must hold, for any input, for the URL of a store on a server and for the password file. As in `checks.rs`, each
//! function panics if a property does not hold, and returns in one word how the input was read.

use std::str::from_utf8;

use keyward_core::store::{ServerUrl, UrlError, find_password};

/// Checks the URL of a store: it is shown as a URL for the same place, without its password and its parameters.
pub fn url(data: &[u8]) -> &'static str {
    let Ok(text) = from_utf8(data) else { return "not_utf8" };
    let read: Result<ServerUrl, UrlError> = text.parse();
    let url = match read {
        Ok(url) => url,
        Err(error) => {
            assert_eq!(text.parse::<ServerUrl>().err(), Some(error), "one text was read in two ways");
            return if ServerUrl::is_meant(text) { "refused" } else { "no_url" };
        }
    };
    assert!(ServerUrl::is_meant(text), "a path was read as a URL: {text:?}");
    let shown = url.to_string();
    assert_eq!(shown, format!("{url:?}"), "debugging shows something else");
    // Only what says which of several stores it is.
    let parameters = shown.split_once('?').map(|(_, parameters)| parameters.to_owned());
    let schema = (url.schema() != "keyward").then(|| format!("schema={}", url.schema()));
    assert_eq!(parameters, schema, "parameters are shown: {shown}");
    assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()), "{shown:?}");
    let again: ServerUrl = shown.parse().unwrap_or_else(|error| match error {
        // The shown URL does not contain what only sslmode=disable allows.
        UrlError::Exposed => panic!("{shown} is exposed without parameters"),
        error => panic!("{shown}: {error}"),
    });
    let which = |url: &ServerUrl| [url.user().unwrap_or_default(), url.database(), url.schema()].map(str::to_owned);
    assert_eq!(which(&again), which(&url), "{shown}");
    assert_eq!(again.to_string(), shown);
    assert!(!again.has_password(), "the password is shown: {shown}");
    let schema = url.schema();
    let is_plain = schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    assert!(is_plain && !schema.is_empty(), "{schema:?} is written into statements");
    if url.has_password() { "with_password" } else { "url" }
}

/// Checks the password file: a matching line is found, whatever follows it, and other lines are ignored. The first line
/// of the input is a password, and the rest is a file.
pub fn passfile(data: &[u8]) -> &'static str {
    let url: ServerUrl = "postgres://ann@db.example.org:5433/keys".parse().unwrap();
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (password, file) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let found = find_password(file, &url, "ann");
    if let Some(found) = &found {
        assert!(!found.is_empty() && found.len() <= file.len(), "an empty password is none");
    }
    let escaped: Vec<u8> =
        password.iter().flat_map(|byte| if b":\\".contains(byte) { vec![b'\\', *byte] } else { vec![*byte] }).collect();
    let with = |fields: &str| [fields.as_bytes(), &escaped, b"\n", file].concat();
    // A line may end with CRLF, and an empty password counts as none.
    let expected = password.strip_suffix(b"\r").unwrap_or(password);
    let expected = (!expected.is_empty()).then_some(expected);
    for fields in
        ["db.example.org:5433:keys:ann:", "*:*:*:*:", "db.example.org:*:keys:*:", "d\\b.example.org:5433:*:a\\nn:"]
    {
        let first = find_password(&with(fields), &url, "ann");
        assert_eq!(first.as_deref().map(Vec::as_slice), expected, "{fields}");
    }
    for fields in
        ["other:5433:keys:ann:", "*:5432:*:*:", "*:*:key:*:", "*:*:*:anna:", "db.example.org::keys:ann:", "#*:*:*:*:"]
    {
        let none = find_password(&with(fields), &url, "ann");
        assert_eq!(none.as_deref(), found.as_deref(), "{fields}");
    }
    if found.is_some() { "found" } else { "nothing" }
}
