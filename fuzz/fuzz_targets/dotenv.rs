//! Dotenv files: setting one variable leaves everything else unchanged.

#![no_main]

use keyward_fuzz::dotenv;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    dotenv(data);
});
