//! One connection, and the time limits of its waits.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream as _;
use tokio_postgres::tls::TlsConnect;
use tokio_postgres::{Client as PgClient, Config, Error as PgError, Row, RowStream};

use super::error::Failure;
use super::line::{Line, Watch};
use super::wait::{Deadline, run};

/// The half of a connection that reads and writes. It finishes when the connection has ended.
type Traffic = Pin<Box<dyn Future<Output = Result<(), PgError>> + Send>>;

/// A signed-in connection.
pub(super) struct Session {
    /// `None` only while it is being dropped.
    client: Option<PgClient>,
    /// `None` after it has ended.
    traffic: Option<Traffic>,
    /// Why it has ended, as far as the server said so.
    end: Option<Failure>,
    watch: Watch,
}

impl Session {
    /// Signs in over this line. Also returns the server's name for its version.
    pub(super) fn begin<T>(
        line: Line,
        config: &Config,
        tls: T,
        deadline: Deadline,
        limit: Duration,
    ) -> Result<(Self, String), Failure>
    where
        T: TlsConnect<Line>,
        T::Stream: Send + 'static,
    {
        let watch = line.watch();
        let connecting = pin!(config.connect_raw(line, tls));
        match run(&watch, deadline, connecting) {
            Ok(Some(Ok((client, connection)))) => {
                let version = connection.parameter("server_version").unwrap_or_default().to_owned();
                let traffic: Traffic = Box::pin(connection);
                Ok((Self { client: Some(client), traffic: Some(traffic), end: None, watch }, version))
            }
            Ok(Some(Err(error))) => Err(Failure::of(&error)),
            Ok(None) => Err(Failure::Silent(limit)),
            Err(error) => Err(Failure::of_io(&error)),
        }
    }

    /// Makes the server do something, and waits for the result.
    pub(super) fn ask<T>(
        &mut self,
        deadline: Deadline,
        limit: Duration,
        question: impl AsyncFnOnce(&PgClient) -> Result<T, PgError>,
    ) -> Result<T, Failure> {
        let Self { client, traffic, end, watch } = self;
        let Some(client) = client else { return Err(Failure::lost("the connection is closed")) };
        let mut answer = pin!(question(client));
        let both = pin!(poll_fn(|cx| {
            // Poll the question first, so that there is something to write, and again, because something may have been
            // read.
            if let Poll::Ready(done) = answer.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            go_on(traffic, end, cx);
            answer.as_mut().poll(cx)
        }));
        match run(watch, deadline, both) {
            Ok(Some(Ok(done))) => Ok(done),
            // The server's message on closing the connection says more than that it is closed.
            Ok(Some(Err(error))) if error.is_closed() => Err(end.take().unwrap_or_else(|| Failure::of(&error))),
            Ok(Some(Err(error))) => Err(Failure::of(&error)),
            Ok(None) => Err(Failure::Silent(limit)),
            Err(error) => Err(Failure::of_io(&error)),
        }
    }

    /// The next row of an answer; `None` after the last.
    pub(super) fn next(&mut self, mut rows: Pin<&mut RowStream>, limit: Duration) -> Result<Option<Row>, Failure> {
        // Most rows have already arrived with the one before.
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(row) = rows.as_mut().poll_next(&mut context) {
            return row.transpose().map_err(|error| Failure::of(&error));
        }
        self.ask(Deadline::after(limit), limit, async |_| poll_fn(|cx| rows.as_mut().poll_next(cx)).await.transpose())
    }

    /// The result of something that was begun on this connection.
    pub(super) fn go_on<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = Result<T, PgError>>>,
        limit: Duration,
    ) -> Result<T, Failure> {
        // Most of it does not wait: it only fills a buffer.
        let mut context = Context::from_waker(Waker::noop());
        match work.as_mut().poll(&mut context) {
            Poll::Ready(Ok(done)) => Ok(done),
            Poll::Ready(Err(error)) => {
                // The server's message on closing the connection says more than that it is closed.
                let end = if self.is_open() { None } else { self.end.take() };
                Err(end.unwrap_or_else(|| Failure::of(&error)))
            }
            Poll::Pending => self.ask(Deadline::after(limit), limit, async |_| work.await),
        }
    }

    /// Whether the connection is still open, as far as can be seen without asking the server.
    pub(super) fn is_open(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        go_on(&mut self.traffic, &mut self.end, &mut context);
        self.traffic.is_some()
    }

    /// What the server said when it ended the connection, if it did.
    pub(super) fn end(&mut self) -> Option<Failure> {
        self.end.take()
    }
}

fn go_on(traffic: &mut Option<Traffic>, end: &mut Option<Failure>, cx: &mut Context<'_>) {
    let Some(going) = traffic else { return };
    if let Poll::Ready(ended) = going.as_mut().poll(cx) {
        *traffic = None;
        *end = ended.err().map(|error| Failure::of(&error));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without a client, the connection says goodbye, if nothing is in progress and there is room. It does not wait.
        drop(self.client.take());
        self.is_open();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("watch", &self.watch).finish_non_exhaustive()
    }
}
