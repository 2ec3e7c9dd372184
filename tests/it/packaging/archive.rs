//! `packaging/archive`: the same binary gives the same bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{repository, stripped};
use crate::harness::{Sandbox, finish};

/// Packs in a repository's folder, and returns the path of the archive.
pub(super) fn pack(repository: &Path, binary: &Path, out: &Path) -> PathBuf {
    std::fs::create_dir_all(out).unwrap();
    let mut command = Command::new(repository.join("packaging/archive"));
    let output = finish(command.arg(binary).arg(out).env("SOURCE_DATE_EPOCH", "1767225600"));
    assert_eq!(output.code, 0, "{output}");
    PathBuf::from(output.stdout.trim_end())
}

/// The parts of an archive, in another folder, with other times and modes.
fn elsewhere(folder: &Path) {
    for part in ["Cargo.toml", "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        std::fs::copy(repository().join(part), folder.join(part)).unwrap();
    }
    for part in ["man", "completions", "packaging"] {
        let output = finish(Command::new("cp").arg("-r").arg(repository().join(part)).arg(folder));
        assert_eq!(output.code, 0, "{output}");
    }
    for (mode, part) in [("go=", "man"), ("a+rwX", "completions")] {
        let output = finish(Command::new("chmod").args(["-R", mode]).arg(folder.join(part)));
        assert_eq!(output.code, 0, "{output}");
    }
}

#[test]
fn two_folders_pack_the_same_bytes() {
    let sandbox = Sandbox::empty();
    let other = sandbox.path("a folder elsewhere");
    std::fs::create_dir(&other).unwrap();
    elsewhere(&other);
    // A binary is a file like any other; packaging/release builds the released one twice.
    let binary = sandbox.path("keyward");
    std::fs::copy("/bin/sh", &binary).unwrap();
    let here = pack(repository(), &binary, &sandbox.path("first"));
    let there = pack(&other, &binary, &sandbox.path("second"));
    assert_eq!(here.file_name(), there.file_name());
    assert!(std::fs::read(&here).unwrap() == std::fs::read(&there).unwrap(), "{} differs", here.display());
    // Check that the comparison can fail.
    std::fs::write(other.join("man/keyward.1"), "changed").unwrap();
    let changed = pack(&other, &binary, &sandbox.path("third"));
    assert!(std::fs::read(&here).unwrap() != std::fs::read(changed).unwrap());
}

#[test]
fn everything_is_in_the_archive_and_nothing_says_who_packed_it() {
    let sandbox = Sandbox::empty();
    let archive = pack(repository(), stripped(), &sandbox.path("out"));
    let list = finish(Command::new("tar").args(["--list", "--verbose", "--full-time", "--file"]).arg(&archive));
    let name = archive.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.gz").unwrap();
    assert!(name.starts_with(concat!("keyward-", env!("CARGO_PKG_VERSION"), "-")), "{name}");
    for line in list.stdout.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        assert_eq!((fields[1], fields[3]), ("0/0", "2026-01-01"), "{line}");
        let path = Path::new(fields[5]);
        let program = path.ends_with("keyward") || path.ends_with("install.sh");
        let mode = if line.starts_with('d') || program { "rwxr-xr-x" } else { "rw-r--r--" };
        assert_eq!(&fields[0][1..], mode, "{line}");
    }
    let pages = std::fs::read_dir(repository().join("man")).unwrap().count();
    assert_eq!(list.stdout.matches("/man/keyward").count(), pages);
    for part in ["keyward", "install.sh", "README.md", "CHANGELOG.md", "LICENSE-MIT", "systemd/serve.toml"] {
        assert!(list.stdout.lines().any(|line| line.ends_with(&format!(" {name}/{part}"))), "{part}: {list}");
    }
}
