//! The one seam to an engine. Everything above it writes statements and reads rows; only this module knows what runs
//! them.
//!
//! A statement is one text for all engines: SQLite and PostgreSQL 14 both understand it. Their differences are in
//! [`dialect`]. Placeholders are numbered (`?1`), separators and bounds are bound or literal, and nothing relies on the
//! behaviour of one engine. A statement is prepared once and kept; a row is read by reference.
//!
//! **No statement inside [`Conn::each`]**: an engine may have one answer at a time.
//!
//! What may break: an engine's error becomes the [`StoreError`] that says what a person would do about it, and a row
//! that keyward did not write becomes [`StoreError::Corrupt`].

mod dialect;
#[cfg(feature = "postgres")]
mod filling;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
#[cfg(test)]
pub(super) mod spy;
mod sqlite;
mod tuples;
mod value;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

pub(super) use dialect::Dialect;
#[cfg(feature = "postgres")]
pub(super) use filling::Filling;
#[cfg(feature = "postgres")]
pub(super) use postgres::Engine as Postgres;
pub(super) use row::Row;
pub(super) use sqlite::{Engine as Sqlite, Kept, for_want_of_memory};
pub(super) use tuples::{AT_ONCE, tuples};
#[cfg(feature = "postgres")]
pub(super) use value::Kind;
pub(super) use value::Value;

use super::error::StoreError;
use super::moved::Moved;
#[cfg(feature = "postgres")]
use super::postgres::Peer;
pub(super) use super::sqlite::Sight;
use super::sqlite::backup::{self, BackupError, BackupReport};

/// The identity of the store, the number and the hash of its newest event, and where it was moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) store_id: String,
    pub(super) seq: i64,
    pub(super) hash: [u8; 32],
    pub(super) moved: Option<Moved>,
}

/// Things worth knowing that happened during a change but did not stop it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct News {
    /// The server did not say whether a change was made, and a second check found that it was.
    pub commit_confirmed_late: bool,
    /// How many seconds the clock of this host is ahead of the server's, if that is worth reporting.
    pub clock_skew: Option<i64>,
}

/// A connection to a store.
#[derive(Debug)]
pub(super) struct Conn {
    engine: Engine,
    /// How many views use the open transaction.
    views: Cell<u32>,
}

#[derive(Debug)]
enum Engine {
    Sqlite(Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(Box<Postgres>),
}

/// Receives the rows of an answer, and says whether it has seen enough.
type Look<'f> = &'f mut dyn FnMut(&Row<'_>) -> ControlFlow<()>;

/// Calls `f` with each row that `rows` reads.
fn each<E: From<StoreError>>(
    rows: impl FnOnce(Look<'_>) -> Result<(), StoreError>,
    mut f: impl FnMut(&Row<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut failed = None;
    let read = rows(&mut |row| stop_at_error(f(row), &mut failed));
    failed.map_or_else(|| Ok(read?), Err)
}

/// Stops reading rows at an error, which is kept in `failed`.
pub(super) fn stop_at_error<E>(looked: Result<(), E>, failed: &mut Option<E>) -> ControlFlow<()> {
    *failed = looked.err();
    if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The result of `f` for the first row that `rows` reads, if there is one.
fn first<T>(
    rows: impl FnOnce(Look<'_>) -> Result<(), StoreError>,
    f: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let (mut found, mut f) = (None, Some(f));
    let read = rows(&mut |row| {
        found = f.take().map(|f| f(row));
        ControlFlow::Break(())
    });
    match found {
        Some(Err(error)) => Err(error),
        Some(Ok(found)) => read.map(|()| Some(found)),
        None => read.map(|()| None),
    }
}

impl Conn {
    pub(super) fn new(engine: Sqlite) -> Self {
        Self { engine: Engine::Sqlite(engine), views: Cell::new(0) }
    }

    /// A connection to a server.
    #[cfg(feature = "postgres")]
    pub(super) fn to_server(engine: Postgres) -> Self {
        Self { engine: Engine::Postgres(Box::new(engine)), views: Cell::new(0) }
    }

    /// The server, if it is a connection to one.
    #[cfg(feature = "postgres")]
    pub(super) fn peer(&self) -> Option<Peer> {
        match &self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(engine) => Some(engine.peer()),
        }
    }

    /// SQLite, if the store is in a file: for what only a file has.
    #[cfg_attr(not(feature = "postgres"), expect(clippy::unnecessary_wraps, reason = "there may be another engine"))]
    pub(super) fn file(&self) -> Option<&Sqlite> {
        match &self.engine {
            Engine::Sqlite(engine) => Some(engine),
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => None,
        }
    }

    /// The same, mutably.
    #[cfg(test)]
    #[cfg_attr(not(feature = "postgres"), expect(clippy::unnecessary_wraps, reason = "there may be another engine"))]
    pub(super) fn file_mut(&mut self) -> Option<&mut Sqlite> {
        match &mut self.engine {
            Engine::Sqlite(engine) => Some(engine),
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => None,
        }
    }

    /// Where the store is.
    pub(super) fn place(&self) -> &Path {
        match &self.engine {
            Engine::Sqlite(engine) => engine.place(),
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.place(),
        }
    }

    /// The dialect of this engine.
    pub(super) fn dialect(&self) -> Dialect {
        match self.engine {
            Engine::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement, and returns how many rows it changed.
    #[cfg_attr(test, track_caller)]
    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        #[cfg(test)]
        spy::note(sql, values);
        match &self.engine {
            Engine::Sqlite(engine) => engine.execute(sql, values),
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.execute(sql, values),
        }
    }

    /// Runs a statement that changes exactly one row. Something in the database may pass over a change (a rule, a trigger,
    /// a row that is gone): then it must not be reported as done.
    pub(super) fn change_one(&self, sql: &str, values: &[Value<'_>]) -> Result<(), StoreError> {
        match self.execute(sql, values)? {
            1 => Ok(()),
            rows => Err(self.ineffective(&format!("a change reached {rows} rows instead of one"))),
        }
    }

    /// The error for a change that the database accepted, and did not make.
    pub(super) fn ineffective(&self, what: &str) -> StoreError {
        let detail = format!("{what}; `keyward doctor` lists what stands in the way, such as a trigger or a rule");
        StoreError::Corrupt { path: self.place().to_owned(), detail }
    }

    /// Calls `f` with each row of the answer.
    #[cfg_attr(test, track_caller)]
    pub(super) fn each<E: From<StoreError>>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        f: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        #[cfg(test)]
        spy::note(sql, values);
        each(|f| self.rows(sql, values, f), f)
    }

    /// Calls `f` with each row of the answer until it has seen enough. It is one function for all statements, because
    /// each generic copy would contain the code of both engines.
    fn rows(&self, sql: &str, values: &[Value<'_>], f: Look<'_>) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.rows(sql, values, f),
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.rows(sql, values, f),
        }
    }

    /// The result of `f` for each row of the answer.
    #[cfg_attr(test, track_caller)]
    pub(super) fn all<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        f: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = vec![];
        self.each(sql, values, |row| {
            found.push(f(row)?);
            Ok::<_, StoreError>(())
        })?;
        Ok(found)
    }

    /// The result of `f` for the first row of the answer, if there is one.
    #[cfg_attr(test, track_caller)]
    pub(super) fn optional<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        f: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        #[cfg(test)]
        spy::note(sql, values);
        first(|f| self.rows(sql, values, f), f)
    }

    /// The result of `f` for the only row of the answer, which always exists.
    #[cfg_attr(test, track_caller)]
    pub(super) fn alone<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        f: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let no_row = || StoreError::Bug(format!("there is no row: {sql}").into());
        self.optional(sql, values, f)?.ok_or_else(no_row)
    }

    /// Begins a read transaction, unless one is open: later reads in it see the same.
    pub(super) fn begin_to_read(&self) -> Result<(), StoreError> {
        if self.views.get() == 0 {
            match &self.engine {
                Engine::Sqlite(engine) => engine.execute("BEGIN", &[]).map(drop)?,
                #[cfg(feature = "postgres")]
                Engine::Postgres(engine) => engine.begin_to_read()?,
            }
        }
        self.views.set(self.views.get() + 1);
        Ok(())
    }

    /// Begins a write transaction when no other process has one: a transaction that read first and locked later could
    /// lose its turn, however long it waits.
    pub(super) fn begin_to_write(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.begin_to_write()?,
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.begin_to_write()?,
        }
        self.views.set(self.views.get() + 1);
        Ok(())
    }

    /// Begins a transaction for counts that others may make at the same time. On a server it does not take the store's
    /// lock, so it may collide with another: see [`Conn::was_conflict`].
    pub(super) fn begin_to_count(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.begin_to_write()?,
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.begin_to_count()?,
        }
        self.views.set(self.views.get() + 1);
        Ok(())
    }

    pub(super) fn is_connected(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(_) => true,
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.is_connected(),
        }
    }

    /// Whether the last transaction failed only because it collided with another, so that it may succeed when tried
    /// again.
    pub(super) fn was_conflict(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.was_conflict(),
        }
    }

    /// The time for changes in the open transaction, if the store sets it and not the caller.
    pub(super) fn time_of_change(&self) -> Option<Timestamp> {
        match &self.engine {
            Engine::Sqlite(_) => None,
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.time_of_change(),
        }
    }

    /// The end of the history, if the open transaction knows it without a query.
    pub(super) fn held(&self) -> Option<End> {
        match &self.engine {
            Engine::Sqlite(_) => None,
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.held(),
        }
    }

    /// Continues the history with this event.
    pub(super) fn extend(&self, seq: i64, hash: &[u8; 32]) {
        match &self.engine {
            // The end is read each time, which costs nothing.
            Engine::Sqlite(_) => {
                let _ = (seq, hash);
            }
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.extend(seq, hash),
        }
    }

    /// The notices since the last call.
    pub(super) fn take_news(&self) -> News {
        match &self.engine {
            Engine::Sqlite(_) => News::default(),
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.take_news(),
        }
    }

    /// Commits the transaction.
    pub(super) fn commit(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.commit()?,
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.commit()?,
        }
        self.views.set(0);
        Ok(())
    }

    /// Ends one view of the transaction; with the last one, uncommitted changes are rolled back.
    pub(super) fn end(&self) {
        let left = self.views.get().saturating_sub(1);
        self.views.set(left);
        if left == 0 {
            // If the engine ended the transaction itself because the disk is full, there is nothing to end.
            match &self.engine {
                Engine::Sqlite(engine) => drop(engine.execute("ROLLBACK", &[])),
                #[cfg(feature = "postgres")]
                Engine::Postgres(engine) => engine.rollback(),
            }
        }
    }

    /// Sets a savepoint in the transaction.
    pub(super) fn begin_to_try(&self) -> Result<(), StoreError> {
        self.execute("SAVEPOINT tried_out", &[])?;
        #[cfg(feature = "postgres")]
        if let Engine::Postgres(engine) = &self.engine {
            engine.begin_to_try();
        }
        Ok(())
    }

    /// Rolls back to the last savepoint.
    pub(super) fn end_of_try(&self) -> Result<(), StoreError> {
        self.execute("ROLLBACK TO tried_out", &[])?;
        #[cfg(feature = "postgres")]
        if let Engine::Postgres(engine) = &self.engine {
            engine.end_of_try();
        }
        self.execute("RELEASE tried_out", &[]).map(drop)
    }

    /// While the guard lives, a commit does not wait for the disk. No transaction may be open.
    pub(super) fn lightly(&self) -> Result<Light<'_>, StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.wait_for_the_disk(false)?,
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => {}
        }
        Ok(Light(self))
    }

    /// Checks whether the store is still at its place, and in the state that the engine knows.
    pub(super) fn look(&mut self) -> Result<Sight, StoreError> {
        match &mut self.engine {
            Engine::Sqlite(engine) => engine.look(),
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.look(),
        }
    }

    /// Checks that the store is still at its place.
    pub(super) fn check_place(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.check_place(),
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// Writes a copy into a file, which must not exist.
    pub(super) fn backup(&self, path: &Path) -> Result<BackupReport, BackupError> {
        match &self.engine {
            Engine::Sqlite(engine) => backup::write(engine.connection(), engine.place(), path),
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => super::transfer::back_up(self, path),
        }
    }

    /// What is wrong with the rows as the engine stores them, if anything. Reads all of them.
    pub(super) fn damage(&self) -> Result<Option<String>, StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.damage(),
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.damage(),
        }
    }

    /// Parts that keyward did not make, or that are missing.
    pub(super) fn strange_parts(&self) -> Result<Vec<String>, StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.strange_parts(),
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.strange_parts(),
        }
    }

    /// Sets how long it waits for others that write.
    pub(super) fn wait_for(&self, patience: Duration) {
        match &self.engine {
            Engine::Sqlite(engine) => engine.wait_for(patience),
            #[cfg(feature = "postgres")]
            Engine::Postgres(engine) => engine.wait_for(patience),
        }
    }
}

/// Until it is dropped, a commit does not wait for the disk.
pub(super) struct Light<'c>(&'c Conn);

impl Drop for Light<'_> {
    fn drop(&mut self) {
        // It changes a number in memory, and cannot fail if no transaction is open.
        let _ = match &self.0.engine {
            Engine::Sqlite(engine) => engine.wait_for_the_disk(true),
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => Ok(()),
        };
    }
}
