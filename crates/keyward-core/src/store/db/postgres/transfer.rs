//! Reading a whole store from a server, or writing one to it.

use std::time::Duration;

use super::Engine;
use crate::store::db::Kind;
use crate::store::error::StoreError;
use crate::store::postgres::{CopyIn, Deadlines};

/// The longest that one statement may take, or that the client of a copy may be silent: one statement builds an index
/// of all rows, or checks all references of a table. A silent server can delay a copy this long, and a host stopped in
/// the middle of a copy can keep the store locked this long.
const LONGEST: Duration = Duration::from_secs(600);

/// The longest wait for a row in a transaction without locks: a table may have to be sorted first.
const ROWS: Duration = Duration::from_secs(60);

impl Engine {
    /// Begins to read the whole store. The store is locked by a table lock, taken before anything is read: such a
    /// transaction sees the moment of its first query, not the end of a wait for a row. The table lock keeps out
    /// everyone who wants the row.
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

    /// Begins to write a whole store.
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

    /// Of a newer schema, this program knows only the tables and columns that it needs: a copy would lack some.
    fn check_schema(&self) -> Result<(), StoreError> {
        let mut found = 0;
        self.client.query_each("SELECT schema FROM store", &[], |row| {
            found = row.try_get(0).map_err(|error| StoreError::Bug(error.into()))?;
            Ok::<_, StoreError>(())
        })?;
        let known = crate::store::postgres::NEWEST_SCHEMA;
        if found == known { Ok(()) } else { Err(StoreError::Newer { path: self.place().to_owned(), found, known }) }
    }

    /// Counts in progress finish first. Later ones must take this table lock before anything else, and so see what the
    /// transaction has done.
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

    /// Makes the numbers of new rows continue after the largest.
    pub(in crate::store::db) fn count_on(&self, tables: impl Iterator<Item = &'static str>) -> Result<(), StoreError> {
        for table in tables {
            let set = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'id'), coalesce(max(id), 1), max(id) IS NOT NULL) FROM {table}"
            );
            self.client.execute(&set, &[])?;
        }
        Ok(())
    }

    fn take_time(&self) {
        self.client.set_deadlines(Deadlines { statement: LONGEST, rows: ROWS, commit: LONGEST });
    }
}
