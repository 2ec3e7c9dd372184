//! The URL of a store on a server.

#![no_main]

use keyward_fuzz::server::url;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    url(data);
});
