//! Transactions and statements, for a caller that waits for them.

mod copy_in;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio_postgres::{Client as PgClient, Error as PgError, Row, RowStream};

pub(in crate::store) use self::copy_in::CopyIn;
use super::bind::bound;
use super::error::Failure;
use super::server::{Peer, Server, settings};
use super::session::Session;
use super::wait::Deadline;
use crate::store::db::{Value, stop_at_error};
use crate::store::error::StoreError;

/// How long each wait may last.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Deadlines {
    /// For a statement. The server itself ends one after 10 s and says why, so this is a little longer.
    pub(in crate::store) statement: Duration,
    /// For the next row of a read transaction.
    pub(in crate::store) rows: Duration,
    /// For a commit: no setting of the server limits the wait for a standby.
    pub(in crate::store) commit: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            statement: Duration::from_millis(10_500),
            rows: Duration::from_secs(10),
            commit: Duration::from_secs(15),
        }
    }
}

/// How many milliseconds a count waits for a row: less than the `deadlock_timeout` of a server, 1 s by default, and
/// more than a commit takes.
const SHORT_WAIT: u32 = 300;
/// How long to wait for the rest of an answer that is no longer wanted.
const REST: Duration = Duration::from_secs(1);

/// Why a commit failed.
#[derive(Debug)]
pub(in crate::store) enum CommitError {
    /// Nothing was changed.
    Refused(StoreError),
    /// COMMIT was sent, and no answer came: the outcome is unknown.
    Unheard(StoreError),
}

/// The kind of the open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Read,
    Write,
}

/// A connection to a server. One thread uses it at a time, and waits for each answer.
///
/// After a lost connection, or an answer that did not come in time, it is closed and stays so until
/// [`Client::connect_again`].
#[derive(Debug)]
pub(in crate::store) struct Client {
    session: RefCell<Option<Session>>,
    peer: RefCell<Peer>,
    place: PathBuf,
    role: String,
    begin_to_write: String,
    begin_to_change: String,
    begin_to_count: String,
    begin_to_read: String,
    deadlines: Cell<Deadlines>,
    open: Cell<Open>,
    /// Whether the last statement of the transaction failed, so that the server will not commit it.
    is_broken: Cell<bool>,
    was_conflict: Cell<bool>,
    /// Whether rows are still arriving.
    is_answering: Cell<bool>,
}

impl Client {
    pub(super) fn new(server: &Server, session: Session, peer: Peer, deadlines: Deadlines) -> Self {
        let schema = server.url().schema();
        let begin_to_write = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {}", settings(schema, true));
        // The store's lock: there is one writer at a time. Nothing else in the row is needed.
        let begin_to_change = format!("{begin_to_write}; SELECT seq FROM \"{schema}\".history_head FOR UPDATE");
        // Every transaction uses `history_head` before any other table: then a migration that has this table for itself
        // gets the others too, because no one holds one of them and waits for the next.
        let arrive = format!("LOCK TABLE \"{schema}\".history_head IN ACCESS SHARE MODE");
        let begin_to_count = format!(
            "{begin_to_write}; SET LOCAL lock_timeout = '{SHORT_WAIT}ms'; {arrive}; \
             LOCK TABLE \"{schema}\".key_use IN ROW EXCLUSIVE MODE"
        );
        // A count takes its table lock before anything is read: a move of the store waits for such locks, and a count
        // after the move reads that it happened. A read transaction keeps no one from writing, and may take as long as
        // reading the history.
        let begin_to_read = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = \"{schema}\", pg_temp; \
             SET LOCAL row_security = off; SET LOCAL quote_all_identifiers = off; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; {arrive}"
        );
        Self {
            session: RefCell::new(Some(session)),
            peer: RefCell::new(peer),
            place: server.place().to_owned(),
            role: server.role().to_owned(),
            begin_to_write,
            begin_to_change,
            begin_to_count,
            begin_to_read,
            deadlines: Cell::new(deadlines),
            open: Cell::new(Open::Nothing),
            is_broken: Cell::new(false),
            was_conflict: Cell::new(false),
            is_answering: Cell::new(false),
        }
    }

    /// The server that it is connected to.
    pub(in crate::store) fn peer(&self) -> Peer {
        self.peer.borrow().clone()
    }

    /// Connects again, to the first host that accepts changes. Each host has `limit` for that, or its own time if that
    /// is less.
    ///
    /// # Errors
    /// As [`Server::connect`]. It stays closed then.
    pub(in crate::store) fn connect_again(&self, server: &Server, limit: Duration) -> Result<(), StoreError> {
        self.close(&mut self.session.borrow_mut());
        let (session, peer) = server.sign_in(limit)?;
        self.session.replace(Some(session));
        self.peer.replace(peer);
        Ok(())
    }

    /// Sets the deadlines from now on.
    pub(in crate::store) fn set_deadlines(&self, deadlines: Deadlines) {
        self.deadlines.set(deadlines);
    }

    /// Whether the connection can be used, as far as can be seen without asking the server.
    pub(in crate::store) fn is_open(&self) -> bool {
        let Ok(mut slot) = self.session.try_borrow_mut() else { return true };
        if slot.as_mut().is_some_and(Session::is_open) {
            return true;
        }
        self.close(&mut slot);
        false
    }

    /// Whether the last error was a collision of two transactions, so that the whole transaction may succeed when tried
    /// again.
    pub(in crate::store) fn was_conflict(&self) -> bool {
        self.was_conflict.get()
    }

    /// Begins a read transaction, which sees one moment.
    ///
    /// # Errors
    /// What the server reports, or that it cannot be reached.
    pub(in crate::store) fn begin_read(&self) -> Result<(), StoreError> {
        self.begin(&self.begin_to_read, Open::Read)
    }

    /// Begins a write transaction. The server ends any statement or wait for a lock after 10 s, and the transaction if
    /// this side is silent for 5 s.
    ///
    /// # Errors
    /// As [`Client::begin_read`].
    pub(in crate::store) fn begin_write(&self) -> Result<(), StoreError> {
        self.begin(&self.begin_to_write, Open::Write)
    }

    /// As [`Client::begin_write`], and waits for the store's lock.
    ///
    /// # Errors
    /// As [`Client::begin_read`].
    pub(in crate::store) fn begin_change(&self) -> Result<(), StoreError> {
        self.begin(&self.begin_to_change, Open::Write)
    }

    /// Begins a write transaction without the store's lock. It waits at most 300 ms for a row, which breaks a deadlock
    /// before the server notices it.
    ///
    /// # Errors
    /// As [`Client::begin_read`].
    pub(in crate::store) fn begin_count(&self) -> Result<(), StoreError> {
        self.begin(&self.begin_to_count, Open::Write)
    }

    fn begin(&self, sql: &str, kind: Open) -> Result<(), StoreError> {
        if self.open.get() != Open::Nothing {
            return Err(StoreError::Bug("a transaction is open already".into()));
        }
        let begun = self.ask(self.deadlines.get().statement, async |client| client.batch_execute(sql).await);
        if begun.is_err() {
            // Part of the message may have been executed.
            self.rollback();
            return begun;
        }
        self.open.set(kind);
        self.is_broken.set(false);
        Ok(())
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// [`CommitError::Refused`] if nothing was changed, [`CommitError::Unheard`] if that is unknown.
    pub(in crate::store) fn commit(&self) -> Result<(), CommitError> {
        if self.is_broken.get() && self.is_open() {
            self.rollback();
            // The server would answer this COMMIT without an error, and roll everything back.
            return Err(CommitError::Refused(StoreError::Bug("a statement of the transaction failed".into())));
        }
        // What the server said before the COMMIT, for example that it has ended the session, is not an answer to it.
        if let Ok(mut slot) = self.session.try_borrow_mut()
            && let Some(session) = slot.as_mut()
            && !session.is_open()
        {
            let end = session.end().unwrap_or_else(|| Failure::lost("it closed the connection"));
            self.close(&mut slot);
            return Err(CommitError::Refused(end.into_store(&self.place, &self.role)));
        }
        let limit = self.deadlines.get().commit;
        let outcome = self.attempt(limit, async |client| client.batch_execute("COMMIT").await);
        self.open.set(Open::Nothing);
        match outcome {
            Ok(()) => Ok(()),
            Err(Trouble::Own(error)) => Err(CommitError::Refused(error)),
            Err(Trouble::Server(failure)) if failure.is_refused_commit() => {
                Err(CommitError::Refused(failure.into_store(&self.place, &self.role)))
            }
            Err(Trouble::Server(failure)) => {
                // In any case, the next transaction must not begin on this session.
                self.close(&mut self.session.borrow_mut());
                Err(CommitError::Unheard(failure.into_store(&self.place, &self.role)))
            }
        }
    }

    /// Rolls the transaction back. If the server cannot be told, the connection is closed, which has the same effect.
    pub(in crate::store) fn rollback(&self) {
        let limit = self.deadlines.get().statement;
        let done = self.attempt(limit, async |client| client.batch_execute("ROLLBACK").await);
        if done.is_err() {
            self.close(&mut self.session.borrow_mut());
        }
        self.open.set(Open::Nothing);
        self.is_broken.set(false);
    }

    /// Runs a statement, with its placeholders written `$1`, `$2`, …, and returns how many rows it changed.
    /// [`super::bind`] says how values are bound.
    ///
    /// # Errors
    /// What the server reports, or that it cannot be reached.
    pub(in crate::store) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let values = bound(values);
        self.ask(self.limit(), async |client| client.execute_typed(sql, &values).await)
    }

    /// Calls `f` with each row of the answer, as it arrives. No other statement can run meanwhile.
    ///
    /// # Errors
    /// As [`Client::execute`]; or what `f` returns, which skips the rest of the answer.
    pub(in crate::store) fn query_each<E: From<StoreError>>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut f: impl FnMut(&Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut failed = None;
        let read = self.rows(sql, values, &mut |row| stop_at_error(f(row), &mut failed));
        failed.map_or_else(|| Ok(read?), Err)
    }

    /// Calls `f` with each row of the answer, as it arrives, until it has seen enough.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub(in crate::store) fn rows(
        &self,
        sql: &str,
        values: &[Value<'_>],
        f: &mut dyn FnMut(&Row) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let values = bound(values);
        let limit = self.limit();
        let rows = self.ask(limit, async |client| client.query_typed_raw(sql, values).await)?;
        let mut rows = pin!(rows);
        let answering = Answering::new(&self.is_answering);
        while let Some(row) = self.next(rows.as_mut(), limit)? {
            if f(&row).is_break() {
                self.leave(rows);
                return Ok(());
            }
        }
        drop(answering);
        Ok(())
    }

    fn next(&self, rows: Pin<&mut RowStream>, limit: Duration) -> Result<Option<Row>, StoreError> {
        let mut slot = self.session.borrow_mut();
        let Some(session) = slot.as_mut() else { return Err(self.closed()) };
        session.next(rows, limit).map_err(|failure| {
            self.note(&mut slot, &failure);
            self.error(failure)
        })
    }

    /// Reads the rest of an answer, so that it is not taken for the next one, but does not wait for a long rest.
    fn leave(&self, mut rows: Pin<&mut RowStream>) {
        let deadline = Deadline::after(REST);
        loop {
            match self.next(rows.as_mut(), REST) {
                Ok(None) => return,
                Ok(Some(_)) if deadline.left().is_some() => {}
                _ => return self.close(&mut self.session.borrow_mut()),
            }
        }
    }

    /// How long to wait for an answer to a statement.
    fn limit(&self) -> Duration {
        let Deadlines { statement, rows, .. } = self.deadlines.get();
        if self.open.get() == Open::Read { rows } else { statement }
    }

    fn ask<T>(
        &self,
        limit: Duration,
        question: impl AsyncFnOnce(&PgClient) -> Result<T, PgError>,
    ) -> Result<T, StoreError> {
        self.attempt(limit, question).map_err(|trouble| match trouble {
            Trouble::Own(error) => error,
            Trouble::Server(failure) => self.error(failure),
        })
    }

    fn attempt<T>(
        &self,
        limit: Duration,
        question: impl AsyncFnOnce(&PgClient) -> Result<T, PgError>,
    ) -> Result<T, Trouble> {
        let nested = || Trouble::Own(StoreError::Bug("a statement was run while rows were read".into()));
        if self.is_answering.get() {
            return Err(nested());
        }
        let mut slot = self.session.try_borrow_mut().map_err(|_| nested())?;
        let Some(session) = slot.as_mut() else { return Err(Trouble::Own(self.closed())) };
        let done = session.ask(Deadline::after(limit), limit, question);
        // After ROLLBACK TO, a transaction is intact again.
        self.is_broken.set(done.is_err());
        done.map_err(|failure| {
            self.note(&mut slot, &failure);
            Trouble::Server(failure)
        })
    }

    /// Remembers what an error says about the connection.
    fn note(&self, slot: &mut Option<Session>, failure: &Failure) {
        self.is_broken.set(true);
        self.was_conflict.set(failure.is_conflict());
        if failure.ends_session() {
            *slot = None;
        }
    }

    fn error(&self, failure: Failure) -> StoreError {
        // As far as is known, a change without an answer is waiting for other changes.
        if matches!(failure, Failure::Silent(_)) && self.open.get() == Open::Write {
            return StoreError::Locked(self.place.clone());
        }
        failure.into_store(&self.place, &self.role)
    }

    fn closed(&self) -> StoreError {
        Failure::lost("the connection to it is closed").into_store(&self.place, &self.role)
    }

    fn close(&self, slot: &mut Option<Session>) {
        *slot = None;
        self.open.set(Open::Nothing);
        self.is_broken.set(false);
    }
}

/// Why a query has no answer.
enum Trouble {
    /// It was never sent.
    Own(StoreError),
    /// What the server or the network reported.
    Server(Failure),
}

/// While it lives, rows are arriving.
struct Answering<'c>(&'c Cell<bool>);

impl<'c> Answering<'c> {
    fn new(flag: &'c Cell<bool>) -> Self {
        flag.set(true);
        Self(flag)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
