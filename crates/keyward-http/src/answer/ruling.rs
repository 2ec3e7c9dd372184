//! The guard's result for a request.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use keyward_core::rules::decision::{Facts, Reason};
use keyward_core::rules::key::Key;
use keyward_core::rules::limits::Reckoning;
use keyward_core::verifier::{Answer, VerifyError};

use crate::Refusal;
use crate::policy::{Policy, PolicyName};

/// The header in which a proxy gives an id.
static GIVEN: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request in answers and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The id that a proxy gave, if it is one: 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
    pub fn given(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(&GIVEN).iter();
        let text = values.next()?.to_str().ok().filter(|_| values.next().is_none())?;
        let is_id =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        is_id.then(|| Self(text.to_owned()))
    }

    /// A new one: this number as sixteen hexadecimal digits.
    pub fn new(number: u64) -> Self {
        Self(format!("{number:016x}"))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// The result of a request.
#[derive(Debug)]
pub struct Ruling {
    id: RequestId,
    made: Made,
    client: Option<IpAddr>,
    is_stale: bool,
}

#[derive(Debug)]
enum Made {
    /// The verifier has answered.
    Answer(Box<Answer>),
    /// The guard refuses; with the seconds after which to try again.
    Refusal(Refusal, Option<u64>),
    /// The verifier could not answer.
    Failure(Refusal, VerifyError),
}

impl Ruling {
    /// What the verifier has answered.
    pub fn answered(id: RequestId, answer: Answer) -> Self {
        Self { id, made: Made::Answer(Box::new(answer)), client: None, is_stale: false }
    }

    /// A refusal of the guard itself.
    pub fn refused(id: RequestId, refusal: Refusal) -> Self {
        let wait = if refusal.status() == 503 { Some(1) } else { None };
        Self { id, made: Made::Refusal(refusal, wait), client: None, is_stale: false }
    }

    /// The verifier could not answer: neither yes nor no.
    pub fn failed(id: RequestId, error: VerifyError) -> Self {
        let refusal = match &error {
            VerifyError::Overloaded | VerifyError::GivenUp => Refusal::Overloaded,
            _ => Refusal::StoreUnusable,
        };
        Self { id, made: Made::Failure(refusal, error), client: None, is_stale: false }
    }

    /// A refusal, with the seconds after which to try again.
    pub fn refused_for(id: RequestId, refusal: Refusal, seconds: u64) -> Self {
        Self { id, made: Made::Refusal(refusal, Some(seconds.max(1))), client: None, is_stale: false }
    }

    /// The same request, but its key cannot be named to a service.
    pub(super) fn unusable(&self) -> Self {
        Self::refused(self.id.clone(), Refusal::NameUnusable)
    }

    /// The same, for a request of this client.
    #[must_use]
    pub fn of_client(self, client: Option<IpAddr>) -> Self {
        Self { client, ..self }
    }

    /// The same, with whether the store could not be checked.
    #[must_use]
    pub(crate) fn of_a_stale_store(self, is_stale: bool) -> Self {
        Self { is_stale, ..self }
    }

    /// Whether it rests on what was known before the store's server went away.
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// The address of the client, if the verifier has answered and it is known.
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// The id of the request.
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// What the verifier has answered, if it was asked and could.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.made {
            Made::Answer(answer) => Some(answer),
            Made::Refusal(..) | Made::Failure(..) => None,
        }
    }

    /// Why the verifier could not answer.
    pub fn error(&self) -> Option<&VerifyError> {
        match &self.made {
            Made::Failure(_, error) => Some(error),
            Made::Answer(_) | Made::Refusal(..) => None,
        }
    }

    /// The refusal by the guard itself, if it is one.
    pub fn refusal(&self) -> Option<Refusal> {
        match &self.made {
            Made::Answer(_) => None,
            Made::Refusal(refusal, _) | Made::Failure(refusal, _) => Some(*refusal),
        }
    }

    /// The same, by value.
    pub fn into_answer(self) -> Option<Answer> {
        match self.made {
            Made::Answer(answer) => Some(*answer),
            Made::Refusal(..) | Made::Failure(..) => None,
        }
    }

    /// The key, if its secret matched.
    pub fn key(&self) -> Option<&Key> {
        self.answer().and_then(Answer::key)
    }

    /// Whether the request is allowed.
    pub fn is_allowed(&self) -> bool {
        self.answer().is_some_and(|answer| answer.decision.is_allowed())
    }

    /// The real HTTP status.
    pub fn status(&self) -> u16 {
        match &self.made {
            Made::Answer(answer) => answer.decision.status(),
            Made::Refusal(refusal, _) | Made::Failure(refusal, _) => refusal.status(),
        }
    }

    /// Why, for the log.
    pub fn reason(&self) -> &'static str {
        match &self.made {
            Made::Answer(answer) => answer.decision.reason().map_or("allowed", Reason::as_str),
            Made::Refusal(refusal, _) | Made::Failure(refusal, _) => refusal.as_str(),
        }
    }

    /// Why, for the client: it does not learn why a credential is not genuine.
    pub fn public_reason(&self) -> &'static str {
        match &self.made {
            Made::Answer(answer) => answer.decision.reason().map_or("allowed", public),
            Made::Refusal(refusal, _) | Made::Failure(refusal, _) => refusal.as_str(),
        }
    }

    /// The checks that failed, for the log.
    pub fn checks(&self) -> Vec<&'static str> {
        self.failures(Reason::as_str)
    }

    /// The checks that failed, for the client.
    pub(super) fn public_checks(&self) -> Vec<&'static str> {
        self.failures(public)
    }

    fn failures(&self, name: fn(Reason) -> &'static str) -> Vec<&'static str> {
        match &self.made {
            Made::Answer(answer) => answer.decision.failures().map(|check| name(check.reason)).collect(),
            Made::Refusal(..) | Made::Failure(..) => vec![],
        }
    }

    /// The result of the key's limits.
    pub fn reckoning(&self) -> Option<&Reckoning> {
        self.answer().and_then(Answer::reckoning)
    }

    /// The seconds after which to try again.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match &self.made {
            Made::Answer(answer) if answer.decision.status() == 429 => {
                answer.reckoning().map(|reckoning| reckoning.retry_after().max(1))
            }
            Made::Answer(_) => None,
            Made::Refusal(_, wait) => *wait,
            Made::Failure(refusal, _) => (refusal.status() == 503).then_some(1),
        }
    }

    /// Says how to authenticate (RFC 9110 section 11.6.1), in the form of RFC 6750 section 3.
    pub(super) fn write_challenge(&self, policy: Option<&Policy>, headers: &mut HeaderMap) {
        let Some(answer) = self.answer() else { return };
        let Some(reason) = answer.decision.reason() else { return };
        let realm = policy.map_or(PolicyName::DEFAULT, |policy| policy.name.as_str());
        let mut challenge = format!("Bearer realm=\"{realm}\"");
        if reason.status() == 401 {
            // Without a credential, no error code is given (section 3.1).
            if reason != Reason::NoCredential {
                challenge.push_str(", error=\"invalid_token\"");
            }
        } else if reason == Reason::ScopeMissing {
            challenge.push_str(", error=\"insufficient_scope\"");
            let missing = answer.decision.failures().find_map(|check| match &check.facts {
                Facts::MissingScopes(scopes) => Some(scopes),
                _ => None,
            });
            let wanted = missing.into_iter().flatten().map(AsRef::as_ref).collect::<Vec<&str>>().join(" ");
            if policy.is_none_or(|policy| policy.explains) {
                // Writing to a text cannot fail.
                let _ = write!(challenge, ", scope=\"{wanted}\"");
            }
        } else {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(&challenge) {
            headers.append(WWW_AUTHENTICATE, value);
        }
        let offers_basic = reason.status() == 401 && policy.is_some_and(|policy| policy.offers_basic);
        let basic = HeaderValue::from_str(&format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
        if let Some(value) = basic.ok().filter(|_| offers_basic) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
}

/// A reason as a client may see it.
fn public(reason: Reason) -> &'static str {
    match reason {
        Reason::Malformed => Reason::NotGenuine.as_str(),
        reason => reason.as_str(),
    }
}
