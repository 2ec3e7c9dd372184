//! PostgreSQL behind the seam.
//!
//! A connection that is lost is replaced at the next look at the store, and not in the middle of anything: whoever was
//! answered by the former one is told that the server was lost.

mod transfer;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Sight;
use super::row::Row;
use super::value::Value;
use crate::store::error::StoreError;
use crate::store::postgres::{Client, CommitError, Deadlines, Peer, Server};

/// A connection to a server, and the way to another one.
#[derive(Debug)]
pub(in crate::store) struct Engine {
    server: Arc<Server>,
    client: Client,
    /// Which store it was at the last look, and the end of its history then.
    seen: RefCell<Option<Seen>>,
    patience: Cell<Duration>,
}

/// The id of the store, the number and the hash of its newest event, and whether it is moved to another place.
type Seen = (String, i64, Vec<u8>, Option<i64>);

/// The end of the history, which store it is, and the mark of one that is moved.
const HEAD: &str = "SELECT h.store_id, h.seq, h.hash, m.is_done FROM history_head h LEFT JOIN moved m ON m.one = h.one";
/// The lock of the store: there is one writer at a time. Nothing else of the row is needed.
const LOCK: &str = "SELECT seq FROM history_head FOR UPDATE";
const LONGEST: Duration = Duration::from_secs(10);
/// Whoever does not wait for others waits this long for the server all the same: it answers over a network.
const LEAST: Duration = Duration::from_millis(800);

impl Engine {
    pub(in crate::store) fn new(server: Arc<Server>, client: Client) -> Self {
        Self { server, client, seen: RefCell::new(None), patience: Cell::new(LONGEST) }
    }

    pub(super) fn place(&self) -> &Path {
        self.server.place()
    }

    pub(super) fn peer(&self) -> &Peer {
        self.client.peer()
    }

    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        self.client.execute(&numbered(sql), values)
    }

    pub(super) fn each<E: From<StoreError>>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut f: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.client.query_each(&numbered(sql), values, |row| f(&Row::of_server(row, self.place())))
    }

    pub(super) fn optional<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        f: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let (mut found, mut f) = (None, Some(f));
        self.each(sql, values, |row| {
            if let Some(f) = f.take() {
                found = Some(f(row)?);
            }
            Ok::<_, StoreError>(())
        })?;
        Ok(found)
    }

    pub(super) fn begin_to_read(&self) -> Result<(), StoreError> {
        self.client.begin_read()
    }

    /// Begins to write, and waits for its turn.
    pub(super) fn begin_to_write(&self) -> Result<(), StoreError> {
        self.client.begin_write()?;
        let locked = self.client.query_each(LOCK, &[], |_| Ok::<_, StoreError>(()));
        if locked.is_err() {
            self.client.rollback();
        }
        locked
    }

    /// Makes what was written last. What oneself has written is not found later: nobody else writes until then.
    pub(super) fn commit(&self) -> Result<(), StoreError> {
        let seen = self.head()?;
        let committed = self.client.commit().map_err(|error| match error {
            CommitError::Refused(error) => error,
            CommitError::Unheard(_) => StoreError::Unheard(self.place().to_owned()),
        });
        self.seen.replace(seen.filter(|_| committed.is_ok()));
        committed
    }

    fn head(&self) -> Result<Option<Seen>, StoreError> {
        let mut found = None;
        self.each(HEAD, &[], |row| {
            found = Some((row.text(0)?.to_owned(), row.integer(1)?, row.hash(2)?.to_vec(), row.optional_integer(3)?));
            Ok::<_, StoreError>(())
        })?;
        Ok(found)
    }

    pub(super) fn rollback(&self) {
        self.client.rollback();
    }

    /// Looks whether anybody has changed the store since the last look.
    pub(super) fn look(&mut self) -> Result<Sight, StoreError> {
        if !self.client.is_open() {
            self.client = self.server.connect()?;
            self.wait_for(self.patience.get());
            self.seen.replace(None);
        }
        let now = self.head()?;
        let is_same = now.is_some() && now == *self.seen.borrow();
        self.seen.replace(now);
        Ok(if is_same { Sight::Same } else { Sight::Written })
    }

    /// Has it wait this long for the server, and no longer.
    pub(super) fn wait_for(&self, patience: Duration) {
        self.patience.set(patience);
        let longest = Deadlines::default();
        let statement = if patience < LONGEST { patience.max(LEAST) } else { longest.statement };
        self.client.set_deadlines(Deadlines { statement, ..longest });
    }
}

/// The statement with its placeholders as PostgreSQL numbers them: `$1` in the place of `?1`.
fn numbered(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut is_quoted = false;
    for c in sql.chars() {
        is_quoted ^= c == '\'';
        text.push(if c == '?' && !is_quoted { '$' } else { c });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_outside_of_texts() {
        assert_eq!(numbered("a = ?1 AND b = '?2' || ?12"), "a = $1 AND b = '?2' || $12");
    }
}
