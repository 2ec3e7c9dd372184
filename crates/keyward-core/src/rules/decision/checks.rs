//! The fifteen checks, one function each, of a key, a request and a time. They allocate only the lists of what is
//! missing.

use jiff::Timestamp;

use super::{Check, Facts, Outcome, Reason, Request, Transport};
use crate::rules::key::{Key, SecretInfo, SecretState};

fn pass(reason: Reason, facts: Facts) -> Check {
    Check { reason, outcome: Outcome::Pass, facts }
}

fn skip(reason: Reason, facts: Facts) -> Check {
    Check { reason, outcome: Outcome::Skip, facts }
}

fn fail(reason: Reason, facts: Facts) -> Check {
    Check { reason, outcome: Outcome::Fail, facts }
}

/// A check whose outcome says everything.
fn pass_if(is_right: bool, reason: Reason) -> Check {
    if is_right { pass(reason, Facts::None) } else { fail(reason, Facts::None) }
}

pub(super) fn genuine() -> Check {
    pass(Reason::NotGenuine, Facts::None)
}

pub(super) fn secret(presented: &SecretInfo, now: Timestamp) -> Check {
    const CHECK: Reason = Reason::SecretRetired;
    match (presented.state(now), presented.expires_at) {
        (SecretState::Staged, _) => pass(CHECK, Facts::Staged),
        (_, None) => pass(CHECK, Facts::None),
        (SecretState::Grace, Some(end)) => pass(CHECK, Facts::Ends(end)),
        (_, Some(end)) => fail(CHECK, Facts::Ends(end)),
    }
}

pub(super) fn enabled(key: &Key) -> Check {
    pass_if(key.settings.enabled, Reason::KeyDisabled)
}

pub(super) fn expiry(key: &Key, now: Timestamp) -> Check {
    const CHECK: Reason = Reason::KeyExpired;
    match key.settings.expires_at {
        None => skip(CHECK, Facts::None),
        Some(end) if end > now => pass(CHECK, Facts::Ends(end)),
        Some(end) => fail(CHECK, Facts::Ends(end)),
    }
}

pub(super) fn owner(key: &Key) -> Check {
    const CHECK: Reason = Reason::OwnerDisabled;
    match &key.settings.owner {
        None => skip(CHECK, Facts::None),
        Some(_) => pass_if(key.standing.owner_enabled, CHECK),
    }
}

pub(super) fn tenant_enabled(key: &Key) -> Check {
    const CHECK: Reason = Reason::TenantDisabled;
    match &key.settings.tenant {
        None => skip(CHECK, Facts::None),
        Some(_) => pass_if(key.standing.tenant_enabled, CHECK),
    }
}

pub(super) fn transport(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::InsecureTransport;
    let facts = Facts::Transport(request.transport);
    match request.transport {
        Transport::Https | Transport::Local => pass(CHECK, facts),
        Transport::Http if key.settings.require_secure => fail(CHECK, facts),
        Transport::Http if request.requires_secure => fail(CHECK, Facts::NotAllowedHere),
        Transport::Http => skip(CHECK, facts),
    }
}

pub(super) fn address(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::IpNotAllowed;
    let allowed = &key.settings.allowed_ips;
    if allowed.is_empty() {
        return skip(CHECK, Facts::None);
    }
    // IPv4 written as IPv6 is the IPv4 address.
    match request.ip.map(|ip| ip.to_canonical()) {
        None => fail(CHECK, Facts::Unknown),
        Some(ip) => match allowed.iter().find(|network| network.contains(ip)) {
            Some(network) => pass(CHECK, Facts::Network(*network)),
            None => fail(CHECK, Facts::Address(ip)),
        },
    }
}

pub(super) fn tenant(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::TenantMismatch;
    match (&key.settings.tenant, &request.tenant) {
        (None, _) => skip(CHECK, Facts::None),
        (Some(_), None) => fail(CHECK, Facts::Unknown),
        (Some(own), Some(wanted)) => pass_if(own == wanted, CHECK),
    }
}

pub(super) fn method(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::MethodNotAllowed;
    let allowed = &request.methods;
    if !allowed.is_empty() && request.method.as_ref().is_none_or(|method| !allowed.contains(method)) {
        return fail(CHECK, Facts::NotAllowedHere);
    }
    if !key.settings.read_only {
        return skip(CHECK, Facts::None);
    }
    match &request.method {
        Some(method) => pass_if(method.is_safe(), CHECK),
        None => fail(CHECK, Facts::Unknown),
    }
}

pub(super) fn scopes(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::ScopeMissing;
    if request.scopes.is_empty() {
        return skip(CHECK, Facts::None);
    }
    let missing: Vec<_> = request.scopes.iter().filter(|scope| !key.settings.scopes.contains(scope)).cloned().collect();
    if missing.is_empty() { pass(CHECK, Facts::None) } else { fail(CHECK, Facts::MissingScopes(missing)) }
}

pub(super) fn levels(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::LevelMissing;
    if request.levels.is_empty() {
        return skip(CHECK, Facts::None);
    }
    let held = &key.settings.levels;
    let missing: Vec<_> =
        request.levels.iter().filter(|wanted| !held.iter().any(|held| held.includes(wanted))).cloned().collect();
    if missing.is_empty() { pass(CHECK, Facts::None) } else { fail(CHECK, Facts::MissingLevels(missing)) }
}

/// Limits are checked after everything else.
pub(super) fn not_limited(check: Reason) -> Check {
    skip(check, Facts::None)
}

pub(super) fn role(key: &Key, request: &Request) -> Check {
    const CHECK: Reason = Reason::RoleTooLow;
    let Some(wanted) = &request.role else {
        return skip(CHECK, Facts::None);
    };
    let Some(rank) = wanted.rank else {
        return fail(CHECK, Facts::NoSuchRole);
    };
    if key.effective_role().is_some_and(|(_, own)| own >= rank) {
        return pass(CHECK, Facts::None);
    }
    // The key's own role or its owner's current one: whichever is too low must be raised.
    let own_is_enough = key.standing.rank.is_some_and(|own| own >= rank);
    let is_owners_fault = own_is_enough && key.settings.owner.is_some();
    fail(CHECK, if is_owners_fault { Facts::OwnerTooLow } else { Facts::None })
}
