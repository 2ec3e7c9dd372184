//! One request to the guard: trust, endpoint, policy, facts, credential, ruling, answer; and what is counted and logged.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use keyward_core::rules::decision::{Request, Transport, WantedRole};
use keyward_core::verifier::VerifyError;

use super::config::Logged;
use super::endpoint::Endpoint;
use super::peer::{Peer, knows_secret};
use super::shared::Settings;
use super::{Question, Worker};
use crate::Refusal;
use crate::answer::{PROBLEM, REASON, Reply, Ruling, limit_name};
use crate::facts::{Dialect, Facts, Head, is_forged};
use crate::guard::{Asked, credential_of};
use crate::observe::{Decision, Path};
use crate::policy::{Policy, PolicyName, TenantFrom};

/// As much of a body as a question may be: a credential of 64 KiB, and what stands around it.
const MOST_BODY: usize = 128 * 1024;
/// How long a body may take.
const BODY: Duration = Duration::from_secs(5);

/// Where a request came in.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) peer: Peer,
    pub(super) api: bool,
}

/// An answer that is not about a key.
fn plain(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Answers a request.
pub(super) async fn handle(request: http::Request<Incoming>, door: &Door, worker: &Worker) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    // A body is never waited for: many proxies announce one and send none. What may follow is then no request.
    let has_body = !body.is_end_stream();
    let shared = &*worker.shared;
    let settings = shared.settings();
    let started = shared.guard.clock().steady();
    let mut response = match Endpoint::of(&head.uri) {
        _ if !door.peer.is_trusted(&settings.config.trust) => {
            return closed(Case::new(&head, door, worker, &settings, started).refuse(
                None,
                Refusal::UntrustedPeer,
                None,
            ));
        }
        Endpoint::Health if shared.is_draining.load(Ordering::Relaxed) => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        }
        Endpoint::Health => plain(StatusCode::OK, "ok\n"),
        _ if settings.secret.as_ref().is_some_and(|secret| !knows_secret(&head.headers, secret)) => {
            Case::new(&head, door, worker, &settings, started).refuse(None, Refusal::UntrustedPeer, None)
        }
        Endpoint::Forward { dialect, policy, rest } => {
            Case::new(&head, door, worker, &settings, started).forward(dialect, policy, rest).await
        }
        Endpoint::Verify if door.api => {
            return Case::new(&head, door, worker, &settings, started).verify(body).await;
        }
        Endpoint::Verify => problem(
            StatusCode::NOT_FOUND,
            "not_found",
            "services may ask only where the listener says api: keyward serve --listen ADDRESS,api",
        ),
        Endpoint::None => not_found(),
    };
    if has_body {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn not_found() -> Response<Full<Bytes>> {
    problem(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path; /metrics and /readyz are at the address of --admin",
    )
}

/// A problem that is no ruling.
fn problem(status: StatusCode, reason: &'static str, detail: &str) -> Response<Full<Bytes>> {
    let title = status.canonical_reason().unwrap_or_default();
    let body =
        serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REASON, HeaderValue::from_static(reason));
    response
}

/// A request, and what it is looked at with.
struct Case<'c> {
    head: &'c Parts,
    door: &'c Door,
    worker: &'c Worker,
    settings: &'c Settings,
    started: Duration,
}

impl<'c> Case<'c> {
    fn new(head: &'c Parts, door: &'c Door, worker: &'c Worker, settings: &'c Settings, started: Duration) -> Self {
        Self { head, door, worker, settings, started }
    }

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
        let credential = credential_of(policy, &self.head.headers, facts.target.unwrap_or_default());
        let id = guard.id_of(&self.head.headers);
        let asked = guard.ask_from(seat, facts.client, credential, id, |turn| Ok(policy.request(turn, &facts)?));
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
        // A target with a host of its own is for servers that go by that, and not by the header (section 3.2.2).
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
        // What the answer says is what was decided, in the log as well.
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
    fn tell(&self, ruling: &Ruling, policy: Option<&Policy>, facts: &Facts<'_>, path: Path) {
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
            // A mistake in a configuration is not a decision.
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

    /// Says where the proxy asks, and what there is: once for each place.
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

    /// A service asks for itself.
    async fn verify(&self, body: Incoming) -> Response<Full<Bytes>> {
        if self.head.method != http::Method::POST {
            let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "ask with POST");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return closing(response, &body);
        }
        if !is_json(&self.head.headers) {
            let response = problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_media_type", "send application/json");
            return closing(response, &body);
        }
        let bytes = match tokio::time::timeout(BODY, Limited::new(body, MOST_BODY).collect()).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return closed(problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "a question is 128 KiB at most"));
            }
            Ok(Err(_)) => return closed(problem(StatusCode::BAD_REQUEST, "cut_short", "the body is cut short")),
            Err(_) => {
                return closed(problem(
                    StatusCode::REQUEST_TIMEOUT,
                    "too_slow",
                    "the body did not come within 5 seconds",
                ));
            }
        };
        self.question(bytes).await
    }

    async fn question(&self, body: Bytes) -> Response<Full<Bytes>> {
        let shared = &*self.worker.shared;
        let policies = &self.settings.config.policies;
        let accepted = |name: &str| policies.find(name).map(|policy| policy.accept);
        let Question { policy, credential, mut request, role, tells_transport } =
            match shared.api.question(&body, &accepted) {
                Ok(question) => question,
                Err(detail) => return problem(StatusCode::BAD_REQUEST, "not_a_question", &detail),
            };
        drop(body);
        let Some(policy) = policies.find(&policy) else {
            return problem(StatusCode::BAD_REQUEST, "not_a_question", "there is no such policy");
        };
        // A policy that takes only secure requests takes nobody's silence for one.
        if policy.requires_secure && !tells_transport {
            request.transport = Transport::Http;
        }
        if let Some(TenantFrom::Named(own)) = &policy.tenant {
            if let Some(asked) = request.tenant.as_ref().filter(|asked| *asked != own) {
                let detail = format!("the policy {} is for the tenant {own}, and not for {asked}", policy.name);
                return problem(StatusCode::BAD_REQUEST, "not_a_question", &detail);
            }
            request.tenant = Some(own.clone());
        }
        let id = shared.guard.id_of(&self.head.headers);
        let mut asked_for = Request::default();
        let seat = self.worker.rounds().seat().await;
        let asked = shared.guard.ask_from(seat, request.ip, credential, id, |turn| {
            request.role = match role {
                Some(name) => Some(WantedRole { rank: turn.rank_of(&name)?, name }),
                None => None,
            };
            policy.ask(turn, &mut request)?;
            asked_for = request.clone();
            Ok(request)
        });
        let request = asked_for;
        let (path, ruling) = match asked {
            Asked::Ruled(ruling) => (path_of(&ruling), ruling),
            Asked::Waiting(waiting) => (Path::Hashed, waiting.await),
        };
        let facts = Facts {
            method: request.method.clone(),
            transport: Some(request.transport),
            client: request.ip,
            ..Facts::default()
        };
        self.tell(&ruling, Some(policy), &facts, path);
        let response = match ruling.answer() {
            Some(answer) => {
                let mut response = Response::new(Full::from(shared.api.document(answer, &request)));
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            None => response(Reply::new(&ruling, Some(policy), None)),
        };
        shared.guard.finish(ruling);
        response
    }
}

/// In which way a ruling was made for which no hash was computed.
fn path_of(ruling: &Ruling) -> Path {
    if ruling.key().is_some() { Path::Cached } else { Path::Refused }
}

fn closed(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The answer, after which the connection is closed where a body was announced that nobody reads.
fn closing(response: Response<Full<Bytes>>, body: &Incoming) -> Response<Full<Bytes>> {
    if body.is_end_stream() { response } else { closed(response) }
}

/// Whether the body says that it is JSON (RFC 9110 section 8.3).
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn response(mut reply: Reply) -> Response<Full<Bytes>> {
    // Of an empty answer to HEAD, hyper would not tell that it is empty.
    reply.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
    reply.into_response()
}
