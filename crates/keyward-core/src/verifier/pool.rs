//! A bounded pool of threads that compute hashes, each with memory of its own.
//!
//! What is too much is refused at once, and never waits without an end. A job that panics costs its answer and nothing
//! else. When the pool is dropped, what waits is given up, what runs comes to its end, and the memory is wiped.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::VerifyError;
use crate::platform::{has_room_for_a_thread, yield_to_others};
use crate::rules::hashing::Memory;

/// A thread that has had nothing to do for so long gives its memory back.
const IDLE: Duration = Duration::from_secs(10);

/// Something that computes hashes.
pub(super) type Job = Box<dyn FnOnce(&mut Memory) + Send>;

pub(super) struct Pool {
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

/// Where jobs are handed in and taken.
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Jobs that may wait or run at once.
    most: usize,
    running: usize,
    is_closed: bool,
}

impl Pool {
    /// A pool of this many threads, or of as many as the system gives, with room for this many jobs that wait for one of them.
    pub(super) fn new(threads: usize, queue: usize, is_background: bool) -> Result<Self, VerifyError> {
        let state = State { most: threads.saturating_add(queue), ..State::default() };
        let desk = Arc::new(Desk { state: Mutex::new(state), changed: Condvar::new() });
        let mut pool = Self { desk, threads: Vec::with_capacity(threads) };
        for _ in 0..threads {
            let desk = Arc::clone(&pool.desk);
            let room = if has_room_for_a_thread() { Ok(()) } else { Err(ErrorKind::OutOfMemory.into()) };
            let start = || {
                thread::Builder::new().name("keyward-hash".to_owned()).spawn(move || {
                    if is_background {
                        yield_to_others();
                    }
                    desk.serve();
                })
            };
            match room.and_then(|()| start()) {
                Ok(thread) => pool.threads.push(thread),
                Err(error) if pool.threads.is_empty() => return Err(VerifyError::NoThread(error)),
                // The threads that did start do all the work.
                Err(_) => break,
            }
        }
        Ok(pool)
    }

    /// Jobs that wait or run.
    pub(super) fn waiting(&self) -> usize {
        let state = self.desk.state();
        state.waiting.len() + state.running
    }

    /// Takes the job, unless as many wait as may.
    pub(super) fn submit(&self, job: Job) -> Result<(), VerifyError> {
        let mut state = self.desk.state();
        if state.waiting.len() + state.running >= state.most {
            return Err(VerifyError::Overloaded);
        }
        state.waiting.push_back(job);
        drop(state);
        self.desk.changed.notify_one();
        Ok(())
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thread's work.
    fn serve(&self) {
        let mut memory = Memory::default();
        let mut state = self.state();
        loop {
            if state.is_closed {
                return;
            }
            let Some(job) = state.waiting.pop_front() else {
                let waited = self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
                state = waited.0;
                if waited.1.timed_out() {
                    // Where all credentials have matched, nobody needs it.
                    memory = Memory::default();
                }
                continue;
            };
            state.running += 1;
            drop(state);
            // Whoever waits for the job is told when it is dropped. What it leaves in the memory changes no hash.
            let _ = catch_unwind(AssertUnwindSafe(|| job(&mut memory)));
            state = self.state();
            state.running -= 1;
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.desk.state();
            state.is_closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.desk.changed.notify_all();
        drop(waiting);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
