//! Secrets: what parses is a secret, and every other spelling of it is not.

#![no_main]

use keyward_fuzz::token;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    token(data);
});
