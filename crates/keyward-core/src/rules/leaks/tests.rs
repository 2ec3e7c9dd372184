use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::rules::token::Id;

/// A made-up secret.
fn secret(prefix: &str, number: u8) -> String {
    Secret::build(&prefix.parse().unwrap(), Id::from_random([number; 8]), &[number; 32]).expose().to_owned()
}

fn percent(text: &str, is_encoded: impl Fn(u8) -> bool) -> String {
    text.bytes()
        .map(|byte| if is_encoded(byte) { format!("%{byte:02X}") } else { char::from(byte).to_string() })
        .collect()
}

fn lines(text: &str, width: usize, line_break: &str) -> String {
    let lines: Vec<_> = text.as_bytes().chunks(width).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    lines.join(line_break)
}

fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

/// A secret in every way in which it is found: the text, and how many bytes precede it.
fn spellings(secret: &str) -> Vec<(Vec<u8>, Option<usize>)> {
    let base64 = STANDARD.encode(secret);
    let line = format!("API_KEY={secret}\n");
    let twice = percent(&percent(secret, |byte| byte == b'_'), |byte| byte == b'%');
    let mut all = vec![
        (secret.to_owned(), Some(0)),
        (format!("key = \"{secret}\""), Some(7)),
        (format!("Authorization: Bearer deploy:{secret}\r\n"), Some(29)),
        (format!("{secret}{secret}"), Some(0)),
        (format!("X{secret}x"), Some(1)),
        (format!("0123456789_{secret}"), Some(11)),
        (format!("https://a/?k={secret}&b=c"), Some(13)),
        (percent(secret, |byte| byte == b'_'), Some(0)),
        (percent(secret, |_| true), Some(0)),
        (percent(secret, |_| true).to_lowercase(), Some(0)),
        (format!("?a=b%26key%3D{twice}"), Some(13)),
        (base64.clone(), Some(0)),
        (format!("secret: {base64}\n"), Some(8)),
        (STANDARD_NO_PAD.encode(secret), Some(0)),
        (format!("data:;base64,{}", STANDARD.encode(&line)), None),
        (STANDARD.encode(format!("a{secret}")), None),
        (STANDARD.encode(format!("ab{secret}>>>???")), None),
        (URL_SAFE_NO_PAD.encode(format!("ab>>>???{secret}>>>???")), None),
        (STANDARD.encode(STANDARD.encode(&line)), None),
        (STANDARD.encode(STANDARD.encode(STANDARD.encode(&line))), None),
        (STANDARD.encode(percent(&line, |byte| byte == b'_')), None),
        (format!("Basic {}", STANDARD.encode(format!("deploy:{secret}"))), None),
        (percent(&base64, |byte| byte == b'='), Some(0)),
    ];
    for width in [64, 76] {
        for line_break in ["\n", "\r\n", "\n    "] {
            all.push((lines(&STANDARD.encode(line.repeat(3)), width, line_break), None));
            all.push((lines(&base64, width, line_break) + "\n", Some(0)));
        }
    }
    // Quoted-printable.
    for cut in [1, 10, 40, 63, 64, secret.len() - 1] {
        for line_break in ["=\n", "=\r\n"] {
            let (one, other) = secret.split_at(cut);
            all.push((format!("the key is {one}{line_break}{other} and"), Some(11)));
        }
    }
    let mut all: Vec<(Vec<u8>, Option<usize>)> =
        all.into_iter().map(|(text, place)| (text.into_bytes(), place)).collect();
    for to_bytes in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
        all.push((
            utf_16(&format!("\u{feff}key={secret}\r\n"), to_bytes),
            Some(if to_bytes(1)[0] == 1 { 10 } else { 11 }),
        ));
        all.push((utf_16(secret, to_bytes), Some(usize::from(to_bytes(1)[0] != 1))));
        all.push((STANDARD.encode(utf_16(&line, to_bytes)).into_bytes(), None));
    }
    all
}

fn found(bytes: &[u8]) -> Vec<(String, usize)> {
    leaks(bytes).into_iter().map(|leak| (leak.secret.expose().to_owned(), leak.start)).collect()
}

#[test]
fn a_secret_is_found_however_it_is_written() {
    for prefix in ["k", "kw", "my_app_2", "abcdefghijklmnop"] {
        let secret = secret(prefix, 42);
        for (text, place) in spellings(&secret) {
            for (before, after) in [(&b""[..], &b""[..]), (b"\0\n ", b"\n"), (b"a line\nanother \xff", b" \x80\0")] {
                let bytes = [before, &text, after].concat();
                let found = found(&bytes);
                let shown = String::from_utf8_lossy(&text);
                assert!(!found.is_empty() && found.iter().all(|(text, _)| *text == secret), "{shown}: {found:?}");
                if let Some(place) = place {
                    assert_eq!(found[0].1, before.len() + place, "{shown}");
                }
            }
        }
    }
}

#[test]
fn what_is_damaged_is_not_found() {
    let secret = secret("kw", 42);
    for place in 0..secret.len() {
        let mut text = secret.clone().into_bytes();
        text[place] = if text[place] == b'a' { b'b' } else { b'a' };
        // Without its first letter, the prefix no longer matches the checksum.
        assert_eq!(found(&text), [], "{place}");
        assert_eq!(found(&secret.as_bytes()[..place]), [], "{place}");
    }
    for text in ["", "_", "kw_", &"_".repeat(200), &"a_".repeat(200), &"%5F".repeat(200), &"%".repeat(200)] {
        assert_eq!(found(text.as_bytes()), [], "{text}");
    }
}

#[test]
fn several_are_found_where_they_stand() {
    let (one, other) = (secret("kw", 1), secret("app", 2));
    let text = format!("{one}\n{other} {one},{}", STANDARD.encode(&other));
    let places: Vec<_> = found(text.as_bytes()).into_iter().map(|(text, place)| (text == one, place)).collect();
    let second = one.len() + 1;
    let third = second + other.len() + 1;
    assert_eq!(places, [(true, 0), (false, second), (true, third), (false, third + one.len() + 1)]);
}

proptest! {
    /// Whatever surrounds it, and wherever the search begins.
    #[test]
    fn a_secret_is_found_among_anything(
        before in proptest::collection::vec(any::<u8>(), 0..300),
        after in proptest::collection::vec(any::<u8>(), 0..100),
        which in 0_usize..35,
    ) {
        let secret = secret("kw", 7);
        let all = spellings(&secret);
        let (text, _) = &all[which % all.len()];
        // Characters directly before base64 and UTF-16 may belong to it.
        let bytes = [&before[..], b"\n\n\0\0", text, b"\0\0\n", &after].concat();
        prop_assert!(found(&bytes).iter().any(|(text, _)| *text == secret), "{which}");
        prop_assert!(leaks(&bytes).iter().all(|leak| leak.start < leak.end && leak.end <= bytes.len()));
    }

    #[test]
    fn nothing_is_found_in_noise(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(leaks(&bytes).is_empty());
    }

    #[test]
    fn nothing_is_found_in_what_looks_like_it(text in "[0-9a-z_%=/+\n]{0,600}") {
        prop_assert!(leaks(text.as_bytes()).is_empty());
    }
}
