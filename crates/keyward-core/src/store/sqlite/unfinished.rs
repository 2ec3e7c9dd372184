//! Unfinished files: they have a hidden name that contains their process, beside the final one.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::beside;
use crate::platform::process;

/// A file that is removed when this is dropped, with SQLite's files beside it, unless it was renamed.
#[derive(Debug)]
pub(in crate::store) struct Unfinished(pub(in crate::store) PathBuf);

impl Unfinished {
    /// The name of the unfinished file for `path`. Leftovers of processes that have ended are removed.
    pub(in crate::store) fn of(path: &Path) -> Self {
        let mut start = OsString::from(".");
        start.push(path.file_name().unwrap_or_default());
        start.push(".keyward-");
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name.as_encoded_bytes().strip_prefix(start.as_encoded_bytes());
            let number = number.and_then(|number| std::str::from_utf8(number).ok()?.split('-').next()?.parse().ok());
            if number.is_some_and(|number| number == std::process::id() || !process::is_running(number)) {
                let _ = fs::remove_file(entry.path());
            }
        }
        start.push(std::process::id().to_string());
        Self(folder.join(start))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        for file in beside::all_of(&self.0).iter().chain([&self.0]) {
            let _ = fs::remove_file(file);
        }
    }
}
