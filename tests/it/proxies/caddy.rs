//! Debian's Caddy.

use std::process::Command;

use super::lab::Example;
use super::{Fate, Http, Proxy};

pub const PROXY: Proxy = Proxy {
    name: "caddy",
    prepare,
    alias: Fate::Refused,
    nominated_header: Fate::Refused,
    two_credentials: 401,
    nominated: 200,
    h2c: 200,
    unanswered: [502, 502, 500, 504],
    has_bodies: true,
    // With the client's query.
    asks: "GET /forward/default?page=2 HTTP/1.1",
    connections: 1,
    service_gets: "GET /orders?page=2 HTTP/1.1
Accept-Encoding: gzip
Accept: */*
Host: 127.0.0.1:PORT
User-Agent: curl
X-Forwarded-For: 127.0.0.1
X-Forwarded-Host: 127.0.0.1:PORT
X-Forwarded-Method: GET
X-Forwarded-Proto: http
X-Forwarded-Uri: /orders?page=2
",
};

fn prepare(example: &Example<'_>) -> Command {
    let site = match example.http {
        Http::Secure => {
            format!("https://{} {{\n\ttls {pem} {pem}", example.public, pem = example.certificate().display())
        }
        Http::One | Http::Two => format!("http://{} {{", example.public),
    };
    let addresses = [(":80 {", site), ("127.0.0.1:3000", example.service.to_string())];
    let file = example.write("guarded", &addresses);
    // For the test only: no automatic certificates, and HTTP/2 without TLS.
    let main = format!(
        "{{\n\tadmin off\n\tauto_https off\n\tservers {{\n\t\tprotocols h1 h2 h2c\n\t}}\n}}\nimport {}\n",
        file.display()
    );
    let main = example.add("Caddyfile", &main);
    let mut caddy = Command::new("caddy");
    caddy.arg("run").arg("--config").arg(main).args(["--adapter", "caddyfile"]).env("HOME", example.folder);
    caddy.env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
    caddy
}
