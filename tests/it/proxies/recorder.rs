//! A server that records, byte for byte, what it receives.

use crate::serve::eventually;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A request as received.
#[derive(Debug, Clone)]
pub struct Request {
    /// The head, including its blank line.
    pub head: String,
    /// The body, without chunk sizes.
    pub body: Vec<u8>,
}

impl Request {
    /// The first line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.lines().skip(1).filter_map(|line| line.split_once(": "))
    }

    /// All values of a header.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers().filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// The bytes to answer with; if there are none, the connection is closed.
pub type Answer = fn(&Request) -> Vec<u8>;

/// The server, which stops when the test ends.
pub struct Recorder {
    pub address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

struct State {
    answer: Answer,
    requests: Mutex<Vec<Request>>,
    open: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    is_over: AtomicBool,
}

impl Recorder {
    /// Listens on an address; port 0 picks a free port.
    pub fn start(address: SocketAddr, answer: Answer) -> Self {
        // The port's previous user may take a moment to release it.
        let listener = eventually(|| TcpListener::bind(address).ok()).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            answer,
            requests: Mutex::default(),
            open: Mutex::default(),
            connections: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                shared.open.lock().unwrap().push(stream.try_clone().unwrap());
                let shared = Arc::clone(&shared);
                // It ends when the client disconnects.
                std::thread::spawn(move || shared.serve(stream).ok());
            }
        });
        Self { address, state, accepting: Some(accepting) }
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.state.requests.lock().unwrap())
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // Once the thread has ended, the address is free again.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().unwrap().join();
        for stream in self.state.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = receive(&mut reader, &mut writer)? {
            let answer = (self.answer)(&request);
            self.requests.lock().unwrap().push(request);
            writer.write_all(&answer)?;
            if answer.is_empty() || answer.starts_with(b"HTTP/1.1 101") {
                return writer.shutdown(Shutdown::Write);
            }
        }
        Ok(())
    }
}

fn receive(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> std::io::Result<Option<Request>> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
    }
    let mut request = Request { head: String::from_utf8(head).unwrap(), body: vec![] };
    if !request.values("expect").is_empty() {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if let Some(length) = request.values("content-length").first() {
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body)?;
        request.body = body;
    } else if !request.values("transfer-encoding").is_empty() {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            reader.read_exact(&mut chunk)?;
            if length == 0 {
                break;
            }
            request.body.extend_from_slice(&chunk[..length]);
        }
    }
    Ok(Some(request))
}
