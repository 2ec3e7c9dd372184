//! Hashes in idle processor time, so that nothing else waits for them.
//!
//! A thread of low priority still gets its share while others want the processor, and gets it in pieces: on Linux, an
//! event loop that shares a processor with it waits for several milliseconds at a time. So hashes are computed by a
//! thread that runs only when no other wants to. It holds no lock and no connection meanwhile, since whoever waits for
//! those would wait for idle time as well.
//!
//! What may break: on a machine that is never idle, such a thread hardly runs. So its caller waits for a limited time,
//! and then computes the hash itself.

use std::io::ErrorKind;
use std::mem::replace;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use super::hasher::Hasher;
use crate::platform::{has_room_for_a_thread, use_idle_time};
use crate::rules::hashing::{Cost, HashError, HashedSecret, Memory};
use crate::rules::plain::PlainText;

/// Computes hashes on a thread of its own in idle processor time. If there is none, the calling thread does.
pub(super) struct Idle {
    desk: Arc<Desk>,
    patience: Duration,
    /// For what the calling thread computes.
    own: Memory,
}

/// Where work is handed over.
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    /// A thread without work for this long frees its memory.
    idle: Duration,
}

/// Only one caller hands work over.
enum State {
    Free,
    Asked(Work),
    Computing,
    Done(Outcome),
    /// Something is being computed that nobody waits for any more.
    GivenUp,
    Closed,
}

/// A hash to compute.
struct Work {
    plain: Copied,
    what: What,
}

enum What {
    Matches(HashedSecret),
    Spend(Cost),
}

/// Whether it matched.
type Outcome = Result<bool, HashError>;

/// A secret on its way to another thread.
struct Copied(Zeroizing<String>);

impl PlainText for Copied {
    fn expose(&self) -> &str {
        &self.0
    }
}

impl Idle {
    /// Starts the thread. It frees its memory after `idle` without work; after `patience` without a result, the calling
    /// thread computes.
    ///
    /// # Errors
    /// If the system provides no thread.
    pub(super) fn start(idle: Duration, patience: Duration) -> Result<Self, std::io::Error> {
        let desk = Arc::new(Desk { state: Mutex::new(State::Free), changed: Condvar::new(), idle });
        if !has_room_for_a_thread() {
            return Err(ErrorKind::OutOfMemory.into());
        }
        let own = Arc::clone(&desk);
        // It ends by itself. Nobody waits for that: where there is no idle time, it would take long.
        thread::Builder::new().name("keyward-idle".to_owned()).spawn(move || {
            use_idle_time();
            own.serve();
        })?;
        Ok(Self { desk, patience, own: Memory::default() })
    }

    /// The outcome, unless the calling thread has to compute it.
    fn ask(&self, plain: &dyn PlainText, what: impl FnOnce() -> What) -> Option<Outcome> {
        let mut state = self.desk.state();
        // It may still compute what was given up, or have ended by a panic.
        if !matches!(*state, State::Free) {
            return None;
        }
        let plain = Copied(Zeroizing::new(plain.expose().to_owned()));
        *state = State::Asked(Work { plain, what: what() });
        self.desk.changed.notify_all();
        let is_under_way = |state: &mut State| matches!(state, State::Asked(_) | State::Computing);
        let waited = self.desk.changed.wait_timeout_while(state, self.patience, is_under_way);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let (next, outcome) = match replace(&mut *state, State::Free) {
            State::Done(outcome) => (State::Free, Some(outcome)),
            State::Computing => (State::GivenUp, None),
            State::Asked(_) => (State::Free, None),
            other => (other, None),
        };
        *state = next;
        outcome
    }
}

impl Hasher for Idle {
    fn matches(&mut self, hash: &HashedSecret, plain: &dyn PlainText) -> Outcome {
        if hash.is_fast() {
            return hash.matches(plain);
        }
        let outcome = self.ask(plain, || What::Matches(hash.clone()));
        outcome.unwrap_or_else(|| self.own.matches(hash, plain))
    }

    fn spend(&mut self, cost: Cost, plain: &dyn PlainText) -> Result<(), HashError> {
        let outcome = self.ask(plain, || What::Spend(cost));
        outcome.map_or_else(|| self.own.spend(cost, plain), |outcome| outcome.map(drop))
    }

    fn rest(&mut self) {
        self.own.rest();
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        *self.desk.state() = State::Closed;
        self.desk.changed.notify_all();
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The work of the thread.
    fn serve(&self) {
        let mut memory = Memory::default();
        let mut state = self.state();
        loop {
            match replace(&mut *state, State::Computing) {
                State::Asked(work) => {
                    drop(state);
                    let outcome = work.compute(&mut memory);
                    drop(work);
                    state = self.state();
                    *state = match replace(&mut *state, State::Free) {
                        State::Computing => State::Done(outcome),
                        State::Closed => State::Closed,
                        _ => State::Free,
                    };
                    self.changed.notify_all();
                }
                State::Closed => return,
                other => {
                    *state = other;
                    let waited = self.changed.wait_timeout(state, self.idle).unwrap_or_else(PoisonError::into_inner);
                    state = waited.0;
                    if waited.1.timed_out() {
                        memory.rest();
                    }
                }
            }
        }
    }
}

impl Work {
    fn compute(&self, memory: &mut Memory) -> Outcome {
        match &self.what {
            What::Matches(hash) => memory.matches(hash, &self.plain),
            What::Spend(cost) => memory.spend(*cost, &self.plain).map(|()| false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::hashing::counted;

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(60);
    const CHEAP: Cost = Cost::FLOOR;

    fn start() -> Idle {
        Idle::start(LONG, LONG).unwrap()
    }

    fn plain(text: &str) -> Copied {
        Copied(Zeroizing::new(text.to_owned()))
    }

    /// Presents a right and a wrong secret. Returns how many hashes the calling thread computed.
    fn ask(idle: &mut Idle, cost: Cost) -> usize {
        let hash = HashedSecret::new(&plain("right"), [7; 16], cost).unwrap();
        counted::take();
        assert_eq!(idle.matches(&hash, &plain("right")), Ok(true));
        assert_eq!(idle.matches(&hash, &plain("wrong")), Ok(false));
        counted::take().len()
    }

    fn is_free(idle: &Idle) -> bool {
        matches!(*idle.desk.state(), State::Free)
    }

    #[test]
    fn another_thread_computes() {
        let mut idle = start();
        for _ in 0..3 {
            assert_eq!(ask(&mut idle, CHEAP), 0);
        }
        assert_eq!(idle.spend(CHEAP, &plain("any")), Ok(()));
        let damaged = HashedSecret::from_stored("$argon2id$".to_owned());
        assert_eq!(idle.matches(&damaged, &plain("right")), Err(HashError::NotArgon2id));
        let costly = Cost { lanes: 255, ..CHEAP };
        assert_eq!(idle.spend(costly, &plain("any")), Err(HashError::OutOfRange(costly)));
        assert_eq!(counted::take(), []);
        assert!(is_free(&idle));
    }

    #[test]
    fn without_idle_time_the_caller_computes_until_there_is_some() {
        let mut idle = Idle::start(LONG, Duration::from_millis(10)).unwrap();
        // Far more than can be computed in that time.
        assert_eq!(ask(&mut idle, Cost { memory_kib: 65_536, passes: 10, lanes: 1 }), 2);
        assert!(idle.spend(CHEAP, &plain("any")).is_ok());
        idle.patience = LONG;
        while !is_free(&idle) {
            thread::sleep(Duration::from_millis(10));
        }
        counted::take();
        assert_eq!(ask(&mut idle, CHEAP), 0);
    }

    #[test]
    fn a_thread_that_never_answers_again_is_not_waited_for() {
        let mut idle = start();
        *idle.desk.state() = State::GivenUp;
        assert_eq!(ask(&mut idle, CHEAP), 2);
        assert_eq!(idle.spend(CHEAP, &plain("any")), Ok(()));
        assert_eq!(counted::take(), [CHEAP]);
    }

    #[test]
    fn the_thread_ends_with_its_owner() {
        for is_busy in [false, true] {
            let mut idle = Idle::start(LONG, Duration::ZERO).unwrap();
            if is_busy {
                assert_eq!(ask(&mut idle, Cost::default()), 2);
            }
            let desk = Arc::downgrade(&idle.desk);
            drop(idle);
            while desk.strong_count() > 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn memory_that_is_not_needed_is_freed_and_comes_back() {
        let mut idle = Idle::start(Duration::from_millis(1), LONG).unwrap();
        for _ in 0..2 {
            assert_eq!(ask(&mut idle, CHEAP), 0);
            thread::sleep(Duration::from_millis(20));
            idle.rest();
        }
    }
}
