//! The configuration of the guard.

#![no_main]

use keyward_fuzz::guard::configuration;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    configuration(data);
});
