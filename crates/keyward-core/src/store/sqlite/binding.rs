//! Whether the log beside a file belongs to it, and whether a file is in the state that its readers know.
//!
//! SQLite takes any log that it finds for the right one, and reads both as one store. Another file may have been put at
//! the path while a program had the former one open, or beside a log that was left behind. Then pages of two files are
//! mixed, and a disabled key may work again. So each commit records which file it is for, how many commits there were,
//! and how many when the log was begun. The file has the same record, as of when the log was last moved into it, and
//! there it is read without SQLite: the two records must fit together.
//!
//! What may break: a copy of only the file, made by hand after the present log was begun and put back while the log
//! holds anything. A copy by `backup` is another file.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::ops::RangeInclusive;
use std::path::Path;

use rusqlite::Connection;

use super::connection::connect_immutable;
use super::schema;
use crate::platform;

/// Identifies the store's file, and counts its commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    file: String,
    pub(super) commits: u64,
}

/// The start of its text form. It is followed by the file, 32 hexadecimal digits, and the commits, 16 digits: the
/// length is fixed so that the text can be found in a page.
const MARK: &str = "keyward-file:";
const FILE: usize = 32;
const COMMITS: usize = 16;

impl Binding {
    fn parse(text: &str) -> Option<Self> {
        let (file, commits) = text.strip_prefix(MARK)?.split_at_checked(FILE)?;
        Some(Self { file: file.to_owned(), commits: u64::from_str_radix(commits.get(..COMMITS)?, 16).ok()? })
    }

    /// The binding in the file at `path`, without the log, on whatever page it is. This process must not have the file
    /// open elsewhere: SQLite opens it here without locks, and when it is closed, the system drops all locks of the
    /// process.
    pub(super) fn of_the_file(path: &Path) -> Option<Self> {
        let conn = connect_immutable(path).ok()?;
        conn.query_row("SELECT binding FROM history_head", [], |row| row.get::<_, String>(0))
            .ok()
            .and_then(|text| Self::parse(&text))
    }

    fn text(&self) -> String {
        format!("{MARK}{}{:0COMMITS$x}", self.file, self.commits)
    }

    /// The binding in the file, without the log. `None` if it cannot be found, because the page was moved.
    pub(super) fn alone(file: &File, page: &Page) -> Option<Self> {
        if has_no_binding(file) {
            return Some(Self { file: String::new(), commits: 0 });
        }
        let bytes = page.read(file).ok()?;
        let at = bytes.windows(MARK.len()).position(|part| part == MARK.as_bytes())?;
        Self::parse(str::from_utf8(bytes.get(at..at + MARK.len() + FILE + COMMITS)?).ok()?)
    }

    /// Whether a file in the state `alone` can read as this together with a log begun after the first of `commits`.
    /// Without a log, `commits` is a single number.
    pub(super) fn fits(&self, alone: &Self, commits: &RangeInclusive<u64>) -> bool {
        // A file with an older schema has no binding yet: the upgrade is still in the log.
        (self.file == alone.file || alone.file.is_empty()) && commits.contains(&alone.commits)
    }
}

/// Marks the store as being in another file from now on, with the same number of commits.
pub(in crate::store) const ANOTHER_FILE: &str =
    "UPDATE history_head SET binding = 'keyward-file:' || lower(hex(randomblob(16))) || substr(binding, 46)";

/// The schema that introduced the binding.
const SINCE: u32 = 4;

/// Whether the file itself, without the log, has an older schema. The schema's number is in bytes 60 to 64 (file format
/// of SQLite, 1.3).
fn has_no_binding(file: &File) -> bool {
    let mut header = [0; 64];
    platform::read_at(file, &mut header, 0).is_ok()
        && header[60..].try_into().is_ok_and(|bytes| u32::from_be_bytes(bytes) < SINCE)
}

/// The record as read from the file and its log together.
pub(super) struct Together {
    pub(super) binding: Binding,
    /// How many commits there were when the log was begun.
    log_base: u64,
    log_salt: Option<i64>,
}

impl Together {
    /// Reads it through a connection.
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let mut statement = conn.prepare_cached("SELECT binding, log_base, log_salt FROM history_head")?;
        statement.query_row([], |row| {
            // A text that keyward did not write fits nothing.
            let binding =
                Binding::parse(row.get_ref(0)?.as_str()?).unwrap_or(Binding { file: String::new(), commits: 0 });
            Ok(Self { binding, log_base: row.get::<_, i64>(1)?.cast_unsigned(), log_salt: row.get(2)? })
        })
    }

    /// The commit counts that the file itself may have.
    pub(super) fn possible(&self, log: Run) -> RangeInclusive<u64> {
        let most = self.binding.commits;
        if log == Run::Empty { most..=most } else { self.log_base..=most }
    }

    /// Counts one more commit.
    ///
    /// An empty log begins with this commit. A log with another salt was restarted by the previous commit, in the same
    /// place.
    fn next(self, log: Run) -> Self {
        let Self { binding: Binding { file, commits }, log_base, log_salt } = self;
        let (log_base, log_salt) = match log {
            Run::Empty => (commits, None),
            Run::Salt(salt) if log_salt != Some(salt) => (commits.saturating_sub(1), Some(salt)),
            Run::Salt(_) | Run::Untold => (log_base, log_salt),
        };
        Self { binding: Binding { file, commits: commits.wrapping_add(1) }, log_base, log_salt }
    }
}

/// Records, in a transaction about to be committed, how the file and its log belong together.
pub(in crate::store) fn bind(conn: &Connection, log: Run) -> rusqlite::Result<()> {
    let next = match Together::read(conn) {
        Ok(found) => {
            let (before, next) = ((found.log_base, found.log_salt), found.next(log));
            if log == Run::Empty || before != (next.log_base, next.log_salt) {
                // This puts the first page, which leads to all others, into the log: with another file, it would not
                // lead to the binding.
                conn.pragma_update(None, "user_version", schema::VERSION)?;
            }
            next
        }
        // The end of the history was removed: the next change restores it.
        Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(()),
        Err(error) => return Err(error),
    };
    conn.prepare_cached("UPDATE history_head SET binding = ?1, log_base = ?2, log_salt = ?3")?
        .execute((next.binding.text(), next.log_base.cast_signed(), next.log_salt))
        .map(drop)
}

/// The page of the file that holds the binding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    start: u64,
    size: usize,
}

impl Page {
    pub(super) fn find(conn: &Connection) -> rusqlite::Result<Self> {
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'history_head'";
        let number = conn.query_row(root, [], |row| row.get::<_, u32>(0))?;
        let size = conn.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))?;
        Ok(Self { start: u64::from(number.saturating_sub(1)) * u64::from(size), size: size as usize })
    }

    fn read(&self, file: &File) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.size];
        platform::read_at(file, &mut bytes, self.start)?;
        Ok(bytes)
    }
}

/// The state of a log that identifies its current run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Run {
    /// It is empty.
    Empty,
    /// Its salt, in bytes 16 to 24 (file format of SQLite, 4.1), which is different in the next run.
    Salt(i64),
    /// It cannot be read now.
    Untold,
}

impl Run {
    pub(super) fn of(log: &Path) -> Self {
        let mut header = [0; 24];
        match File::open(log).and_then(|mut file| file.read_exact(&mut header)) {
            Ok(()) => header[16..].try_into().map_or(Self::Untold, |salt| Self::Salt(i64::from_be_bytes(salt))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => Self::Empty,
            Err(_) => Self::Untold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn together(commits: u64, log_base: u64, log_salt: Option<i64>) -> Together {
        Together { binding: Binding { file: "f".repeat(FILE), commits }, log_base, log_salt }
    }

    #[test]
    fn a_binding_is_found_in_a_page() {
        let binding = Binding { file: "0123456789abcdef".repeat(2), commits: 0x1_0203 };
        assert_eq!(Binding::parse(&binding.text()), Some(binding.clone()));
        for text in ["", "keyward-file:", "keyward-file:0123", &format!("{MARK}{}", "g".repeat(FILE + COMMITS))] {
            assert_eq!(Binding::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_fits_to_a_log_from_where_that_was_begun() {
        // The first commit begins the log, the next ones add to it.
        let mut now = together(7, 0, None);
        for (log, possible) in [(Run::Empty, 7..=8), (Run::Salt(1), 7..=9), (Run::Untold, 7..=10)] {
            now = now.next(log);
            assert_eq!(now.possible(Run::Salt(1)), possible);
        }
        // The third commit restarted it: this is the first to see that.
        now = now.next(Run::Salt(2));
        assert_eq!((now.possible(Run::Salt(2)), now.possible(Run::Empty)), (9..=11, 11..=11));
        let alone = |commits| Binding { file: "f".repeat(FILE), commits };
        for (commits, fits) in [(8, false), (9, true), (11, true), (12, false)] {
            assert_eq!(now.binding.fits(&alone(commits), &now.possible(Run::Salt(2))), fits, "{commits}");
        }
        assert!(!now.binding.fits(&Binding { file: "e".repeat(FILE), commits: 10 }, &now.possible(Run::Salt(2))));
    }
}
