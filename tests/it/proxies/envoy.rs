//! Envoy, from the wheel that tests/run installs.

use std::path::Path;
use std::process::Command;

use super::lab::Example;
use super::{Fate, Http, Proxy};

pub const PROXY: Proxy = Proxy {
    name: "envoy",
    prepare,
    alias: Fate::Refused,
    nominated_header: Fate::Dropped,
    two_credentials: 401,
    // Envoy rejects a Connection header that names X-Forwarded-For.
    nominated: 400,
    h2c: 200,
    unanswered: [503, 503, 503, 503],
    has_bodies: true,
    asks: "POST /envoy/default/orders?page=2 HTTP/1.1",
    connections: 2,
    // A client on the same machine has the address of its interface.
    service_gets: "GET /orders?page=2 HTTP/1.1
accept: */*
host: 127.0.0.1:PORT
user-agent: curl
x-envoy-expected-rq-timeout-ms: 60000
x-envoy-external-address: 127.0.0.1
x-forwarded-for: ADDRESS
x-forwarded-proto: http
x-request-id: ID
",
};

fn prepare(example: &Example<'_>) -> Command {
    let addresses = [
        ("address: 0.0.0.0, port_value: 80 ", format!("address: 127.0.0.1, port_value: {} ", example.public.port())),
        ("port_value: 3000", format!("port_value: {}", example.service.port())),
    ];
    let mut addresses = addresses.to_vec();
    if example.http == Http::Secure {
        let pem = example.certificate().display().to_string();
        addresses.push((
            "    - filters:\n",
            format!(
                "    - transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n          \
                 \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\n          \
                 common_tls_context: {{ tls_certificates: [{{ certificate_chain: {{ filename: {pem} }}, private_key: \
                 {{ filename: {pem} }} }}] }}\n      filters:\n"
            ),
        ));
    }
    let main = example.write("envoy.yaml", &addresses);
    // The folder of the build: target/debug/keyward lies in it.
    let target = Path::new(env!("CARGO_BIN_EXE_keyward")).ancestors().nth(2).unwrap();
    let mut envoy = Command::new(target.join("tools/envoy/envoy/_bin/envoy"));
    envoy.arg("-c").arg(main).args(["--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"]);
    envoy
}
