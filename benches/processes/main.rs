//! Measures what keyward promises about its speed: whole processes, each compared with its peer in the same run.
//!
//! `benches/run` starts it with the peers installed, and explains more. With words as arguments, it measures only rows
//! whose names contain one of them, and reuses the stores of the last run.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of its own, which measures real time and talks to a person"
)]
#![allow(clippy::cast_precision_loss, reason = "ratios of small numbers")]

mod batch;
mod data;
mod import;
mod measure;
mod reads;
mod report;
mod scan;
mod serve;
#[cfg(feature = "postgres")]
mod server;
mod stores;
mod usage;
mod writes;

use std::path::PathBuf;

use anyhow::Result;

use report::Report;
use stores::Stores;

/// The measured binary.
const KEYWARD: &str = env!("CARGO_BIN_EXE_keyward");

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    if words.next().is_some_and(|word| word == "--stub") {
        return serve::stub::serve(&words.next().unwrap_or_default());
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("benches");
    let stores = Stores::in_folder(&folder, wanted.is_empty())?;
    let mut report = Report::new(wanted);
    writes::measure(&stores, &mut report)?;
    reads::measure(&stores, &mut report)?;
    batch::measure(&stores, &mut report)?;
    usage::measure(&stores, &mut report)?;
    scan::measure(&stores, &mut report)?;
    import::measure(&stores, &mut report)?;
    serve::measure(&stores, &mut report)?;
    #[cfg(feature = "postgres")]
    server::measure(&stores, &mut report)?;
    report.print()
}
