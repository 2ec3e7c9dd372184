//! System limits that end a program with a signal, unless it prevents that.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGABRT, SIGXFSZ};
use signal_hook::flag;

/// Turns signals that would end the process into errors. A file that may not grow is an error of the write (SIGXFSZ).
/// If the standard library aborts for lack of memory (SIGABRT), the process exits with `no_memory`, or with `bug` once
/// `is_bug` is set. Child processes are not affected. If the system refuses, everything stays as usual.
pub fn survive_limits(no_memory: u8, bug: u8, is_bug: &Arc<AtomicBool>) {
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    // Handlers run in the order of registration.
    let _ = flag::register_conditional_shutdown(SIGABRT, bug.into(), Arc::clone(is_bug));
    let _ = flag::register_conditional_shutdown(SIGABRT, no_memory.into(), Arc::new(AtomicBool::new(true)));
}
