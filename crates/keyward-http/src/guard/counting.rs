//! Counts uses in memory. A separate thread writes them once a second, or ten times a second if the store is on a
//! server.
//!
//! What may break: the store cannot be written. Decisions continue then, and nothing is forgotten: the counts are
//! written when the store accepts them again. Only `kill -9` loses counts since the last write.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use keyward_core::store::{StoreError, Uses};
use keyward_core::verifier::{Answer, Gate, Recorder};
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::clock::Clock;

/// Parts with separate locks, so that threads rarely wait for each other.
const PARTS: usize = 16;
/// The most hashes waiting to be renewed. Others are renewed when their secrets are presented again.
const MOST_RENEWALS: usize = 64;

/// The counts, and the state of the writing.
#[derive(Default)]
pub struct Counts {
    parts: [Mutex<Part>; PARTS],
    renewals: Mutex<Vec<Answer>>,
    /// Uses that could not be written so far.
    unrecorded: AtomicU64,
    failures: AtomicU64,
    writings: AtomicU64,
    /// Microseconds that all writes took together.
    micros: AtomicU64,
    is_failing: AtomicBool,
    failure: Mutex<Option<StoreError>>,
}

#[derive(Default)]
struct Part {
    uses: Uses,
    number: u64,
}

/// The state of the writing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Writing {
    /// Uses that could not be written yet.
    pub unrecorded: u64,
    /// Whether the last write failed.
    pub is_failing: bool,
    /// Successful writes.
    pub written: u64,
    /// Failed writes.
    pub failed: u64,
    /// The total time of all writes.
    pub took: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counts {
    /// Counts an answer to a request from this address, if it is about a key.
    pub(super) fn count(&self, answer: &Answer, from: Option<IpAddr>, clock: &Clock) {
        let Some((key, call)) = answer.call() else { return };
        let place = key.id.as_str().bytes().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let mut part = lock(&self.parts[place % PARTS]);
        part.uses.add(&key.id, call, keyward_core::rules::time::whole_seconds(clock.now()), from);
        part.number += 1;
    }

    /// Keeps an answer whose secret needs a renewed hash.
    pub(super) fn renew(&self, answer: Answer) {
        let mut renewals = lock(&self.renewals);
        if renewals.len() < MOST_RENEWALS {
            renewals.push(answer);
        }
    }

    /// The state of the writing.
    pub fn writing(&self) -> Writing {
        Writing {
            unrecorded: self.unrecorded.load(Ordering::Relaxed),
            is_failing: self.is_failing.load(Ordering::Relaxed),
            written: self.writings.load(Ordering::Relaxed),
            failed: self.failures.load(Ordering::Relaxed),
            took: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
        }
    }

    /// The error of the last failed write, returned once.
    pub fn take_failure(&self) -> Option<StoreError> {
        lock(&self.failure).take()
    }

    /// The counts since the last call.
    fn take(&self) -> (Uses, u64) {
        let (mut uses, mut number) = (Uses::default(), 0);
        for part in &self.parts {
            let part = std::mem::take(&mut *lock(part));
            uses.merge(part.uses);
            number += part.number;
        }
        (uses, number)
    }
}

/// The writing thread. It writes one last time when this is dropped.
pub(super) struct Writer {
    wake: Option<Sender<Sender<()>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts to write `counts`. If the system provides no thread, nothing is written, and the counts stay unrecorded.
    pub(super) fn start(gate: &Gate, counts: &Arc<Counts>, clock: &Clock) -> Self {
        let (wake, woken) = mpsc::channel::<Sender<()>>();
        let own = gate;
        let (gate, counts, clock) = (gate.clone(), Arc::clone(counts), clock.clone());
        let every = gate.writes_every();
        let work = move || {
            let mut job = Job { gate, counts, clock, recorder: None };
            loop {
                match woken.recv_timeout(every) {
                    Ok(done) => {
                        job.write();
                        drop(done);
                    }
                    Err(RecvTimeoutError::Timeout) => job.write(),
                    Err(RecvTimeoutError::Disconnected) => return job.write(),
                }
            }
        };
        let thread = std::thread::Builder::new().name("keyward-count".to_owned()).spawn(work).ok();
        if thread.is_none() {
            own.cannot_record();
        }
        Self { wake: Some(wake), thread }
    }

    /// Writes now, and waits for it.
    pub(super) fn flush(&self) {
        let (done, waiting) = mpsc::channel();
        if let Some(wake) = &self.wake {
            // Nothing is sent: the end of the channel is the signal.
            if wake.send(done).is_ok() {
                let _ = waiting.recv();
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // The last owner may be the thread itself, if a gate is dropped on it.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

struct Job {
    gate: Gate,
    counts: Arc<Counts>,
    clock: Clock,
    recorder: Option<Recorder>,
}

impl Job {
    fn write(&mut self) {
        let (uses, number) = self.counts.take();
        let renewals = std::mem::take(&mut *lock(&self.counts.renewals));
        let was_behind = self.counts.unrecorded.load(Ordering::Relaxed);
        if uses.is_empty() && renewals.is_empty() && was_behind == 0 && !self.gate.is_behind() {
            return;
        }
        let start = self.clock.steady();
        let result = self.try_to_write(uses, &renewals);
        let took = self.clock.steady().saturating_sub(start);
        let counts = &self.counts;
        counts.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        counts.is_failing.store(result.is_err(), Ordering::Relaxed);
        match result {
            Ok(()) => {
                counts.writings.fetch_add(1, Ordering::Relaxed);
                counts.unrecorded.store(0, Ordering::Relaxed);
            }
            Err(error) => {
                counts.failures.fetch_add(1, Ordering::Relaxed);
                counts.unrecorded.fetch_add(number, Ordering::Relaxed);
                *lock(&counts.failure) = Some(error);
            }
        }
    }

    fn try_to_write(&mut self, uses: Uses, renewals: &[Answer]) -> Result<(), StoreError> {
        let now = keyward_core::rules::time::whole_seconds(self.clock.now());
        let recorder = match &mut self.recorder {
            Some(recorder) => recorder,
            empty => match self.gate.recorder(now) {
                Ok(recorder) => empty.insert(recorder),
                Err(error) => {
                    self.counts.put_back(uses);
                    return Err(error);
                }
            },
        };
        recorder.add(uses);
        recorder.flush(now)?;
        for answer in renewals {
            let mut salt = [0; keyward_core::rules::hashing::SALT_BYTES];
            // A hash not renewed now is renewed another time.
            if SysRng.try_fill_bytes(&mut salt).is_ok() {
                let _ = recorder.renew(answer, salt, now);
            }
        }
        Ok(())
    }
}

impl Counts {
    fn put_back(&self, uses: Uses) {
        lock(&self.parts[0]).uses.merge(uses);
    }
}
