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
//! Field names and schemes match in any letter case (RFC 9110 sections 5.1 and 11.1). A request may carry a credential
//! twice, in two places, in two lines or separated by commas, but not two different ones: which one counts would depend
//! on the reader. Anything that cannot be a keyward credential is ignored: an empty header, another scheme, a Basic
//! value in which neither part has the form of a secret. Nothing here decides whether a secret is genuine, and no
//! message repeats one.
//!
//! | file | what it reads |
//! |---|---|
//! | `line` | one line |
//! | `request` | the head of a request, as a text |
//! | `parts` | header fields and a target |
//! | `search`, `authorization` | the search for the one credential, which all of these share |
//! | `texts` | the same request, read for a store that has secrets of other systems |
//!
//! **Secrets of other systems** (see [`super::imported`]) look like any other text, and may hold the colons and commas
//! that separate the parts of a credential. So what was presented is read twice: [`Credentials::own`] is the one
//! credential in keyward's own form, and [`Credentials::texts`] holds what may be a secret of another system. Only a
//! store with such secrets uses the second. If there is a credential in keyward's own form, other texts are ignored.

mod authorization;
mod line;
mod parts;
mod presentation;
mod request;
mod search;
mod texts;

use std::fmt;

use zeroize::Zeroizing;

#[cfg(feature = "sqlite")]
pub(crate) use authorization::{PASSWORD_OF_BASIC, USER_OF_BASIC};
pub use line::{parse_line, parse_line_for, trimmed, trimmed_bytes};
pub use parts::{Reading, RequestParts, parse_parts};
pub use presentation::{Accepted, Presentation};
pub use request::{RequestHead, parse_request, parse_request_for};
pub use texts::{PresentedText, Texts};

/// A presented credential as received: nothing about it has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// How it was presented.
    pub presentation: Presentation,
    /// The key's name, if the presentation carries one.
    pub name: Option<Zeroizing<String>>,
    /// Whether the secret was in a URL, even if it was elsewhere too.
    pub in_query: bool,
    place: &'static str,
    secret: Zeroizing<String>,
}

impl Credential {
    fn new(presentation: Presentation, place: &'static str, name: Option<&str>, secret: &str) -> Self {
        let in_query = presentation.is_query();
        Self {
            presentation,
            place,
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

/// Everything that was presented, in both readings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// The one credential if only secrets in keyward's own form count, or why there is none.
    pub own: Result<Credential, CredentialError>,
    /// What else counts if the store has secrets of other systems; `None` if that makes no difference.
    pub texts: Option<Box<Texts>>,
}

impl From<Result<Credential, CredentialError>> for Credentials {
    fn from(own: Result<Credential, CredentialError>) -> Self {
        Self { own, texts: None }
    }
}

impl From<CredentialError> for Credentials {
    fn from(error: CredentialError) -> Self {
        Err(error).into()
    }
}

/// Why no single credential could be read. The text is for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Nothing was presented.
    #[error("{0}")]
    Missing(String),
    /// Something was presented, in a place that is not accepted.
    #[error("there is a credential in {}, which is not looked at here", .0.place())]
    NotAccepted(Presentation),
    /// Two different credentials were presented.
    #[error("the request carries two different credentials, {}", places(one, other))]
    Ambiguous {
        /// The place of the first, in words.
        one: &'static str,
        /// The place of the first one that differs from it.
        other: &'static str,
    },
    /// More than one line was presented where one was expected: perhaps a whole request head.
    #[error("more than one line was presented")]
    ManyLines,
    /// What was presented cannot be a credential.
    #[error("{0}")]
    Malformed(String),
}

fn malformed(message: impl Into<String>) -> CredentialError {
    CredentialError::Malformed(message.into())
}

fn places(one: &str, other: &str) -> String {
    if one == other { format!("both in {one}") } else { format!("one in {one} and another in {other}") }
}

#[cfg(test)]
#[path = "credential/tests.rs"]
mod tests;
