//! Finds keyward secrets in bytes where they should not be: in source code, in logs, in build inputs.
//!
//! A secret is found by its form and its checksum, so every match is a secret, of this store or another. It is found in
//! plain text, percent-encoded (RFC 3986, also twice), in base64 (RFC 4648, both alphabets, at any place and with line
//! breaks), in UTF-16, and in lines that a mail program has broken.
//!
//! It is fast because a secret is a long run of few kinds of characters: mostly, only one byte in [`runs::LEAST`] is
//! examined.
//!
//! What may break: compressed or encrypted data is not searched. One text in 2^32 that has the form of a secret is a
//! false match.

mod runs;
mod spellings;

use self::runs::{Run, broken_runs, runs, wide_runs};
use self::spellings::{base64, is_base64, unpercent};
use super::digits::behind_id;
use super::names::PREFIX_LENGTH;
use super::token::{Secret, TAIL_LENGTH};

/// The most bytes that a secret takes, however it is written. To search data in parts, keep this many bytes from the
/// end of each part and put them before the next.
pub const WIDEST: usize = 4096;

/// How deeply nested encodings are searched: at most base64 in base64 in base64.
const DEEPEST: u32 = 3;

/// A secret that was found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Leak {
    /// The secret.
    pub secret: Secret,
    /// The position of its first byte.
    pub start: usize,
    /// The position after its last byte; for an encoded secret, after the first byte of its last character.
    pub end: usize,
}

/// The secrets in these bytes, in order of position.
pub fn leaks(bytes: &[u8]) -> Vec<Leak> {
    let mut found = vec![];
    search(bytes, &|place| place, DEEPEST, &mut found);
    found.sort_by_key(|leak| leak.start);
    found.dedup_by(|one, other| one.start == other.start && one.secret.id() == other.secret.id());
    found
}

/// Maps a byte of a decoded text to its position in the original.
type Places<'p> = &'p dyn Fn(usize) -> usize;

fn search(bytes: &[u8], places: Places<'_>, depth: u32, found: &mut Vec<Leak>) {
    for Run { text, places: own } in runs(bytes).chain(broken_runs(bytes)).chain(wide_runs(bytes)) {
        examine(&text, &|place| places(own.of(place)), depth, found);
    }
}

/// Looks for secrets in a run, plain and decoded.
fn examine(run: &[u8], places: Places<'_>, depth: u32, found: &mut Vec<Leak>) {
    plain(run, places, found);
    let Some(depth) = depth.checked_sub(1) else { return };
    if let Some((text, own)) = unpercent(run) {
        examine(&text, &|place| places(own[place.min(own.len() - 1)]), depth, found);
    }
    let mut start = 0;
    for part in run.split_inclusive(|byte| !is_base64(*byte)) {
        for (shift, text) in base64(part) {
            search(&text, &|place| places(start + shift + place * 4 / 3), depth, found);
        }
        start += part.len();
    }
}

/// Looks for secrets in plain text. What precedes one may look like part of its prefix, and what follows like more of
/// the secret: the checksum decides.
fn plain(run: &[u8], places: Places<'_>, found: &mut Vec<Leak>) {
    let mut from = 0;
    while let Some(place) = run[from..].iter().position(|byte| *byte == b'_').map(|at| from + at) {
        from = place + 1;
        let Some(tail) = run.get(place..place + TAIL_LENGTH) else { return };
        if !behind_id(tail).is_some_and(|secret| secret.iter().all(u8::is_ascii_alphanumeric)) {
            continue;
        }
        let is_in_prefix = |byte: &&u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let longest = run[..place].iter().rev().take(PREFIX_LENGTH).take_while(is_in_prefix).count();
        let secret = (1..=longest).find_map(|length| {
            let start = place - length;
            let text = std::str::from_utf8(&run[start..place + TAIL_LENGTH]).ok()?;
            Some((start, Secret::parse(text).ok()?))
        });
        if let Some((start, secret)) = secret {
            let last = place + TAIL_LENGTH - 1;
            found.push(Leak { secret, start: places(start), end: places(last) + 1 });
            from = last + 1;
        }
    }
}

#[cfg(test)]
mod tests;
