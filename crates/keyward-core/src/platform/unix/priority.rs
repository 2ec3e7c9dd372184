//! Which threads have the processors first.

/// Lets other threads have the processors before the calling thread. On Linux each thread has its own nice value;
/// elsewhere the whole process has one, so this does nothing there.
pub(crate) fn yield_to_others() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::setpriority_process;
        // A tenth of the share of a busy normal thread: enough that a new credential does not wait for ever. Lowering
        // the priority is always allowed; if it fails, the thread works like any other.
        let _ = setpriority_process(None, 10);
    }
}
