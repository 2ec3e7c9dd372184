//! Manifests in TOML and JSON: reading, planning, and writing back.

#![no_main]

use keyward_fuzz::manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    manifest(data);
});
