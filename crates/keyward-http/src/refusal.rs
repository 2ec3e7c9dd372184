//! Refusals of the guard itself: those that no key has to do with.

/// Why the guard refuses before or beside any decision about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Whoever asks is no proxy of ours, or does not know the proxy secret.
    UntrustedPeer,
    /// A header that is the guard's to write came with the request.
    ForgedHeader,
    /// A header that holds one fact stands twice, is a list, or cannot be read.
    AmbiguousRequest,
    /// The path is one that two readers read differently.
    AmbiguousPath,
    /// No route is for the request.
    NoRoute,
    /// Too many wrong credentials came from the same place.
    TooManyFailures,
    /// The store cannot be used at the moment.
    StoreUnusable,
    /// Too many credentials wait to be checked.
    Overloaded,
    /// The guard is about to end.
    Draining,
    /// The key's name cannot be told in a header.
    NameUnusable,
    /// There is no policy of the name in the path: a mistake in the proxy's configuration.
    UnknownPolicy,
    /// A mistake in keyward.
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
