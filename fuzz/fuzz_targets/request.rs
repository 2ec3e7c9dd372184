//! Heads of whole requests.

#![no_main]

use keyward_fuzz::request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    request(data);
});
