//! Bulk insertion on a server: COPY … FROM STDIN in binary format.

use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};

use tokio_postgres::Error as PgError;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::{Answering, Client, Open};
use crate::store::db::{Kind, Value};
use crate::store::error::StoreError;

/// A COPY in progress. If it is dropped before its end, the server rolls it back with its transaction.
pub(in crate::store) struct CopyIn<'c> {
    client: &'c Client,
    writer: Pin<Box<BinaryCopyInWriter>>,
    _answering: Answering<'c>,
}

impl Client {
    /// Begins a transaction that reads the whole store as of one moment, without the time limits for statements. With
    /// `writes`, it can also write, and the server ends it if this side is silent for ten minutes.
    ///
    /// # Errors
    /// As [`Client::begin_read`].
    pub(in crate::store) fn begin_copy(&self, writes: bool) -> Result<(), StoreError> {
        if !writes {
            return self.begin_read();
        }
        let begin = self.begin_to_read.replace(" READ ONLY", " READ WRITE").replace(
            "idle_in_transaction_session_timeout = 0",
            "idle_in_transaction_session_timeout = '600s'; SET LOCAL lock_timeout = '10s'",
        );
        self.begin(&begin, Open::Write)
    }

    /// Begins to send rows with this COPY statement, for columns of these kinds. No other statement can run meanwhile.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub(in crate::store) fn copy_in(
        &self,
        sql: &str,
        kinds: impl Iterator<Item = Kind>,
    ) -> Result<CopyIn<'_>, StoreError> {
        let sink = self.ask(self.limit(), async |client| client.copy_in(sql).await)?;
        let types: Vec<_> = kinds.map(type_of).collect();
        let writer = Box::pin(BinaryCopyInWriter::new(sink, &types));
        Ok(CopyIn { client: self, writer, _answering: Answering::new(&self.is_answering) })
    }

    /// Continues to send rows. A row that breaks a rule of the schema is damaged.
    fn go_on<T>(&self, work: Pin<&mut impl Future<Output = Result<T, PgError>>>) -> Result<T, StoreError> {
        let limit = self.limit();
        let mut slot = self.session.borrow_mut();
        let Some(session) = slot.as_mut() else { return Err(self.closed()) };
        session.go_on(work, limit).map_err(|failure| {
            self.note(&mut slot, &failure);
            match failure.broken_rule() {
                Some(detail) => StoreError::Corrupt { path: self.place.clone(), detail },
                None => self.error(failure),
            }
        })
    }
}

impl CopyIn<'_> {
    /// Sends one more row. The server has not checked it yet.
    ///
    /// # Errors
    /// If the server is gone or accepts nothing.
    pub(in crate::store) fn add(&mut self, values: &[Value<'_>]) -> Result<(), StoreError> {
        let fields: Vec<_> = values.iter().map(|value| Field(*value)).collect();
        let fields: Vec<_> = fields.iter().map(|field| field as &(dyn ToSql + Sync)).collect();
        self.client.go_on(pin!(self.writer.as_mut().write(&fields)))
    }

    /// Ends the rows, and returns how many the server counted.
    ///
    /// # Errors
    /// What the server reports about any of them.
    pub(in crate::store) fn end(mut self) -> Result<u64, StoreError> {
        self.client.go_on(pin!(self.writer.as_mut().finish()))
    }
}

/// The type of a column of this kind, as it is in every table.
fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Number => Type::INT8,
        Kind::Text => Type::TEXT,
        Kind::Bytes => Type::BYTEA,
    }
}

/// A value in the format of COPY. The sender has checked that its column accepts it.
#[derive(Debug)]
struct Field<'v>(Value<'v>);

impl ToSql for Field<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(number) => number.to_sql(kind, out),
            Value::Text(text) => text.to_sql(kind, out),
            Value::Bytes(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
