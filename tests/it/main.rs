//! All integration tests, in one binary.
//!
//! Most of them run commands in this process, each in its own world ([`harness::Sandbox`]): a stopped clock, a seeded
//! generator, recorded streams. If processes, pipes, signals, permissions or a terminal matter, they run the real
//! binary.
//!
//! A test that needs a tool that may be missing is ignored with the reason `needs …`; `tests/run` installs the tools
//! and runs those too.

#![allow(unreachable_pub, reason = "one crate: nothing is reachable from outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::needless_raw_string_hashes,
    reason = "a test ends at the first surprise, runs real processes, and UPDATE_EXPECT writes the hashes"
)]

mod harness;
mod ports;
mod pty;

mod absent;
mod apply_race;
#[cfg(feature = "serve")]
mod asking;
mod attribution;
mod authority;
mod bad_input;
mod batch;
mod care;
mod clipboard;
mod clipboard_manager;
mod clocks;
mod concurrency;
mod crash;
mod curl;
mod damage;
#[cfg(feature = "postgres")]
mod database;
mod decisions;
mod delivery;
mod directory;
#[cfg(all(feature = "postgres", feature = "serve"))]
mod docs;
mod ensure;
mod filters;
#[cfg(all(feature = "postgres", feature = "serve"))]
mod fuzz_seeds;
mod gateways;
#[cfg(feature = "serve")]
mod generated;
mod help;
mod help_examples;
mod identity;
mod import;
mod json_reference;
mod key_limits;
mod key_limits_enforced;
mod keys;
mod leaks;
mod lifetimes;
mod limits;
mod manifest;
mod manifest_secrets;
mod meant;
mod memory;
mod older;
#[cfg(all(feature = "serve", target_os = "linux"))]
mod packaging;
mod pager;
mod picker;
mod pictures;
mod places;
mod planted;
mod processes;
#[cfg(feature = "serve")]
mod proxies;
#[cfg(feature = "serve")]
mod quiet;
mod reading;
mod readme;
#[cfg(feature = "serve")]
mod recipes;
mod requests;
mod reserved_words;
mod restore;
mod rooms;
mod rotate_several;
mod runner_names;
mod scan;
#[cfg(feature = "serve")]
mod scan_peers;
#[cfg(feature = "serve")]
mod serve;
#[cfg(all(feature = "serve", feature = "postgres"))]
mod server;
mod several;
mod sinks;
mod status;
mod store_files;
mod surroundings;
#[cfg(feature = "serve")]
mod systemd;
mod systems;
mod terminal;
#[cfg(feature = "postgres")]
mod transfer;
mod traps;
mod usage;
mod uses;
mod verify;
