//! Debian's HAProxy.

use std::process::Command;

use super::lab::Example;
use super::{Fate, Http, Proxy};

pub const PROXY: Proxy = Proxy {
    name: "haproxy",
    prepare,
    alias: Fate::Refused,
    nominated_header: Fate::Refused,
    two_credentials: 401,
    nominated: 200,
    h2c: 200,
    unanswered: [503, 503, 503, 503],
    has_bodies: true,
    asks: "GET /forward/default HTTP/1.1",
    connections: 2,
    service_gets: "GET /orders?page=2 HTTP/1.1
accept: */*
host: 127.0.0.1:PORT
user-agent: curl
x-forwarded-for: 127.0.0.1
x-forwarded-host: 127.0.0.1:PORT
x-forwarded-method: GET
x-forwarded-proto: http
x-forwarded-uri: /orders?page=2
",
};

fn prepare(example: &Example<'_>) -> Command {
    let bind = match example.http {
        Http::Secure => format!("bind {} ssl crt {}", example.public, example.certificate().display()),
        Http::One | Http::Two => format!("bind {}", example.public),
    };
    let addresses = [
        ("bind :80", bind),
        ("127.0.0.1:3000", example.service.to_string()),
        ("/etc/haproxy", example.folder.display().to_string()),
    ];
    let main = example.write("haproxy.cfg", &addresses);
    let mut haproxy = Command::new("haproxy");
    haproxy.arg("-db").arg("-f").arg(main);
    haproxy
}
