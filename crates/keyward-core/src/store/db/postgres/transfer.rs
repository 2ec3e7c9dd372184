//! What is done when all of a store is read from a server, or written to one.

use std::time::Duration;

use super::Engine;
use crate::store::db::Kind;
use crate::store::error::StoreError;
use crate::store::postgres::{CopyIn, Deadlines};

/// The longest that one statement may take, or that the other side of a copy may leave the server alone: an index of all
/// rows is built in it, or all references of a table are looked up. A server that is silent keeps a copy waiting for as
/// long, and a host that is stopped in the middle of one keeps the store locked for as long.
const LONGEST: Duration = Duration::from_secs(600);

/// The longest wait for a row of a transaction that locks nothing: a table may have to be sorted first.
const ROWS: Duration = Duration::from_secs(60);

impl Engine {
    /// Begins to read all of it. The lock of the store is that of the table, which has to come before anything is read: a
    /// transaction of this kind sees the moment of its first question, and not that at which a wait for a row ended. It keeps
    /// out everyone who wants the row.
    pub(in crate::store::db) fn begin_to_copy(&self, locks: bool) -> Result<(), StoreError> {
        self.be_connected()?;
        self.take_time();
        let begun = self.client.begin_copy(locks).and_then(|()| {
            if locks {
                self.client.execute("LOCK TABLE history_head IN EXCLUSIVE MODE", &[])?;
            }
            self.check_schema()
        });
        if begun.is_err() {
            self.rollback();
        }
        begun
    }

    /// Begins to write all of it.
    pub(in crate::store::db) fn begin_to_fill(&self) -> Result<(), StoreError> {
        self.take_time();
        self.begin_to_write()?;
        let limit = LONGEST.as_secs();
        let begun = self
            .client
            .execute(&format!("SET LOCAL statement_timeout = '{limit}s'"), &[])
            .and_then(|_| {
                let idle = format!("SET LOCAL idle_in_transaction_session_timeout = '{limit}s'");
                self.client.execute(&idle, &[])
            })
            .and_then(|_| self.check_schema());
        if begun.is_err() {
            self.rollback();
        }
        begun
    }

    /// Of a later schema, this program knows the tables and columns that it needs, and not all of them: a copy would lack
    /// some.
    fn check_schema(&self) -> Result<(), StoreError> {
        let mut found = 0;
        self.client.query_each("SELECT schema FROM store", &[], |row| {
            found = row.try_get(0).map_err(|error| StoreError::Bug(error.into()))?;
            Ok::<_, StoreError>(())
        })?;
        let known = crate::store::postgres::NEWEST_SCHEMA;
        if found == known { Ok(()) } else { Err(StoreError::Newer { path: self.place().to_owned(), found, known }) }
    }

    /// Who is in the middle of counting ends first. Who begins later takes this lock of the table before anything else, and
    /// so sees what the transaction has done.
    pub(in crate::store::db) fn keep_uses_out(&self) -> Result<(), StoreError> {
        self.client.execute("LOCK TABLE key_use IN SHARE MODE", &[]).map(drop)
    }

    pub(in crate::store::db) fn copy_in(
        &self,
        name: &str,
        columns: &str,
        kinds: impl Iterator<Item = Kind>,
    ) -> Result<CopyIn<'_>, StoreError> {
        self.client.copy_in(&format!("COPY {name} ({columns}) FROM STDIN (FORMAT binary)"), kinds)
    }

    /// Numbers of new rows go on behind the largest.
    pub(in crate::store::db) fn count_on(&self, tables: impl Iterator<Item = &'static str>) -> Result<(), StoreError> {
        for table in tables {
            let set = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'id'), coalesce(max(id), 0) + 1, false) FROM {table}"
            );
            self.client.execute(&set, &[])?;
        }
        Ok(())
    }

    fn take_time(&self) {
        self.client.set_deadlines(Deadlines { statement: LONGEST, rows: ROWS, commit: LONGEST });
    }
}
