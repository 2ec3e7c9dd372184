//! Targets of the guard, and the hosts and paths that routes distinguish.

#![no_main]

use keyward_fuzz::guard::routes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    routes(data);
});
