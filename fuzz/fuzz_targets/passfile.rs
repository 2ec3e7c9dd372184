//! The password file for servers.

#![no_main]

use keyward_fuzz::server::passfile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    passfile(data);
});
