//! What the limits of this process leave room for.

use std::fs;

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};

/// The stack of a thread, and what it asks for at its start.
const THREAD: u64 = 4 * 1024 * 1024;

/// Whether there is room for another thread. Where there is none, it could be started and would end the process: what a
/// thread asks for first cannot be refused to it in a way that it survives. Costs two system calls where nothing is
/// limited.
pub fn has_room_for_a_thread() -> bool {
    let [all, data] = [Resource::As, Resource::Data].map(|resource| getrlimit(resource).current);
    if all.is_none() && data.is_none() {
        return true;
    }
    // proc_pid_statm(5): the whole, …, and the data with the stack as the sixth, in pages.
    let used = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let used: Vec<u64> = used.split_ascii_whitespace().filter_map(|pages| pages.parse().ok()).collect();
    let has_room = |limit: Option<u64>, place: usize| {
        let used = used.get(place).copied().unwrap_or(0).saturating_mul(page_size() as u64);
        limit.is_none_or(|limit| limit.saturating_sub(used) >= THREAD)
    };
    has_room(all, 0) && has_room(data, 5)
}

/// Lets the calling thread have the processors only where other threads leave them. On Linux a nice value is a thread's
/// own; elsewhere it is that of the whole process, and nothing is done.
pub(crate) fn yield_to_others() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::setpriority_process;
        // A tenth of what a thread gets that wants all: some of it, so that a new credential is not kept waiting for ever.
        // It may always be lowered; where it may not, the thread works as any other.
        let _ = setpriority_process(None, 10);
    }
}
