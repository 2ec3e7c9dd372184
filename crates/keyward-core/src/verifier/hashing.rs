//! An answer that is still being computed: a thread can wait for it, or await it as a future.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Answer, VerifyError};

/// An answer for which a hash is being computed. Dropping it gives up the answer, but the hash is still computed.
#[must_use = "nothing is known before it has been waited for"]
pub struct Hashing(Arc<Slot>);

/// The other end: its holder owes the answer. If it is dropped without one, the question is given up and the wait ends.
pub(super) struct Promise(Arc<Slot>);

struct Slot {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    answer: Option<Result<Answer, VerifyError>>,
    is_answered: bool,
    waker: Option<Waker>,
}

impl Hashing {
    pub(super) fn new() -> (Promise, Self) {
        let slot = Arc::new(Slot { state: Mutex::default(), answered: Condvar::new() });
        (Promise(Arc::clone(&slot)), Self(slot))
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`super::Gate::ask`], and [`VerifyError::GivenUp`] if the gate was dropped or the thread panicked.
    pub fn wait(self) -> Result<Answer, VerifyError> {
        let mut state = self.0.state();
        loop {
            match state.answer.take() {
                Some(answer) => return answer,
                None => state = self.0.answered.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Future for Hashing {
    type Output = Result<Answer, VerifyError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state();
        if let Some(answer) = state.answer.take() {
            return Poll::Ready(answer);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Promise {
    pub(super) fn keep(self, answer: Result<Answer, VerifyError>) {
        self.0.answer(answer);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.answer(Err(VerifyError::GivenUp));
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first answer counts.
    fn answer(&self, answer: Result<Answer, VerifyError>) {
        let mut state = self.state();
        if state.is_answered {
            return;
        }
        state.is_answered = true;
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        self.answered.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl std::fmt::Debug for Hashing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hashing")
    }
}
