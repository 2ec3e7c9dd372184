//! A connection, and how long its client has been silent.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::heads::Heads;
use crate::clock::Clock;

/// A whole head must arrive within this time after its first byte.
const HEAD: Duration = Duration::from_secs(5);
/// A connection may be idle for this long: longer than proxies keep theirs, so that they close first and never send a
/// request into a connection that is being closed.
const IDLE: Duration = Duration::from_secs(120);

/// A stream of either kind.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A stream on its way to another event loop.
pub(super) enum Parked {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Stream {
    pub(super) fn park(self) -> io::Result<Parked> {
        Ok(match self {
            Self::Tcp(stream) => Parked::Tcp(stream.into_std()?),
            Self::Unix(stream) => Parked::Unix(stream.into_std()?),
        })
    }

    pub(super) fn unpark(parked: Parked) -> io::Result<Self> {
        Ok(match parked {
            Parked::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream)?),
            Parked::Unix(stream) => Self::Unix(UnixStream::from_std(stream)?),
        })
    }
}

/// The state of a connection, and since when.
pub(super) struct Pace {
    clock: Clock,
    /// Milliseconds since the clock's start, times four, and the state in the last two bits.
    since: AtomicU64,
    heads: Mutex<Heads>,
}

const QUIET: u64 = 0;
const IN_HEAD: u64 = 1;
const AT_WORK: u64 = 2;

impl Pace {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let pace = Self { clock, since: AtomicU64::new(0), heads: Mutex::default() };
        pace.enter(QUIET);
        Arc::new(pace)
    }

    fn enter(&self, state: u64) {
        let millis = u64::try_from(self.clock.steady().as_millis()).unwrap_or(u64::MAX >> 2);
        self.since.store(millis << 2 | state, Ordering::Relaxed);
    }

    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, bytes: &[u8]) {
        self.heads().take(bytes);
        if self.since.load(Ordering::Relaxed) & 3 == QUIET {
            self.enter(IN_HEAD);
        }
    }

    /// A whole head has arrived.
    pub(super) fn begin(&self) {
        self.enter(AT_WORK);
    }

    /// The whole body of the request was read.
    pub(super) fn take_body(&self, body: &[u8]) {
        self.heads().take_body(body);
    }

    /// Whether the target of a request contained, or may have contained, a `#`.
    pub(super) fn has_fragment(&self) -> bool {
        self.heads().has_fragment()
    }

    /// The answer is on its way. The next head may have begun already.
    pub(super) fn end(&self) {
        let state = if self.heads().is_within_one() { IN_HEAD } else { QUIET };
        self.enter(state);
    }

    /// Whether a head has begun but not ended.
    pub(super) fn is_within_head(&self) -> bool {
        self.since.load(Ordering::Relaxed) & 3 == IN_HEAD
    }

    /// Whether the client has used up its time.
    pub(super) fn is_over(&self) -> bool {
        let (since, state) = {
            let since = self.since.load(Ordering::Relaxed);
            (Duration::from_millis(since >> 2), since & 3)
        };
        let most = match state {
            IN_HEAD => HEAD,
            QUIET => IDLE,
            _ => return false,
        };
        self.clock.steady().saturating_sub(since) >= most
    }
}

/// A stream whose reading is timed.
pub(super) struct Timed {
    stream: Stream,
    pace: Arc<Pace>,
}

impl Timed {
    pub(super) fn new(stream: Stream, pace: Arc<Pace>) -> Self {
        Self { stream, pace }
    }
}

impl AsyncRead for Timed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.pace.read(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }
}
