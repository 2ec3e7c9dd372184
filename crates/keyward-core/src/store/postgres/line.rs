//! Bytes to and from the socket. Without TLS, incoming bytes are inspected until the sign-in is done.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::Refusal;
use crate::platform::Socket;

/// A socket as tokio-postgres wants it. It wakes no task: to wait for it, use its [`Watch`].
#[derive(Debug)]
pub(super) struct Line {
    watch: Watch,
    porter: Option<Porter>,
}

/// Waits for what a [`Line`] waits for.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    socket: Arc<Socket>,
    /// Whether there was no room for bytes to be written.
    is_full: Arc<AtomicBool>,
}

impl Watch {
    /// Waits until the line can continue, at most `most`. It may end early.
    pub(super) fn wait(&self, most: Duration) -> io::Result<()> {
        self.socket.wait(self.is_full.load(Ordering::Relaxed), most)
    }
}

impl Line {
    /// A line for TLS, or one without, on which a server may not ask for a password in the clear.
    pub(super) fn new(socket: Socket, is_encrypted: bool) -> Self {
        let watch = Watch { socket: Arc::new(socket), is_full: Arc::default() };
        Self { watch, porter: (!is_encrypted).then(Porter::default) }
    }

    pub(super) fn watch(&self) -> Watch {
        self.watch.clone()
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            return match self.watch.socket.read(into.initialize_unfilled()) {
                Ok(length) => {
                    let Self { porter, .. } = &mut *self;
                    if let Some(known) = porter {
                        match known.look(&into.initialized()[into.filled().len()..][..length]) {
                            Ok(false) => {}
                            Ok(true) => *porter = None,
                            Err(refusal) => return Poll::Ready(Err(io::Error::other(refusal))),
                        }
                    }
                    into.advance(length);
                    Poll::Ready(Ok(()))
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            };
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let written = self.watch.socket.write(bytes);
            let is_full = written.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            self.watch.is_full.store(is_full, Ordering::Relaxed);
            return match written {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) if is_full => Poll::Pending,
                written => Poll::Ready(written),
            };
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Inspects what a server says before the sign-in is done. tokio-postgres would send the password to any server that
/// asks, even in the clear.
#[derive(Debug, Default)]
struct Porter {
    /// The beginning of a message: its kind, its length, and the sign-in method if it is about that.
    head: [u8; 9],
    known: usize,
    /// How much of the current message can be skipped.
    rest: usize,
}

impl Porter {
    /// Whether the server has accepted the sign-in.
    fn look(&mut self, mut bytes: &[u8]) -> Result<bool, Refusal> {
        while let Some((&byte, behind)) = bytes.split_first() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                self.rest -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head[self.known] = byte;
            self.known += 1;
            bytes = behind;
            let [kind, length @ .., a, b, c, d] = self.head;
            // The length includes itself.
            let length = u32::from_be_bytes(length) as usize;
            match (self.known, kind) {
                (9, _) => match u32::from_be_bytes([a, b, c, d]) {
                    0 => return Ok(true),
                    3 => return Err(Refusal::ClearPassword),
                    5 => return Err(Refusal::Md5Password),
                    _ => (self.known, self.rest) = (0, length.saturating_sub(8)),
                },
                (5, kind) if kind != b'R' => (self.known, self.rest) = (0, length.saturating_sub(4)),
                _ => {}
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    fn asked(how: u32) -> Vec<u8> {
        message(b'R', &[&how.to_be_bytes()[..], b"salt"].concat())
    }

    proptest! {
        #[test]
        fn a_password_that_is_asked_for_is_seen_wherever_the_reads_end(
            before in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4),
            how in prop::sample::select(vec![0_u32, 3, 5, 10]),
            size in 1_usize..12,
        ) {
            let mut bytes: Vec<u8> = before.iter().flat_map(|body| message(b'N', body)).collect();
            bytes.extend(message(b'R', &[&11_u32.to_be_bytes()[..], b"R\0\0\0\x08\0\0\0\x03"].concat()));
            bytes.extend(asked(how));
            let mut porter = Porter::default();
            let mut seen = Ok(false);
            for part in bytes.chunks(size) {
                seen = porter.look(part);
                if seen != Ok(false) {
                    break;
                }
            }
            let expected = match how {
                0 => Ok(true),
                3 => Err(Refusal::ClearPassword),
                5 => Err(Refusal::Md5Password),
                _ => Ok(false),
            };
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn any_bytes_are_looked_at_without_a_panic(bytes: Vec<u8>) {
            let _ = Porter::default().look(&bytes);
        }
    }
}
