//! What depends on the operating system: access to files, telling one state of a file from another, telling processes
//! apart, the limits of this process, and sockets that never block.
//!
//! No other room names an operating system, or uses a crate for only one of them. Each function here says what it
//! promises, and each system keeps the promise in a folder of its own. Only Unix is supported now. To add another
//! system, add a folder beside it with functions of the same names. This room uses no other room.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;

pub(crate) use system::files::{
    OtherUsers, anybody_may_replace_in, give_access_of, has_other_names, is_full, is_trusted_beside, make_private,
    may_read, may_write, mode, open_to_read, private_file, private_folders, read_at, rename_new,
};
pub use system::limits::has_room_for_a_thread;
pub(crate) use system::limits::yield_to_others;
pub(crate) use system::process;
#[cfg(feature = "postgres")]
pub(crate) use system::socket::Socket;
pub(crate) use system::status::{FileId, Status, is_mounted};
