//! One connection: HTTP/1 by hyper, with our own limits.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::Worker;
use super::admin;
use super::config::Logged;
use super::handle::{Door, handle};
use super::peer::Peer;
use super::stream::{Pace, Stream, Timed};

/// The largest head, and its most lines.
const MOST_HEAD: usize = 64 * 1024;
const MOST_LINES: usize = 100;
/// More connections than this are turned away.
pub(super) const MOST: usize = 10_000;
/// The same for peers that are not trusted.
pub(super) const MOST_STRANGERS: usize = 64;
/// How often to check whether a connection has used up its time.
const TICK: Duration = Duration::from_secs(1);
/// How long a connection is kept after its end was announced, for requests in flight.
const LINGER: Duration = Duration::from_millis(250);

/// What is answered on a connection.
#[derive(Debug, Clone)]
pub(super) enum Role {
    Guard(Door),
    Admin(Peer),
}

impl Role {
    /// The peer at the other end.
    pub(super) fn peer(&self) -> &Peer {
        match self {
            Self::Guard(Door { peer, .. }) | Self::Admin(peer) => peer,
        }
    }
}

/// Says at once that there is no room. For a moment, what the client has sent is read: closing a connection with unread
/// bytes resets it, and the answer may be lost.
pub(super) async fn turn_away(mut stream: Stream) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nX-Keyward-Reason: overloaded\r\nRetry-After: 1\r\n\
                          Cache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = async {
        stream.write_all(BUSY).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    let _ = tokio::time::timeout(LINGER, answer).await;
}

/// Serves a connection until its client or the server ends it. `ends` signal the end of the server and of the listener.
pub(super) async fn serve(stream: Stream, role: Role, worker: Worker, ends: [watch::Receiver<bool>; 2]) {
    if let Stream::Tcp(stream) = &stream {
        // Answers are short, and clients send nothing while they wait for one.
        let _ = stream.set_nodelay(true);
    }
    let pace = Pace::new(worker.shared.guard.clock().clone());
    let io = TokioIo::new(Timed::new(stream, pace.clone()));
    let is_ending = AtomicBool::new(false);
    let service = service_fn(|request| {
        pace.begin();
        let (role, worker, pace, is_ending) = (&role, &worker, &pace, &is_ending);
        let is_tunnel = request.method() == Method::CONNECT;
        async move {
            let mut response = match role {
                Role::Guard(door) => handle(request, door, worker, pace).await,
                Role::Admin(peer) => admin::handle(&request, peer, worker),
            };
            if is_ending.load(Ordering::Relaxed) {
                // A client that sees this does not send another request on a connection about to be closed.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            if is_tunnel && response.status().is_success() {
                // Such an answer has no length (RFC 9110 section 9.3.6), and hyper sends none that has one.
                response.headers_mut().remove(CONTENT_LENGTH);
            }
            pace.end();
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.max_headers(MOST_LINES).max_header_size(MOST_HEAD).max_buf_size(2 * MOST_HEAD);
    // A client may end its sending side behind a request, and gets its answer. Looking for the end of a connection during
    // a request would also have hyper take a new buffer for each.
    http.half_close(true);
    http.header_read_timeout(None);
    let mut connection = pin!(http.serve_connection(io, service));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let [mut stop, mut close] = ends;
    loop {
        let was_ending = is_ending.load(Ordering::Relaxed);
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tell_of_end(&error, &role, &worker);
                }
                return;
            }
            _ = stop.changed(), if !was_ending => {
                is_ending.store(true, Ordering::Relaxed);
                tick.reset_after(LINGER);
            }
            _ = close.changed(), if !was_ending => {
                is_ending.store(true, Ordering::Relaxed);
                tick.reset_after(LINGER);
            }
            _ = tick.tick() => {
                if was_ending {
                    connection.as_mut().graceful_shutdown();
                } else if pace.is_over() {
                    if pace.is_within_head() {
                        tell("head_too_slow", "the head did not come within 5 seconds", &role, &worker);
                    }
                    return;
                }
            }
        }
    }
}

/// Logs a connection that did not end properly. A client may leave between two requests.
fn tell_of_end(error: &hyper::Error, role: &Role, worker: &Worker) {
    let reason = match () {
        () if error.is_parse_too_large() => "head_too_large",
        () if error.is_parse() => "head_malformed",
        () if error.is_incomplete_message() => "head_cut_short",
        () => return,
    };
    tell(reason, &error.to_string(), role, worker);
}

fn tell(reason: &'static str, message: &str, role: &Role, worker: &Worker) {
    if worker.shared.settings().config.log != Logged::Nothing {
        worker.shared.log.connection(reason, message, &role.peer().to_string());
    }
}

/// Counts a connection as long as it lives.
pub(super) struct Counted {
    worker: Worker,
    is_stranger: bool,
}

impl Counted {
    /// Returns `None` if there is no room for another one. Strangers are untrusted peers: they have a small room of
    /// their own, and take none from the proxies.
    pub(super) fn new(worker: &Worker, is_stranger: bool) -> Option<Self> {
        let counted = Self { worker: worker.clone(), is_stranger };
        let before = counted.number().fetch_add(1, Ordering::AcqRel);
        (before < if is_stranger { MOST_STRANGERS } else { MOST }).then_some(counted)
    }

    fn number(&self) -> &AtomicUsize {
        let shared = &self.worker.shared;
        if self.is_stranger { &shared.strangers } else { &shared.connections }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.number().fetch_sub(1, Ordering::AcqRel);
    }
}
