//! One look at the store for all questions that are there.
//!
//! A look costs more than all else that a warm key takes: five system calls. So a question that has been read lets the
//! others that are ready on its event loop be read as well, and the first of them that is back looks for all.
//!
//! What may break: a question that is decided by a look from before it was asked. So each of them takes a seat when it
//! has been read, and only a look that follows counts for it; who comes later waits for the next one.

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
    /// Looks that there have been.
    looks: u64,
    /// Questions that wait for the next one.
    waiting: usize,
    /// Questions that have not been decided by the last one yet, or one before it.
    left: usize,
    /// The last one, for as long as any are left.
    turn: Option<Turn>,
}

/// A place in a round. Where it is given up, nobody waits for it.
pub(crate) struct Seat<'r> {
    rounds: &'r Rounds,
    /// The first look that counts.
    look: u64,
}

impl Rounds {
    fn round(&self) -> MutexGuard<'_, Round> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat, for a question that has been read by now. Meanwhile those that are ready on this event loop are read.
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
    /// Decides by a look that follows the question; `look` makes one.
    ///
    /// # Errors
    /// Where the store cannot be read. Whoever shares the round then looks for itself.
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

    /// Looks, and who is left of them.
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
