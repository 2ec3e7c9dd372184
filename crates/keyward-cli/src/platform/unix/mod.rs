//! Unix: Linux, macOS and the BSDs. What only Linux has is marked at its use, with what happens on the others.

pub(super) mod clipboard;
pub(super) mod file_system;
pub(super) mod files;
pub(super) mod limits;
pub(super) mod processes;
pub(super) mod processors;
pub(super) mod signals;
pub(super) mod streams;
pub(super) mod terminal;
