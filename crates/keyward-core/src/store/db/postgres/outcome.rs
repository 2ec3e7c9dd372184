//! What became of a change when COMMIT was sent and no answer came.
//!
//! The server may have made it or not. Another connection waits for the lock of the store, which the transaction holds
//! until it is over, and looks for the newest event that it would have written: its hash covers all of the history before
//! it, so no other change has the same.

use std::thread;
use std::time::Duration;

use super::{End, Engine, News};
use crate::store::error::StoreError;
use crate::store::postgres::Deadline;

/// How long keyward looks for a server that it can ask.
const ASKING: Duration = Duration::from_secs(10);
/// How long after an attempt that failed the next one begins.
const PAUSE: Duration = Duration::from_millis(100);

impl Engine {
    /// Finds out whether the change was made that ends the history so.
    ///
    /// # Errors
    /// `lost` where it was not made; [`StoreError::Unheard`] where nobody can be asked.
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
                // Another role or another store will not be there in a second.
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
