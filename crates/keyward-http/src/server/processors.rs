//! A processor for each event loop.
//!
//! Linux spreads threads over processors mainly when they wake up, and a busy loop hardly ever sleeps. Two loops that
//! have come to share a processor then wait for each other for several milliseconds, although each could have its own.

/// As many processors as there are loops.
#[derive(Debug)]
pub(super) struct Processors(#[cfg(target_os = "linux")] Vec<usize>);

impl Processors {
    /// The processors that this process may use, if they are as many as the loops. With fewer loops than processors, or
    /// more, the system knows better where to run them. Only Linux offers this.
    pub(super) fn for_each_of(loops: usize) -> Option<Self> {
        #[cfg(target_os = "linux")]
        {
            use rustix::thread::{CpuSet, sched_getaffinity};
            let allowed = sched_getaffinity(None).ok()?;
            let mut allowed: Vec<_> = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number)).collect();
            if allowed.len() != loops {
                return None;
            }
            // A single connection is served by the first loop: two guards should not have theirs on one processor.
            allowed.rotate_left(std::process::id() as usize % loops.max(1));
            Some(Self(allowed))
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = loops;
            None
        }
    }

    /// Keeps the calling thread on the processor of this loop. If that fails, it runs anywhere.
    pub(super) fn keep_to(&self, number: usize) {
        #[cfg(target_os = "linux")]
        if let Some(own) = self.0.get(number) {
            let mut only = rustix::thread::CpuSet::new();
            only.set(*own);
            let _ = rustix::thread::sched_setaffinity(None, &only);
        }
        #[cfg(not(target_os = "linux"))]
        let (Self(), _) = (self, number);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::thread::{CpuSet, sched_getaffinity};

    use super::*;

    #[test]
    fn each_loop_has_one_if_there_is_one_for_each() {
        let count = sched_getaffinity(None).unwrap().count() as usize;
        assert!(Processors::for_each_of(count + 1).is_none() && Processors::for_each_of(count - 1).is_none());
        let processors = Processors::for_each_of(count).unwrap();
        let mut taken = vec![];
        for number in 0..count {
            let own = std::thread::scope(|scope| {
                let thread = scope.spawn(|| {
                    processors.keep_to(number);
                    let own = sched_getaffinity(None).unwrap();
                    assert_eq!(own.count(), 1);
                    (0..CpuSet::MAX_CPU).find(|number| own.is_set(*number)).unwrap()
                });
                thread.join().unwrap()
            });
            taken.push(own);
        }
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), count, "{taken:?}");
        assert_eq!(sched_getaffinity(None).unwrap().count() as usize, count, "this thread keeps all of them");
    }
}
