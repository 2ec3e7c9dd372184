//! Finds out whether a change was made when COMMIT was sent and no answer came.
//!
//! The server may or may not have made it. A new connection waits for the store's lock, which the transaction holds
//! until it ends, and looks for the newest event that the change would have written. The event's hash covers all of the
//! history before it, so no other change has the same one.

use std::thread;
use std::time::Duration;

use super::{End, Engine, News};
use crate::store::error::StoreError;
use crate::store::postgres::Deadline;

/// How long keyward looks for a server that can answer.
const ASKING: Duration = Duration::from_secs(10);
/// The pause after a failed attempt.
const PAUSE: Duration = Duration::from_millis(100);

impl Engine {
    /// Finds out whether the change was made that gives the history this end.
    ///
    /// # Errors
    /// `lost` if it was not made; [`StoreError::Unheard`] if no server can be asked.
    pub(super) fn find_out(&self, end: End, lost: StoreError) -> Result<(), StoreError> {
        let deadline = Deadline::after(ASKING);
        while let Some(left) = deadline.left() {
            match self.ask_anew(&end, left) {
                Ok(true) => {
                    self.news.set(News { commit_confirmed_late: true, ..self.news.get() });
                    self.seen.replace(Some(end));
                    return Ok(());
                }
                Ok(false) => return Err(lost),
                // A missing right or another store will not be different in a second.
                Err(StoreError::Forbidden { .. } | StoreError::Missing(_) | StoreError::OpenSecret { .. }) => break,
                Err(_) => thread::sleep(PAUSE.min(left)),
            }
        }
        Err(StoreError::Unheard(self.place().to_owned()))
    }

    fn ask_anew(&self, end: &End, left: Duration) -> Result<bool, StoreError> {
        self.client.connect_again(&self.server, left)?;
        self.client.begin_change()?;
        let found = self.optional(
            "SELECT h.hash FROM history h JOIN history_head e ON e.store_id = ?2 WHERE h.seq = ?1",
            &[end.seq.into(), end.store_id.as_str().into()],
            |row| row.hash(0),
        );
        self.client.rollback();
        Ok(found? == Some(end.hash))
    }
}
