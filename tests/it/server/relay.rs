//! A relay to the server that can hold answers back, and sees what is sent.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::lan::SERVER;
use crate::serve::eventually;

/// A port of the hub that leads to the server.
pub struct Relay {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_over: AtomicBool,
    /// Whether answers are held back.
    holds: AtomicBool,
    connections: Mutex<Vec<Arc<Sent>>>,
}

/// What a client has sent.
#[derive(Default)]
struct Sent {
    bytes: Mutex<Vec<u8>>,
    is_over: AtomicBool,
}

impl Relay {
    /// In this network namespace, to this port of the server; `None` to accept everything and answer nothing.
    pub fn start(hub: &str, server: Option<u16>) -> Self {
        let state = Arc::<State>::default();
        let (tell, told) = channel();
        let (hub, own) = (hub.to_owned(), Arc::clone(&state));
        thread::spawn(move || {
            // From now on, this thread and those it starts are in that namespace.
            let network = File::open(format!("/run/netns/{hub}")).unwrap();
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let listener = TcpListener::bind((SERVER, 0)).unwrap();
            listener.set_nonblocking(true).unwrap();
            tell.send(listener.local_addr().unwrap().port()).unwrap();
            while !own.is_over.load(SeqCst) {
                match listener.accept() {
                    Ok((client, _)) => own.take(client, server),
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        Self { port: told.recv().unwrap(), state }
    }

    /// Holds back what the server says from now on, or releases it.
    pub fn hold(&self, holds: bool) {
        self.state.holds.store(holds, SeqCst);
    }

    /// What each connection opened since the last call has sent. Their clients have exited, and their last bytes are
    /// waited for.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        let connections = std::mem::take(&mut *self.state.connections.lock().unwrap());
        let all = connections.iter();
        eventually(|| all.clone().all(|sent| sent.is_over.load(SeqCst)).then_some(())).unwrap();
        all.map(|sent| sent.bytes.lock().unwrap().clone()).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.is_over.store(true, SeqCst);
    }
}

impl State {
    /// Handles a new connection.
    fn take(self: &Arc<Self>, client: TcpStream, server: Option<u16>) {
        client.set_nonblocking(false).unwrap();
        let sent = Arc::<Sent>::default();
        self.connections.lock().unwrap().push(Arc::clone(&sent));
        // If the server is gone, this connection ends too.
        let Ok(server) = server.map(|port| TcpStream::connect((SERVER, port))).transpose() else {
            return sent.is_over.store(true, SeqCst);
        };
        if let Some(server) = &server {
            let (server, client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let own = Arc::clone(self);
            let wait = move |_: &[u8]| {
                while own.holds.load(SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
            };
            thread::spawn(move || pass(server, Some(client), wait));
        }
        thread::spawn(move || {
            pass(client, server, |bytes| sent.bytes.lock().unwrap().extend_from_slice(bytes));
            sent.is_over.store(true, SeqCst);
        });
    }
}

/// Forwards bytes until no more come.
fn pass(mut from: TcpStream, mut to: Option<TcpStream>, see: impl Fn(&[u8])) {
    let mut bytes = [0; 16_384];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        see(&bytes[..length]);
        if let Some(to) = &mut to
            && to.write_all(&bytes[..length]).is_err()
        {
            break;
        }
    }
    if let Some(to) = to {
        let _ = to.shutdown(Shutdown::Both);
    }
}
