//! Another system's key records, as JSON lines.

#![no_main]

use keyward_fuzz::imports::import_lines;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    import_lines(data);
});
