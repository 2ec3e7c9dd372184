//! A service that asks for a key with the scope `read`: `cargo run --example axum -- keys.db`, then `curl` with a key.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program of its own")]

use axum::{Extension, Router, routing::get};
use keyward_http::{Guard, Policy, tower::VerifiedKey};

async fn hello(Extension(key): Extension<VerifiedKey>) -> String {
    format!("Hello, {}\n", key.name())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = std::env::args().nth(1).ok_or("name the store: axum keys.db")?;
    let guard = Guard::open(store)?;
    // In front of it, something ends TLS; without it, only keys that allow plain HTTP work.
    let reading = guard.policy(Policy::default().with_scope("read".parse()?)).behind_tls();
    let router = Router::new().route("/", get(hello)).layer(reading);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}
