//! Leaked secrets: how fast 1 GiB of source and of a program is searched, compared with ripgrep.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::KEYWARD;
use crate::measure::{Times, line, medians};
use crate::report::Report;
use crate::stores::Stores;

/// The expression that `help scan` gives for other scanners.
const EXPRESSION: &str = "[a-z][a-z0-9_]{0,15}_[0-9a-hjkmnp-tv-z]{12}_[0-9A-Za-z]{49}";
const GIBIBYTE: u64 = 1 << 30;

/// Measures both.
pub(crate) fn measure(stores: &Stores, report: &mut Report) -> Result<()> {
    let store = stores.store(0);
    for (what, make) in [("source", source as fn(&Path) -> Result<PathBuf>), ("a program", program)] {
        let what = format!("`scan` of 1 GiB of {what} : rg");
        if report.wants(&what) {
            let place = make(&stores.folder)?.display().to_string();
            let own = line([KEYWARD, "--store", &store, "scan", "-q", &place]);
            let peer = line(["rg", "-a", "-uu", "--no-messages", EXPRESSION, &place, "--count"]);
            report.ratio(&what, medians(&stores.folder, Times { rounds: 5, runs: 1 }, [&own, &peer])?, 1.0);
        }
    }
    Ok(())
}

/// The sources of this project, repeated, with one secret among them: ripgrep fails if it finds nothing.
fn source(folder: &Path) -> Result<PathBuf> {
    let tree = folder.join("source");
    if tree.exists() {
        return Ok(tree);
    }
    eprintln!("making a gibibyte of source");
    let mut files = vec![];
    for root in ["crates", "src", "tests", "docs", "man"] {
        gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join(root), &mut files)?;
    }
    let half_made = folder.join("source.new");
    let mut written = 0;
    for copy in 0_u64.. {
        for (number, file) in files.iter().enumerate() {
            let place = half_made.join(format!("{copy}/{}", number % 50));
            fs::create_dir_all(&place)?;
            written += fs::copy(file, place.join(number.to_string()))?;
        }
        if written >= GIBIBYTE {
            break;
        }
    }
    fs::write(half_made.join("leak"), secret())?;
    fs::rename(half_made, &tree)?;
    Ok(tree)
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { gather(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// The program itself, repeated in one file.
fn program(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("program");
    if !path.exists() {
        eprintln!("making a gibibyte of a program");
        let bytes = fs::read(KEYWARD)?;
        let half_made = folder.join("program.new");
        let mut file = fs::File::create(&half_made)?;
        for _ in 0..GIBIBYTE.div_ceil(bytes.len() as u64) {
            file.write_all(&bytes)?;
        }
        file.write_all(secret().as_bytes())?;
        fs::rename(half_made, &path)?;
    }
    Ok(path)
}

/// A made-up secret.
fn secret() -> String {
    use keyward_core::rules::token::{Id, Secret};
    let prefix = keyward_core::rules::names::Prefix::default();
    Secret::build(&prefix, Id::from_random([1; 8]), &[1; 32]).expose().to_owned()
}
