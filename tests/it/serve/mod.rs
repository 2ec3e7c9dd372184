//! `keyward serve` against attackers who want a wrong yes, a hang or a crash.
//!
//! The real binary serves a sandbox's store on a port that the system chooses. It logs the port in its first line, and
//! is killed by PID when the test is over.

mod answers;
mod floods;
mod heads;
mod imported;
mod limits;
mod manual;
mod operate;
mod soak;
mod start;
mod store;
mod usage;
mod verify_api;
mod world;

use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::Sandbox;

/// Longer than any wait here may take.
pub const LONG: Duration = Duration::from_secs(10);

/// A guard that serves until the test is over.
pub struct Guard {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// Where proxies ask.
    pub address: String,
    /// Where operators look.
    pub admin: String,
}

impl Guard {
    /// Serves the sandbox's store with these flags, on one free port for proxies and one for operators.
    pub fn start(sandbox: &Sandbox, flags: &str) -> Self {
        Self::spawn(sandbox.binary(&format!("serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 {flags}")))
    }

    /// The same with a configuration that names no address.
    pub fn configured(sandbox: &Sandbox, config: &str) -> Self {
        std::fs::write(sandbox.path("serve.toml"), config).unwrap();
        Self::start(sandbox, &format!("--config {}", sandbox.path("serve.toml").display()))
    }

    /// Runs this serving command, and waits until it reports its addresses.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, kept) = (child.stderr.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let mut guard = Self { child, lines, address: String::new(), admin: String::new() };
        let start = guard.event("start");
        let mut listen = start["listen"].as_array().unwrap().iter().map(|place| place.as_str().unwrap().to_owned());
        guard.address = listen.next().unwrap();
        guard.admin = listen.next().unwrap_or_default();
        guard
    }

    /// The log so far, line by line.
    pub fn log(&self) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        let read = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        lines.iter().map(read).collect()
    }

    /// The log so far, verbatim.
    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for the first line of this event.
    pub fn event(&self, event: &str) -> Value {
        self.line(|line| line["event"] == event)
    }

    /// Waits for the first line that matches.
    pub fn line(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(|| self.log().into_iter().find(|line| is_it(line)))
            .unwrap_or_else(|| panic!("not logged: {}", self.text()))
    }

    /// How many log lines match.
    pub fn count(&self, is_it: impl Fn(&Value) -> bool) -> usize {
        self.log().iter().filter(|line| is_it(line)).count()
    }

    /// A connection.
    pub fn connect(&self) -> Wire {
        Wire::to(&self.address)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.connect().ask(&head("GET", path, headers))
    }

    /// Asks about a request for `/` from a client at 203.0.113.9 over TLS, with this credential.
    pub fn with(&self, policy: &str, secret: &str) -> Answer {
        self.ask(
            &format!("/forward/{policy}"),
            &[&FACTS[..], &[("Authorization", &format!("Bearer {secret}"))]].concat(),
        )
    }

    /// A request to the operators' address.
    pub fn admin(&self, path: &str) -> Answer {
        Wire::to(&self.admin).ask(&head("GET", path, &[]))
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Makes it reload its configuration, and returns what it logs about that.
    pub fn reload(&self) -> Value {
        let is_reload = |line: &Value| line["event"] == "reload";
        let before = self.count(is_reload);
        self.signal(Signal::HUP);
        eventually(|| self.log().into_iter().filter(is_reload).nth(before)).unwrap()
    }

    /// Sends SIGTERM, and waits until it exits.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits until it exits.
    pub fn ended(&mut self) -> ExitStatus {
        eventually(|| self.child.try_wait().unwrap()).unwrap_or_else(|| panic!("it does not end: {}", self.text()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls `look` until it finds something.
pub fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < LONG {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// What a proxy says about a request for `/` from a client at 203.0.113.9 over TLS.
pub const FACTS: [(&str, &str); 5] = [
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Uri", "/"),
    ("X-Forwarded-Host", "api.example.org"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-For", "203.0.113.9"),
];

/// The head of a request.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let lines = headers.iter().fold(String::new(), |lines, (name, value)| lines + name + ": " + value + "\r\n");
    format!("{method} {path} HTTP/1.1\r\nHost: guard\r\n{lines}\r\n")
}

/// The head of a question about a request for `/`, with this credential.
pub fn question(policy: &str, secret: &str) -> String {
    let credential = format!("Bearer {secret}");
    head("GET", &format!("/forward/{policy}"), &[&FACTS[..], &[("Authorization", &credential)]].concat())
}

/// A connection, byte by byte.
pub struct Wire {
    stream: Box<dyn Stream>,
    /// Bytes received but not yet parsed.
    rest: Vec<u8>,
}

trait Stream: Read + Write + Send {
    fn wait_for(&self, time: Duration);
    fn end(&self);
}

impl Stream for TcpStream {
    fn wait_for(&self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
        self.set_write_timeout(Some(time)).unwrap();
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Stream for UnixStream {
    fn wait_for(&self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
        self.set_write_timeout(Some(time)).unwrap();
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Wire {
    /// Connects to `IP:PORT` or `unix:PATH`.
    pub fn to(address: &str) -> Self {
        Self::try_to(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    pub fn try_to(address: &str) -> std::io::Result<Self> {
        let stream: Box<dyn Stream> = match address.strip_prefix("unix:") {
            Some(path) => Box::new(UnixStream::connect(Path::new(path))?),
            None => Box::new(TcpStream::connect(address)?),
        };
        stream.wait_for(LONG);
        Ok(Self { stream, rest: vec![] })
    }

    /// Sets the timeout for reads and writes.
    pub fn wait_for(&self, time: Duration) {
        self.stream.wait_for(time);
    }

    /// Closes the sending side.
    pub fn end(&self) {
        self.stream.end();
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Returns whether it could be sent.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends a head, and returns the answer.
    pub fn ask(&mut self, head: &str) -> Answer {
        self.send(head);
        self.answer(head.starts_with("HEAD ")).unwrap_or_else(|| panic!("no answer to {head}"))
    }

    /// Asks, and returns everything that comes until the other end closes the connection.
    pub fn ask_for_the_last_time(&mut self, head: &str) -> String {
        self.send(head);
        while self.read() {}
        String::from_utf8(std::mem::take(&mut self.rest)).unwrap()
    }

    /// The next answer; `None` if the connection ended without one, or nothing came in time. Parsing is strict:
    /// anything that is not an answer fails the test.
    pub fn answer(&mut self, is_head: bool) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|part| part == b"\r\n\r\n") {
                break end;
            }
            if !self.read() {
                assert!(self.rest.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&self.rest));
                return None;
            }
        };
        let head = String::from_utf8(self.rest.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line:?} is no header")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, headers, body: String::new() };
        let length: usize = answer.only("content-length").parse().unwrap();
        assert_eq!(answer.all("transfer-encoding"), [""; 0]);
        if !is_head {
            while self.rest.len() < length {
                assert!(self.read(), "half a body: {answer:?}");
            }
            answer.body = String::from_utf8(self.rest.drain(..length).collect()).unwrap();
        }
        Some(answer)
    }

    /// Reads what is there. Returns whether anything was.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let number = self.read_some(&mut bytes).unwrap_or(0);
        self.rest.extend_from_slice(&bytes[..number]);
        number > 0
    }

    /// Waits for the other end to close the connection; false if it sent something first.
    pub fn is_closed(&mut self) -> bool {
        self.end_of_it().is_ok()
    }

    /// The same; the error says what came instead.
    pub fn end_of_it(&mut self) -> Result<(), String> {
        let mut byte = [0];
        match self.read_some(&mut byte) {
            _ if !self.rest.is_empty() => Err(format!("said before: {:?}", String::from_utf8_lossy(&self.rest))),
            Ok(0) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(_) => Err(format!("it goes on with {byte:?}")),
        }
    }

    /// A read with a timeout ends early if the process was stopped or a signal came, whatever its handler (signal(7)).
    /// Nothing was read then, and the connection is still open.
    fn read_some(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.stream.read(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl Answer {
    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a header that must occur exactly once.
    pub fn only(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name}: {self:?}");
        all[0]
    }

    /// The reason in the header.
    pub fn reason(&self) -> &str {
        self.only("x-keyward-reason")
    }

    /// The status and the reason.
    pub fn both(&self) -> (u16, &str) {
        (self.status, self.reason())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether it closes the connection.
    pub fn closes(&self) -> bool {
        self.all("connection").contains(&"close")
    }
}
