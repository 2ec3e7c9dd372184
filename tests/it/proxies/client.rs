//! Real clients.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::json;

use super::Http;
use super::lab::Lab;
use crate::harness::finish_with;
use crate::systems::capture::{NO_PROXY, python};

/// A curl request.
pub struct Ask {
    path: &'static str,
    args: Vec<String>,
    pub body: Vec<u8>,
}

/// What the client got.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Ask {
    pub fn new() -> Self {
        Self { path: "/orders?page=2", args: vec![], body: vec![] }
    }

    pub fn with(key: &str) -> Self {
        Self::new().header("Authorization", &format!("Bearer {key}"))
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        self.args(&["--header", &format!("{name}: {value}")])
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// A path with `[1-40]` sends that many requests; the last answer counts.
    pub fn path(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    pub fn send(&self, lab: &Lab, proxy: SocketAddr, http: Http) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["--disable", "--silent", "--show-error", "--include", "--noproxy", "*", "--max-time", "15"]);
        curl.args(["--user-agent", "curl"]).args(&self.args);
        match http {
            Http::One => {}
            Http::Two => drop(curl.arg("--http2-prior-knowledge")),
            Http::Secure => drop(curl.arg("--insecure")),
        }
        let scheme = if http == Http::Secure { "https" } else { "http" };
        if !self.body.is_empty() {
            let file = lab.sandbox.path("upload");
            std::fs::write(&file, &self.body).unwrap();
            curl.arg("--data-binary").arg(format!("@{}", file.display()));
        }
        let output = finish_with(curl.arg(format!("{scheme}://{proxy}{}", self.path)), b"");
        assert_eq!(output.code, 0, "{output}");
        // A "100 Continue" may come before the final response.
        let last = output.stdout.rfind("HTTP/").unwrap_or_else(|| panic!("{output}"));
        let (head, body) = output.stdout[last..].split_once("\r\n\r\n").unwrap_or_else(|| panic!("{output}"));
        let status = head.split(' ').nth(1).unwrap().trim().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}

impl Answer {
    /// The value of a header.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut found = self.head.lines().filter_map(|line| line.split_once(": "));
        found.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// The status that Python's requests gets.
pub fn requests(proxy: SocketAddr, key: &str) -> u16 {
    let script = "import sys, requests
print(requests.post(sys.argv[1], headers={'X-Api-Key': sys.stdin.read()}, data=b'abc', timeout=10).status_code)";
    let mut command = Command::new(python());
    command.args(["-c", script]).arg(format!("http://{proxy}/python")).envs(NO_PROXY);
    let output = finish_with(&mut command, key.as_bytes());
    output.stdout.trim().parse().unwrap_or_else(|_| panic!("{output}"))
}

/// The status that Node's fetch gets.
pub fn fetch(proxy: SocketAddr, key: &str) -> u16 {
    const SCRIPT: &str = "
        const [url, key] = JSON.parse(require('fs').readFileSync(0));
        fetch(url, { method: 'POST', headers: { authorization: `Bearer ${key}` }, body: 'abc' })
            .then(answer => console.log(answer.status));";
    let mut command = Command::new("node");
    let question = json!([format!("http://{proxy}/node"), key]).to_string();
    let output = finish_with(command.args(["-e", SCRIPT]).envs(NO_PROXY), question.as_bytes());
    output.stdout.trim().parse().unwrap_or_else(|_| panic!("{output}"))
}
