//! A guard, a service behind it, and a real proxy between them and the clients.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::recorder::{Recorder, Request};
use super::{Http, Proxy};
use crate::harness::{Output, Sandbox, binary, finish, words};
use crate::ports::{free_port, with_addresses};

/// Where the guard listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Tcp,
    Unix,
}

/// A world for one proxy.
pub struct Lab {
    pub sandbox: Sandbox,
    pub service: Recorder,
    /// Of the key "deploy".
    pub secret: String,
    pub id: String,
    /// Of the key "inside", allowed only from 203.0.113.0/24 and over HTTPS.
    pub inside: String,
    /// Of the key "secure", allowed only over HTTPS.
    pub secure: String,
    listen: String,
}

/// A process that ends with the test.
pub struct Running {
    child: Child,
    log: PathBuf,
}

/// What `serve example` printed, and the addresses to put in.
pub struct Example<'l> {
    pub text: String,
    pub folder: &'l Path,
    /// Where clients reach the proxy.
    pub public: SocketAddr,
    pub service: SocketAddr,
    pub http: Http,
}

pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Lab {
    pub fn new(place: Place) -> Self {
        let sandbox = Sandbox::new();
        let listen = match place {
            Place::Tcp => local(free_port()).to_string(),
            Place::Unix => format!("unix:{}", sandbox.path("guard.sock").display()),
        };
        let create = |line: &str| {
            let output = finish(&mut sandbox.binary(&format!("create {line} --json")));
            assert_eq!(output.code, 0, "{output}");
            output.json()
        };
        let deploy = create("deploy --scope rest --allow-insecure");
        let inside = create("inside --allow-ip 203.0.113.0/24");
        let secure = create("secure");
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        Self {
            service: Recorder::start(local(0), serve),
            secret: text(&deploy["secret"]),
            id: text(&deploy["key"]["id"]),
            inside: text(&inside["secret"]),
            secure: text(&secure["secret"]),
            sandbox,
            listen,
        }
    }

    pub fn keyward(&self, line: &str) -> Output {
        let output = finish(&mut self.sandbox.binary(line));
        assert_eq!(output.code, 0, "{output}");
        output
    }

    /// Starts the guard.
    pub fn guard(&self, flags: &[&str]) -> Running {
        let mut args = words(&format!("serve --listen {}", self.listen));
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let mut guard = Running::start(&mut binary(&self.sandbox.store(), &args), self.sandbox.path("guard.log"));
        match self.listen.strip_prefix("unix:") {
            Some(path) => guard.wait_for(|| UnixStream::connect(path).is_ok()),
            None => guard.wait_for(|| TcpStream::connect(&self.listen).is_ok()),
        }
        guard
    }

    /// Something else in place of the guard.
    pub fn impostor(&self, answer: super::recorder::Answer) -> Recorder {
        Recorder::start(self.listen.parse().unwrap(), answer)
    }

    /// Starts a proxy with its example, changing only addresses.
    pub fn proxy(&self, proxy: &Proxy, http: Http) -> (Running, SocketAddr) {
        let folder = self.sandbox.path(&format!("{}-{http:?}", proxy.name));
        std::fs::create_dir_all(&folder).unwrap();
        let public = local(free_port());
        let text = self.keyward(&format!("serve example {} --listen {}", proxy.name, self.listen)).stdout;
        let example = Example { text, folder: &folder, public, service: self.service.address, http };
        let mut running = Running::start(&mut (proxy.prepare)(&example), folder.join("log"));
        running.wait_for(|| TcpStream::connect(public).is_ok());
        (running, public)
    }
}

/// The service: it greets WebSockets (RFC 6455 section 1.3), and answers all other requests "ok".
fn serve(request: &Request) -> Vec<u8> {
    let answer = if request.values("upgrade") == ["websocket"] {
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello"
    } else {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    };
    answer.as_bytes().to_vec()
}

impl Example<'_> {
    /// Writes the example's files with these addresses: the first under this name, the others under their own.
    pub fn write(&self, first: &str, addresses: &[(&str, String)]) -> PathBuf {
        let text = with_addresses(&self.text, addresses);
        let mut file = String::new();
        let mut name = first;
        for line in text.lines() {
            if let Some(next) = line.strip_prefix("# file: ").or_else(|| line.strip_prefix("-- file: ")) {
                std::fs::write(self.folder.join(name), std::mem::take(&mut file)).unwrap();
                name = next;
            } else {
                file.push_str(line);
                file.push('\n');
            }
        }
        std::fs::write(self.folder.join(name), file).unwrap();
        self.folder.join(first)
    }

    /// A certificate with its key, in one file.
    pub fn certificate(&self) -> PathBuf {
        let (key, certificate) = (self.folder.join("server.key"), self.folder.join("server.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]);
        openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"]).arg(&key);
        let output = finish(openssl.arg("-out").arg(&certificate).stdin(Stdio::null()));
        assert_eq!(output.code, 0, "{output}");
        let both = [std::fs::read(&certificate).unwrap(), std::fs::read(&key).unwrap()].concat();
        std::fs::write(&certificate, both).unwrap();
        certificate
    }

    /// Another file beside them.
    pub fn add(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.folder.join(name), text).unwrap();
        self.folder.join(name)
    }
}

impl Running {
    fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log }
    }

    fn wait_for(&mut self, is_there: impl Fn() -> bool) {
        for _ in 0..400 {
            if is_there() {
                return;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended: {}", self.told());
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("nobody listens: {}", self.told());
    }

    /// What the process wrote.
    pub fn told(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops it as a service manager does; returns its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.end()
    }

    fn end(&mut self) -> Option<i32> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return status.code();
        }
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        for _ in 0..400 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }
}

impl Drop for Running {
    #[expect(clippy::print_stderr, reason = "of a failed test, what its processes wrote is shown")]
    fn drop(&mut self) {
        let code = self.end();
        if std::thread::panicking() {
            eprintln!("{}, which ended with {code:?}: {}", self.log.display(), self.told());
        }
    }
}
