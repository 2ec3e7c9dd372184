//! Networks, and the addresses in them.

#![no_main]

use keyward_fuzz::address;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    address(data);
});
