//! The time, passed in: the time of day for decisions, and the time since some moment for waits.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// Gives the time on any thread.
#[derive(Clone)]
pub struct Clock {
    day: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    steady: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Clock {
    /// A clock from two functions: the time of day, and the time since some moment, which never goes backwards.
    pub fn new(
        day: impl Fn() -> Timestamp + Send + Sync + 'static,
        steady: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self { day: Arc::new(day), steady: Arc::new(steady) }
    }

    /// The system's clock.
    #[expect(clippy::disallowed_methods, reason = "the clock of a service that brings none of its own")]
    pub fn of_the_system() -> Self {
        let start = std::time::Instant::now();
        Self::new(Timestamp::now, move || start.elapsed())
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        (self.day)()
    }

    /// The time since some moment.
    pub fn steady(&self) -> Duration {
        (self.steady)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
