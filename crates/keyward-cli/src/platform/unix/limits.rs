//! Limits of the system that end a program by a signal, unless it sees to it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGABRT, SIGXFSZ};
use signal_hook::flag;

/// Makes errors of what would end the process: a file that may not become longer is an error of whoever writes it
/// (SIGXFSZ), and where the standard library finds no memory and gives up (SIGABRT), the process ends with `no_memory`, or
/// with `bug` once `is_bug` is set. Programs that are started from here know nothing of it. Where the system refuses, all
/// of this is as it always is.
pub fn survive_limits(no_memory: u8, bug: u8, is_bug: &Arc<AtomicBool>) {
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    // What is registered first is done first.
    let _ = flag::register_conditional_shutdown(SIGABRT, bug.into(), Arc::clone(is_bug));
    let _ = flag::register_conditional_shutdown(SIGABRT, no_memory.into(), Arc::new(AtomicBool::new(true)));
}
