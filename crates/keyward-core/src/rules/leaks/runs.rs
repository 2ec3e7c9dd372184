//! Finds runs of characters that a secret can be written with, without examining most of the bytes between them.

use std::borrow::Cow;

/// A secret has at least this many characters, however it is written. So a run that holds one covers a position that is
/// a multiple of this. If the byte there cannot belong to a secret, everything before it is skipped.
pub(super) const LEAST: usize = 64;
/// A line of base64 that continues on the next one has at least this many characters (RFC 7468: 64; RFC 2045: 76).
const FULL_LINE: usize = LEAST;

/// Whether a byte may be part of a secret: plain, percent-encoded or in base64 of either alphabet.
const fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'/' | b'-' | b'=' | b'%')
}

static PARTS: [bool; 256] = {
    let mut parts = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        parts[byte] = is_part(byte as u8);
        byte += 1;
    }
    parts
};

/// A run, with the lines that it was broken into joined.
pub(super) struct Run<'b> {
    pub(super) text: Cow<'b, [u8]>,
    pub(super) places: Places,
}

/// Where the bytes of a run are in the original.
pub(super) enum Places {
    /// At regular steps, from a position on.
    Every { first: usize, step: usize },
    /// In pieces: how many bytes of the run precede each, and where it begins.
    Pieces(Vec<(usize, usize)>),
}

impl Places {
    pub(super) fn of(&self, place: usize) -> usize {
        match self {
            Self::Every { first, step } => first + place * step,
            Self::Pieces(pieces) => {
                let next = pieces.partition_point(|(before, _)| *before <= place);
                pieces.get(next.saturating_sub(1)).map_or(place, |(before, start)| start + place - before)
            }
        }
    }
}

/// The runs of at least [`LEAST`] bytes.
pub(super) fn runs(bytes: &[u8]) -> impl Iterator<Item = Run<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let (first, end) = next(bytes.len(), start, |place| PARTS[usize::from(bytes[place])])?;
        let (run, behind) = with_next_lines(bytes, first, end);
        start = behind;
        Some(run)
    })
}

/// Lines that a mail program has broken: a line that ends with `=`, and those that continue it (RFC 2045, section 6.7).
/// The first piece may be too short to be a run.
pub(super) fn broken_runs(bytes: &[u8]) -> impl Iterator<Item = Run<'_>> {
    let ends = ["=\n", "=\r\n"].into_iter().flat_map(|end| memchr::memmem::find_iter(bytes, end));
    ends.filter_map(|end| {
        let is_part = |byte: &&u8| PARTS[usize::from(**byte)] && **byte != b'=';
        let length = bytes[..end].iter().rev().take(LEAST).take_while(is_part).count();
        // A longer one is a run by itself.
        (length + 1 < LEAST).then(|| with_next_lines(bytes, end - length, end + 1).0)
    })
}

/// The runs in UTF-16 of either byte order, of at least [`LEAST`] characters.
pub(super) fn wide_runs(bytes: &[u8]) -> impl Iterator<Item = Run<'_>> {
    (0..2).flat_map(move |parity| {
        let length = bytes.len().saturating_sub(parity).div_ceil(2);
        // The byte after the last one belongs to another character, or to none.
        let is_zero = |place: usize| bytes.get(place).is_none_or(|byte| *byte == 0);
        let is_wide = move |unit: usize| {
            let place = parity + 2 * unit;
            PARTS[usize::from(bytes[place])] && (is_zero(place + 1) || place.checked_sub(1).is_some_and(is_zero))
        };
        let mut start = 0;
        std::iter::from_fn(move || {
            let (first, end) = next(length, start, is_wide)?;
            start = end;
            let text: Vec<u8> = (first..end).map(|unit| bytes[parity + 2 * unit]).collect();
            Some(Run { text: text.into(), places: Places::Every { first: parity + 2 * first, step: 2 } })
        })
    })
}

/// The next run from `start` on: its first position, and the one after its last.
fn next(length: usize, mut start: usize, is_part: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
    while start + LEAST <= length {
        let Some(other) = (start..start + LEAST).rev().find(|place| !is_part(*place)) else {
            let end = (start + LEAST..length).find(|place| !is_part(*place)).unwrap_or(length);
            return Some((start, end));
        };
        start = other + 1;
    }
    None
}

/// The run with the lines that continue it, and the position after them. A line broken by a mail program ends with `=`
/// (RFC 2045, section 6.7).
fn with_next_lines(bytes: &[u8], first: usize, end: usize) -> (Run<'_>, usize) {
    let whole = |end| Run { text: Cow::Borrowed(&bytes[first..end]), places: Places::Every { first, step: 1 } };
    let Some((mut line, mut line_end)) = line_behind(bytes, end) else { return (whole(end), end) };
    let mut text = bytes[first..end].to_vec();
    let mut pieces = vec![(0, first)];
    loop {
        while text.last() == Some(&b'=') {
            text.pop();
        }
        pieces.push((text.len(), line));
        text.extend_from_slice(&bytes[line..line_end]);
        match line_behind(bytes, line_end) {
            Some(next) if line_end - line >= FULL_LINE => (line, line_end) = next,
            _ => break,
        }
    }
    (Run { text: Cow::Owned(text), places: Places::Pieces(pieces) }, line_end)
}

/// The run at the beginning of the next line, if `end` is the end of a line. Leading blanks are skipped.
fn line_behind(bytes: &[u8], end: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(end..)?;
    let line_break = if rest.starts_with(b"\r\n") { 2 } else { usize::from(rest.starts_with(b"\n")) };
    let blanks = rest[line_break..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let start = end + line_break + blanks;
    let length = bytes[start..].iter().take_while(|byte| PARTS[usize::from(**byte)]).count();
    (line_break > 0 && length > 0).then_some((start, start + length))
}
