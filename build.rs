//! How the program is linked.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a build script speaks with cargo by these")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// GCC's unwinder is linked into the program. Loading it at each start would take a tenth of a millisecond, a twentieth
/// of the time of a reading command. The addresses that the loader must adjust become a bit list instead of 24 bytes
/// each, which saves 0.15 MiB. And functions whose code is the same become one, which saves 0.05 MiB. This does not
/// affect programs that link only the library.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    // A build for another machine links files that `cc` does not know about.
    if std::env::var_os("HOST") != std::env::var_os("TARGET") {
        return;
    }
    if knows_packed_addresses().unwrap_or(false) {
        // A linker that does not know this yet warns, and continues without it.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    if folds_equal_functions().unwrap_or(false) {
        println!("cargo::rustc-link-arg-bins={FOLD}");
    }
    if let Some(archive) = static_unwinder() {
        println!("cargo::rerun-if-changed={}", archive.display());
        // Whole, because the shared one precedes it on the command line, and would be used otherwise.
        println!("cargo::rustc-link-arg-bins=-Wl,--whole-archive,{},--no-whole-archive", archive.display());
    }
}

/// Tells LLVM's linker, and gold, to keep one of several functions with the same code. Rust promises no function an
/// address of its own.
const FOLD: &str = "-Wl,--icf=all";

/// Whether the linker that rustc uses knows this, which is tried out: GNU's does not.
fn folds_equal_functions() -> Option<bool> {
    let folder = PathBuf::from(std::env::var_os("OUT_DIR")?);
    let source = folder.join("linked.rs");
    std::fs::write(&source, "fn main() {}").ok()?;
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let mut rustc = Command::new(std::env::var_os("RUSTC")?);
    rustc.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    if let Some(linker) = std::env::var_os("RUSTC_LINKER") {
        let mut chosen = OsString::from("linker=");
        chosen.push(linker);
        rustc.arg("-C").arg(chosen);
    }
    let linked = rustc.args(["-C", &format!("link-arg={FOLD}"), "-o"]).arg(folder.join("linked")).arg(&source);
    Some(linked.output().ok()?.status.success())
}

/// Whether the linked C library has a loader that knows such a list: the GNU one since 2.36, from 2022. A program with
/// the list states that it needs it, so an older loader refuses it rather than running it wrongly.
fn knows_packed_addresses() -> Option<bool> {
    let mark = b"GLIBC_ABI_DT_RELR";
    let library = std::fs::read(file_of_the_compiler("libc.so.6")?).ok()?;
    Some(library.windows(mark.len()).any(|found| found == mark))
}

/// Where the linking compiler has the unwinder as a static library, if it has one.
fn static_unwinder() -> Option<PathBuf> {
    file_of_the_compiler("libgcc_eh.a")
}

fn file_of_the_compiler(name: &str) -> Option<PathBuf> {
    let found = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(found.stdout).ok()?.trim_end());
    path.is_absolute().then_some(path)
}
