//! The ways in which a credential may be presented, and which of them are accepted.

use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::rules::names::InvalidText;

/// The way in which a credential was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table at the top of `credential` says what each one is")]
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
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Bearer,
        Self::BearerNamed,
        Self::RestApiKey,
        Self::Basic,
        Self::XIgnitionApiToken,
        Self::XAuthKey,
        Self::XApiAuth,
        Self::XApiKey,
        Self::ApiKey,
        Self::QueryAuthKey,
        Self::QueryApiAuth,
        Self::Bare,
        Self::BareNamed,
    ];

    /// The name in JSON, on the command line and in policies.
    pub const fn as_str(self) -> &'static str {
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

    /// The place in a request, as a person would name it.
    pub fn place(self) -> &'static str {
        match self {
            Self::Bearer | Self::BearerNamed => "Authorization: Bearer",
            Self::RestApiKey => "Authorization: rest_api_key",
            Self::Basic => "Authorization: Basic",
            Self::XIgnitionApiToken => "X-Ignition-API-Token",
            Self::XAuthKey => "x-auth-key",
            Self::XApiAuth => "x-api-auth",
            Self::XApiKey => "x-api-key",
            Self::ApiKey => "apiKey",
            Self::QueryAuthKey => "_auth_key in the query",
            Self::QueryApiAuth => "_api_auth in the query",
            Self::Bare | Self::BareNamed => "a text without a header",
        }
    }

    /// Whether the secret was in a URL, where logs and histories keep it.
    pub fn is_query(self) -> bool {
        matches!(self, Self::QueryAuthKey | Self::QueryApiAuth)
    }
}

impl FromStr for Presentation {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            InvalidText::new(format!("not a way to present a credential: write {all}"))
        })
    }
}

impl Serialize for Presentation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The accepted presentations. Anything presented in another way is ignored.
///
/// ```
/// use keyward_core::rules::credential::{Accepted, Presentation};
///
/// let headers: Accepted = Presentation::ALL.into_iter().filter(|presentation| !presentation.is_query()).collect();
/// assert!(headers.contains(Presentation::Bearer) && !headers.contains(Presentation::QueryAuthKey));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted(u16);

impl Accepted {
    /// Every presentation.
    pub const ALL: Self = Self(u16::MAX);

    /// Whether this presentation is accepted.
    pub fn contains(self, presentation: Presentation) -> bool {
        self.0 & (1 << presentation as u16) != 0
    }
}

impl Default for Accepted {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromIterator<Presentation> for Accepted {
    fn from_iter<I: IntoIterator<Item = Presentation>>(presentations: I) -> Self {
        Self(presentations.into_iter().fold(0, |bits, presentation| bits | (1 << presentation as u16)))
    }
}
