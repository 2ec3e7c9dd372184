//! Refusals by the guard itself, unrelated to any key.

/// Why the guard refuses, before or apart from any decision about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The peer is not a trusted proxy, or does not know the proxy secret.
    UntrustedPeer,
    /// A header that only the guard may write came with the request.
    ForgedHeader,
    /// A header for a single fact occurs twice, is a list, or cannot be parsed.
    AmbiguousRequest,
    /// Readers could differ about the path.
    AmbiguousPath,
    /// No route is for the request.
    NoRoute,
    /// Too many wrong credentials came from the same place.
    TooManyFailures,
    /// The store cannot be used at the moment.
    StoreUnusable,
    /// Too many credentials are waiting to be checked.
    Overloaded,
    /// The guard is about to stop.
    Draining,
    /// The key's name cannot be sent in a header.
    NameUnusable,
    /// There is no policy with the name in the path: a mistake in the proxy's configuration.
    UnknownPolicy,
    /// A bug in keyward.
    Internal,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::UntrustedPeer,
        Self::ForgedHeader,
        Self::AmbiguousRequest,
        Self::AmbiguousPath,
        Self::NoRoute,
        Self::TooManyFailures,
        Self::StoreUnusable,
        Self::Overloaded,
        Self::Draining,
        Self::NameUnusable,
        Self::UnknownPolicy,
        Self::Internal,
    ];

    /// The name in bodies, headers, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UntrustedPeer => "untrusted_peer",
            Self::ForgedHeader => "forged_header",
            Self::AmbiguousRequest => "ambiguous_request",
            Self::AmbiguousPath => "ambiguous_path",
            Self::NoRoute => "no_route",
            Self::TooManyFailures => "too_many_failures",
            Self::StoreUnusable => "store_unusable",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::NameUnusable => "name_unusable",
            Self::UnknownPolicy => "unknown_policy",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status (RFC 9110 section 15, and RFC 6585 for 429).
    pub fn status(self) -> u16 {
        match self {
            Self::UntrustedPeer | Self::ForgedHeader | Self::AmbiguousRequest | Self::AmbiguousPath | Self::NoRoute => {
                403
            }
            Self::TooManyFailures => 429,
            Self::StoreUnusable | Self::Overloaded | Self::Draining | Self::NameUnusable => 503,
            Self::UnknownPolicy | Self::Internal => 500,
        }
    }
}
