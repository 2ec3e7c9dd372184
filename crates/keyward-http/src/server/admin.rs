//! The listener for operators: only `/livez`, `/readyz` and `/metrics`. A guard listener has none of them.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;

use super::Worker;
use super::peer::Peer;
use super::shared::Shared;
use crate::Refusal;
use crate::answer::REASON;
use crate::observe::{Totals, exposition};

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn handle(request: &Request<Incoming>, peer: &Peer, worker: &Worker) -> Response<Full<Bytes>> {
    let shared = &*worker.shared;
    if !peer.is_trusted(&shared.settings().config.trust) {
        let mut response = answer(StatusCode::FORBIDDEN, TEXT, "this machine is in none of the networks of trust\n");
        let headers = response.headers_mut();
        headers.insert(REASON, HeaderValue::from_static(Refusal::UntrustedPeer.as_str()));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "ask with GET\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    match request.uri().path() {
        // Answering at all shows that the loop turns.
        "/livez" => answer(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => ready(shared),
        "/metrics" => answer(StatusCode::OK, METRICS, exposition(&shared.meters, &totals(shared))),
        _ => answer(StatusCode::NOT_FOUND, TEXT, "there are /livez, /readyz and /metrics\n"),
    }
}

fn ready(shared: &Shared) -> Response<Full<Bytes>> {
    let store = shared.look_at_store();
    let writing = shared.guard.counts().writing();
    let is_draining = shared.is_draining.load(Ordering::Relaxed);
    let is_ready = store.is_ok() && !is_draining;
    let status = match () {
        () if !is_ready => "not_ready",
        () if writing.is_failing => "degraded",
        () => "ready",
    };
    let document = json!({
        "status": status,
        "checks": {
            "store": store.err().unwrap_or("ok"),
            "uses": if writing.is_failing { "not_recorded" } else { "ok" },
            "draining": is_draining,
        },
        "unrecorded_uses": writing.unrecorded,
    });
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer(code, "application/json", format!("{document}\n"))
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
fn totals(shared: &Shared) -> Totals {
    let keys = shared.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Totals {
        connections: shared.connections.load(Ordering::Relaxed) as u64,
        hash_queue: shared.guard.gate().waiting() as u64,
        writing: Some(shared.guard.counts().writing()),
        config_loaded: shared.config_loaded.load(Ordering::Relaxed) as f64,
        config_failures: shared.config_failures.load(Ordering::Relaxed),
        keys: keys.states,
        expiring: keys.expiring,
        version: shared.version,
    }
}

fn answer(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
