//! One request to the guard: trust, endpoint, policy, facts, credential, ruling, answer; and what is counted and logged.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use keyward_core::verifier::VerifyError;

use super::Worker;
use super::config::Logged;
use super::endpoint::Endpoint;
use super::peer::{Peer, knows_secret};
use super::problem::{Problem, closed, not_found, plain, problem};
use super::settings::Settings;
use super::stream::Pace;
use crate::Refusal;
use crate::answer::{Reply, Ruling, limit_name};
use crate::facts::{Dialect, Facts, Head, is_forged};
use crate::guard::{Asked, credentials_of};
use crate::observe::{Decision, Path};
use crate::policy::{Policy, PolicyName};

/// The place where a request came in.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) peer: Peer,
    pub(super) api: bool,
}

/// Answers a request.
pub(super) async fn handle(
    request: http::Request<Incoming>,
    door: &Door,
    worker: &Worker,
    pace: &Pace,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    // The guard never waits for a body: many proxies announce one and send none. What follows then is not a request.
    let has_body = !body.is_end_stream();
    let shared = &*worker.shared;
    let settings = &*shared.settings();
    let started = shared.guard.clock().steady();
    let case = Case { head: &head, door, worker, settings, started, pace };
    let mut response = match Endpoint::of(&head.uri) {
        _ if !door.peer.is_trusted(&settings.config.trust) => {
            return closed(case.refuse(None, Refusal::UntrustedPeer, None));
        }
        Endpoint::Health if shared.is_draining.load(Ordering::Relaxed) => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        }
        Endpoint::Health => plain(StatusCode::OK, "ok\n"),
        _ if settings.secret.as_ref().is_some_and(|secret| !knows_secret(&head.headers, secret)) => {
            case.refuse(None, Refusal::UntrustedPeer, None)
        }
        Endpoint::Forward { dialect, policy, rest } => tokio::select! {
            biased;
            response = case.forward(dialect, policy, rest) => response,
            () = shared.is_over() => case.refuse(case.named(policy), Refusal::Draining, Some(dialect)),
        },
        Endpoint::Verify if door.api => {
            let response = tokio::select! {
                biased;
                response = case.verify(body) => response,
                () = shared.is_over() => closed(case.refuse(None, Refusal::Draining, None)),
            };
            return case.told(response);
        }
        Endpoint::Verify => problem(
            StatusCode::NOT_FOUND,
            "not_found",
            "services may ask only where the listener says api: keyward serve --listen ADDRESS,api",
        ),
        Endpoint::None => not_found(),
    };
    // Nor is the connection reused if one of the targets was, or may have been, incomplete.
    if has_body || pace.has_fragment() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    case.told(response)
}

/// A request, with everything needed to answer it.
pub(super) struct Case<'c> {
    pub(super) head: &'c Parts,
    door: &'c Door,
    pub(super) worker: &'c Worker,
    pub(super) settings: &'c Settings,
    started: Duration,
    pub(super) pace: &'c Pace,
}

impl<'c> Case<'c> {
    async fn forward(&self, dialect: Dialect, name: &str, rest: &str) -> Response<Full<Bytes>> {
        let facts = match self.facts(dialect, rest) {
            Ok(facts) => facts,
            Err(refusal) => return self.refuse(self.named(name), refusal, Some(dialect)),
        };
        let policy = match self.policy(dialect, name, &facts) {
            Ok(policy) => policy,
            Err(refusal) => return self.refuse_knowing(None, refusal, Some(dialect), &facts),
        };
        let guard = &self.worker.shared.guard;
        let seat = self.worker.rounds().seat().await;
        let credentials = credentials_of(policy, &self.head.headers, facts.target.unwrap_or_default());
        let id = guard.id_of(&self.head.headers);
        let asked = guard.ask_from(seat, facts.client, credentials, id, |turn| Ok(policy.request(turn, &facts)?));
        let (path, ruling) = match asked {
            Asked::Ruled(ruling) => (path_of(&ruling), ruling),
            Asked::Waiting(waiting) => (Path::Hashed, waiting.await),
        };
        self.answer(ruling, Some(policy), Some(dialect), &facts, path)
    }

    fn facts(&self, dialect: Dialect, rest: &'c str) -> Result<Facts<'c>, Refusal> {
        let headers = &self.head.headers;
        if is_forged(headers) {
            return Err(Refusal::ForgedHeader);
        }
        // RFC 9112 section 3.2.
        if headers.get_all(header::HOST).iter().nth(1).is_some() {
            return Err(Refusal::AmbiguousRequest);
        }
        // Servers use the host in an absolute target, not the header (section 3.2.2).
        if let Some(own) = self.head.uri.authority()
            && headers.get(header::HOST).is_none_or(|host| host.as_bytes() != own.as_str().as_bytes())
        {
            return Err(Refusal::AmbiguousRequest);
        }
        let head = Head { method: &self.head.method, uri: &self.head.uri, headers };
        head.facts(dialect, rest, &self.settings.config.proxies)
    }

    fn policy(&self, dialect: Dialect, name: &str, facts: &Facts<'_>) -> Result<&'c Policy, Refusal> {
        let config = &self.settings.config;
        let has_routes = matches!(dialect, Dialect::Forward | Dialect::Envoy) && !config.routes.is_empty();
        if name == PolicyName::ROUTES && has_routes {
            // If a target continues after a `#`, only the part before it is known here.
            if dialect == Dialect::Envoy && self.pace.has_fragment() {
                return Err(Refusal::AmbiguousPath);
            }
            return config.routes.policy(facts).map(|policy| &**policy);
        }
        config.policies.find(name).map(|policy| &**policy).ok_or(Refusal::UnknownPolicy)
    }

    fn named(&self, name: &str) -> Option<&'c Policy> {
        self.settings.config.policies.find(name).map(|policy| &**policy)
    }

    fn refuse(&self, policy: Option<&Policy>, refusal: Refusal, dialect: Option<Dialect>) -> Response<Full<Bytes>> {
        self.refuse_knowing(policy, refusal, dialect, &Facts::default())
    }

    fn refuse_knowing(
        &self,
        policy: Option<&Policy>,
        refusal: Refusal,
        dialect: Option<Dialect>,
        facts: &Facts<'_>,
    ) -> Response<Full<Bytes>> {
        let id = self.worker.shared.guard.id_of(&self.head.headers);
        self.answer(Ruling::refused(id, refusal), policy, dialect, facts, Path::Refused)
    }

    fn answer(
        &self,
        ruling: Ruling,
        policy: Option<&Policy>,
        dialect: Option<Dialect>,
        facts: &Facts<'_>,
        path: Path,
    ) -> Response<Full<Bytes>> {
        let reply = Reply::new(&ruling, policy, dialect);
        // The log must show the same decision as the answer.
        let ruling = if reply.status == StatusCode::SERVICE_UNAVAILABLE && ruling.is_allowed() {
            Ruling::refused(ruling.id().clone(), Refusal::NameUnusable)
        } else {
            ruling
        };
        self.tell(&ruling, policy, facts, path);
        self.worker.shared.guard.finish(ruling);
        response(reply)
    }

    /// Counts and logs a ruling.
    pub(super) fn tell(&self, ruling: &Ruling, policy: Option<&Policy>, facts: &Facts<'_>, path: Path) {
        let shared = &*self.worker.shared;
        let took = shared.guard.clock().steady().saturating_sub(self.started);
        let config = &self.settings.config;
        let key = ruling.key().filter(|_| config.metrics_per_key).map(|key| key.name.as_str());
        let name = policy.map(|policy| &policy.name);
        self.worker.meters().decided(name, (ruling.status(), ruling.reason()), (path, took), key);
        if ruling.status() == 429
            && let Some(reckoning) = ruling.reckoning()
        {
            let used_up = reckoning.standings.iter().filter(|(.., standing)| standing.remaining == 0);
            for (whose, limit, _) in used_up {
                self.worker.meters().limited(name.map_or("", PolicyName::as_str), &limit_name(*whose, limit));
            }
        }
        let error = ruling.error().map(|error| {
            let told = shared.told(error);
            self.worker.meters().store_error(told.0);
            if let VerifyError::Store(error) = error {
                shared.note_store(Err((told.0, error)));
            }
            told
        });
        if let Some(address) = facts.client.and_then(|client| shared.origins.look_at(client)) {
            let advice = "if it is a proxy in front of the one that asks, name it in proxies = [\"ADDRESS/32\"]";
            let fields = [("client", address.to_string().into()), ("message", advice.into())];
            shared.log.event("warn", "one_client", &fields);
        }
        if ruling.refusal() == Some(Refusal::UnknownPolicy) {
            self.tell_of_unknown_policy();
        }
        let is_logged = match config.log {
            Logged::All => true,
            Logged::Refused => !ruling.is_allowed(),
            // A mistake in the configuration is not a decision.
            Logged::Nothing => ruling.refusal() == Some(Refusal::UnknownPolicy),
        };
        if is_logged {
            shared.log.decision(&Decision {
                policy: name.map_or("", PolicyName::as_str),
                facts,
                ruling,
                took,
                headers: &self.head.headers,
                peer: &self.door.peer.to_string(),
                error,
            });
        }
    }

    /// Logs an answer that is not a decision.
    fn told(&self, response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
        if let Some(Problem(reason)) = response.extensions().get()
            && self.settings.config.log != Logged::Nothing
        {
            let path = self.head.uri.path();
            self.worker.shared.log.problem(response.status().as_u16(), reason, path, &self.door.peer.to_string());
        }
        response
    }

    /// Logs where the proxy asked, and which policies exist: once for each place.
    fn tell_of_unknown_policy(&self) {
        const LONGEST: usize = 100;
        const MOST: usize = 16;
        let path: String = self.head.uri.path().chars().take(LONGEST).collect();
        let mut told = self.worker.shared.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST && told.insert(path.clone()) {
            let policies: Vec<_> = self.settings.config.policies.iter().map(|policy| policy.name.as_str()).collect();
            let fields = [("asked", path.into()), ("policies", policies.into())];
            self.worker.shared.log.event("error", "unknown_policy", &fields);
        }
    }
}

/// How a ruling was made that needed no hash.
pub(super) fn path_of(ruling: &Ruling) -> Path {
    if ruling.key().is_some() { Path::Cached } else { Path::Refused }
}

/// The answer with the length of its body.
pub(super) fn response(mut reply: Reply) -> Response<Full<Bytes>> {
    // For an empty answer to HEAD, hyper would not send the length.
    let length = match reply.body.len() {
        0 => HeaderValue::from_static("0"),
        length => HeaderValue::from(length),
    };
    reply.headers.insert(header::CONTENT_LENGTH, length);
    reply.into_response()
}
