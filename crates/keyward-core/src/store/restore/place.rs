//! How a restored state replaces what exists.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::RestoreError;
use crate::platform;
use crate::rules::time::rfc3339;
use crate::store::continuity::Known;
use crate::store::error::StoreError;
use crate::store::sqlite::backup::{BackupError, BackupReport};
use crate::store::sqlite::beside as files;
use crate::store::{Changes, Stamp, Store};

/// Tables that are not simply replaced: the end of the history, whose row is updated; leases, which end; announced
/// secrets, none of which is forgotten; usage, even from while a person was deciding; what was used of limits; and row
/// numbers that must not be reused.
const APART: &str = "'history_head', 'reservation', 'announced_secret', 'key_use', 'usage', 'meter', 'last_row'";

/// The tables with usage.
const USES: [&str; 2] = ["key_use", "usage"];

/// The rows of keys that are the same in both: a row may have been reused.
const SAME_KEYS: &str =
    "(SELECT m.id FROM main.key m JOIN restored.key r ON r.id = m.id AND r.public_id = m.public_id)";

/// Deletes what other subjects had used, and keeps row numbers used since from being reused.
fn other_meters() -> [String; 2] {
    let other = format!(
        "DELETE FROM main.meter WHERE CASE kind
        WHEN 'user' THEN subject NOT IN
            (SELECT m.id FROM main.\"user\" m JOIN restored.\"user\" r ON r.id = m.id AND r.created_at = m.created_at)
        WHEN 'tenant' THEN subject NOT IN
            (SELECT m.id FROM main.tenant m JOIN restored.tenant r ON r.id = m.id AND r.created_at = m.created_at)
        ELSE subject NOT IN {SAME_KEYS} END"
    );
    let given = "INSERT INTO main.last_row (kind, number)
        SELECT kind, coalesce(max(number), 0) FROM
            (SELECT 'key' AS kind, max(id) AS number FROM main.key
             UNION ALL SELECT 'user', max(id) FROM main.\"user\"
             UNION ALL SELECT 'tenant', max(id) FROM main.tenant
             UNION ALL SELECT kind, number FROM restored.last_row) GROUP BY kind
        ON CONFLICT (kind) DO UPDATE SET number = max(number, excluded.number)";
    [other, given.to_owned()]
}

/// What had been used at the time of the backup, if nothing newer is known.
const FORMER_METERS: &str = "INSERT OR IGNORE INTO main.meter SELECT * FROM restored.meter WHERE CASE kind
        WHEN 'user' THEN subject IN (SELECT id FROM restored.\"user\")
        WHEN 'tenant' THEN subject IN (SELECT id FROM restored.tenant)
        ELSE subject IN (SELECT id FROM restored.key) END";

/// Names for what was there before: the time, and a number if such a file exists already.
fn names(place: &Path, now: Timestamp) -> impl Iterator<Item = PathBuf> {
    // 20260131T120000Z, without a formatter for other forms of time.
    let mut time = rfc3339(now).to_string();
    time.retain(|c| c.is_ascii_alphanumeric());
    let place = place.to_owned();
    (1..).map(move |number| {
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(format!(".before-restore-{time}"));
        if number > 1 {
            name.push(format!("-{number}"));
        }
        place.with_file_name(name)
    })
}

/// Writes a backup of the present store beside `place`.
pub(super) fn keep(
    place: &Path,
    now: Timestamp,
    back_up: impl Fn(&Path) -> Result<BackupReport, BackupError>,
) -> Result<PathBuf, RestoreError> {
    for path in names(place, now) {
        match back_up(&path) {
            Ok(_) => return Ok(path),
            Err(BackupError::Exists(_)) => {}
            Err(BackupError::Unsound(detail)) => {
                return Err(StoreError::Corrupt { path: place.to_owned(), detail }.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    unreachable!("there is a name for every number")
}

/// Replaces the rows with those of the restored state, in one transaction. The file stays the same, so that processes
/// that have it open notice.
pub(super) fn take_over(store: &mut Store, known: &Known, from: &Path, stamp: Stamp<'_>) -> Result<(), StoreError> {
    let unchanged = |store: &Store| {
        if store.known() == known { Ok(()) } else { Err(StoreError::Replaced(store.path().to_owned())) }
    };
    store.refresh()?;
    unchanged(store)?;
    let from = from.to_string_lossy();
    store.conn.execute("ATTACH ?1 AS restored", &[(&*from).into()])?;
    // The references are valid at the end, whatever order the tables are copied in.
    store.conn.execute("PRAGMA foreign_keys = OFF", &[])?;
    let taken = take_rows(store, known, stamp);
    store.conn.execute("PRAGMA foreign_keys = ON", &[])?;
    store.conn.execute("DETACH restored", &[])?;
    taken?;
    if let Some(file) = store.conn.file() {
        file.empty_log();
    }
    Ok(())
}

fn take_rows(store: &Store, known: &Known, stamp: Stamp<'_>) -> Result<(), StoreError> {
    let changes = Changes::begin(&store.conn, stamp)?;
    if crate::store::history::identity(&store.conn)? != *known {
        return Err(StoreError::Replaced(store.path().to_owned()));
    }
    let tables = format!(
        "SELECT name FROM restored.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT IN ({APART})"
    );
    let tables = store.conn.all(&tables, &[], |row| Ok(row.text(0)?.to_owned()))?;
    for table in USES {
        store.conn.execute(&format!("DELETE FROM main.{table} WHERE key NOT IN {SAME_KEYS}"), &[])?;
    }
    for statement in other_meters() {
        store.conn.execute(&statement, &[])?;
    }
    for table in &tables {
        store.conn.execute(&format!("DELETE FROM main.\"{table}\""), &[])?;
    }
    for table in &tables {
        store.conn.execute(&format!("INSERT INTO main.\"{table}\" SELECT * FROM restored.\"{table}\""), &[])?;
    }
    // If nothing newer is known.
    for table in USES.into_iter().chain(["announced_secret"]) {
        store.conn.execute(&format!("INSERT OR IGNORE INTO main.{table} SELECT * FROM restored.{table}"), &[])?;
    }
    for statement in [
        FORMER_METERS,
        "DELETE FROM main.reservation",
        "UPDATE main.history_head SET (seq, hash) = (SELECT seq, hash FROM restored.history_head),
                                      store_id = lower(hex(randomblob(16)))",
    ] {
        store.conn.execute(statement, &[])?;
    }
    changes.commit()
}

/// Moves a store that cannot be read out of the way, with its log.
pub(super) fn move_away(place: &Path, now: Timestamp) -> Result<PathBuf, RestoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| RestoreError::Io { path, error }
    };
    let Some(kept) = names(place, now).find(|path| fs::symlink_metadata(path).is_err()) else {
        unreachable!("there is a name for every number")
    };
    // The log first: beside another file, it would be taken for that file's log.
    for (from, to) in files::all_of(place).iter().zip(files::all_of(&kept)) {
        match fs::rename(from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&to)(error)),
            _ => {}
        }
    }
    fs::rename(place, &kept).map_err(failed(&kept))?;
    Ok(kept)
}

/// Moves a finished store to an empty place.
pub(super) fn move_in(from: &Path, place: &Path) -> Result<(), RestoreError> {
    let failed = |error| RestoreError::Io { path: place.to_owned(), error };
    Store::open(from)?.become_another()?;
    for leftover in files::all_of(place) {
        // It belongs to a store that is gone.
        let _ = fs::remove_file(leftover);
    }
    let file = File::open(from).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    if fs::symlink_metadata(place).is_ok_and(|found| found.is_file() && found.len() == 0) {
        // Another program reserved the name.
        fs::remove_file(place).map_err(failed)?;
    }
    platform::rename_new(from, place).map_err(failed)?;
    let folder = place.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Copies a file that is not in use.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<(), RestoreError> {
    let failed = |error| RestoreError::Io { path: to.to_owned(), error };
    let mut target = platform::private_file(to).map_err(failed)?;
    let mut source = platform::open_to_read(from).map_err(|error| RestoreError::Io { path: from.to_owned(), error })?;
    io::copy(&mut source, &mut target).map_err(failed)?;
    target.sync_all().map_err(failed)
}
