//! Rows in numbers, on their way into an empty store: each engine has a faster way for them than one statement a row.

use super::value::{Kind, Value};
use super::{Conn, Engine};
use crate::store::error::StoreError;
use crate::store::postgres::CopyIn;

impl Conn {
    /// Begins a transaction that reads all of it, as of one moment, and takes as long as that needs. With `locks`, nobody
    /// changes anything meanwhile, but uses may be counted, and it can write.
    pub(in crate::store) fn begin_to_copy(&self, locks: bool) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) if locks => engine.begin_to_write()?,
            Engine::Sqlite(engine) => engine.execute("BEGIN", &[]).map(drop)?,
            Engine::Postgres(engine) => engine.begin_to_copy(locks)?,
        }
        self.views.set(self.views.get() + 1);
        Ok(())
    }

    /// Begins a transaction that writes, as [`Conn::begin_to_write`], and takes as long as it needs to write all of a store.
    pub(in crate::store) fn begin_to_fill(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.begin_to_write()?,
            Engine::Postgres(engine) => engine.begin_to_fill()?,
        }
        self.views.set(self.views.get() + 1);
        Ok(())
    }

    /// Waits, in a transaction that writes, for those who count uses at the moment, and lets nobody else begin with it.
    pub(in crate::store) fn keep_uses_out(&self) -> Result<(), StoreError> {
        match &self.engine {
            // Whoever counts them waits for the one lock of the file.
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(engine) => engine.keep_uses_out(),
        }
    }

    /// All of the history was written past [`Conn::extend`], and this is the store and its end now.
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
    /// What was taken away meanwhile, as the statements that make it again.
    left_out: Vec<String>,
}

/// Fills one table.
pub(in crate::store) enum Rows<'c> {
    /// By a prepared statement.
    Inserted(&'c Conn, String),
    /// By what only copying does.
    Copied(CopyIn<'c>),
}

impl<'c> Filling<'c> {
    /// Begins. What makes each row slower is taken away until the end, where that is quick.
    pub(in crate::store) fn new(conn: &'c Conn) -> Result<Self, StoreError> {
        let left_out = match &conn.engine {
            Engine::Sqlite(engine) => engine.drop_indexes()?,
            Engine::Postgres(_) => vec![],
        };
        Ok(Self { conn, left_out })
    }

    /// Where to.
    pub(in crate::store) fn conn(&self) -> &'c Conn {
        self.conn
    }

    /// Begins with a table, of which these are the columns, separated by commas.
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

    /// All is there. `counted` are the tables whose rows get their numbers from a counter: it goes on behind the last.
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
    /// One more row.
    pub(in crate::store) fn add(&mut self, values: &[Value<'_>]) -> Result<(), StoreError> {
        match self {
            Self::Inserted(conn, insert) => conn.execute(insert, values).map(drop),
            Self::Copied(rows) => rows.add(values),
        }
    }

    /// These were all. What is wrong with one of them may be found only now.
    pub(in crate::store) fn end(self) -> Result<(), StoreError> {
        match self {
            Self::Inserted(..) => Ok(()),
            Self::Copied(rows) => rows.end().map(drop),
        }
    }
}
