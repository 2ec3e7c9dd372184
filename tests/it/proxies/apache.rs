//! Debian's Apache.

use std::process::Command;

use super::lab::Example;
use super::{Fate, Http, Proxy};

pub const PROXY: Proxy = Proxy {
    name: "apache",
    prepare,
    alias: Fate::Refused,
    nominated_header: Fate::Refused,
    two_credentials: 401,
    nominated: 200,
    h2c: 200,
    unanswered: [503, 503, 503, 503],
    has_bodies: true,
    asks: "GET /forward/default HTTP/1.1",
    // One per thread.
    connections: 4,
    service_gets: "GET /orders?page=2 HTTP/1.1
Accept: */*
Connection: Keep-Alive
Host: 127.0.0.1:PORT
User-Agent: curl
X-Forwarded-For: 127.0.0.1
X-Forwarded-Host: 127.0.0.1:PORT
X-Forwarded-Method: GET
X-Forwarded-Proto: http
X-Forwarded-Server: localhost
X-Forwarded-Uri: /orders?page=2
",
};

const MODULES: [&str; 9] =
    ["mpm_event", "socache_shmcb", "ssl", "authn_core", "authz_core", "lua", "proxy", "proxy_http", "http2"];

fn prepare(example: &Example<'_>) -> Command {
    let site = match example.http {
        Http::Secure => {
            let pem = example.certificate().display().to_string();
            format!("{}>\nSSLEngine on\nSSLCertificateFile {pem}\nSSLCertificateKeyFile {pem}", example.public)
        }
        Http::One | Http::Two => format!("{}>", example.public),
    };
    let addresses = [
        ("*:80>", site),
        ("127.0.0.1:3000", example.service.to_string()),
        ("/etc/apache2", example.folder.display().to_string()),
    ];
    let site = example.write("site.conf", &addresses);
    let load =
        MODULES.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")).concat();
    let folder = example.folder.display();
    let main = format!(
        "{load}ServerRoot {folder}\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\nErrorLog /dev/stderr\n\
         ServerName localhost\nListen {}\nProtocols h2 h2c http/1.1\nInclude {}\n\
         StartServers 1\nServerLimit 1\nThreadsPerChild 4\nMaxRequestWorkers 4\n",
        example.public,
        site.display()
    );
    let main = example.add("apache.conf", &main);
    let mut apache = Command::new("apache2");
    apache.arg("-DFOREGROUND").arg("-f").arg(main);
    apache
}
