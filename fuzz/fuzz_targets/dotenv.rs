//! Dotenv files: one variable is set, and everything else stays.

#![no_main]

use keyward_fuzz::dotenv;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    dotenv(data);
});
