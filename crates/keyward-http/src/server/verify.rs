//! `POST /v1/verify`: a service asks directly.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use keyward_core::rules::decision::{Request, Transport, WantedRole};

use super::Question;
use super::handle::{Case, path_of, response};
use super::problem::{closed, problem};
use crate::answer::Reply;
use crate::facts::Facts;
use crate::guard::Asked;
use crate::observe::Path;
use crate::policy::TenantFrom;

/// The longest body of a question: a credential of 64 KiB, and what surrounds it.
const MOST_BODY: usize = 128 * 1024;
/// The longest time for a body to arrive.
const BODY: Duration = Duration::from_secs(5);

impl Case<'_> {
    /// Answers a service that asks directly.
    pub(super) async fn verify(&self, body: Incoming) -> Response<Full<Bytes>> {
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
        self.pace.take_body(&bytes);
        self.question(bytes).await
    }

    async fn question(&self, body: Bytes) -> Response<Full<Bytes>> {
        let shared = &*self.worker.shared;
        let policies = &self.settings.config.policies;
        let accepted = |name: &str| policies.find(name).map(|policy| policy.accept);
        let Question { policy, credentials, mut request, role, tells_transport } =
            match shared.api.question(&body, &accepted) {
                Ok(question) => question,
                Err(detail) => return problem(StatusCode::BAD_REQUEST, "not_a_question", &detail),
            };
        drop(body);
        let Some(policy) = policies.find(&policy) else {
            return problem(StatusCode::BAD_REQUEST, "not_a_question", "there is no such policy");
        };
        // A policy for only secure requests does not take silence for security.
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
        let asked = shared.guard.ask_from(seat, request.ip, credentials, id, |turn| {
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

/// The answer; closes the connection afterwards if an announced body is not read.
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
