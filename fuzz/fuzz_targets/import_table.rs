//! Key records of another system, as CSV.

#![no_main]

use keyward_fuzz::imports::import_table;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    import_table(data);
});
