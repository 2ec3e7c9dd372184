//! Unix: Linux, macOS and the BSDs. What Linux alone tells is marked where it is used, with what the others get.

pub(super) mod files;
pub(super) mod limits;
pub(crate) mod process;
#[cfg(feature = "postgres")]
pub(crate) mod socket;
pub(super) mod status;
