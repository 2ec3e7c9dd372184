//! How the program is linked.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a build script speaks with cargo by these")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// The unwinder of GCC goes into the program. To load it at each start would take a tenth of a millisecond, a twentieth
/// of what a command takes that reads. And the addresses that the loader has to adjust are a list of bits rather than of
/// 24 bytes each, which saves 0.15 MiB. Who links the library alone decides on his own.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    // A build for another machine is linked with files of which `cc` does not know.
    if std::env::var_os("HOST") != std::env::var_os("TARGET") {
        return;
    }
    if knows_packed_addresses().unwrap_or(false) {
        // A linker that does not know this yet says so, and goes on without it.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    if is("PROFILE", "release") && folds_functions().unwrap_or(false) {
        println!("cargo::rustc-link-arg-bins={FOLDING}");
    }
    if let Some(archive) = static_unwinder() {
        println!("cargo::rerun-if-changed={}", archive.display());
        // Whole, because the shared one stands before it on the command line, and would be taken otherwise.
        println!("cargo::rustc-link-arg-bins=-Wl,--whole-archive,{},--no-whole-archive", archive.display());
    }
}

/// Whether the C library that is linked with has a loader that knows such a list: the GNU one since 2.36, of 2022. A
/// program with the list names that as what it needs, so an older loader refuses it rather than run it wrongly.
fn knows_packed_addresses() -> Option<bool> {
    let mark = b"GLIBC_ABI_DT_RELR";
    let library = std::fs::read(file_of_the_compiler("libc.so.6")?).ok()?;
    Some(library.windows(mark.len()).any(|found| found == mark))
}

/// Functions that turned out the same are in the program once: 48 KiB less. Rust promises no function an address of its own,
/// and SQLite is linked like this in browsers.
const FOLDING: &str = "-Wl,--icf=all";

/// Whether the linker that is used can do that: that of LLVM, which Rust brings along for some machines, can, and that of
/// GNU cannot. Which one it is depends on more than can be asked for, so the least of programs is linked.
fn folds_functions() -> Option<bool> {
    let folder = PathBuf::from(std::env::var_os("OUT_DIR")?);
    let (source, program) = (folder.join("least.rs"), folder.join("least"));
    std::fs::write(&source, "fn main() {}\n").ok()?;
    let mut compiler = Command::new(std::env::var_os("RUSTC")?);
    if let Ok(flags) = std::env::var("CARGO_ENCODED_RUSTFLAGS") {
        compiler.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    }
    if let Some(linker) = std::env::var_os("RUSTC_LINKER") {
        let mut flag = OsString::from("-Clinker=");
        flag.push(linker);
        compiler.arg(flag);
    }
    let linked =
        compiler.arg("-C").arg(format!("link-arg={FOLDING}")).arg("-o").arg(program).arg(source).output().ok()?;
    Some(linked.status.success())
}

/// Where the compiler that links has the unwinder as a static library: not everywhere.
fn static_unwinder() -> Option<PathBuf> {
    file_of_the_compiler("libgcc_eh.a")
}

fn file_of_the_compiler(name: &str) -> Option<PathBuf> {
    let found = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(found.stdout).ok()?.trim_end());
    path.is_absolute().then_some(path)
}
