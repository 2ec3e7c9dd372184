//! How a request came and what it does, as its head tells it and as the decision about it needs it.

use std::fmt;
use std::str::FromStr;

use super::names::InvalidText;

/// An HTTP method: a token, case-sensitive (RFC 9110 section 9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method(String);

impl Method {
    /// GET, HEAD, OPTIONS and TRACE: the methods that ask for no change (RFC 9110 section 9.2.1).
    pub fn is_safe(&self) -> bool {
        matches!(self.0.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }
}

impl FromStr for Method {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if !text.is_empty() && text.len() <= 64 && text.bytes().all(is_token) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText::new("not an HTTP method: write it like GET or POST"))
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the request reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Within one machine; counts as secure.
    Local,
    /// Over TLS.
    Https,
    /// In the clear.
    Http,
}

impl FromStr for Transport {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        match text {
            "local" => Ok(Self::Local),
            "https" => Ok(Self::Https),
            "http" => Ok(Self::Http),
            _ => Err(InvalidText::new("a transport is local, https or http")),
        }
    }
}
