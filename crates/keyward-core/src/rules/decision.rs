//! The decision: may this key make this request?
//!
//! [`decide`] looks at a key whose secret has already matched, and checks everything that could
//! forbid the request. It stops at nothing: every failing check is named. A restriction that
//! cannot be checked, because the request does not say what is needed, fails.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::key::{Key, SecretInfo, SecretState};
use super::names::{InvalidText, Level, Name, Scope};
use super::text::shell_word;
use super::time::rfc3339;

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

/// A role that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRole {
    /// Its name.
    pub name: Name,
    /// Its rank, or `None` where the store has no such role, which no key can satisfy.
    pub rank: Option<i64>,
}

/// What is known about a request, apart from its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The HTTP method.
    pub method: Option<Method>,
    /// The address of the caller.
    pub ip: Option<IpAddr>,
    /// The tenant whose data is asked for.
    pub tenant: Option<Name>,
    /// Scopes that the request needs, all of them.
    pub scopes: Vec<Scope>,
    /// Levels that the request needs, all of them.
    pub levels: Vec<Level>,
    /// The least role that the request needs.
    pub role: Option<WantedRole>,
    /// How it came.
    pub transport: Transport,
}

impl Default for Request {
    /// A local call that asks for nothing in particular.
    fn default() -> Self {
        Self {
            method: None,
            ip: None,
            tenant: None,
            scopes: vec![],
            levels: vec![],
            role: None,
            transport: Transport::Local,
        }
    }
}

/// Everything that can be wrong with a request, in the order in which it is checked. Checks are
/// named by what their failure is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No credential was presented.
    NoCredential,
    /// Two different ones were.
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
}

impl Reason {
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
        }
    }

    /// 401 where no live, genuine credential was presented; 403 where it may not do this.
    pub fn status(self) -> u16 {
        if self <= Self::TenantDisabled { 401 } else { 403 }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Checked, and in order.
    Pass,
    /// Checked and wrong, or not possible to check.
    Fail,
    /// There was nothing to check.
    Skip,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What its failure is called.
    pub check: Reason,
    /// What came of it.
    pub outcome: Outcome,
    /// The facts, for a person.
    pub detail: String,
    /// For a failed check, what can be done about it.
    #[serde(skip)]
    pub remedy: Option<String>,
}

/// What came of all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The checks that were made, in order.
    pub checks: Vec<Check>,
}

impl Decision {
    /// A refusal before any secret has matched: one failing check that says nothing about any key.
    pub fn refused(reason: Reason, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let check = Check { check: reason, outcome: Outcome::Fail, detail: detail.into(), remedy: Some(remedy.into()) };
        Self { checks: vec![check] }
    }

    /// The checks that failed, in order.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.outcome == Outcome::Fail)
    }

    /// The first reason to refuse, or `None` where the request is allowed.
    pub fn reason(&self) -> Option<Reason> {
        self.failures().map(|check| check.check).next()
    }

    /// Whether the request is allowed.
    pub fn is_allowed(&self) -> bool {
        self.reason().is_none()
    }

    /// 200, or the status of the first failing check.
    pub fn status(&self) -> u16 {
        self.reason().map_or(200, Reason::status)
    }
}

/// Decides about a request that was made with a genuine secret of `key`.
///
/// `presented` is that secret.
pub fn decide(key: &Key, presented: &SecretInfo, request: &Request, now: Timestamp) -> Decision {
    let checks = vec![
        genuine(),
        secret(key, presented, now),
        enabled(key),
        expiry(key, now),
        owner(key),
        tenant_enabled(key),
        transport(key, request),
        address(key, request),
        tenant(key, request),
        method(key, request),
        scopes(key, request),
        levels(key, request),
        role(key, request),
    ];
    Decision { checks }
}

fn pass(check: Reason, detail: impl Into<String>) -> Check {
    Check { check, outcome: Outcome::Pass, detail: detail.into(), remedy: None }
}

fn skip(check: Reason, detail: impl Into<String>) -> Check {
    Check { check, outcome: Outcome::Skip, detail: detail.into(), remedy: None }
}

fn fail(check: Reason, detail: impl Into<String>, remedy: impl Into<String>) -> Check {
    Check { check, outcome: Outcome::Fail, detail: detail.into(), remedy: Some(remedy.into()) }
}

fn genuine() -> Check {
    pass(Reason::NotGenuine, "the secret is genuine")
}

fn secret(key: &Key, presented: &SecretInfo, now: Timestamp) -> Check {
    const CHECK: Reason = Reason::SecretRetired;
    match (presented.state(now), presented.expires_at) {
        (SecretState::Staged, _) => pass(CHECK, "this is the secret of a rotation that has not ended"),
        (_, None) => pass(CHECK, "this is the current secret"),
        (SecretState::Grace, Some(end)) => {
            pass(CHECK, format!("this secret was replaced and works until {}", rfc3339(end)))
        }
        (_, Some(end)) => fail(
            CHECK,
            format!("this secret was replaced and stopped working at {}", rfc3339(end)),
            format!("use the current secret of {}, or mint another: keyward rotate {}", key.name, key.name),
        ),
    }
}

fn enabled(key: &Key) -> Check {
    const CHECK: Reason = Reason::KeyDisabled;
    if key.settings.enabled {
        pass(CHECK, "the key is enabled")
    } else {
        fail(CHECK, "the key is disabled", format!("bring it back with: keyward enable {}", key.name))
    }
}

fn expiry(key: &Key, now: Timestamp) -> Check {
    const CHECK: Reason = Reason::KeyExpired;
    match key.settings.expires_at {
        None => skip(CHECK, "the key never expires"),
        Some(end) if end > now => pass(CHECK, format!("the key expires at {}", rfc3339(end))),
        Some(end) => fail(
            CHECK,
            format!("the key expired at {}", rfc3339(end)),
            format!("extend it with: keyward edit {} --expires 90d", key.name),
        ),
    }
}

fn owner(key: &Key) -> Check {
    const CHECK: Reason = Reason::OwnerDisabled;
    match &key.settings.owner {
        None => skip(CHECK, "the key has no owner"),
        Some(owner) if key.standing.owner_enabled => pass(CHECK, format!("its owner {owner} is enabled")),
        Some(owner) => fail(
            CHECK,
            format!("its owner {owner} is disabled"),
            format!("bring all of their keys back with: keyward user enable {owner}"),
        ),
    }
}

fn tenant_enabled(key: &Key) -> Check {
    const CHECK: Reason = Reason::TenantDisabled;
    match &key.settings.tenant {
        None => skip(CHECK, "the key has no tenant"),
        Some(tenant) if key.standing.tenant_enabled => pass(CHECK, format!("its tenant {tenant} is enabled")),
        Some(tenant) => fail(
            CHECK,
            format!("its tenant {tenant} is disabled"),
            format!("bring all of its keys back with: keyward tenant enable {tenant}"),
        ),
    }
}

fn transport(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::InsecureTransport;
    match request.transport {
        Transport::Https => pass(CHECK, "the request came over https"),
        Transport::Local => pass(CHECK, "the request is local, which counts as secure"),
        Transport::Http if !key.settings.require_secure => {
            skip(CHECK, "the request came over http, which this key allows")
        }
        Transport::Http => fail(
            CHECK,
            "the request came over http, and the key requires a secure connection",
            format!(
                "send it over https (say so with --transport https), or allow http with: keyward edit {} --allow-insecure",
                key.name
            ),
        ),
    }
}

fn address(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::IpNotAllowed;
    let allowed = &key.settings.allowed_ips;
    if allowed.is_empty() {
        return skip(CHECK, "the key may be used from any address");
    }
    match request.ip.map(|ip| ip.to_canonical()) {
        None => fail(
            CHECK,
            format!("the key is bound to {}, and the caller's address is not known", join(allowed)),
            "say where the request came from: --ip ADDRESS",
        ),
        Some(ip) => match allowed.iter().find(|network| network.contains(ip)) {
            Some(network) => pass(CHECK, format!("{ip} is in {network}")),
            None => fail(
                CHECK,
                format!("{ip} is not in {}", join(allowed)),
                format!("add it with: keyward edit {} --add-allow-ip {ip}", key.name),
            ),
        },
    }
}

fn tenant(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::TenantMismatch;
    match (&key.settings.tenant, &request.tenant) {
        (None, _) => skip(CHECK, "the key works for every tenant"),
        (Some(own), Some(wanted)) if own == wanted => pass(CHECK, format!("the key works for {own}")),
        (Some(own), Some(wanted)) => fail(
            CHECK,
            format!("the key works for {own}, not for {wanted}"),
            format!("use a key of {wanted}, or move this one with: keyward edit {} --tenant {wanted}", key.name),
        ),
        (Some(own), None) => fail(
            CHECK,
            format!("the key works for {own} alone, and the request names no tenant"),
            "say whose data is asked for: --tenant TENANT",
        ),
    }
}

fn method(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::MethodNotAllowed;
    if !key.settings.read_only {
        return skip(CHECK, "the key may read and write");
    }
    match &request.method {
        Some(method) if method.is_safe() => pass(CHECK, format!("{method} is a safe method")),
        Some(method) => fail(
            CHECK,
            format!("the key is read-only, and {method} is not GET, HEAD, OPTIONS or TRACE"),
            format!("let it write with: keyward edit {} --read-write", key.name),
        ),
        None => fail(
            CHECK,
            "the key is read-only, and the method is not known",
            "say what the request does: --method METHOD",
        ),
    }
}

fn scopes(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::ScopeMissing;
    if request.scopes.is_empty() {
        return skip(CHECK, "the request asks for no scope");
    }
    let missing: Vec<_> = request.scopes.iter().filter(|scope| !key.settings.scopes.contains(scope)).collect();
    if missing.is_empty() {
        return pass(CHECK, format!("the key has {}", join(&request.scopes)));
    }
    fail(
        CHECK,
        format!("the key lacks {}; it has {}", join(missing.iter()), join_or(&key.settings.scopes, "no scope")),
        format!("add it with: keyward edit {} --add-scope {}", key.name, shell_word(&join_with(missing.iter(), ","))),
    )
}

fn levels(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::LevelMissing;
    if request.levels.is_empty() {
        return skip(CHECK, "the request asks for no level");
    }
    let holds = |wanted: &Level| key.settings.levels.iter().any(|held| held.includes(wanted));
    let missing: Vec<_> = request.levels.iter().filter(|wanted| !holds(wanted)).collect();
    if missing.is_empty() {
        return pass(CHECK, format!("the key holds {}", join(&request.levels)));
    }
    fail(
        CHECK,
        format!(
            "the key does not hold {}; it holds {}",
            join(missing.iter()),
            join_or(&key.settings.levels, "no level")
        ),
        format!("add it with: keyward edit {} --add-level {}", key.name, shell_word(&join_with(missing.iter(), ","))),
    )
}

fn role(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::RoleTooLow;
    let Some(wanted) = &request.role else {
        return skip(CHECK, "the request asks for no role");
    };
    let Some(rank) = wanted.rank else {
        return fail(
            CHECK,
            format!("this store has no role {}", wanted.name),
            "name a role that exists: keyward role list",
        );
    };
    // The key's own role, or its owner's present one: whichever is too low has to be raised.
    let own_is_enough = key.standing.rank.is_some_and(|own| own >= rank);
    let remedy = match &key.settings.owner {
        Some(owner) if own_is_enough => {
            format!("raise its owner with: keyward user edit {owner} --role {}", wanted.name)
        }
        _ => format!("raise the key with: keyward edit {} --role {}", key.name, wanted.name),
    };
    match key.effective_role() {
        Some((role, own)) if own >= rank => pass(CHECK, format!("the key acts as {role}")),
        Some((role, _)) => fail(CHECK, format!("the key acts as {role}, and {} is needed", wanted.name), remedy),
        None if own_is_enough => fail(CHECK, "the key acts in no role, because its owner has none", remedy),
        None => fail(CHECK, format!("the key acts in no role, and {} is needed", wanted.name), remedy),
    }
}

fn join<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    join_with(items, ", ")
}

fn join_with<T: fmt::Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

fn join_or<T: fmt::Display>(items: impl IntoIterator<Item = T>, otherwise: &str) -> String {
    let joined = join(items);
    if joined.is_empty() { otherwise.to_owned() } else { joined }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
