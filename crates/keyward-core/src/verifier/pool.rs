//! A bounded pool of threads that compute hashes, each with memory of its own.
//!
//! Work beyond the bound is refused at once and never waits indefinitely. A job that panics loses only its own answer.
//! When the pool is dropped, waiting jobs are given up, running ones finish, and the memory is given back. Only a hash
//! that has been given up, because there is no idle time for it, goes on.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::VerifyError;
use super::hasher::Hasher;
use super::idle::Idle;
use crate::platform::{HAS_IDLE_TIME, has_room_for_a_thread, yield_to_others};
use crate::rules::hashing::Memory;

/// A thread that is idle for this long frees its memory.
const IDLE: Duration = Duration::from_secs(10);
/// How long idle processor time is waited for, besides what a hash takes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Something that computes hashes.
pub(super) type Job = Box<dyn FnOnce(&mut dyn Hasher) + Send>;

pub(super) struct Pool {
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

/// Where jobs are submitted and taken.
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// The most jobs that may wait or run at once.
    most: usize,
    running: usize,
    is_closed: bool,
}

impl Pool {
    /// A pool of this many threads, or as many as the system provides, with a queue for this many jobs.
    pub(super) fn new(threads: usize, queue: usize, is_background: bool) -> Result<Self, VerifyError> {
        let state = State { most: threads.saturating_add(queue), ..State::default() };
        let desk = Arc::new(Desk { state: Mutex::new(state), changed: Condvar::new() });
        let mut pool = Self { desk, threads: Vec::with_capacity(threads) };
        for _ in 0..threads {
            let desk = Arc::clone(&pool.desk);
            // Here, one after the other: each thread must find the room that it was promised.
            let mut hasher = hasher(is_background);
            let room = if has_room_for_a_thread() { Ok(()) } else { Err(ErrorKind::OutOfMemory.into()) };
            let start = || {
                thread::Builder::new().name("keyward-hash".to_owned()).spawn(move || {
                    if is_background {
                        yield_to_others();
                    }
                    desk.serve(&mut *hasher);
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

    /// The number of jobs that wait or run.
    pub(super) fn waiting(&self) -> usize {
        let state = self.desk.state();
        state.waiting.len() + state.running
    }

    /// Accepts the job, unless the queue is full.
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

/// Computes the hashes of one thread.
fn hasher(is_background: bool) -> Box<dyn Hasher + Send> {
    match (is_background && HAS_IDLE_TIME).then(|| Idle::start(PATIENCE)) {
        Some(Ok(idle)) => Box::new(idle),
        // Without a thread for idle time, the one that leads the questions computes.
        Some(Err(_)) | None => Box::new(Memory::default()),
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thread's work.
    fn serve(&self, hasher: &mut dyn Hasher) {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return;
            }
            let Some(job) = state.waiting.pop_front() else {
                let waited = self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
                state = waited.0;
                if waited.1.timed_out() {
                    // If all credentials have matched before, the memory is not needed.
                    hasher.rest();
                }
                continue;
            };
            state.running += 1;
            drop(state);
            // The waiting caller is notified when the job is dropped. What the job leaves in the memory does not affect
            // later hashes.
            let _ = catch_unwind(AssertUnwindSafe(|| job(hasher)));
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
