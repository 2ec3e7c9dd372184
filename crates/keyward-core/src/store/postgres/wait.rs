//! Runs a future on this thread until it is done or its time is up.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::line::Watch;

/// The moment at which a wait ends.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Deadline(Instant);

impl Deadline {
    pub(in crate::store) fn after(limit: Duration) -> Self {
        let now = now();
        // A limit too long for the clock becomes one of a year.
        Self(now.checked_add(limit).unwrap_or(now + Duration::from_secs(365 * 24 * 3600)))
    }

    /// How much time is left, if any.
    pub(in crate::store) fn left(self) -> Option<Duration> {
        self.0.checked_duration_since(now()).filter(|left| !left.is_zero())
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a server is silent, not the time of day")]
fn now() -> Instant {
    Instant::now()
}

/// Whether a future has something to do.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// The result of the future; `None` if the time ran out first.
///
/// # Errors
/// If the system cannot wait for the socket.
pub(super) fn run<F: Future>(
    watch: &Watch,
    deadline: Deadline,
    mut future: Pin<&mut F>,
) -> io::Result<Option<F::Output>> {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    loop {
        bell.0.store(false, Ordering::Release);
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Ok(Some(done));
        }
        // A server that never ends its answer holds up no one longer than a silent one.
        let Some(left) = deadline.left() else { return Ok(None) };
        if !bell.0.load(Ordering::Acquire) {
            watch.wait(left)?;
        }
    }
}
