//! Rows in numbers, on their way to the server: COPY … FROM STDIN in its binary form.

use std::cell::Cell;
use std::error::Error;
use std::pin::Pin;
use std::pin::pin;

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::client::{Answering, Client};
use crate::store::db::{Kind, Value};
use crate::store::error::StoreError;

/// A COPY that is under way. One that is dropped before its end is taken back by the server, with its transaction.
pub(in crate::store) struct CopyIn<'c> {
    client: &'c Client,
    writer: Pin<Box<BinaryCopyInWriter>>,
    _answering: Answering<'c>,
}

impl<'c> CopyIn<'c> {
    pub(super) fn new(client: &'c Client, writer: BinaryCopyInWriter, is_answering: &'c Cell<bool>) -> Self {
        Self { client, writer: Box::pin(writer), _answering: Answering::new(is_answering) }
    }

    /// One more row. It is on its way, and not looked at yet.
    ///
    /// # Errors
    /// Where the server is not there any more, or takes nothing.
    pub(in crate::store) fn add(&mut self, values: &[Value<'_>]) -> Result<(), StoreError> {
        let fields: Vec<_> = values.iter().map(|value| Field(*value)).collect();
        let fields: Vec<_> = fields.iter().map(|field| field as &(dyn ToSql + Sync)).collect();
        self.client.go_on(pin!(self.writer.as_mut().write(&fields)))
    }

    /// These were all: how many, as the server counted them.
    ///
    /// # Errors
    /// What the server says of any of them.
    pub(in crate::store) fn end(mut self) -> Result<u64, StoreError> {
        self.client.go_on(pin!(self.writer.as_mut().finish()))
    }
}

/// The type of a column of this kind, as it is in every table.
pub(super) fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Number => Type::INT8,
        Kind::Text => Type::TEXT,
        Kind::Bytes => Type::BYTEA,
    }
}

/// A value as it stands in a COPY. Whoever sends it has seen that its column takes it.
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
