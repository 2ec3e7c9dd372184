//! Which processor a thread runs on.

/// A processor, if the system tells which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processor(#[cfg(target_os = "linux")] Option<usize>);

impl Processor {
    /// The one on which the calling thread runs.
    pub(crate) fn current() -> Self {
        Self(
            #[cfg(target_os = "linux")]
            nix::sched::sched_getcpu().ok(),
        )
    }

    /// Moves the calling thread to another one, if it may run on others. Only Linux offers this.
    pub(crate) fn leave(self) {
        #[cfg(target_os = "linux")]
        {
            use nix::sched::{sched_getaffinity, sched_setaffinity};
            let this_thread = nix::unistd::Pid::from_raw(0);
            let Ok(mut others) = sched_getaffinity(this_thread) else { return };
            if self.0.is_some_and(|own| others.unset(own).is_ok()) {
                // It fails if there are no others.
                let _ = sched_setaffinity(this_thread, &others);
            }
        }
    }
}
