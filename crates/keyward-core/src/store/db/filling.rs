//! Rows in numbers, on their way into an empty store: each engine has a faster way for them than one statement a row.

use super::value::{Kind, Value};
use super::{Conn, Engine};
use crate::store::error::StoreError;
use crate::store::postgres::CopyIn;

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
