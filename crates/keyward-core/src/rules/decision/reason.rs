//! What can be wrong with a request, and the result of a check: the words of the contract, which JSON uses unchanged.

use serde::{Serialize, Serializer};

/// Everything that can be wrong with a request, in the order in which it is checked. A check has the name of its
/// failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No credential was presented.
    NoCredential,
    /// Two different ones were presented.
    AmbiguousCredential,
    /// It does not have the form of a credential.
    Malformed,
    /// Unknown id, wrong secret and wrong name alike.
    NotGenuine,
    /// The secret was replaced, and its grace period is over.
    SecretRetired,
    /// The key is disabled.
    KeyDisabled,
    /// The key has expired.
    KeyExpired,
    /// The user it belongs to is disabled.
    OwnerDisabled,
    /// The tenant it works for is disabled.
    TenantDisabled,
    /// The key demands a secure transport.
    InsecureTransport,
    /// The caller's address is in none of the key's networks.
    IpNotAllowed,
    /// The key works for another tenant.
    TenantMismatch,
    /// The key is read-only, and the method is not safe.
    MethodNotAllowed,
    /// The key lacks a scope.
    ScopeMissing,
    /// The key lacks a level.
    LevelMissing,
    /// The key's effective role is too low.
    RoleTooLow,
    /// A rate limit, with a period of up to an hour, is used up.
    RateLimited,
    /// A quota, per day or month, is used up.
    QuotaExceeded,
}

impl Reason {
    /// The subject of the check that fails for this reason, worded so that `pass` and `fail` make sense after it.
    pub fn subject(self) -> &'static str {
        match self {
            Self::NoCredential => "credential",
            Self::AmbiguousCredential => "single_credential",
            Self::Malformed => "form",
            Self::NotGenuine => "secret",
            Self::SecretRetired => "current_secret",
            Self::KeyDisabled => "enabled",
            Self::KeyExpired => "expiry",
            Self::OwnerDisabled => "owner",
            Self::TenantDisabled => "tenant",
            Self::InsecureTransport => "transport",
            Self::IpNotAllowed => "address",
            Self::TenantMismatch => "same_tenant",
            Self::MethodNotAllowed => "method",
            Self::ScopeMissing => "scope",
            Self::LevelMissing => "level",
            Self::RoleTooLow => "role",
            Self::RateLimited => "rate",
            Self::QuotaExceeded => "quota",
        }
    }

    /// The name in JSON and in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::AmbiguousCredential => "ambiguous_credential",
            Self::Malformed => "malformed",
            Self::NotGenuine => "not_genuine",
            Self::SecretRetired => "secret_retired",
            Self::KeyDisabled => "key_disabled",
            Self::KeyExpired => "key_expired",
            Self::OwnerDisabled => "owner_disabled",
            Self::TenantDisabled => "tenant_disabled",
            Self::InsecureTransport => "insecure_transport",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::TenantMismatch => "tenant_mismatch",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::ScopeMissing => "scope_missing",
            Self::LevelMissing => "level_missing",
            Self::RoleTooLow => "role_too_low",
            Self::RateLimited => "rate_limited",
            Self::QuotaExceeded => "quota_exceeded",
        }
    }

    /// The HTTP status (RFC 9110 section 15.5): 401 if no live, genuine credential was presented; 403 if it may not do
    /// this; 429 (RFC 6585) if it may, but has done so too often.
    pub fn status(self) -> u16 {
        match self {
            Self::RateLimited | Self::QuotaExceeded => 429,
            reason if reason <= Self::TenantDisabled => 401,
            _ => 403,
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Checked, and fine.
    Pass,
    /// Checked and wrong, or not possible to check.
    Fail,
    /// There was nothing to check.
    Skip,
}
