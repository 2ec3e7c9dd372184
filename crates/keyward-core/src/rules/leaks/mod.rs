//! Secrets of keyward's form in bytes where they should not be: in source, in logs, in what a program was built from.
//!
//! A secret is found by its form and its checksum, so what is found is a secret, of this store or of another one. It is
//! found as it is written, percent-encoded (RFC 3986, also twice), in base64 (RFC 4648, both alphabets, at any place and
//! with line breaks), in UTF-16, and where a mail program has broken its line.
//!
//! It is fast because a secret is a long run of few characters: of most bytes only one in [`runs::LEAST`] is looked at.
//!
//! What may break: what is compressed or encrypted is not looked into. Something that has the form of a secret by
//! accident is found once in 2^32.

mod runs;
mod spellings;

use self::runs::{Run, broken_runs, runs, wide_runs};
use self::spellings::{base64, is_base64, unpercent};
use super::digits::behind_id;
use super::names::PREFIX_LENGTH;
use super::token::{Secret, TAIL_LENGTH};

/// As many bytes a secret takes at most, however it is written. Whoever looks through something in parts keeps so many
/// of the last bytes of a part before those of the next one.
pub const WIDEST: usize = 4096;

/// How deep encodings are looked into: base64 in base64 in base64 is the deepest.
const DEEPEST: u32 = 3;

/// A secret that was found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Leak {
    /// It.
    pub secret: Secret,
    /// The place of its first byte.
    pub start: usize,
    /// The place behind its last byte; of one that is encoded, behind the beginning of its last character.
    pub end: usize,
}

/// The secrets in these bytes, in the order in which they stand there.
pub fn leaks(bytes: &[u8]) -> Vec<Leak> {
    let mut found = vec![];
    search(bytes, &|place| place, DEEPEST, &mut found);
    found.sort_by_key(|leak| leak.start);
    found.dedup_by(|one, other| one.start == other.start && one.secret.id() == other.secret.id());
    found
}

/// Where a byte of a text stood in what it was decoded from.
type Places<'p> = &'p dyn Fn(usize) -> usize;

fn search(bytes: &[u8], places: Places<'_>, depth: u32, found: &mut Vec<Leak>) {
    for Run { text, places: own } in runs(bytes).chain(broken_runs(bytes)).chain(wide_runs(bytes)) {
        examine(&text, &|place| places(own.of(place)), depth, found);
    }
}

/// Looks for secrets in a run, as it is and decoded.
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

/// Looks for secrets as they are. What stands in front of one may look like a part of its prefix, and what stands behind
/// it like more of it: the checksum tells.
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
