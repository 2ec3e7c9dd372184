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

/// Whether [`use_idle_time`] does anything.
pub(crate) const HAS_IDLE_TIME: bool = cfg!(target_os = "linux");

/// From now on, runs the calling thread only when no other of its control group wants the processor, and takes it away
/// at once when another does (sched(7): `SCHED_IDLE`).
pub(crate) fn use_idle_time() {
    #[cfg(target_os = "linux")]
    {
        // As the kernel defines it: a C library may want more, or not offer the call (musl).
        let priority: libc::c_int = 0;
        let policy = libc::c_long::from(libc::SCHED_IDLE);
        #[expect(unsafe_code, reason = "no safe crate offers the call without dragging in another system's")]
        // SAFETY: the kernel reads a `struct sched_param`, one int, from the pointer, which lives longer than the call. It
        // changes nothing but when the calling thread (0) runs. If it fails, the thread keeps the priority that it has.
        unsafe {
            libc::syscall(libc::SYS_sched_setscheduler, libc::c_long::from(0), policy, &raw const priority);
        }
    }
}
