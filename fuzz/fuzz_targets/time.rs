//! Times and durations as users write them.

#![no_main]

use keyward_fuzz::time;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    time(data);
});
