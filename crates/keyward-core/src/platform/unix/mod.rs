//! Unix: Linux, macOS and the BSDs. What only Linux reports is marked at its use, with what happens on the others.

pub(super) mod files;
pub(super) mod limits;
pub(crate) mod process;
#[cfg(feature = "postgres")]
pub(crate) mod socket;
pub(super) mod status;
