//! How clients present a secret: bare, in a header, in the query of a URL, in a whole request.
//!
//! | presentation | on the wire |
//! |---|---|
//! | `bearer`, `bearer_named` | `Authorization: Bearer SECRET`, `Bearer NAME:SECRET` (RFC 6750) |
//! | `rest_api_key` | `Authorization: rest_api_key=SECRET` |
//! | `basic` | `Authorization: Basic …`, the secret as user or as password (RFC 7617) |
//! | `x_ignition_api_token` | `X-Ignition-API-Token: NAME:SECRET` |
//! | `x_auth_key`, `x_api_auth`, `x_api_key`, `api_key` | headers `x-auth-key`, `x-api-auth`, `x-api-key`, `apiKey` |
//! | `query_auth_key`, `query_api_auth` | `_auth_key=SECRET`, `_api_auth=SECRET` in a query |
//! | `bare`, `bare_named` | `SECRET`, `NAME:SECRET` |
//!
//! Field names and schemes match in any letter case (RFC 9110 sections 5.1 and 11.1). A request
//! may carry a credential twice, but not two different ones: which of them counts would depend on
//! who reads it. Nothing here decides whether a secret is genuine, and no message repeats one.

mod line;
mod request;

use std::fmt;

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

pub use line::parse_line;
pub use request::{RequestHead, parse_request};

/// The way in which a credential was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says what each one is")]
#[non_exhaustive]
pub enum Presentation {
    Bearer,
    BearerNamed,
    RestApiKey,
    Basic,
    XIgnitionApiToken,
    XAuthKey,
    XApiAuth,
    XApiKey,
    ApiKey,
    QueryAuthKey,
    QueryApiAuth,
    Bare,
    BareNamed,
}

impl Presentation {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::BearerNamed => "bearer_named",
            Self::RestApiKey => "rest_api_key",
            Self::Basic => "basic",
            Self::XIgnitionApiToken => "x_ignition_api_token",
            Self::XAuthKey => "x_auth_key",
            Self::XApiAuth => "x_api_auth",
            Self::XApiKey => "x_api_key",
            Self::ApiKey => "api_key",
            Self::QueryAuthKey => "query_auth_key",
            Self::QueryApiAuth => "query_api_auth",
            Self::Bare => "bare",
            Self::BareNamed => "bare_named",
        }
    }

    /// Whether the secret stood in a URL, where logs and histories keep it.
    pub fn is_query(self) -> bool {
        matches!(self, Self::QueryAuthKey | Self::QueryApiAuth)
    }
}

impl Serialize for Presentation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A presented credential, as it came: nothing about it has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// How it was presented.
    pub presentation: Presentation,
    /// The key's name, where the presentation carries one.
    pub name: Option<Zeroizing<String>>,
    /// Whether the secret stood in a URL, alone or in another place as well.
    pub in_query: bool,
    secret: Zeroizing<String>,
}

impl Credential {
    fn new(presentation: Presentation, name: Option<&str>, secret: &str) -> Self {
        let in_query = presentation.is_query();
        Self {
            presentation,
            name: name.map(|name| Zeroizing::new(name.to_owned())),
            in_query,
            secret: Zeroizing::new(secret.to_owned()),
        }
    }

    /// The text in the place of the secret.
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// Takes the text in the place of the secret.
    pub fn into_text(self) -> Zeroizing<String> {
        self.secret
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, …)", self.presentation.as_str())
    }
}

/// Why no single credential could be read. The text is for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Nothing was presented.
    #[error("{0}")]
    Missing(String),
    /// Two different credentials were.
    #[error("the request carries two different credentials")]
    Ambiguous,
    /// More than one line was, where one was expected: perhaps a whole request head.
    #[error("more than one line was presented")]
    ManyLines,
    /// What was presented cannot be a credential.
    #[error("{0}")]
    Malformed(String),
}

fn malformed(message: impl Into<String>) -> CredentialError {
    CredentialError::Malformed(message.into())
}

/// Makes one credential of all that were found in a request.
///
/// The same secret may stand in several places. If one of them names a key, the name counts; if one
/// of them is a URL, that it stood there counts.
fn only_one(found: Vec<Credential>) -> Result<Option<Credential>, CredentialError> {
    let mut found = found.into_iter();
    let Some(mut first) = found.next() else { return Ok(None) };
    for other in found {
        let names_differ = matches!((&first.name, &other.name), (Some(one), Some(two)) if one != two);
        if names_differ || *first.secret != *other.secret {
            return Err(CredentialError::Ambiguous);
        }
        first.name = first.name.or(other.name);
        first.in_query |= other.in_query;
    }
    Ok(Some(first))
}

#[cfg(test)]
#[path = "credential/tests.rs"]
mod tests;
