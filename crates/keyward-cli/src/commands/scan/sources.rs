//! The sources of a search: files, folders and standard input, and how each is read in parts.
//!
//! The content of a folder is not trusted: links are not followed, and anything that is neither a file nor a folder (a
//! pipe, a device) is not opened. What was named is read whatever it is.

use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use keyward_core::rules::leaks::{WIDEST, leaks};
use keyward_core::rules::token::{Id, Secret};
use zeroize::Zeroizing;

use crate::platform::{is_made_up, open_unlinked};

/// How many bytes are read at once.
const PART: usize = 1 << 20;

/// A secret and its position.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) secret: Secret,
    /// From 1.
    pub(super) line: u64,
    /// In bytes, from 1.
    pub(super) column: u64,
}

/// Holds what is read. A worker uses one for all its files: making and wiping it takes longer than reading a typical
/// file.
pub(super) struct Buffer(Zeroizing<Vec<u8>>);

impl Buffer {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(vec![0; PART + WIDEST]))
    }
}

/// The magic numbers of compressed files, which are not searched: gzip (RFC 1952), zip, bzip2, xz, zstd (RFC 8878), 7z.
const COMPRESSED: [&[u8]; 6] =
    [b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c"];

/// Reads `source` to its end and calls `see` with each secret in it, in order. Returns whether it is compressed.
///
/// # Errors
/// If it cannot be read, or what `see` returns.
pub(super) fn look_through(
    source: &mut dyn Read,
    buffer: &mut Buffer,
    see: &mut dyn FnMut(Sighting) -> io::Result<()>,
) -> io::Result<bool> {
    let buffer = &mut *buffer.0;
    // The bytes kept from the previous part, the lines before them, and how many bytes of the last one.
    let (mut kept, mut breaks, mut in_line) = (0, 0, 0);
    // The position of the part, and the secrets already found in the kept bytes: they will be found again.
    let (mut base, mut seen): (u64, Vec<(u64, Id)>) = (0, vec![]);
    let mut is_compressed = false;
    loop {
        let read = fill(source, &mut buffer[kept..])?;
        let filled = kept + read;
        is_compressed |= kept == 0 && COMPRESSED.iter().any(|start| buffer[..filled].starts_with(start));
        let mut counted = Lines { bytes: &buffer[..filled], at: 0, breaks, in_line };
        for leak in leaks(&buffer[..filled]) {
            let (place, id) = (base + leak.start as u64, leak.secret.id().clone());
            // The start of an encoded secret is not exact to the byte.
            if seen.iter().any(|(before, other)| before.abs_diff(place) < 4 && *other == id) {
                continue;
            }
            let (line, column) = counted.at(leak.start);
            seen.push((place, id));
            see(Sighting { secret: leak.secret, line, column })?;
        }
        if read == 0 || filled < buffer.len() {
            return Ok(is_compressed);
        }
        // From the beginning: what was found may be after that position.
        let mut counted = Lines { bytes: &buffer[..filled], at: 0, breaks, in_line };
        counted.at(filled - WIDEST);
        (breaks, in_line) = (counted.breaks, counted.in_line);
        base += (filled - WIDEST) as u64;
        seen.retain(|(place, _)| *place >= base);
        kept = WIDEST;
        buffer.copy_within(filled - kept.., 0);
    }
}

/// Counts the lines of a part.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
    breaks: u64,
    in_line: u64,
}

impl Lines<'_> {
    /// The line and the column of a position that is not before the last one.
    fn at(&mut self, place: usize) -> (u64, u64) {
        let between = &self.bytes[self.at.min(place)..place];
        let breaks = memchr::memchr_iter(b'\n', between).count() as u64;
        self.breaks += breaks;
        self.in_line = match memchr::memrchr(b'\n', between) {
            Some(last) => (between.len() - last - 1) as u64,
            None => self.in_line + between.len() as u64,
        };
        self.at = place;
        (self.breaks + 1, self.in_line + 1)
    }
}

/// Fills the buffer, or reads to the end of the source.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match source.read(&mut buffer[read..]) {
            Ok(0) => break,
            Ok(number) => read += number,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Something to search.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// As listed in its folder; `None` for what was named.
    kind: Option<FileType>,
}

impl Source {
    /// Opens it; `None` if it is not searched.
    pub(super) fn open(&self) -> io::Result<Option<File>> {
        if self.kind.is_none() {
            return File::open(&self.path).map(Some);
        }
        match open_unlinked(&self.path) {
            Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
            // A link has replaced it, or it is gone.
            Err(error) if error.kind() == ErrorKind::NotFound || crate::platform::is_link_error(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The files below some paths, in order of their names.
pub(super) struct Walk {
    /// What is still to be visited, the next one last.
    ahead: Vec<Source>,
}

impl Walk {
    pub(super) fn new(paths: &[PathBuf]) -> Self {
        Self { ahead: paths.iter().rev().map(|path| Source { path: path.clone(), kind: None }).collect() }
    }
}

impl Iterator for Walk {
    type Item = Result<Source, (PathBuf, io::Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = self.ahead.pop()?;
            let is_named = next.kind.is_none();
            let kind = next.kind.map_or_else(|| fs::metadata(&next.path).map(|found| found.file_type()), Ok);
            match kind {
                // What the system makes up may be endless.
                Ok(kind) if kind.is_dir() && !is_named && is_made_up(&next.path) => {}
                Ok(kind) if kind.is_dir() => match inside(&next.path) {
                    Ok(inside) => self.ahead.extend(inside),
                    // It existed a moment ago.
                    Err(error) if error.kind() == ErrorKind::NotFound && !is_named => {}
                    Err(error) => return Some(Err((next.path, error))),
                },
                Ok(kind) if is_named || kind.is_file() => return Some(Ok(next)),
                Ok(_) => {}
                Err(error) => return Some(Err((next.path, error))),
            }
        }
    }
}

/// What is in a folder, the first one last.
fn inside(folder: &Path) -> io::Result<Vec<Source>> {
    let mut inside = vec![];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() != ".git" {
            let path = if folder == Path::new(".") { PathBuf::from(entry.file_name()) } else { entry.path() };
            inside.push(Source { path, kind: Some(entry.file_type()?) });
        }
    }
    inside.sort_by(|one, other| other.path.cmp(&one.path));
    Ok(inside)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    /// A source that returns at most this many bytes per read.
    struct Slow<'b>(&'b [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.1);
            self.0.read(&mut buffer[..most])
        }
    }

    /// Each is seen once, on its line, whatever is before it and wherever a part ends.
    #[test]
    fn however_it_is_written_a_secret_that_a_part_cuts_is_seen_once() {
        // A made-up secret.
        let secret = Secret::build(&"kw".parse().unwrap(), Id::from_random([3; 8]), &[9; 32]);
        let plain = secret.expose();
        let base64 = base64::engine::general_purpose::STANDARD.encode(plain);
        let percent = plain.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"));
        for text in [plain, &base64, &percent] {
            for before in 0..=text.len() {
                let mut bytes = vec![b'.'; PART + WIDEST + 10_000];
                bytes.iter_mut().skip(99).step_by(100).for_each(|byte| *byte = b'\n');
                let place = PART + WIDEST - before;
                bytes[place - 1] = b' ';
                bytes[place..place + text.len()].copy_from_slice(text.as_bytes());
                bytes[place + text.len()] = b' ';
                let second = PART + WIDEST + 5_000;
                bytes[second..second + plain.len()].copy_from_slice(plain.as_bytes());
                let mut seen = vec![];
                let see = &mut |sighting: Sighting| {
                    seen.push(sighting.line);
                    Ok(())
                };
                look_through(&mut &bytes[..], &mut Buffer::new(), see).unwrap();
                let line = |place: usize| memchr::memchr_iter(b'\n', &bytes[..place]).count() as u64 + 1;
                assert_eq!(seen, [line(place), line(second)], "{before} of {text}");
            }
        }
    }

    #[test]
    fn a_secret_is_found_wherever_a_part_ends() {
        // A made-up secret.
        let secret = Secret::build(&"kw".parse().unwrap(), Id::from_random([3; 8]), &[9; 32]);
        let text = secret.expose().as_bytes();
        for end in [PART, PART + WIDEST, PART + WIDEST - 1, 2 * PART + WIDEST] {
            for before in [text.len() + 1, text.len(), text.len() - 1, 40, 1, 0] {
                let mut bytes = vec![b'.'; 3 * PART];
                bytes.iter_mut().skip(99).step_by(100).for_each(|byte| *byte = b'\n');
                let place = end - before;
                bytes[place..place + text.len()].copy_from_slice(text);
                let (mut seen, breaks) = (vec![], memchr::memchr_iter(b'\n', &bytes[..place]).count());
                let last = bytes[..place].iter().rposition(|byte| *byte == b'\n').unwrap();
                for step in [usize::MAX, 65_521] {
                    let see = &mut |sighting: Sighting| {
                        seen.push((sighting.line, sighting.column));
                        Ok(())
                    };
                    look_through(&mut Slow(&bytes, step), &mut Buffer::new(), see).unwrap();
                }
                assert_eq!(seen, [(breaks as u64 + 1, (place - last) as u64); 2], "{end} {before}");
            }
        }
    }
}
