//! What is the operating system's own, behind functions that say what they promise. Everything else in this crate
//! builds without it: another system is added in this folder.

pub(crate) mod process;
