//! Credentials in one line: a bare secret, a header, a header's value, a URL.

#![no_main]

use keyward_fuzz::line;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    line(data);
});
