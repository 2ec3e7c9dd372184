//! The seeds of the fuzz targets (`fuzz/`), run through the same checks without a fuzzer: bugs that were found once
//! stay fixed, and the seeds still reach every way to read an input.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[path = "../../fuzz/checks.rs"]
mod checks;

/// Runs all seeds of a target, and returns the ways in which they were read.
fn seeds(target: &str, check: fn(&[u8]) -> &'static str) -> BTreeSet<&'static str> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read: BTreeSet<_> = files.map(|file| check(&fs::read(file.unwrap().path()).unwrap())).collect();
    assert!(!read.is_empty(), "{} is empty", folder.display());
    read
}

/// The presentations possible in a whole request; below, those possible only in a line.
const IN_A_REQUEST: [&str; 11] = [
    "bearer",
    "bearer_named",
    "rest_api_key",
    "basic",
    "x_ignition_api_token",
    "x_auth_key",
    "x_api_auth",
    "x_api_key",
    "api_key",
    "query_auth_key",
    "query_api_auth",
];
const IN_A_LINE_ALONE: [&str; 3] = ["bare", "bare_named", "not_utf8"];
const REFUSED: [&str; 3] = ["missing", "ambiguous", "malformed"];

#[test]
fn tokens() {
    let expected = ["secret", "spaces", "form", "checksum", "not_utf8"];
    assert_eq!(seeds("token", checks::token), expected.into());
}

#[test]
fn leaks() {
    assert_eq!(seeds("leaks", checks::leaks), ["plain", "encoded", "nothing"].into());
}

#[test]
fn imports() {
    let expected = ["secret", "sha256", "phc", "mistakes", "nothing"];
    assert_eq!(seeds("import_lines", checks::imports::import_lines), expected.into());
    let expected = ["secret", "sha256", "phc", "mistakes", "nothing", "heading"];
    assert_eq!(seeds("import_table", checks::imports::import_table), expected.into());
}

#[test]
fn lines() {
    let expected = [&IN_A_REQUEST[..], &IN_A_LINE_ALONE, &REFUSED].concat();
    assert_eq!(seeds("line", checks::line), expected.into_iter().collect());
}

#[test]
fn requests() {
    let expected = [&IN_A_REQUEST[..], &REFUSED].concat();
    assert_eq!(seeds("request", checks::request), expected.into_iter().collect());
}

#[test]
fn manifests() {
    let expected = ["toml", "json", "nothing", "mistakes", "impossible", "not_utf8"];
    assert_eq!(seeds("manifest", checks::manifest), expected.into());
}

#[test]
fn times() {
    let expected = ["never", "at", "in", "no_time", "refused", "not_utf8"];
    assert_eq!(seeds("time", checks::time), expected.into());
}

#[test]
fn addresses() {
    let read = ["v4_network", "v4_address", "v6_network", "v6_address"];
    let expected = [&read[..], &["host_bits", "refused", "not_utf8"]].concat();
    assert_eq!(seeds("address", checks::address), expected.into_iter().collect());
}

#[test]
fn dotenv_files() {
    let set = ["added", "replaced", "replaced_all"];
    let expected = [&set[..], &["no_order", "no_variable", "no_value", "not_utf8"]].concat();
    assert_eq!(seeds("dotenv", checks::dotenv), expected.into_iter().collect());
}

#[test]
fn facts_of_proxies() {
    let expected = ["facts", "ambiguous", "nothing"];
    assert_eq!(seeds("facts", checks::guard::facts), expected.into());
}

#[test]
fn routes_of_the_guard() {
    let expected = ["rest", "path", "host", "refused", "not_utf8"];
    assert_eq!(seeds("routes", checks::guard::routes), expected.into());
}

#[test]
fn urls_of_servers() {
    let expected = ["url", "with_password", "refused", "no_url", "not_utf8"];
    assert_eq!(seeds("url", checks::server::url), expected.into());
}

#[test]
fn files_with_passwords() {
    assert_eq!(seeds("passfile", checks::server::passfile), ["found", "nothing"].into());
}

#[test]
fn configurations_of_the_guard() {
    let expected = ["config", "unfit", "mistake", "not_utf8"];
    assert_eq!(seeds("configuration", checks::guard::configuration), expected.into());
}
