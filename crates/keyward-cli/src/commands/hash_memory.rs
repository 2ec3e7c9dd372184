//! The memory of a command that computes one hash.

use crate::platform::start_thread_beside;
use keyward_core::rules::hashing::{Cost, Memory};

/// Memory for a hash at this cost. The system takes three milliseconds to provide it, and does so on another processor
/// while this one goes on and begins to hash.
pub(super) fn for_one_hash(cost: Cost) -> Memory {
    let memory = Memory::for_cost(cost);
    let provision = memory.provision();
    // Without a thread, each page is provided when it is first used.
    let _ = start_thread_beside(|| provision.provide());
    memory
}
