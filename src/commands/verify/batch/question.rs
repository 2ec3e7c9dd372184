//! One line of a batch: what it asks, and what is said of a line that asks nothing.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::{MOST_INPUT, without_line_end};
use crate::error::{Code, Error};
use keyward_core::rules::address::parse_address;
use keyward_core::rules::credential::{Credential, CredentialError, parse_line};
use keyward_core::rules::decision::{Request, Transport, WantedRole};
use keyward_core::rules::names::Name;
use keyward_core::rules::text::redact;
use keyward_core::verifier::Turn;

/// A credential, and what may stand around it.
pub(super) const MOST_LINE: usize = 2 * MOST_INPUT as usize;

/// A question.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'q> {
    #[serde(borrow)]
    credential: Cow<'q, str>,
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

/// What is said of a line that is no question: neither yes nor no.
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

/// What was presented, and for which request.
type Asked = (Result<Credential, CredentialError>, Request);

/// What a line asks. A field that there is not is refused: it may be a restriction that is spelled wrong.
pub(super) fn read(turn: &Turn<'_>, line: &[u8]) -> Result<Asked, Error> {
    if line.len() > MOST_LINE {
        return Err(wrong(format!("the line is longer than {} KiB", MOST_LINE / 1024)));
    }
    // What is derived would take a list of the values as well.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(wrong("not a question: expected a JSON object".to_owned()));
    }
    let question: Question<'_> = serde_json::from_slice(line).map_err(|error| {
        // The answer says where in the input the line stands; the parser knows only this line.
        wrong(format!("not a question: {}", error.to_string().replace(" at line 1 column ", " at column ")))
    })?;
    let Question { credential, method, ip, tenant, scopes, levels, role, transport } = question;
    let credential = match credential {
        Cow::Borrowed(text) => parse_line(without_line_end(text)),
        Cow::Owned(text) => parse_line(without_line_end(&Zeroizing::new(text))),
    };
    let mut request = Request::over(Transport::Local);
    let role: Option<Name> = parsed("role", role.as_deref())?;
    request.role = match role {
        Some(name) => Some(WantedRole { rank: turn.rank_of(&name)?, name }),
        None => None,
    };
    request.method = parsed("method", method.as_deref())?;
    let ip: Option<IpAddr> = ip.map(|text| parse_address(&text).map_err(|error| bad("ip", &error))).transpose()?;
    request.ip = ip;
    if let Some(transport) = parsed("transport", transport.as_deref())? {
        request.transport = transport;
    }
    request.scopes = all("scopes", &scopes)?;
    request.levels = all("levels", &levels)?;
    request.tenant = parsed("tenant", tenant.as_deref())?;
    Ok((credential, request))
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
