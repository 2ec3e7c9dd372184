//! Transactions and statements, for somebody who waits for them.

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
    /// For a statement. The server ends one after 10 s itself and says why; so this is a little more.
    pub(in crate::store) statement: Duration,
    /// For the next row of a transaction that reads.
    pub(in crate::store) rows: Duration,
    /// For a commit: no setting of the server ends one that waits for a standby.
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

/// How many milliseconds who counts waits for a row. Less than the `deadlock_timeout` of a server, which is 1 s where
/// nobody has set it, and more than a commit takes.
const SHORT_WAIT: u32 = 300;
/// How long is waited for what is left of an answer that nobody wants any more.
const REST: Duration = Duration::from_secs(1);

/// Why a commit did not end well.
#[derive(Debug)]
pub(in crate::store) enum CommitError {
    /// Nothing was changed.
    Refused(StoreError),
    /// COMMIT was sent, and no answer came: nobody knows.
    Unheard(StoreError),
}

/// What kind of transaction is open.
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
    /// Whether the last statement of the transaction failed, so that the server makes nothing of it.
    is_broken: Cell<bool>,
    was_conflict: Cell<bool>,
    /// Whether rows are on their way.
    is_answering: Cell<bool>,
}

impl Client {
    pub(super) fn new(server: &Server, session: Session, peer: Peer, deadlines: Deadlines) -> Self {
        let schema = server.url().schema();
        let begin_to_write = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {}", settings(schema, true));
        // The lock of the store: there is one writer at a time. Nothing else of the row is needed.
        let begin_to_change = format!("{begin_to_write}; SELECT seq FROM \"{schema}\".history_head FOR UPDATE");
        let begin_to_count = format!(
            "{begin_to_write}; SET LOCAL lock_timeout = '{SHORT_WAIT}ms'; \
             LOCK TABLE \"{schema}\".key_use IN ROW EXCLUSIVE MODE"
        );
        // That lock comes before anything is read: whoever moves the store waits for those who have it, and who comes after
        // the move reads that there was one.
        // It holds no lock, and may be as long as a history is.
        let begin_to_read = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = \"{schema}\", pg_temp; \
             SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
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

    /// Whom it is connected to.
    pub(in crate::store) fn peer(&self) -> Peer {
        self.peer.borrow().clone()
    }

    /// Connects once more, to the first host that takes changes. Each of them has `limit` for it, or its own time where
    /// that is less.
    ///
    /// # Errors
    /// As [`Server::connect`]. Then it is as closed as before.
    pub(in crate::store) fn connect_again(&self, server: &Server, limit: Duration) -> Result<(), StoreError> {
        self.close(&mut self.session.borrow_mut());
        let (session, peer) = server.sign_in(limit)?;
        self.session.replace(Some(session));
        self.peer.replace(peer);
        Ok(())
    }

    /// How long it waits from now on.
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

    /// Whether the last error was that of two transactions that met, and it may be well if it is tried again whole.
    pub(in crate::store) fn was_conflict(&self) -> bool {
        self.was_conflict.get()
    }

    /// Begins a transaction that only reads, and that sees one moment.
    ///
    /// # Errors
    /// What the server says, or that it is not there.
    pub(in crate::store) fn begin_read(&self) -> Result<(), StoreError> {
        self.begin(&self.begin_to_read, Open::Read)
    }

    /// Begins a transaction that writes. The server ends a statement of it after 10 s, a wait for a lock too, and
    /// itself where this side says nothing for 5 s.
    ///
    /// # Errors
    /// As [`Client::begin_read`].
    pub(in crate::store) fn begin_write(&self) -> Result<(), StoreError> {
        self.begin(&self.begin_to_write, Open::Write)
    }

    /// As [`Client::begin_write`], and waits for the lock of the store.
    ///
    /// # Errors
    /// As [`Client::begin_read`].
    pub(in crate::store) fn begin_change(&self) -> Result<(), StoreError> {
        self.begin(&self.begin_to_change, Open::Write)
    }

    /// Begins a transaction that writes without the lock of the store. It waits for no row longer than 300 ms: a circle of
    /// waiting transactions is broken by it before the server notices one.
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
            // A part of the message may have been done.
            self.rollback();
            return begun;
        }
        self.open.set(kind);
        self.is_broken.set(false);
        Ok(())
    }

    /// Makes what the transaction changed last.
    ///
    /// # Errors
    /// [`CommitError::Refused`] where nothing was changed, [`CommitError::Unheard`] where nobody knows.
    pub(in crate::store) fn commit(&self) -> Result<(), CommitError> {
        if self.is_broken.get() && self.is_open() {
            self.rollback();
            // The server would answer this COMMIT without an error, and take everything back.
            return Err(CommitError::Refused(StoreError::Bug("a statement of the transaction failed".into())));
        }
        // What the server said before the COMMIT, such as that it has ended the session, is no answer to it.
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
                // Whatever it was, the next transaction does not begin on it.
                self.close(&mut self.session.borrow_mut());
                Err(CommitError::Unheard(failure.into_store(&self.place, &self.role)))
            }
        }
    }

    /// Takes back what the transaction changed. Where that cannot be said to the server, the connection is closed, which
    /// does the same.
    pub(in crate::store) fn rollback(&self) {
        let limit = self.deadlines.get().statement;
        let done = self.attempt(limit, async |client| client.batch_execute("ROLLBACK").await);
        if done.is_err() {
            self.close(&mut self.session.borrow_mut());
        }
        self.open.set(Open::Nothing);
        self.is_broken.set(false);
    }

    /// Runs a statement, with its placeholders written `$1`, `$2`, …, and returns how many rows it changed. How values
    /// are bound is told in [`super::bind`].
    ///
    /// # Errors
    /// What the server says, or that it is not there.
    pub(in crate::store) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let values = bound(values);
        self.ask(self.limit(), async |client| client.execute_typed(sql, &values).await)
    }

    /// Calls `f` with each row of the answer, as it comes. No statement can be run meanwhile.
    ///
    /// # Errors
    /// As [`Client::execute`]; or what `f` returns, and then the rest of the answer is left.
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

    /// Calls `f` with each row of the answer, as it comes, until it has seen enough.
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

    /// Reads what is left of an answer, so that the next one is not taken for it; what is long is not waited for.
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

    /// How long an answer to a statement is waited for.
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
        // After ROLLBACK TO, a transaction is whole again.
        self.is_broken.set(done.is_err());
        done.map_err(|failure| {
            self.note(&mut slot, &failure);
            Trouble::Server(failure)
        })
    }

    /// Remembers what an error tells about the connection.
    fn note(&self, slot: &mut Option<Session>, failure: &Failure) {
        self.is_broken.set(true);
        self.was_conflict.set(failure.is_conflict());
        if failure.ends_session() {
            *slot = None;
        }
    }

    fn error(&self, failure: Failure) -> StoreError {
        // A change that gets no answer waits for those who change something, as far as anybody can tell.
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

/// Why a question has no answer.
enum Trouble {
    /// It was never asked.
    Own(StoreError),
    /// What the server said, or the net.
    Server(Failure),
}

/// While it lives, rows are on their way.
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
