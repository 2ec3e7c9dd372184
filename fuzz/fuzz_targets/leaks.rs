//! Finding secrets in arbitrary bytes.

#![no_main]

use keyward_fuzz::leaks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    leaks(data);
});
