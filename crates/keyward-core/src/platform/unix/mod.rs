//! Unix: Linux, macOS and the BSDs. What only Linux reports is marked at its use, with what happens on the others.

#[cfg(feature = "sqlite")]
pub(super) mod files;
#[cfg(feature = "sqlite")]
pub(super) mod limits;
pub(super) mod pages;
#[cfg(feature = "sqlite")]
pub(super) mod priority;
#[cfg(feature = "sqlite")]
pub(crate) mod process;
#[cfg(feature = "postgres")]
pub(crate) mod socket;
#[cfg(feature = "sqlite")]
pub(super) mod status;
