//! How the program is linked.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a build script speaks with cargo by these")]

use std::path::PathBuf;
use std::process::Command;

/// The unwinder of GCC goes into the program. To load it at each start would take a tenth of a millisecond, a twentieth
/// of what a command takes that reads. Who links the library alone decides on his own.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    if let Some(archive) = static_unwinder() {
        println!("cargo::rerun-if-changed={}", archive.display());
        // Whole, because the shared one stands before it on the command line, and would be taken otherwise.
        println!("cargo::rustc-link-arg-bins=-Wl,--whole-archive,{},--no-whole-archive", archive.display());
    }
}

/// Where the compiler that links has it as a static library: not everywhere, and for another machine than this one
/// nobody knows.
fn static_unwinder() -> Option<PathBuf> {
    if std::env::var_os("HOST") != std::env::var_os("TARGET") {
        return None;
    }
    let found = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let path = PathBuf::from(String::from_utf8(found.stdout).ok()?.trim_end());
    path.is_absolute().then_some(path)
}
