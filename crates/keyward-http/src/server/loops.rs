//! The event loops: each accepts from all sockets, and serves the connections assigned to it.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};

use super::Worker;
use super::connection::{Counted, MOST, MOST_STRANGERS, Role, serve, turn_away};
use super::listen::Socket;
use super::listening::Duty;
use super::peer::Peer;
use super::stream::{Parked, Stream};

/// The pause after a failed accept, for example because there are too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// A message to a loop.
pub(super) enum Job {
    Listen(Socket, Duty, watch::Receiver<bool>),
    Serve(Parked, Role, Place, watch::Receiver<bool>),
}

/// A loop, as the others see it.
pub(super) struct Loop {
    pub(super) jobs: mpsc::UnboundedSender<Job>,
    pub(super) connections: Arc<AtomicUsize>,
}

/// A connection's place in the total count and in its loop's count. Dropping it anywhere releases both.
pub(super) struct Place {
    _counted: Counted,
    of_loop: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of_loop.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All loops: a connection goes to the one with the fewest.
pub(super) type Loops = Arc<Vec<Loop>>;

/// One event loop: it listens on the sockets that it gets, and serves their connections.
pub(super) async fn turn(
    worker: Worker,
    loops: Weak<Vec<Loop>>,
    mut inbox: mpsc::UnboundedReceiver<Job>,
    stop: watch::Receiver<bool>,
) {
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        let job = tokio::select! {
            job = inbox.recv() => job,
            _ = beat.tick() => {
                worker.shared.beats[worker.number].fetch_add(1, Ordering::Relaxed);
                continue;
            }
        };
        match job {
            None => return,
            Some(Job::Listen(socket, duty, close)) => {
                tokio::spawn(accept(socket, duty, worker.clone(), loops.clone(), close));
            }
            Some(Job::Serve(parked, role, place, close)) => {
                if let Ok(stream) = Stream::unpark(parked) {
                    let (own, stop) = (worker.clone(), stop.clone());
                    tokio::spawn(async move {
                        serve(stream, role, own, [stop, close]).await;
                        drop(place);
                    });
                }
            }
        }
    }
}

/// A listener of either kind.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<(Parked, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream).park()?, Peer::Address(address.ip())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream).park()?, Peer::Unix))
            }
        }
    }

    /// Closes the listener. Waiting clients are let in, because the system has already accepted their connections.
    fn close(self, mut let_in: impl FnMut(Parked, Peer)) -> std::io::Result<()> {
        match self {
            Self::Tcp(listener) => {
                let listener = listener.into_std()?;
                while let Ok((stream, address)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    let_in(Parked::Tcp(stream), Peer::Address(address.ip()));
                }
            }
            Self::Unix(listener) => {
                let listener = listener.into_std()?;
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    let_in(Parked::Unix(stream), Peer::Unix);
                }
            }
        }
        Ok(())
    }
}

async fn accept(socket: Socket, duty: Duty, worker: Worker, loops: Weak<Vec<Loop>>, mut close: watch::Receiver<bool>) {
    let listener = match socket {
        Socket::Tcp(socket) => TcpListener::from_std(socket).map(Listener::Tcp),
        Socket::Unix(socket, _) => UnixListener::from_std(socket).map(Listener::Unix),
    };
    let Ok(listener) = listener else { return };
    let closed = close.clone();
    let let_in = |parked: Parked, peer: Peer| {
        let is_stranger = !peer.is_trusted(&worker.shared.settings().config.trust);
        let role = duty.towards(peer);
        if let Some(counted) = Counted::new(&worker, is_stranger) {
            if let Some(loops) = loops.upgrade() {
                hand_over(&loops, parked, role, counted, closed.clone());
            }
            return;
        }
        let most = if is_stranger { MOST_STRANGERS } else { MOST };
        let message = format!("there are {most} connections already");
        worker.shared.log.connection("too_many_connections", &message, &role.peer().to_string());
        if let Ok(stream) = Stream::unpark(parked) {
            tokio::spawn(turn_away(stream));
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            _ = close.changed() => {
                let _ = listener.close(let_in);
                return;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((parked, peer)) => let_in(parked, peer),
            // The client has left again.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                worker.shared.log.event("error", "accept_error", &[("message", error.to_string().into())]);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Gives a connection to the loop with the fewest.
fn hand_over(loops: &[Loop], parked: Parked, role: Role, counted: Counted, close: watch::Receiver<bool>) {
    let Some(one) = loops.iter().min_by_key(|one| one.connections.load(Ordering::Relaxed)) else { return };
    one.connections.fetch_add(1, Ordering::Relaxed);
    let place = Place { _counted: counted, of_loop: Arc::clone(&one.connections) };
    let _ = one.jobs.send(Job::Serve(parked, role, place, close));
}
