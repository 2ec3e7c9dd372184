//! Hashes in idle processor time, so that nothing else waits for them.
//!
//! A thread of low priority still gets its share while others want the processor, and gets it in pieces: on Linux, an
//! event loop that shares a processor with it waits for several milliseconds at a time. So hashes are computed by a
//! thread that runs only when no other wants to.
//!
//! What may break: on a machine that is never idle, such a thread hardly runs, and whoever waits for it waits for long.
//! So its caller waits for a limited time, and then computes the hash itself. While it computes, the thread holds no
//! lock and no connection. Nor does it map, fill or free memory, for which the whole process has one lock in the kernel:
//! the caller lends it memory that is ready, and takes it back. Only the end of the process waits for it, for a second
//! or two on such a machine.

use std::io::ErrorKind;
use std::mem::{replace, take};
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
    memory: Memory,
}

/// Where work is handed over.
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

/// Only one caller hands work over.
enum State {
    Free,
    Asked(Work),
    Computing,
    Done(Work, Outcome),
    /// Nobody waits for the thread any more; it has not yet noticed that.
    GivenUp,
    /// What it worked on when it noticed.
    Returned(Work),
    Closed,
}

/// A hash to compute, and memory for it.
struct Work {
    plain: Copied,
    what: What,
    memory: Memory,
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
    /// Starts the thread. The calling thread computes what has no result after `patience`, and after four times what
    /// the hash takes where nothing else runs.
    ///
    /// # Errors
    /// If the system provides no thread.
    pub(super) fn start(patience: Duration) -> Result<Self, std::io::Error> {
        let desk = Arc::new(Desk { state: Mutex::new(State::Free), changed: Condvar::new() });
        if !has_room_for_a_thread() {
            return Err(ErrorKind::OutOfMemory.into());
        }
        let own = Arc::clone(&desk);
        // It ends by itself. Nobody waits for that: where there is no idle time, it would take long.
        thread::Builder::new().name("keyward-idle".to_owned()).spawn(move || {
            use_idle_time();
            own.serve();
        })?;
        Ok(Self { desk, patience, memory: Memory::default() })
    }

    /// The outcome, unless the calling thread has to compute it.
    fn ask(&mut self, plain: &dyn PlainText, cost: Cost, what: impl FnOnce() -> What) -> Option<Outcome> {
        let mut state = self.desk.state();
        match replace(&mut *state, State::Free) {
            State::Free => {}
            State::Returned(work) => self.memory = work.memory,
            // It has not been seen since it was given up.
            other => {
                *state = other;
                return None;
            }
        }
        drop(state);
        self.memory.make_ready(cost);
        let plain = Copied(Zeroizing::new(plain.expose().to_owned()));
        let work = Work { plain, what: what(), memory: take(&mut self.memory) };
        let mut state = self.desk.state();
        *state = State::Asked(work);
        self.desk.changed.notify_all();
        let is_under_way = |state: &mut State| matches!(state, State::Asked(_) | State::Computing);
        let patience = self.patience + 4 * typical_time(cost);
        let waited = self.desk.changed.wait_timeout_while(state, patience, is_under_way);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let (work, outcome) = match replace(&mut *state, State::GivenUp) {
            State::Done(work, outcome) => {
                *state = State::Free;
                (work, Some(outcome))
            }
            State::Asked(work) => (work, None),
            _ => return None,
        };
        self.memory = work.memory;
        outcome
    }
}

/// What a hash takes, about: half a microsecond for each KiB and pass.
fn typical_time(Cost { memory_kib, passes, .. }: Cost) -> Duration {
    Duration::from_nanos(u64::from(memory_kib) * u64::from(passes) * 500)
}

impl Hasher for Idle {
    fn matches(&mut self, hash: &HashedSecret, plain: &dyn PlainText) -> Outcome {
        let outcome = hash.cost().and_then(|cost| self.ask(plain, cost, || What::Matches(hash.clone())));
        // What has no cost takes no time.
        outcome.unwrap_or_else(|| self.memory.matches(hash, plain))
    }

    fn spend(&mut self, cost: Cost, plain: &dyn PlainText) -> Result<(), HashError> {
        let outcome = if cost.is_acceptable() { self.ask(plain, cost, || What::Spend(cost)) } else { None };
        outcome.map_or_else(|| self.memory.spend(cost, plain), |outcome| outcome.map(drop))
    }

    fn rest(&mut self) {
        self.memory.rest();
        let mut state = self.desk.state();
        if let State::Returned(_) = *state {
            let returned = replace(&mut *state, State::Free);
            drop(state);
            drop(returned);
        }
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
        let mut state = self.state();
        loop {
            match replace(&mut *state, State::Computing) {
                State::Asked(mut work) => {
                    drop(state);
                    let outcome = work.compute();
                    state = self.state();
                    *state = match replace(&mut *state, State::Free) {
                        State::Computing => State::Done(work, outcome),
                        State::GivenUp => State::Returned(work),
                        other => other,
                    };
                    drop(state);
                    self.changed.notify_all();
                    state = self.state();
                }
                State::Closed => return,
                // It has noticed, before it began.
                State::GivenUp => *state = State::Free,
                other => {
                    *state = other;
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Work {
    fn compute(&mut self) -> Outcome {
        match &self.what {
            What::Matches(hash) => self.memory.matches(hash, &self.plain),
            What::Spend(cost) => self.memory.spend(*cost, &self.plain).map(|()| false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::hashing::counted;

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(600);
    const CHEAP: Cost = Cost::FLOOR;

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

    /// Waits for a state. A test that waits in vain is stopped by its runner.
    fn until(desk: &Desk, is_it: impl Fn(&State) -> bool) {
        while !is_it(&desk.state()) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// A desk without a thread behind it, as where there is no idle time.
    fn unattended(patience: Duration) -> Idle {
        let desk = Arc::new(Desk { state: Mutex::new(State::Free), changed: Condvar::new() });
        Idle { desk, patience, memory: Memory::default() }
    }

    #[test]
    fn another_thread_computes() {
        let mut idle = Idle::start(LONG).unwrap();
        for _ in 0..3 {
            assert_eq!(ask(&mut idle, CHEAP), 0);
            idle.rest();
        }
        assert_eq!(idle.spend(CHEAP, &plain("any")), Ok(()));
        assert_eq!(counted::take(), []);
        assert!(matches!(*idle.desk.state(), State::Free));
    }

    #[test]
    fn what_cannot_be_computed_is_an_error() {
        let mut idle = Idle::start(LONG).unwrap();
        let damaged = HashedSecret::from_stored("$argon2id$".to_owned());
        assert_eq!(idle.matches(&damaged, &plain("right")), Err(HashError::NotArgon2id));
        let costly = Cost { memory_kib: u32::MAX, ..CHEAP };
        assert_eq!(idle.spend(costly, &plain("any")), Err(HashError::OutOfRange(costly)));
    }

    #[test]
    fn without_idle_time_the_caller_computes_and_waits_only_once() {
        let mut idle = unattended(Duration::from_millis(1));
        assert_eq!(ask(&mut idle, CHEAP), 2);
        // From here on it would wait for too long.
        idle.patience = LONG;
        assert_eq!(ask(&mut idle, CHEAP), 2);
        assert_eq!(idle.spend(CHEAP, &plain("any")), Ok(()));
        assert_eq!(counted::take(), [CHEAP]);
        // The thread comes at last.
        let desk = Arc::clone(&idle.desk);
        thread::spawn(move || desk.serve());
        until(&idle.desk, |state| matches!(state, State::Free));
        assert_eq!(ask(&mut idle, CHEAP), 0);
    }

    #[test]
    fn a_result_that_comes_too_late_is_nobodys() {
        let mut idle = unattended(Duration::ZERO);
        let right = HashedSecret::new(&plain("right"), [7; 16], CHEAP).unwrap();
        let desk = Arc::clone(&idle.desk);
        // Plays the thread: takes the work, and has a result only when nobody waits any more.
        let late = thread::spawn(move || {
            until(&desk, |state| matches!(state, State::Asked(_)));
            let State::Asked(mut work) = replace(&mut *desk.state(), State::Computing) else { panic!("not asked") };
            assert_eq!(work.compute(), Ok(true));
            until(&desk, |state| matches!(state, State::GivenUp));
            *desk.state() = State::Returned(work);
        });
        idle.patience = Duration::from_secs(1);
        counted::take();
        assert_eq!(idle.matches(&right, &plain("right")), Ok(true));
        assert_eq!(counted::take(), [CHEAP]);
        late.join().unwrap();
        let desk = Arc::clone(&idle.desk);
        thread::spawn(move || desk.serve());
        idle.patience = LONG;
        assert_eq!(idle.matches(&right, &plain("wrong")), Ok(false));
        assert_eq!(counted::take(), []);
    }

    #[test]
    fn a_costly_hash_may_take_longer() {
        let times = [CHEAP, Cost::default(), Cost::CEILING].map(|cost| typical_time(cost).as_millis());
        assert_eq!(times, [0, 19, 1_310]);
    }

    #[test]
    fn the_thread_ends_with_its_owner_even_if_it_computes() {
        for is_computing in [false, true] {
            let mut idle = Idle::start(Duration::ZERO).unwrap();
            if is_computing {
                let costly = Cost { memory_kib: 65_536, passes: 10, lanes: 1 };
                idle.memory.make_ready(costly);
                let memory = take(&mut idle.memory);
                *idle.desk.state() = State::Asked(Work { plain: plain("any"), what: What::Spend(costly), memory });
                idle.desk.changed.notify_all();
                until(&idle.desk, |state| matches!(state, State::Computing));
            }
            let desk = Arc::downgrade(&idle.desk);
            drop(idle);
            while desk.strong_count() > 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
