//! What depends on the operating system: access to files, telling one state of a file from another, telling processes
//! apart, the limits of this process, sockets that never block, and pages of memory.
//!
//! No other room names an operating system, or uses a crate for only one of them. Each function here says what it
//! promises, and each system keeps the promise in a folder of its own. Only Unix is supported now. To add another
//! system, add a folder beside it with functions of the same names. This room uses no other room.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;

#[cfg(feature = "sqlite")]
pub(crate) use system::files::{
    OtherUsers, anybody_may_replace_in, give_access_of, has_other_names, is_full, is_trusted_beside, make_private,
    may_read, may_write, mode, open_to_read, private_file, private_folders, read_at, rename_new,
};
#[cfg(feature = "sqlite")]
pub use system::limits::has_room_for_a_thread;
#[cfg(unix)]
pub(crate) use system::pages::{provide_pages, want_huge_pages};
#[cfg(feature = "sqlite")]
pub(crate) use system::priority::{HAS_IDLE_TIME, use_idle_time, yield_to_others};
#[cfg(feature = "sqlite")]
pub(crate) use system::process;
#[cfg(feature = "postgres")]
pub(crate) use system::socket::Socket;
#[cfg(feature = "sqlite")]
pub(crate) use system::status::{FileId, Status, is_mounted};

/// Without a store, the crate is also built for other systems, where pages come as they come.
#[cfg(not(unix))]
pub(crate) fn want_huge_pages(_: &memmap2::MmapRaw, _: usize, _: usize) {}

/// As above: nothing is provided ahead.
#[cfg(not(unix))]
pub(crate) fn provide_pages(_: &memmap2::MmapRaw, _: usize, _: usize) -> bool {
    false
}
