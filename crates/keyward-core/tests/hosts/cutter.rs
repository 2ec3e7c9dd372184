//! A connection to the server that can be cut at the worst moment: when COMMIT was sent.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::server::{OWNER, Server};

/// What happens to the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Data to the server is delayed.
    Slow,
    /// The next COMMIT does not arrive.
    CutBefore,
    /// The next COMMIT arrives, but its answer does not.
    CutAfter,
    /// The same, and no one is let through afterwards.
    CutAfterAndClose,
    /// No one is let through.
    Closed,
}

pub(crate) struct Cutter {
    way: Arc<Mutex<Way>>,
    port: u16,
}

impl Cutter {
    pub(crate) fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(Mutex::new(Way::Open));
        let (shared, socket) = (Arc::clone(&way), server.folder.path().join(format!(".s.PGSQL.{}", server.port)));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, way, socket) = (client.unwrap(), Arc::clone(&shared), socket.clone());
                thread::spawn(move || carry(&client, &socket, &way));
            }
        });
        Self { way, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://{OWNER}@127.0.0.1:{}/keyward?sslmode=disable", self.port)
    }

    pub(crate) fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }
}

fn carry(client: &TcpStream, socket: &PathBuf, way: &Mutex<Way>) {
    let close = || drop(client.shutdown(Shutdown::Both));
    if *way.lock().unwrap() == Way::Closed {
        return close();
    }
    let Ok(server) = UnixStream::connect(socket) else { return close() };
    let (mut back, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut bytes = [0; 8192];
    while let Ok(length @ 1..) = (&mut &*client).read(&mut bytes) {
        let bytes = &bytes[..length];
        if *way.lock().unwrap() == Way::Closed {
            return close();
        }
        if bytes.windows(7).any(|part| part == b"COMMIT\0") {
            let now = *way.lock().unwrap();
            match now {
                Way::Open | Way::Slow | Way::Closed => {}
                Way::CutBefore => {
                    *way.lock().unwrap() = Way::Open;
                    return close();
                }
                Way::CutAfter | Way::CutAfterAndClose => {
                    *way.lock().unwrap() = if now == Way::CutAfter { Way::Open } else { Way::Closed };
                    close();
                    let _ = (&mut &server).write_all(bytes);
                    // The server commits even if no one is listening; that takes a moment.
                    thread::sleep(Duration::from_millis(200));
                    return;
                }
            }
        }
        if *way.lock().unwrap() == Way::Slow {
            thread::sleep(Duration::from_millis(40));
        }
        if (&mut &server).write_all(bytes).is_err() {
            return close();
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}
