//! One look at the store for all waiting questions.
//!
//! A look costs more than everything else for a cached key: five system calls. So after a question is read, others that
//! are ready on its event loop are read too, and the first of them to resume looks for all.
//!
//! What may break: a question could be decided by a look from before it was asked. So each takes a seat after it was
//! read, and only a later look counts for it; later questions wait for the next look.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use keyward_core::store::StoreError;
use keyward_core::verifier::Turn;

/// The rounds of one event loop.
#[derive(Default)]
pub(crate) struct Rounds(Mutex<Round>);

#[derive(Default)]
struct Round {
    /// The number of looks so far.
    looks: u64,
    /// Questions waiting for the next look.
    waiting: usize,
    /// Questions that the last look, or an earlier one, has yet to decide.
    left: usize,
    /// The last look, while any questions are left.
    turn: Option<Turn>,
}

/// A place in a round. If it is given up, the others do not wait for it.
pub(crate) struct Seat<'r> {
    rounds: &'r Rounds,
    /// The first look that counts.
    look: u64,
}

impl Rounds {
    fn round(&self) -> MutexGuard<'_, Round> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat for a question that has been read. Meanwhile, others that are ready on this event loop are read.
    pub(crate) async fn seat(&self) -> Seat<'_> {
        let seat = {
            let mut round = self.round();
            round.waiting += 1;
            Seat { rounds: self, look: round.looks + 1 }
        };
        let mut had_others_read = false;
        poll_fn(|context| {
            if std::mem::replace(&mut had_others_read, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        seat
    }
}

impl Seat<'_> {
    /// Decides by a look that comes after the question; `look` makes one.
    ///
    /// # Errors
    /// If the store cannot be read. The others in the round then look for themselves.
    pub(crate) fn take<T>(
        self,
        look: impl Fn() -> Result<Turn, StoreError>,
        decide: impl FnOnce(&mut Turn) -> T,
    ) -> Result<T, StoreError> {
        let mut round = self.rounds.round();
        if round.looks < self.look {
            round.turn = None;
            round.looks += 1;
            round.left += std::mem::take(&mut round.waiting);
            round.turn = Some(look()?);
        }
        match &mut round.turn {
            Some(turn) => Ok(decide(turn)),
            None => Ok(decide(&mut look()?)),
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut round = self.rounds.round();
        if round.looks < self.look {
            round.waiting -= 1;
        } else {
            round.left -= 1;
        }
        if round.left == 0 {
            round.turn = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    use keyward_core::store::Store;
    use keyward_core::verifier::{Gate, Options};

    use super::*;

    fn gate(folder: &tempfile::TempDir) -> Gate {
        let path = folder.path().join("keys.db");
        let store = Store::create(&path, "2026-01-31T12:00:00Z".parse().unwrap()).unwrap();
        Gate::new(store, [7; 32], Options::default()).unwrap()
    }

    /// The number of looks, and of questions left.
    fn counts(rounds: &Rounds) -> (u64, usize) {
        let round = rounds.round();
        (round.looks, round.left)
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_look_is_for_those_who_had_asked_by_then() {
        let folder = tempfile::tempdir().unwrap();
        let (gate, rounds) = (gate(&folder), Rounds::default());
        let (mut first, mut second, mut late) = (pin!(rounds.seat()), pin!(rounds.seat()), pin!(rounds.seat()));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        let Poll::Ready(seat) = poll(first.as_mut()) else { panic!("it had others read") };
        assert!(seat.take(|| gate.turn(), |_| ()).is_ok());
        assert_eq!(counts(&rounds), (1, 1));
        assert!(poll(late.as_mut()).is_pending());
        let Poll::Ready(seat) = poll(second.as_mut()) else { panic!("it had others read") };
        assert!(seat.take(|| gate.turn(), |_| ()).is_ok());
        assert_eq!(counts(&rounds), (1, 0));
        assert!(rounds.round().turn.is_none(), "what nobody waits for is given back");
        let Poll::Ready(seat) = poll(late.as_mut()) else { panic!("it had others read") };
        assert!(seat.take(|| gate.turn(), |_| ()).is_ok());
        assert_eq!(counts(&rounds), (2, 0), "it asked after the first look");
    }

    #[test]
    fn a_seat_that_is_given_up_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (gate, rounds) = (gate(&folder), Rounds::default());
        let mut own = Box::pin(rounds.seat());
        let (mut early, mut late) = (Box::pin(rounds.seat()), Box::pin(rounds.seat()));
        for seat in [&mut own, &mut early, &mut late] {
            assert!(poll(seat.as_mut()).is_pending());
        }
        drop(early);
        assert_eq!(rounds.round().waiting, 2);
        let Poll::Ready(seat) = poll(own.as_mut()) else { panic!("it had others read") };
        assert!(seat.take(|| gate.turn(), |_| ()).is_ok());
        assert!(rounds.round().turn.is_some());
        drop(late);
        let round = rounds.round();
        assert!(round.turn.is_none() && (round.waiting, round.left) == (0, 0));
    }
}
