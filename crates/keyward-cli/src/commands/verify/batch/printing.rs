//! Prints the answers in the order of their questions, and counts what was printed.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use super::{Answered, Room};
use crate::error::{Error, Exit};
use crate::session::Session;
use crate::terminal::StopRequest;
use keyward_core::store::Uses;
use keyward_core::verifier::{Answer, Recorder};

/// After how long a pause the answered requests are counted.
const COUNT_AFTER: Duration = Duration::from_millis(100);

/// Prints answers until there are no more, a signal ends the run, or the output is closed. Returns the worst exit code.
pub(super) fn print(
    session: &mut Session,
    counting: &mut Counting,
    stopping: &StopRequest,
    answers: &Receiver<Answered>,
    rooms: &SyncSender<Room>,
) -> Result<Exit, Error> {
    let size = session.terminal.kinds().stdin_size;
    let mut progress = session.terminal.progress("verifying", size.unwrap_or(0));
    let mut waiting: BTreeMap<u64, Answered> = BTreeMap::new();
    let (mut next, mut done, mut worst) = (0, 0, Exit::DONE);
    let mut printed = Ok(());
    while printed.is_ok() {
        match answers.recv_timeout(COUNT_AFTER) {
            Ok(answered) => drop(waiting.insert(answered.chunk.place, answered)),
            Err(RecvTimeoutError::Timeout) => counting.rest(session),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        while let Some(Answered { chunk, uses, renewals, worst: exit }) = waiting.remove(&next) {
            next += 1;
            worst = worst.worse(exit);
            printed = printed.and_then(|()| session.terminal.print_bytes(&chunk.room.output));
            counting.add(session, uses, &renewals);
            done += chunk.bytes;
            let _ = rooms.send(chunk.room);
        }
        if waiting.is_empty() {
            printed = printed.and_then(|()| session.terminal.flush());
        }
        if size.is_some() {
            progress.at(done);
        }
        counting.flush_if_due(session);
        if stopping.is_asked_for() || session.terminal.is_unread() {
            break;
        }
    }
    drop(progress);
    // Answered requests are counted even if the output is closed.
    counting.flush(session);
    printed.and_then(|()| session.terminal.flush())?;
    counting.warn_of_lost_uses(session);
    Ok(worst)
}

/// Counts what was printed, if counting is on.
pub(super) struct Counting {
    recorder: Recorder,
    record: bool,
    /// Why the last write failed.
    failed: Option<Error>,
    /// Why a hash could not be renewed.
    not_renewed: Option<Error>,
}

impl Counting {
    pub(super) fn new(recorder: Recorder, record: bool) -> Self {
        Self { recorder, record, failed: None, not_renewed: None }
    }

    fn add(&mut self, session: &mut Session, uses: Uses, renewals: &[Answer]) {
        if !self.record {
            return;
        }
        self.recorder.add(uses);
        let can_renew = self.recorder.can_write();
        for answer in renewals.iter().filter(|_| can_renew) {
            let salt = session.random();
            let renewed = salt.and_then(|salt| Ok(self.recorder.renew(answer, salt, session.now())?));
            if let Err(error) = renewed {
                self.not_renewed.get_or_insert(error);
            }
        }
    }

    /// Called when the input pauses. A failed write is not tried again at once.
    fn rest(&mut self, session: &mut Session) {
        if self.failed.is_none() {
            self.flush(session);
        }
    }

    fn flush_if_due(&mut self, session: &mut Session) {
        session.look_at_the_clock();
        if self.recorder.is_due(session.now()) {
            self.flush(session);
        }
    }

    fn flush(&mut self, session: &mut Session) {
        session.look_at_the_clock();
        self.failed = self.recorder.flush(session.now()).err().map(Error::from);
    }

    /// Says what was lost.
    fn warn_of_lost_uses(&mut self, session: &mut Session) {
        if let Some(error) = self.failed.take().or(self.not_renewed.take()) {
            session.terminal.warn(&format!("some uses were not recorded: {}", error.message()));
        }
    }
}
