//! PostgreSQL behind the seam.
//!
//! A lost connection is replaced at the next check of the store or the next change, never in the middle of something:
//! whatever was using the former one gets an error. Only the outcome of a commit is asked over a new connection, in
//! `outcome`.

mod outcome;
mod transfer;
mod turn;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::turn::Turn;
use super::row::Row;
use super::value::Value;
use super::{End, Look, News, Sight, first};
use crate::store::error::StoreError;
use crate::store::moved::Moved;
use crate::store::postgres::{Client, CommitError, Deadlines, Peer, Server, dangling, strange_parts};

/// A connection to a server, and how to make another one.
#[derive(Debug)]
pub(in crate::store) struct Engine {
    server: Arc<Server>,
    client: Client,
    /// The query for the end of the history. It names its schema: outside a transaction, a pooler may use any session.
    head: String,
    /// The identity of the store and the end of its history at the last check.
    seen: RefCell<Option<End>>,
    /// What a transaction that holds the store's lock knows; no one else can change it meanwhile.
    turn: RefCell<Option<Turn>>,
    news: Cell<News>,
    patience: Cell<Duration>,
}

impl End {
    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let (store_id, moved) = (row.text(0)?.to_owned(), Moved::read(row, 3)?);
        Ok(Self { store_id, seq: row.integer(1)?, hash: row.hash(2)?, moved })
    }
}

const LONGEST: Duration = Duration::from_secs(10);
/// Even without patience for others, this is how long to wait for the server: it answers over a network.
const LEAST: Duration = Duration::from_millis(800);
/// And this long for the sign-in: together a second.
const SOON: Duration = Duration::from_millis(200);

/// How long a caller with this patience waits for each host's sign-in.
fn connecting(patience: Duration) -> Duration {
    patience.clamp(SOON, LONGEST)
}

impl Engine {
    /// Connects, for a caller with this patience.
    pub(in crate::store) fn connect(server: Arc<Server>, patience: Duration) -> Result<Self, StoreError> {
        let client = server.connect_within(connecting(patience))?;
        let engine = Self::new(server, client);
        engine.wait_for(patience);
        Ok(engine)
    }

    fn new(server: Arc<Server>, client: Client) -> Self {
        let head =
            format!("SELECT store_id, seq, hash, moved_to, is_moved FROM \"{}\".history_head", server.url().schema());
        Self {
            server,
            client,
            head,
            seen: RefCell::new(None),
            turn: RefCell::new(None),
            news: Cell::default(),
            patience: Cell::new(LONGEST),
        }
    }

    pub(super) fn place(&self) -> &Path {
        self.server.place()
    }

    pub(super) fn peer(&self) -> Peer {
        self.client.peer()
    }

    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        self.client.execute(&numbered(sql), values)
    }

    pub(super) fn rows(&self, sql: &str, values: &[Value<'_>], f: Look<'_>) -> Result<(), StoreError> {
        self.client.rows(&numbered(sql), values, &mut |row| f(&Row::of_server(row, self.place())))
    }

    fn optional<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        f: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        first(|f| self.rows(sql, values, f), f)
    }

    pub(super) fn begin_to_read(&self) -> Result<(), StoreError> {
        self.be_connected()?;
        self.client.begin_read()
    }

    /// Begins to count what others may count at the same time, without the store's lock.
    pub(super) fn begin_to_count(&self) -> Result<(), StoreError> {
        self.be_connected()?;
        self.client.begin_count()
    }

    /// Commits, and finds out whether it succeeded if the server does not say. Its own changes do not count as news
    /// later: no one else writes until then.
    pub(super) fn commit(&self) -> Result<(), StoreError> {
        let turn = self.turn.take();
        let error = match self.client.commit() {
            Ok(()) => {
                if let Some(turn) = turn {
                    self.seen.replace(Some(turn.end));
                }
                return Ok(());
            }
            Err(CommitError::Refused(error)) => return Err(error),
            Err(CommitError::Unheard(error)) => error,
        };
        match turn {
            Some(turn) if turn.has_written() => self.find_out(turn.end, error),
            // Changes outside the history are not worth that: a lease.
            Some(_) => Err(error),
            None => Err(StoreError::Unheard(self.place().to_owned())),
        }
    }

    pub(super) fn rollback(&self) {
        self.turn.take();
        self.client.rollback();
    }

    /// What is wrong with the rows, if anything. A server checks its pages itself.
    pub(super) fn damage(&self) -> Result<Option<String>, StoreError> {
        dangling(&self.client)
    }

    /// Parts of the schema that keyward did not make, or that are missing.
    pub(super) fn strange_parts(&self) -> Result<Vec<String>, StoreError> {
        strange_parts(&self.client, &self.server)
    }

    /// Whether the last transaction failed only because it collided with another, so that it may succeed when tried
    /// again.
    pub(super) fn was_conflict(&self) -> bool {
        self.client.was_conflict()
    }

    /// The notices since the last call.
    pub(super) fn take_news(&self) -> News {
        self.news.take()
    }

    /// Checks whether the store has changed since the last check.
    pub(super) fn look(&self) -> Result<Sight, StoreError> {
        self.be_connected()?;
        let now = self.optional(&self.head, &[], End::read)?;
        let is_same = now.is_some() && now == *self.seen.borrow();
        self.seen.replace(now);
        Ok(if is_same { Sight::Same } else { Sight::Written })
    }

    /// Connects again if the connection was lost.
    fn be_connected(&self) -> Result<(), StoreError> {
        if self.client.is_open() {
            return Ok(());
        }
        self.seen.replace(None);
        self.client.connect_again(&self.server, connecting(self.patience.get()))
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.is_open()
    }

    /// Sets how long it waits for the server.
    pub(super) fn wait_for(&self, patience: Duration) {
        self.patience.set(patience);
        let longest = Deadlines::default();
        let statement = if patience < LONGEST { patience.max(LEAST) } else { longest.statement };
        self.client.set_deadlines(Deadlines { statement, ..longest });
    }
}

/// The statement with its placeholders as PostgreSQL numbers them: `$1` instead of `?1`.
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
