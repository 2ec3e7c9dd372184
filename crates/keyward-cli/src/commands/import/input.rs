//! The input of an import: a file or a pipe.
//!
//! It is read several times. What can be read only once is kept in memory and never on a disk, because it holds texts of
//! secrets.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::{Code, Error};
use crate::formats::import::{Format, Line, MOST_BYTES, ReadError, Records};
use crate::platform::{OtherUsers, file_in_memory};
use crate::session::Session;
use crate::text::{input_name, shell_path};

/// The most bytes that a pipe may bring.
const MOST: u64 = 4 << 30;
/// How much is read at once.
const BUFFER: usize = 64 * 1024;

/// The input, and the hash of its content when it was first read.
pub(super) struct Input {
    path: Option<PathBuf>,
    source: Source,
    format: Format,
    digest: Option<[u8; 32]>,
    /// Whether others can read or change it.
    is_exposed: bool,
}

enum Source {
    File(File),
    Memory(Zeroizing<Vec<u8>>),
}

impl Input {
    /// Opens it, and finds out its format.
    ///
    /// # Errors
    /// If it cannot be read, or has neither format.
    pub(super) fn open(session: &mut Session, path: &Path, format: Option<Format>) -> Result<Self, Error> {
        let is_stdin = path == Path::new("-");
        let name = input_name(path);
        let mut is_exposed = false;
        let source = if is_stdin {
            kept(session.terminal.take_stdin()).map_err(|error| unreadable(&name, &error))?
        } else {
            let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
            let about = file.metadata().map_err(|error| unreadable(&name, &error))?;
            if about.is_dir() {
                return Err(unreadable(&name, &"it is a folder"));
            }
            if about.is_file() {
                is_exposed = warn_of_readers(session, path, OtherUsers::of(&about));
                Source::File(file)
            } else {
                kept(Box::new(file)).map_err(|error| unreadable(&name, &error))?
            }
        };
        let path = Some(path.to_owned()).filter(|_| !is_stdin);
        let mut input = Self { path, source, format: Format::Jsonl, digest: None, is_exposed };
        input.format = match format {
            Some(format) => format,
            None => input.look()?,
        };
        Ok(input)
    }

    /// Its path, if it is a file.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether others can read or change it.
    pub(super) fn is_exposed(&self) -> bool {
        self.is_exposed
    }

    /// Its name, for messages.
    pub(super) fn name(&self) -> String {
        input_name(self.path.as_deref().unwrap_or(Path::new("-")))
    }

    /// The format that it seems to have.
    fn look(&mut self) -> Result<Format, Error> {
        let extension = self.path.as_ref().and_then(|path| path.extension()).and_then(|end| end.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => return Ok(Format::Csv),
            Some("jsonl" | "ndjson") => return Ok(Format::Jsonl),
            _ => {}
        }
        let name = self.name();
        let mut reader = self.read().map_err(|error| unreadable(&name, &error))?;
        let format = Format::of(reader.fill_buf().map_err(|error| unreadable(&name, &error))?);
        drop(reader);
        format.ok_or_else(|| {
            Error::new(Code::InvalidValue, format!("{name} is one JSON array, and not an object a line"))
                .hint(format!("make lines of it: jq -c '.[]' {} | keyward import -", shell_path(Path::new(&name))))
        })
    }

    fn read(&mut self) -> io::Result<Box<dyn BufRead + '_>> {
        Ok(match &mut self.source {
            Source::File(file) => {
                file.rewind()?;
                Box::new(BufReader::with_capacity(BUFFER, file))
            }
            Source::Memory(bytes) => Box::new(Cursor::new(bytes.as_slice())),
        })
    }

    /// Calls `f` with each record, in order.
    ///
    /// # Errors
    /// The error of `f`; also if the input cannot be read to its end, or differs from the first time.
    pub(super) fn each(&mut self, f: &mut dyn FnMut(Line) -> Result<(), Error>) -> Result<(), Error> {
        let (name, format) = (self.name(), self.format);
        let reader = self.read().map_err(|error| unreadable(&name, &error))?;
        let mut digest = Sha256::new();
        let hashing = BufReader::with_capacity(BUFFER, Hashing { input: reader, digest: &mut digest });
        let mut records = Records::new(format, hashing).map_err(|error| broken(&name, error))?;
        for line in &mut records {
            f(line.map_err(|error| broken(&name, error))?)?;
        }
        drop(records);
        let digest: [u8; 32] = digest.finalize().into();
        match self.digest {
            Some(before) if before != digest => Err(changed(&name)),
            _ => {
                self.digest = Some(digest);
                Ok(())
            }
        }
    }
}

/// Keeps input that can be read only once.
fn kept(mut from: Box<dyn Read + Send>) -> io::Result<Source> {
    let mut from = (&mut from).take(MOST + 1);
    let mut buffer = Zeroizing::new(vec![0; BUFFER]);
    let mut file = file_in_memory();
    let mut bytes = Zeroizing::new(vec![]);
    let (mut length, mut has_line_end) = (0, false);
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        length += count as u64;
        has_line_end |= buffer[..count].contains(&b'\n');
        if !has_line_end && length > MOST_BYTES as u64 {
            // An endless device must not fill the memory first.
            return Err(io::Error::other(ReadError::TooLong(1).to_string()));
        }
        match &mut file {
            Some(file) => file.write_all(&buffer[..count])?,
            None => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    if length > MOST {
        return Err(io::Error::other("more than 4 GiB came; write them into a file, and name that"));
    }
    Ok(file.map_or(Source::Memory(bytes), Source::File))
}

/// Hashes everything that is read.
struct Hashing<'h, R> {
    input: R,
    digest: &'h mut Sha256,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(into)?;
        self.digest.update(&into[..count]);
        Ok(count)
    }
}

/// The error for input that has changed.
pub(super) fn changed(name: &str) -> Error {
    Error::new(Code::Conflict, format!("{name} was changed while it was read"))
        .hint("nothing was imported; try again when nobody writes to it any more")
}

fn unreadable(name: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new(Code::InvalidValue, format!("{name} cannot be read: {why}"))
        .hint("nothing was imported; name a file that is there, or - for standard input")
}

fn broken(name: &str, error: ReadError) -> Error {
    match error {
        ReadError::Io(error) => unreadable(name, &error),
        ReadError::TooLong(_) | ReadError::Heading(_) => Error::new(Code::InvalidValue, format!("{name}, {error}"))
            .hint("nothing was imported; the formats are in: keyward help import"),
    }
}

/// Warns if others can read or change the file. Returns whether they can.
fn warn_of_readers(session: &mut Session, path: &Path, others: OtherUsers) -> bool {
    let what = match others {
        OtherUsers::Nothing => return false,
        OtherUsers::Read => "read",
        OtherUsers::Write => "change",
    };
    let (shown, close) = (path.display(), shell_path(path));
    session.terminal.warn(&format!("others can {what} {shown}, which holds secrets; close it with: chmod 600 {close}"));
    true
}
