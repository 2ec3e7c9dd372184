//! What has to be true of the parsers for whatever input, shared by the fuzz targets and by the
//! plain test that runs the seeds (`tests/it/fuzz_seeds.rs`).
//!
//! Each function takes an input as the fuzzer makes it, panics where a property does not hold, and
//! returns in one word how the input was read, so that a test can tell whether the seeds still
//! reach everything.

use std::str::from_utf8;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward::domain::credential::{Credential, CredentialError, parse_line, parse_request};
use keyward::domain::decision::Transport;
use keyward::domain::text::{holds_secret, redact};
use keyward::domain::token::{Secret, TokenError};

/// The digits of a secret, written down here once more so that the library is not its own witness.
const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CROCKFORD: &[u8] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Lengths from the right end of a secret: the checksum; with the random part; with the id and
/// both underscores.
const CHECKSUM: usize = 6;
const RANDOM: usize = 43 + CHECKSUM;
const TAIL: usize = 1 + 12 + 1 + RANDOM;

/// Checks [`Secret::parse`] and [`redact`], with the input as it is and with a right checksum put
/// behind it: a fuzzer does not find one by itself, and little would be reached without.
pub fn token(data: &[u8]) -> &'static str {
    let Ok(text) = from_utf8(data) else { return "not_utf8" };
    redact_around(text);
    if let Some(body) = text.len().checked_sub(CHECKSUM).and_then(|end| text.get(..end)) {
        let mended = format!("{body}{}", checksum(body));
        assert_ne!(secret(&mended), "checksum", "a right checksum was refused");
    }
    secret(text)
}

/// Checks [`parse_line`].
pub fn line(data: &[u8]) -> &'static str {
    let Ok(text) = from_utf8(data) else { return "not_utf8" };
    let result = parse_line(text);
    assert_eq!(result, parse_line(text), "one line was read in two ways");
    match &result {
        Ok(credential) => {
            if let Ok(head) = parse_request(format!("GET / HTTP/1.1\r\n{text}\r\n\r\n").as_bytes()) {
                assert_eq!(head.credential, *credential, "a header alone and in a request are two credentials");
            }
            came_from(credential, data);
            hidden(credential, &format!("{credential:?}"));
            credential.presentation.as_str()
        }
        Err(error) => refused(error),
    }
}

/// Checks [`parse_request`].
pub fn request(data: &[u8]) -> &'static str {
    let result = parse_request(data);
    assert_eq!(result, parse_request(data), "one request was read in two ways");
    let end = end_of_fields(data);
    assert_eq!(result, parse_request(&data[..end.after]), "what follows the empty line was read");
    let head = match result {
        Ok(head) => head,
        Err(error) => return refused(&error),
    };
    came_from(&head.credential, data);
    // The method is free text, and it is meant to be seen.
    hidden(&head.credential, &format!("{head:?}").replace(&format!("{:?}", head.method), ""));

    // Which of two credentials counts would depend on who reads them.
    let other = if head.credential.expose() == "other" { "another" } else { "other" };
    for place in [end.before, end.first_field] {
        let two = [&data[..place], format!("x-api-key: {other}\r\n").as_bytes(), &data[place..]].concat();
        if let Ok(read) = parse_request(&two) {
            panic!("two credentials were read as one, {:?}: {:?}", read.credential, two.escape_ascii().to_string());
        }
    }

    // Only the last hop counts; where another header differs from it, nothing does.
    let hop = b"Forwarded: for=192.0.2.7;proto=https\r\n";
    if let Ok(passed_on) = parse_request(&[&data[..end.before], hop, &data[end.before..]].concat()) {
        assert_eq!(passed_on.credential, head.credential);
        let (address, transport) = (passed_on.forwarded.address, passed_on.forwarded.transport);
        assert!(address.is_none_or(|address| address.to_string() == "192.0.2.7"), "{address:?}");
        assert!(transport.is_none_or(|transport| transport == Transport::Https), "{transport:?}");
    }
    head.credential.presentation.as_str()
}

/// A text is a secret or it is not, and a secret has one spelling.
fn secret(text: &str) -> &'static str {
    let secret = match Secret::parse(text) {
        Ok(secret) => secret,
        Err(TokenError::Spaces) => return "spaces",
        Err(TokenError::Form) => return "form",
        Err(TokenError::Checksum) => return "checksum",
    };
    assert_eq!(secret.expose(), text);
    let id = secret.id().as_str();
    assert!(id.len() == 12 && id.bytes().all(|digit| CROCKFORD.contains(&digit)), "{id}");
    assert_eq!(format!("{secret:?}"), format!("Secret({id}, …)"));

    let (prefix, tail) = text.split_at(text.len() - TAIL);
    let random = &tail[TAIL - RANDOM..TAIL - CHECKSUM];
    let rebuilt = Secret::build(&prefix.parse().unwrap(), id.parse().unwrap(), &decoded(random));
    assert_eq!(rebuilt.expose(), text, "the bytes of a secret make another secret");

    let mut changed = text.as_bytes().to_vec();
    for place in 0..changed.len() {
        // Which bit is turned over follows from the text, so that the fuzzer can try all of them.
        let bit = 1 << ((usize::from(changed[changed.len() - 1]) + place) % 7);
        changed[place] ^= bit;
        assert!(Secret::parse(from_utf8(&changed).unwrap()).is_err(), "{text} with another byte at {place}");
        changed[place] ^= bit;
    }

    assert_eq!(redact(text), "[secret]");
    assert_eq!(redact(&format!("no '{text}' here")), "no '[secret]' here");
    assert_eq!(redact(&format!("Bearer name:{text}\r\n")), "Bearer [secret]\r\n");
    "secret"
}

/// A secret is hidden wherever it stands in a text, and nothing is left to hide after that.
fn redact_around(text: &str) {
    let secret = Secret::build(&"kw".parse().unwrap(), "0123456789ab".parse().unwrap(), &[42; 32]);
    let middle = (0..=text.len() / 2).rev().find(|&place| text.is_char_boundary(place)).unwrap_or_default();
    let (before, after) = text.split_at(middle);
    for text in [text.to_owned(), format!("{before}{}{after}", secret.expose())] {
        let redacted = redact(&text);
        assert!(!redacted.contains(&secret.expose()[secret.expose().len() - RANDOM..]), "{redacted}");
        assert!(!holds_secret(&redacted), "{redacted}");
    }
}

/// The text in the place of the secret is a part of the input, or of what the input encodes.
fn came_from(credential: &Credential, input: &[u8]) {
    let read = match credential.presentation.as_str() {
        "query_auth_key" | "query_api_auth" => percent_decoded(input),
        "basic" => {
            let encoded = input.split(|byte| !byte.is_ascii_graphic());
            encoded.filter_map(|word| STANDARD.decode(word).ok()).collect::<Vec<_>>().concat()
        }
        _ => input.to_vec(),
    };
    // Where a field is unfolded, the line ends inside it become a space.
    let read = without_spaces(&read);
    let secret = without_spaces(credential.expose().as_bytes());
    assert!(
        secret.is_empty() || read.windows(secret.len()).any(|part| part == secret),
        "{} came out of {}",
        credential.expose(),
        input.escape_ascii()
    );
}

/// Debug output says nothing about the secret. Short words may stand in it by chance, and what is
/// long enough to be a secret may not.
fn hidden(credential: &Credential, shown: &str) {
    assert!(shown.contains(&format!("Credential({}, …)", credential.presentation.as_str())), "{shown}");
    for word in credential.expose().split_whitespace().filter(|word| word.len() >= 48) {
        assert!(!shown.contains(word), "{shown}");
    }
    assert!(!holds_secret(shown), "{shown}");
}

/// A refusal says nothing about the secret either.
fn refused(error: &CredentialError) -> &'static str {
    assert!(!holds_secret(&format!("{error} {error:?}")), "{error}");
    match error {
        CredentialError::Missing(_) => "missing",
        CredentialError::Ambiguous => "ambiguous",
        CredentialError::Malformed(_) => "malformed",
    }
}

/// Places in a request: behind its first line, before the empty line and behind it. Where there is
/// no empty line, the last two are the end.
struct End {
    first_field: usize,
    before: usize,
    after: usize,
}

fn end_of_fields(head: &[u8]) -> End {
    let mut end = End { first_field: 0, before: 0, after: 0 };
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        end.after += line.len();
        // A server skips empty lines in front of the request line (RFC 9112 section 2.2).
        if end.first_field == 0 {
            end.first_field = if line == b"\n" || line == b"\r\n" { 0 } else { end.after };
        } else if line == b"\n" || line == b"\r\n" {
            return end;
        }
        end.before = end.after;
    }
    end
}

fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    let mut digits = [0; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % 62];
        rest /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

/// The 32 bytes that the digits stand for.
fn decoded(digits: &str) -> [u8; 32] {
    let mut number = [0_u8; 32];
    for digit in digits.bytes() {
        let mut carry = BASE62.iter().position(|&known| known == digit).unwrap();
        for byte in number.iter_mut().rev() {
            carry += usize::from(*byte) * 62;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        assert_eq!(carry, 0, "no 32 bytes make {digits}");
    }
    number
}

/// Percent-decoding of everything, as far as it is UTF-8: what a query holds is a part of it.
fn percent_decoded(input: &[u8]) -> Vec<u8> {
    // One field and nothing else, because what separates fields is taken out of the way.
    let separators = [(b'&', "%26"), (b'=', "%3D")];
    let one_field = input.iter().fold(vec![], |mut field, byte| {
        match separators.iter().find(|(separator, _)| separator == byte) {
            Some((_, encoded)) => field.extend_from_slice(encoded.as_bytes()),
            None => field.push(*byte),
        }
        field
    });
    form_urlencoded::parse(&one_field).map(|(field, _)| field.into_owned()).collect::<String>().into_bytes()
}

fn without_spaces(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}
