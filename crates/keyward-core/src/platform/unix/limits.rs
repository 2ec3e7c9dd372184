//! How much the limits of this process allow.

use std::fs;

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};

/// The stack of a thread, and what the thread allocates at its start.
const THREAD: u64 = 4 * 1024 * 1024;

/// Whether there is room for another thread. Without room, a thread could be started but would abort the process,
/// because it does not survive the failure of its first allocations. Costs two system calls if nothing is limited.
pub fn has_room_for_a_thread() -> bool {
    let [all, data] = [Resource::As, Resource::Data].map(|resource| getrlimit(resource).current);
    if all.is_none() && data.is_none() {
        return true;
    }
    // proc_pid_statm(5), in pages: the total size comes first, data and stack together sixth.
    let used = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let used: Vec<u64> = used.split_ascii_whitespace().filter_map(|pages| pages.parse().ok()).collect();
    let has_room = |limit: Option<u64>, place: usize| {
        let used = used.get(place).copied().unwrap_or(0).saturating_mul(page_size() as u64);
        limit.is_none_or(|limit| limit.saturating_sub(used) >= THREAD)
    };
    has_room(all, 0) && has_room(data, 5)
}
