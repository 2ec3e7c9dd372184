//! The password file that every PostgreSQL client reads, with one line per password:
//! `host:port:database:user:password`.
//!
//! A colon or backslash in a field is escaped with a backslash. A field `*` matches everything. The first line that
//! matches counts.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::password::Password;
use super::place::{Address, Host, ServerUrl};
use crate::platform::{OtherUsers, mode};
use crate::store::error::StoreError;

/// Where packages of PostgreSQL keep the socket. A line for `localhost` also counts for it.
const SOCKET_FOLDERS: [&str; 3] = ["/run/postgresql", "/var/run/postgresql", "/tmp"];
/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// What to look up a password for.
pub(super) struct Wanted<'w> {
    pub(super) address: &'w Address,
    pub(super) database: &'w str,
    pub(super) user: &'w str,
}

/// The matching password in the file, if there is one. An error about an unreadable file says where its name came from,
/// not its path, which may come from the URL. If no file was named, none need exist.
pub(super) fn find(
    path: &Path,
    named_by: Option<&str>,
    wanted: &Wanted<'_>,
    url: &ServerUrl,
) -> Result<Option<Password>, StoreError> {
    let text = match read(path) {
        Ok(text) => text,
        Err(Unread::Open(mode)) => return Err(StoreError::OpenSecret { file: path.to_owned(), mode }),
        Err(Unread::Io(error)) if error.kind() == io::ErrorKind::NotFound && named_by.is_none() => return Ok(None),
        Err(Unread::Io(error)) => {
            return Err(StoreError::Server {
                path: PathBuf::from(url.to_string()),
                detail: format!("the file that {} names cannot be read: {error}", named_by.unwrap_or("~/.pgpass")),
                remedy: "name a file with passwords that is there, and that is your own",
            });
        }
    };
    Ok(look_up(&text, wanted))
}

/// Why a file was not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// Others may read it; this is its mode.
    Open(u32),
    /// The system's error.
    Io(io::Error),
}

/// Reads a secret file, which no other user may read.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unread> {
    // Checked before it is opened, because a pipe would wait for its other end, and again afterwards, because it may be
    // another file by then.
    check(&fs::metadata(path).map_err(Unread::Io)?)?;
    let mut file = File::open(path).map_err(Unread::Io)?;
    let found = file.metadata().map_err(Unread::Io)?;
    check(&found)?;
    // Enough room from the start: growing the buffer would leave a copy behind.
    let mut text = Zeroizing::new(vec![0; found.len() as usize]);
    let mut length = 0;
    while length < text.len() {
        match file.read(&mut text[length..]).map_err(Unread::Io)? {
            0 => break,
            read => length += read,
        }
    }
    text.truncate(length);
    Ok(text)
}

fn check(file: &fs::Metadata) -> Result<(), Unread> {
    let refused = |why| Err(Unread::Io(io::Error::new(io::ErrorKind::InvalidInput, why)));
    if !file.is_file() {
        return refused("it is not a plain file");
    }
    if file.len() > LONGEST {
        return refused("it is longer than 1 MiB");
    }
    match OtherUsers::of(file) {
        OtherUsers::Nothing => Ok(()),
        OtherUsers::Read | OtherUsers::GroupWrites | OtherUsers::AllWrite => Err(Unread::Open(mode(file))),
    }
}

/// The password for this user at the first host of the URL, from the text of a file; for the fuzz target.
#[doc(hidden)]
pub fn find_password(text: &[u8], url: &ServerUrl, user: &str) -> Option<Zeroizing<Vec<u8>>> {
    let address = url.hosts().first()?;
    let found = look_up(text, &Wanted { address, database: url.database(), user })?;
    Some(Zeroizing::new(found.expose().to_vec()))
}

/// The password in the first line that matches.
pub(super) fn look_up(text: &[u8], wanted: &Wanted<'_>) -> Option<Password> {
    let lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let password = lines.filter(|line| !line.starts_with(b"#")).find_map(|line| password_in(line, wanted))?;
    (!password.is_empty()).then(|| Password::new(password))
}

fn password_in(line: &[u8], wanted: &Wanted<'_>) -> Option<Zeroizing<Vec<u8>>> {
    let port = wanted.address.port.to_string();
    let (host, rest) = field(line);
    if !is_host(host, &wanted.address.host) {
        return None;
    }
    let mut rest = rest?;
    for value in [port.as_str(), wanted.database, wanted.user] {
        let (pattern, behind) = field(rest);
        if !fits(pattern, value.as_bytes()) {
            return None;
        }
        rest = behind?;
    }
    Some(unescaped(field(rest).0))
}

fn is_host(pattern: &[u8], host: &Host) -> bool {
    match host {
        Host::Name(name) => fits(pattern, name.as_bytes()),
        Host::Ip(address) => fits(pattern, address.to_string().as_bytes()),
        Host::Folder(folder) => {
            let is_usual = SOCKET_FOLDERS.iter().any(|usual| folder == Path::new(usual));
            fits(pattern, folder.as_os_str().as_encoded_bytes()) || is_usual && fits(pattern, b"localhost")
        }
    }
}

/// The first field of a line, still escaped, and what follows its colon.
fn field(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut index = 0;
    while index < line.len() {
        match line[index] {
            b'\\' => index += 2,
            b':' => return (&line[..index], Some(&line[index + 1..])),
            _ => index += 1,
        }
    }
    (line, None)
}

fn fits(pattern: &[u8], value: &[u8]) -> bool {
    pattern == b"*" || *unescaped(pattern) == value
}

fn unescaped(field: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(field.len()));
    let mut bytes = field.iter().copied();
    while let Some(byte) = bytes.next() {
        // A backslash at the end stands for itself.
        plain.push(if byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte });
    }
    plain
}
