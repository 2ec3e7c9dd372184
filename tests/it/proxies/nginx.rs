//! Debian's nginx.

use std::process::Command;

use super::lab::Example;
use super::{Fate, Http, Proxy};

pub const PROXY: Proxy = Proxy {
    name: "nginx",
    prepare,
    // nginx drops headers with such names before anything sees them.
    alias: Fate::Dropped,
    nominated_header: Fate::Refused,
    two_credentials: 400,
    nominated: 200,
    h2c: 200,
    unanswered: [500, 500, 500, 500],
    has_bodies: false,
    asks: "GET /nginx/default HTTP/1.1",
    connections: 1,
    service_gets: "GET /orders?page=2 HTTP/1.1
Accept: */*
Host: 127.0.0.1
User-Agent: curl
X-Forwarded-For: 127.0.0.1
X-Forwarded-Host: 127.0.0.1
X-Forwarded-Method: GET
X-Forwarded-Proto: http
X-Forwarded-Uri: /orders?page=2
",
};

fn prepare(example: &Example<'_>) -> Command {
    // Before nginx 1.25.1, an address speaks either HTTP/1 or HTTP/2.
    let listen = match example.http {
        Http::One => format!("listen {};", example.public),
        Http::Two => format!("listen {} http2;", example.public),
        Http::Secure => {
            let pem = example.certificate().display().to_string();
            format!("listen {} ssl;\nssl_certificate {pem};\nssl_certificate_key {pem};", example.public)
        }
    };
    let site = example.write("site.conf", &[("listen 80;", listen), ("127.0.0.1:3000", example.service.to_string())]);
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = kinds.map(|kind| format!("{kind}_temp_path {kind};")).join(" ");
    let main = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr; events {{ }}\n\
         http {{ access_log off; {folders}\ninclude {}; }}\n",
        site.display()
    );
    let main = example.add("nginx.conf", &main);
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(example.folder).arg("-c").arg(main).args(["-e", "stderr"]);
    nginx
}
