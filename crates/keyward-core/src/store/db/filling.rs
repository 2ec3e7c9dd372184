//! Bulk insertion of rows into an empty store: each engine has a faster way than one statement per row.

use super::value::{Kind, Value};
use super::{Conn, Engine};
use crate::store::error::StoreError;
use crate::store::postgres::CopyIn;

impl Conn {
    /// Begins a transaction that reads the whole store as of one moment, without a time limit. With `locks`, it can
    /// also write, and no one else can change anything meanwhile except to count uses.
    pub(in crate::store) fn begin_to_copy(&self, locks: bool) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) if locks => engine.begin_to_write()?,
            Engine::Sqlite(engine) => engine.execute("BEGIN", &[]).map(drop)?,
            Engine::Postgres(engine) => engine.begin_to_copy(locks)?,
        }
        self.views.set(self.views.get() + 1);
        Ok(())
    }

    /// Begins a transaction that writes, as [`Conn::begin_to_write`], but without a time limit, to write a whole store.
    pub(in crate::store) fn begin_to_fill(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.begin_to_write()?,
            Engine::Postgres(engine) => engine.begin_to_fill()?,
        }
        self.views.set(self.views.get() + 1);
        Ok(())
    }

    /// Waits, in a write transaction, for counts of uses in progress, and keeps new ones from starting.
    pub(in crate::store) fn keep_uses_out(&self) -> Result<(), StoreError> {
        match &self.engine {
            // Counting waits for the single lock of the file.
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(engine) => engine.keep_uses_out(),
        }
    }

    /// Sets the identity of the store and the end of its history, after rows were written without [`Conn::extend`].
    pub(in crate::store) fn begin_anew(&self, store_id: &str, seq: i64, hash: &[u8; 32]) {
        match &self.engine {
            Engine::Sqlite(_) => {}
            Engine::Postgres(engine) => engine.begin_anew(store_id, seq, hash),
        }
    }
}

/// Fills the tables of a store, in an open transaction.
pub(in crate::store) struct Filling<'c> {
    conn: &'c Conn,
    /// What was removed meanwhile, as the statements that make it again.
    left_out: Vec<String>,
}

/// Fills one table.
pub(in crate::store) enum Rows<'c> {
    /// By a prepared statement.
    Inserted(&'c Conn, String),
    /// By the engine's bulk copy.
    Copied(CopyIn<'c>),
}

impl<'c> Filling<'c> {
    /// Begins. Indexes that slow each row down are removed until the end, if that is quick.
    pub(in crate::store) fn new(conn: &'c Conn) -> Result<Self, StoreError> {
        let left_out = match &conn.engine {
            Engine::Sqlite(engine) => engine.drop_indexes()?,
            Engine::Postgres(_) => vec![],
        };
        Ok(Self { conn, left_out })
    }

    /// The target connection.
    pub(in crate::store) fn conn(&self) -> &'c Conn {
        self.conn
    }

    /// Begins a table with these columns, separated by commas.
    pub(in crate::store) fn table(
        &self,
        name: &str,
        columns: &str,
        kinds: impl ExactSizeIterator<Item = Kind>,
    ) -> Result<Rows<'c>, StoreError> {
        match &self.conn.engine {
            Engine::Sqlite(_) => {
                let places: Vec<_> = (1..=kinds.len()).map(|place| format!("?{place}")).collect();
                let insert = format!("INSERT INTO {name} ({columns}) VALUES ({})", places.join(", "));
                Ok(Rows::Inserted(self.conn, insert))
            }
            Engine::Postgres(engine) => Ok(Rows::Copied(engine.copy_in(name, columns, kinds)?)),
        }
    }

    /// Finishes. `counted` are the tables whose row numbers come from a counter, which continues after the last number.
    pub(in crate::store) fn end(self, counted: impl Iterator<Item = &'static str>) -> Result<(), StoreError> {
        for statement in &self.left_out {
            self.conn.execute(statement, &[])?;
        }
        match &self.conn.engine {
            // It takes the number after the largest.
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(engine) => engine.count_on(counted),
        }
    }
}

impl Rows<'_> {
    /// Adds one row.
    pub(in crate::store) fn add(&mut self, values: &[Value<'_>]) -> Result<(), StoreError> {
        match self {
            Self::Inserted(conn, insert) => conn.execute(insert, values).map(drop),
            Self::Copied(rows) => rows.add(values),
        }
    }

    /// Ends the table. An error in a row may be found only now.
    pub(in crate::store) fn end(self) -> Result<(), StoreError> {
        match self {
            Self::Inserted(..) => Ok(()),
            Self::Copied(rows) => rows.end().map(drop),
        }
    }
}
