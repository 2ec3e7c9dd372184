//! Servers that run until their test ends, and requests to them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How many times a condition is polled, and the interval between polls.
const LOOKS: u32 = 400;
const BETWEEN: Duration = Duration::from_millis(50);
/// Longer than any answer takes, yet short enough for a failing test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
pub enum At<'a> {
    Port(u16),
    Path(&'a Path),
}

/// A status and the rest of an answer.
pub type Answer = (u16, String);

/// A process that ends with the test.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Starts it, and waits until it accepts connections.
    pub fn start_at(command: &mut Command, at: At<'_>) -> Self {
        let mut running = Self::start(command);
        until("it listens", || {
            assert!(running.0.try_wait().unwrap().is_none(), "it has ended");
            match at {
                At::Port(port) => TcpStream::connect(("127.0.0.1", port)).is_ok(),
                At::Path(path) => UnixStream::connect(path).is_ok(),
            }
        });
        running
    }

    pub fn tell(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits until it exits, and returns the exit code.
    pub fn end(mut self) -> Option<i32> {
        until("it ends", || self.0.try_wait().unwrap().is_some());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the condition holds.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if is_so() {
            return;
        }
        std::thread::sleep(BETWEEN);
    }
    panic!("given up waiting until {what}");
}

/// The answer to a GET with these header lines.
pub fn get(at: At<'_>, path: &str, headers: &[&str]) -> Answer {
    let lines: String = headers.iter().flat_map(|line| [*line, "\r\n"]).collect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
    match at {
        At::Port(port) => {
            let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            converse(stream, &request)
        }
        At::Path(path) => {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            converse(stream, &request)
        }
    }
}

fn converse(mut stream: impl Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {answer:?}")), answer)
}
