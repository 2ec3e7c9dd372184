//! One line of a batch: its question, and the answer to a line that is not one.

use std::borrow::Cow;
use std::fmt::Display;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::super::MOST_INPUT;
use super::super::facts::{Asked, Said, another_method, too_long};
use crate::error::{Code, Error};
use keyward_core::rules::address::parse_address;
use keyward_core::rules::credential::{
    Accepted, Credentials, Presentation, Reading, parse_line_for, parse_parts, parse_request_for,
};
use keyward_core::rules::decision::{Method, Request, Transport, WantedRole};
use keyward_core::rules::forwarded::Trust;
use keyward_core::rules::names::Name;
use keyward_core::rules::text::redact;
use keyward_core::verifier::Turn;

/// The longest line: a credential, and what may surround it.
pub(super) const MOST_LINE: usize = 2 * MOST_INPUT as usize;

/// A question.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'q> {
    #[serde(borrow)]
    credential: Option<Cow<'q, str>>,
    policy: Option<String>,
    request: Option<Text>,
    headers: Option<Vec<(Text, Text)>>,
    target: Option<Text>,
    accept: Option<Vec<String>>,
    trust_forwarded: Option<Value>,
    method: Option<String>,
    ip: Option<String>,
    tenant: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    levels: Vec<String>,
    role: Option<String>,
    transport: Option<String>,
}

/// A text that may contain a credential: it is wiped.
struct Text(Zeroizing<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// The answer to a line that is not a question: neither yes nor no.
#[derive(Serialize)]
pub(super) struct WrongJson<'w> {
    line: u64,
    allowed: Option<bool>,
    error: WrongError<'w>,
}

#[derive(Serialize)]
struct WrongError<'w> {
    code: &'static str,
    message: &'w str,
    hint: String,
}

impl<'w> WrongJson<'w> {
    pub(super) fn new(line: u64, error: &'w Error) -> Self {
        let (code, message, hint) = (error.code().as_str(), error.message(), error.hints().join("\n"));
        Self { line, allowed: None, error: WrongError { code, message, hint } }
    }
}

/// A question in parts: everything except the rank of the required role, which only the store knows.
pub(in crate::commands) struct Parsed {
    /// The policy that it names.
    pub(in crate::commands) policy: Option<String>,
    pub(in crate::commands) credentials: Credentials,
    pub(in crate::commands) request: Request,
    pub(in crate::commands) role: Option<Name>,
    /// Whether it says how the request came, itself or in a trusted header.
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "a policy alone asks for more than the key does"))]
    pub(in crate::commands) tells_transport: bool,
}

/// What a line asks.
pub(super) fn read(turn: &mut Turn, accepted: Accepted, line: &[u8]) -> Result<Asked, Error> {
    let Parsed { policy, credentials, mut request, role, .. } = parse(line, |_| Ok(accepted))?;
    if policy.is_some() {
        return Err(wrong("policy: there are policies only at /v1/verify of keyward serve".to_owned()));
    }
    request.role = match role {
        Some(name) => Some(WantedRole { rank: turn.rank_of(&name)?, name }),
        None => None,
    };
    Ok((credentials, request))
}

/// Reads a question. An unknown field is refused: it may be a misspelt restriction. `accepted` returns the
/// presentations that its policy accepts; the question may restrict them further.
pub(in crate::commands) fn parse(
    line: &[u8],
    accepted: impl FnOnce(Option<&str>) -> Result<Accepted, Error>,
) -> Result<Parsed, Error> {
    if line.len() > MOST_LINE {
        return Err(wrong(format!("the line is longer than {} KiB", MOST_LINE / 1024)));
    }
    // The derived parser would also accept a list of the values.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(wrong("not a question: expected a JSON object".to_owned()));
    }
    // As text, not as bytes: the parser for text is already in the program.
    let Ok(line) = std::str::from_utf8(line) else {
        return Err(wrong("not a question: the line is not UTF-8 text".to_owned()));
    };
    let mut question: Question<'_> = serde_json::from_str(line).map_err(|error| {
        // The answer gives the line's number in the input; the parser knows only this line.
        wrong(format!("not a question: {}", error.to_string().replace(" at line 1 column ", " at column ")))
    })?;
    let policy = question.policy.take();
    let (accepted, said) = (question.accepted(accepted(policy.as_deref())?, policy.is_some())?, question.said()?);
    let method: Option<Method> = parsed("method", question.method.as_deref())?;
    let (credential, request) = (question.credential.take(), question.request.take());
    let (credentials, mut request) = match (credential, request, &question.headers, &question.target) {
        (Some(text), None, None, None) => {
            if said.trust != Trust::NONE {
                return Err(wrong(
                    "trust_forwarded: a credential has no headers; give \"request\" or \"headers\"".to_owned(),
                ));
            }
            let credentials = match text {
                Cow::Borrowed(text) => parse_line_for(text.as_bytes(), accepted),
                Cow::Owned(text) => parse_line_for(Zeroizing::new(text).as_bytes(), accepted),
            };
            (credentials, said.request(Transport::Local))
        }
        (None, Some(head), None, None) => of_head(&head.0, method.as_ref(), accepted, &said)?,
        (None, None, Some(headers), target) => {
            let target = target.as_ref().map_or("", |target| target.0.as_str());
            of_parts(headers, target, Reading { accepted, trust: said.trust }, &said)
        }
        (None, None, None, None) => {
            return Err(wrong("not a question: expected a credential, a request, or headers and a target".to_owned()));
        }
        _ => return Err(wrong("expected only one of a credential, a request, and headers with a target".to_owned())),
    };
    request.method = method.or(request.method.take());
    request.scopes = all("scopes", &question.scopes)?;
    request.levels = all("levels", &question.levels)?;
    request.tenant = parsed("tenant", question.tenant.as_deref())?;
    let tells_transport = said.transport.is_some() || said.trust.tells_transport();
    Ok(Parsed { policy, credentials, request, role: parsed("role", question.role.as_deref())?, tells_transport })
}

/// What the head of a request asks.
fn of_head(head: &str, method: Option<&Method>, accepted: Accepted, said: &Said) -> Result<Asked, Error> {
    let mut request = said.request(Transport::Http);
    if head.len() as u64 > MOST_INPUT {
        return Ok((too_long().into(), request));
    }
    let head = match parse_request_for(head.as_bytes(), Reading { accepted, trust: said.trust }) {
        Ok(head) => head,
        Err(error) => return Ok((error.into(), request)),
    };
    if let Some(message) = another_method("method", method, &head.method) {
        return Err(wrong(message));
    }
    request.method = Some(head.method);
    said.learn(&mut request, head.transport, head.forwarded);
    Ok((head.credentials, request))
}

/// What header fields and a target ask.
fn of_parts(headers: &[(Text, Text)], target: &str, reading: Reading, said: &Said) -> Asked {
    let mut request = said.request(Transport::Http);
    let mut fields = headers.iter().map(|(name, value)| (name.0.as_str(), value.0.as_bytes()));
    match parse_parts(&mut fields, target, reading) {
        Ok(parts) => {
            said.learn(&mut request, parts.transport, parts.forwarded);
            (parts.credentials, request)
        }
        Err(error) => (error.into(), request),
    }
}

impl Question<'_> {
    /// The accepted presentations: those in the question, or else `otherwise`. With `only_less`, those in the question
    /// that `otherwise` has too.
    fn accepted(&self, otherwise: Accepted, only_less: bool) -> Result<Accepted, Error> {
        let Some(names) = &self.accept else { return Ok(otherwise) };
        if names.is_empty() {
            return Err(wrong("accept: expected at least one presentation".to_owned()));
        }
        let wanted = all::<Presentation>("accept", names)?.into_iter();
        Ok(wanted.filter(|presentation| !only_less || otherwise.contains(*presentation)).collect())
    }

    fn said(&self) -> Result<Said, Error> {
        let ip = self.ip.as_deref().map(|text| parse_address(text).map_err(|error| bad("ip", &error))).transpose()?;
        let transport = parsed("transport", self.transport.as_deref())?;
        let said = Said { ip, transport, trust: self.trust()? };
        match said.contradiction() {
            Some(field) => {
                Err(wrong(format!("{field}: trust_forwarded takes it from a header; leave one of them out")))
            }
            None => Ok(said),
        }
    }

    /// The value of the flag, a list of its words, or just whether the flag is set.
    fn trust(&self) -> Result<Trust, Error> {
        let text = match &self.trust_forwarded {
            None | Some(Value::Bool(false)) => return Ok(Trust::NONE),
            Some(Value::Bool(true)) => return Ok(Trust::ALL),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(words)) => {
                words.iter().map(|word| word.as_str().unwrap_or("?")).collect::<Vec<_>>().join(",")
            }
            Some(_) => "?".to_owned(),
        };
        text.parse().map_err(|error| bad("trust_forwarded", &error))
    }
}

fn parsed<T: std::str::FromStr<Err: Display>>(field: &str, text: Option<&str>) -> Result<Option<T>, Error> {
    text.map(|text| text.parse().map_err(|error| bad(field, &error))).transpose()
}

fn all<T: std::str::FromStr<Err: Display>>(field: &str, texts: &[String]) -> Result<Vec<T>, Error> {
    texts.iter().map(|text| text.parse().map_err(|error| bad(field, &error))).collect()
}

fn bad(field: &str, error: &dyn Display) -> Error {
    wrong(format!("{field}: {error}"))
}

fn wrong(what: String) -> Error {
    Error::new(Code::InvalidValue, redact(&what).into_owned()).hint(
        "write an object such as {\"credential\":\"…\",\"method\":\"GET\",\"ip\":\"203.0.113.9\",\"scopes\":[\"rest\"]}",
    )
}
