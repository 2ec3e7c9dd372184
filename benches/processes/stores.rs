//! Where the stores are that are measured on.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::data;

/// How many keys each of the stores has.
pub(crate) const SIZES: [usize; 3] = [10, 10_000, 1_000_000];
/// How many keys of each store can be verified.
const GENUINE: [usize; 3] = [1, 2_000, 1];

/// The stores, and the secrets that open something in them.
pub(crate) struct Stores {
    /// The folder that all of it is in.
    pub folder: PathBuf,
}

impl Stores {
    /// The stores in this folder: made now if they are not there, or if they are wanted `fresh`.
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

    /// The store with this place in [`SIZES`].
    pub(crate) fn path(&self, place: usize) -> PathBuf {
        self.folder.join(format!("{}.db", SIZES[place]))
    }

    /// The same as text.
    pub(crate) fn store(&self, place: usize) -> String {
        self.path(place).display().to_string()
    }

    /// A file with the secret of its first key, and no end of a line.
    pub(crate) fn secret(&self, place: usize) -> PathBuf {
        self.folder.join(format!("{}.secret", SIZES[place]))
    }

    /// A file with all of its secrets.
    pub(crate) fn secrets(&self, place: usize) -> PathBuf {
        self.folder.join(format!("{}.secrets", SIZES[place]))
    }
}
