//! A transaction that holds the store's lock: what it knows that no one else can change, and the time of its changes,
//! which comes from the server.

use jiff::{SignedDuration, Timestamp};

use super::{End, Engine, News};
use crate::rules::time::whole_seconds;
use crate::store::error::StoreError;

/// How far the clock of this host may be off before that is reported.
const TOLD: SignedDuration = SignedDuration::from_secs(2);
/// How far it may be off before changes are refused.
const MOST: SignedDuration = SignedDuration::from_secs(60);

/// What is known while the lock is held.
#[derive(Debug)]
pub(super) struct Turn {
    /// The end of the history, including what was written so far.
    pub(super) end: End,
    /// The number of its newest event when it began.
    began_at: i64,
    /// The ends at the savepoints.
    tried: Vec<End>,
    /// The server's time, if that is the time of the changes.
    now: Option<Timestamp>,
}

impl Turn {
    pub(super) fn has_written(&self) -> bool {
        self.end.seq > self.began_at
    }
}

impl Engine {
    /// Begins to write, and waits for its turn.
    pub(in super::super) fn begin_to_write(&self) -> Result<(), StoreError> {
        self.be_connected()?;
        self.client.begin_change()?;
        let turn = self.begun();
        if turn.is_err() {
            self.client.rollback();
        }
        self.turn.replace(turn?);
        Ok(())
    }

    /// Reads what stays valid while the lock is held. The time is read now, not by the statement that waited.
    fn begun(&self) -> Result<Option<Turn>, StoreError> {
        const BEGUN: &str = "SELECT store_id, seq, hash, moved_to, is_moved,
                    CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)
                               FROM history_head";
        let clock = self.server.clock();
        let before = clock.map(|clock| clock());
        let found = self.optional(BEGUN, &[], |row| Ok((End::read(row)?, row.integer(5)?)))?;
        let Some((end, micros)) = found else { return Ok(None) };
        let now = match (clock, before) {
            (Some(clock), Some(before)) => Some(self.compared(micros, before, clock())?),
            _ => None,
        };
        Ok(Some(Turn { began_at: end.seq, end, tried: vec![], now }))
    }

    /// The server's time, which it read between these two times of this host.
    fn compared(&self, micros: i64, before: Timestamp, after: Timestamp) -> Result<Timestamp, StoreError> {
        let server = Timestamp::from_microsecond(micros)
            .map_err(|error| StoreError::Bug(format!("the time of the server: {error}").into()))?;
        let off = host_is_off(server, before, after);
        if off.abs() > MOST {
            return Err(StoreError::ClockSkew { path: self.place().to_owned(), seconds: off.as_secs() });
        }
        if off.abs() > TOLD {
            self.news.set(News { clock_skew: Some(off.as_secs()), ..self.news.get() });
        }
        Ok(whole_seconds(server))
    }

    /// The time of the changes in this transaction, if the server sets it.
    pub(in super::super) fn time_of_change(&self) -> Option<Timestamp> {
        self.turn.borrow().as_ref()?.now
    }

    /// The end of the history, while the lock is held.
    pub(in super::super) fn held(&self) -> Option<End> {
        Some(self.turn.borrow().as_ref()?.end.clone())
    }

    /// Continues the history with this event.
    pub(in super::super) fn extend(&self, seq: i64, hash: &[u8; 32]) {
        if let Some(turn) = self.turn.borrow_mut().as_mut() {
            (turn.end.seq, turn.end.hash) = (seq, *hash);
        }
    }

    /// Sets the identity of the store and the end of its history.
    pub(in super::super) fn begin_anew(&self, store_id: &str, seq: i64, hash: &[u8; 32]) {
        if let Some(turn) = self.turn.borrow_mut().as_mut() {
            turn.end = End { store_id: store_id.to_owned(), seq, hash: *hash, moved: None };
        }
    }

    /// Remembers a savepoint.
    pub(in super::super) fn begin_to_try(&self) {
        if let Some(turn) = self.turn.borrow_mut().as_mut() {
            turn.tried.push(turn.end.clone());
        }
    }

    /// Returns to it.
    pub(in super::super) fn end_of_try(&self) {
        if let Some(turn) = self.turn.borrow_mut().as_mut()
            && let Some(end) = turn.tried.pop()
        {
            turn.end = end;
        }
    }
}

/// How far the clock of this host is ahead of the server's, which was read between these two times. The possible delay
/// of the query is given the benefit of the doubt.
fn host_is_off(server: Timestamp, before: Timestamp, after: Timestamp) -> SignedDuration {
    if before > server {
        before.duration_since(server)
    } else if after < server {
        after.duration_since(server)
    } else {
        SignedDuration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_question_took_is_not_held_against_a_clock() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (server, before, after, off) in
            [(10, 10, 10, 0), (10, 5, 15, 0), (10, 13, 15, 3), (10, 1, 4, -6), (10, 71, 99, 61)]
        {
            let found = host_is_off(at(server), at(before), at(after));
            assert_eq!(found, SignedDuration::from_secs(off), "{server} between {before} and {after}");
        }
    }
}
