//! Turns a line into an encrypted one, for tokio-postgres.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::binding::end_point;
use crate::store::postgres::error::Refusal;
use crate::store::postgres::line::Line;

/// The request for TLS: its length and its code.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Requests TLS from a server, which must prove this name.
pub(in crate::store::postgres) struct Connector {
    pub(in crate::store::postgres) config: Arc<ClientConfig>,
    pub(in crate::store::postgres) name: ServerName<'static>,
}

impl TlsConnect<Line> for Connector {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, line: Line) -> Self::Future {
        Box::pin(self.ask(line))
    }
}

impl Connector {
    async fn ask(self, mut line: Line) -> io::Result<Encrypted> {
        line.write_all(&REQUEST).await?;
        // Exactly one byte: anything that an attacker adds in the clear must not be taken for the server's.
        if line.read_u8().await? != b'S' {
            return Err(io::Error::other(Refusal::NoTls));
        }
        TlsConnector::from(self.config).connect(self.name, line).await.map(|stream| Encrypted(Box::new(stream)))
    }
}

/// A line with TLS over it.
pub(in crate::store::postgres) struct Encrypted(Box<TlsStream<Line>>);

impl tokio_postgres::tls::TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().1.peer_certificates().unwrap_or_default();
        let end_point = certificates.first().and_then(|certificate| end_point(certificate));
        end_point.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
