//! Unix: Linux, macOS and the BSDs. What Linux alone has is marked where it is used, with what the others get.

pub(super) mod clipboard;
pub(super) mod file_system;
pub(super) mod files;
pub(super) mod limits;
pub(super) mod processes;
pub(super) mod signals;
pub(super) mod streams;
pub(super) mod terminal;
