//! Which processor a thread runs on.

/// A processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processor(#[cfg(target_os = "linux")] usize);

impl Processor {
    /// The one on which the calling thread runs.
    pub(crate) fn current() -> Self {
        Self(
            #[cfg(target_os = "linux")]
            rustix::thread::sched_getcpu(),
        )
    }

    /// Moves the calling thread to another one, if it may run on others. Only Linux offers this.
    pub(crate) fn leave(self) {
        #[cfg(target_os = "linux")]
        if let Ok(mut others) = rustix::thread::sched_getaffinity(None) {
            others.unset(self.0);
            // It fails if there are no others.
            let _ = rustix::thread::sched_setaffinity(None, &others);
        }
    }
}
