//! The locations of the stores to measure.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{KEYWARD, data};

/// How many keys each of the stores has.
pub(crate) const SIZES: [usize; 3] = [10, 10_000, 1_000_000];
/// How many keys of each store can be verified.
const GENUINE: [usize; 3] = [1, 2_000, 1];

/// The stores, and the secrets that open something in them.
pub(crate) struct Stores {
    /// The folder with all of them.
    pub folder: PathBuf,
}

impl Stores {
    /// The stores in this folder: made now if they do not exist, or if `fresh` is set.
    pub(crate) fn in_folder(folder: &Path, fresh: bool) -> Result<Self> {
        if fresh && folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        let stores = Self { folder: folder.to_owned() };
        for (place, (size, genuine)) in SIZES.into_iter().zip(GENUINE).enumerate() {
            let secrets = stores.secrets(place);
            if secrets.exists() {
                continue;
            }
            eprintln!("making a store of {size} keys");
            let made = data::make(&stores.path(place), size, genuine)?;
            let lines: Vec<&str> = made.iter().map(keyward_core::rules::token::Secret::expose).collect();
            let first = lines.first().context("no secret")?;
            std::fs::write(stores.secret(place), first)?;
            std::fs::write(secrets, lines.join("\n") + "\n")?;
        }
        Ok(stores)
    }

    /// The store with this index in [`SIZES`].
    pub(crate) fn path(&self, place: usize) -> PathBuf {
        self.folder.join(format!("{}.db", SIZES[place]))
    }

    /// The same as text.
    pub(crate) fn store(&self, place: usize) -> String {
        self.path(place).display().to_string()
    }

    /// Copies the store with this index to this place. What a run that was stopped left beside it is removed: SQLite would
    /// take it for the log of the copy.
    pub(crate) fn copy(&self, place: usize, to: &Path) -> Result<()> {
        for end in ["-wal", "-shm"] {
            let mut beside = to.as_os_str().to_owned();
            beside.push(end);
            if Path::new(&beside).exists() {
                std::fs::remove_file(beside)?;
            }
        }
        std::fs::copy(self.path(place), to)?;
        Ok(())
    }

    /// A copy of the smallest store at this place, in which the first key has limits that are never reached.
    pub(crate) fn limited(&self, path: &Path) -> Result<String> {
        self.copy(0, path)?;
        let store = path.display().to_string();
        let limits = "1000000/1s,1000000000/1d";
        let edit = ["--store", &store, "edit", "service-0000000", "--limit", limits, "--quiet"];
        anyhow::ensure!(Command::new(KEYWARD).args(edit).status()?.success(), "no limit could be set");
        Ok(store)
    }

    /// A file with the secret of its first key, without a line end.
    pub(crate) fn secret(&self, place: usize) -> PathBuf {
        self.folder.join(format!("{}.secret", SIZES[place]))
    }

    /// A file with all of its secrets.
    pub(crate) fn secrets(&self, place: usize) -> PathBuf {
        self.folder.join(format!("{}.secrets", SIZES[place]))
    }
}
