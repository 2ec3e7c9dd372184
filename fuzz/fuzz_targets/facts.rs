//! What a proxy says about a request, in every dialect.

#![no_main]

use keyward_fuzz::guard::facts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    facts(data);
});
