//! What clients really send: curl and python's `requests` talk to a listener on loopback.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Output, finish_with};

/// The clients that the systems' own samples are written for.
pub const CLIENTS: [Client; 2] = [Client::Curl, Client::Requests];

/// Longer than any client here needs, but short enough for a failing test.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a script that uses `requests` makes a call.
const SCRIPT: &str = r#"
import json, sys, requests
call = json.load(sys.stdin)
requests.request(call["method"], call["url"], headers=dict(call["headers"]), params=call["query"],
                 auth=call["login"] and tuple(call["login"]), timeout=10).raise_for_status()
"#;

/// A program that sends requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Curl,
    Requests,
}

/// A request as its author sees it. What goes over the wire is up to the client.
#[derive(Clone)]
pub struct Call {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
    login: Option<(String, String)>,
}

impl Call {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: vec![], query: vec![], login: None }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Basic authentication, which the client encodes.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// The request that curl makes of it.
    pub fn by_curl(&self) -> Vec<u8> {
        Client::Curl.sends(self)
    }

    /// The requests that both clients make of it.
    pub fn by_each(&self) -> [Vec<u8>; 2] {
        CLIENTS.map(|client| client.sends(self))
    }
}

impl Client {
    /// Sends the request with this client; returns the bytes of its head.
    pub fn sends(self, call: &Call) -> Vec<u8> {
        match self {
            Self::Curl => {
                let args = curl_args(call);
                curl(&call.path, &args.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Self::Requests => capture(&call.path, |url| {
                let Call { method, headers, query, login, .. } = call;
                let call = json!({"method": method, "url": url, "headers": headers, "query": query, "login": login});
                finish_with(Command::new(python()).args(["-c", SCRIPT]).envs(NO_PROXY), call.to_string().as_bytes())
            }),
        }
    }
}

/// Without this, the machine's own proxy would get the request instead of the listener.
pub const NO_PROXY: [(&str, &str); 2] = [("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")];

/// Runs curl with these arguments; returns the bytes of the request's head.
pub fn curl(path: &str, args: &[&str]) -> Vec<u8> {
    capture(path, |url| {
        let mut curl = Command::new("curl");
        curl.args(["--disable", "--silent", "--max-time", "10"]).args(args).arg(url).envs(NO_PROXY);
        finish_with(&mut curl, b"")
    })
}

fn curl_args(call: &Call) -> Vec<String> {
    let mut args = match call.method.as_str() {
        // With --request HEAD, curl would wait for a body that never comes.
        "HEAD" => vec!["--head".to_owned()],
        method => vec!["--request".to_owned(), method.to_owned()],
    };
    for (name, value) in &call.headers {
        args.extend(["--header".to_owned(), format!("{name}: {value}")]);
    }
    for (name, value) in &call.query {
        args.extend(["--get".to_owned(), "--data-urlencode".to_owned(), format!("{name}={value}")]);
    }
    if let Some((user, password)) = &call.login {
        args.extend(["--user".to_owned(), format!("{user}:{password}")]);
    }
    args
}

/// The python that has `requests`: distributions install it for their own, which may not be first on the path.
pub fn python() -> &'static str {
    static PYTHON: OnceLock<&str> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let has_requests = |python: &&str| {
            let mut command = Command::new(python);
            command.args(["-c", "import requests"]).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        ["/usr/bin/python3", "python3"].into_iter().find(has_requests).expect("a python3 with requests")
    })
}

/// Listens while `send` makes its request to the given URL; returns the request's head.
pub fn capture(path: &str, send: impl FnOnce(&str) -> Output) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}{path}", listener.local_addr().unwrap());
    let head = std::thread::spawn(move || answer(listener.accept().unwrap().0));
    let output = send(&url);
    // A client that failed may never have connected, so there may be nothing to wait for.
    assert_eq!(output.code, 0, "the client failed: {output}");
    head.join().unwrap()
}

/// Reads the head of a request, and answers with success.
pub fn answer(mut connection: TcpStream) -> Vec<u8> {
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).expect("the whole head of a request");
        head.push(byte[0]);
    }
    connection.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    head
}
