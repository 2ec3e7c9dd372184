//! The sentences: what a check found.

use std::fmt;

use keyward_core::rules::credential::CredentialError;
use keyward_core::rules::decision::{Check, Facts, Outcome, Reason, Transport};
use keyward_core::rules::forwarded::Origin;
use keyward_core::rules::key::Key;
use keyward_core::rules::limits::{Limit, Standing, Whose};
use keyward_core::rules::time::rfc3339;

use super::{CheckWords, text};

impl CheckWords<'_> {
    /// A sentence that does not depend on the key or the request.
    pub(super) fn fixed(&self) -> Option<&'static str> {
        let Check { reason, outcome, facts, .. } = self.check;
        Some(match (reason, outcome, facts) {
            (Reason::NotGenuine, Outcome::Pass, _) => "the secret is genuine",
            (Reason::NotGenuine, ..) => "this is not the secret of any key, or it came with the wrong name",
            (_, _, Facts::InQuery) => "a credential stood in the query of a URL, where this store accepts none",
            (Reason::SecretRetired, _, Facts::None) => "this is the current secret",
            (Reason::SecretRetired, _, Facts::Staged) => "this is the secret of a rotation that has not ended",
            (Reason::KeyDisabled, Outcome::Pass, _) => "the key is enabled",
            (Reason::KeyDisabled, ..) => "the key is disabled",
            (Reason::KeyExpired, Outcome::Skip, _) => "the key never expires",
            (Reason::OwnerDisabled, Outcome::Skip, _) => "the key has no owner",
            (Reason::TenantDisabled, Outcome::Skip, _) => "the key has no tenant",
            (Reason::InsecureTransport, _, Facts::NotAllowedHere) => {
                "the request came over http, and the policy requires a secure connection"
            }
            (Reason::InsecureTransport, _, Facts::Transport(Transport::Https)) => "the request came over https",
            (Reason::InsecureTransport, _, Facts::Transport(Transport::Local)) => {
                "the request is local, which counts as secure"
            }
            (Reason::InsecureTransport, Outcome::Skip, _) => "the request came over http, which this key allows",
            (Reason::InsecureTransport, ..) if self.request.transport_from == Origin::Elsewhere => {
                "the request came over http, and the key requires a secure connection"
            }
            (Reason::IpNotAllowed, Outcome::Skip, _) => "the key may be used from any address",
            (Reason::TenantMismatch, Outcome::Skip, _) => "the key works for every tenant",
            (Reason::MethodNotAllowed, Outcome::Skip, _) => "the key may read and write",
            (Reason::MethodNotAllowed, _, Facts::Unknown) => "the key is read-only, and the method is not known",
            (Reason::ScopeMissing, Outcome::Skip, _) => "the request asks for no scope",
            (Reason::LevelMissing, Outcome::Skip, _) => "the request asks for no level",
            (Reason::RoleTooLow, Outcome::Skip, _) => "the request asks for no role",
            (Reason::RateLimited, Outcome::Skip, _) => "no limit of up to an hour was checked",
            (Reason::QuotaExceeded, Outcome::Skip, _) => "no limit for a day or a month was checked",
            _ => return None,
        })
    }

    /// A sentence about a genuine key and a request.
    pub(super) fn variable(&self, f: &mut fmt::Formatter<'_>, key: &Key) -> fmt::Result {
        let Check { reason, outcome, facts, .. } = self.check;
        let (settings, request) = (&key.settings, self.request);
        match (reason, facts) {
            (Reason::SecretRetired, Facts::Ends(end)) => match outcome {
                Outcome::Fail => write!(f, "this secret was replaced and stopped working at {}", rfc3339(*end)),
                _ => write!(f, "this secret was replaced and works until {}", rfc3339(*end)),
            },
            (Reason::KeyExpired, Facts::Ends(end)) => match outcome {
                Outcome::Fail => write!(f, "the key expired at {}", rfc3339(*end)),
                _ => write!(f, "the key expires at {}", rfc3339(*end)),
            },
            (Reason::OwnerDisabled, _) => {
                write!(f, "its owner {} is {}", text(settings.owner.as_ref()), enabled(*outcome))
            }
            (Reason::TenantDisabled, _) => {
                write!(f, "its tenant {} is {}", text(settings.tenant.as_ref()), enabled(*outcome))
            }
            (Reason::InsecureTransport, _) => {
                let from = &request.transport_from;
                f.write_str("the request came over http")?;
                if let Origin::Taken(header) = from {
                    write!(f, " (the last entry of {header})")?;
                }
                f.write_str(", and the key requires a secure connection")?;
                not_taken(f, from, "tells neither http nor https")
            }
            (Reason::IpNotAllowed, Facts::Network(network)) => match request.ip {
                Some(ip) => write!(f, "{} is in {network}", ip.to_canonical()),
                None => Ok(()),
            },
            (Reason::IpNotAllowed, Facts::Address(ip)) => {
                write!(f, "{ip}")?;
                if let Origin::Taken(header) = request.ip_from {
                    write!(f, " (the last entry of {header})")?;
                }
                f.write_str(" is not in ")?;
                list(f, &settings.allowed_ips, "")
            }
            (Reason::IpNotAllowed, _) => {
                f.write_str("the key is bound to ")?;
                list(f, &settings.allowed_ips, "")?;
                f.write_str(", and the caller's address is not known")?;
                not_taken(f, &request.ip_from, "tells no address")
            }
            (Reason::TenantMismatch, _) => {
                let own = text(settings.tenant.as_ref());
                match (outcome, &request.tenant) {
                    (Outcome::Pass, _) => write!(f, "the key works for {own}"),
                    (_, Some(wanted)) => write!(f, "the key works for {own}, not for {wanted}"),
                    (_, None) => write!(f, "the key works only for {own}, and the request names no tenant"),
                }
            }
            (Reason::MethodNotAllowed, Facts::NotAllowedHere) => match &request.method {
                Some(method) => write!(f, "the policy does not allow the method {method}"),
                None => f.write_str("the policy allows only some methods, and the method is not known"),
            },
            (Reason::MethodNotAllowed, _) => {
                let method = text(request.method.as_ref());
                match outcome {
                    Outcome::Pass => write!(f, "{method} is a safe method"),
                    _ => write!(f, "the key is read-only, and {method} is not GET, HEAD, OPTIONS or TRACE"),
                }
            }
            (Reason::ScopeMissing, Facts::MissingScopes(missing)) => {
                f.write_str("the key lacks ")?;
                list(f, missing, "")?;
                f.write_str("; it has ")?;
                list(f, &settings.scopes, "no scope")
            }
            (Reason::ScopeMissing, _) => {
                f.write_str("the key has ")?;
                list(f, &request.scopes, "")
            }
            (Reason::LevelMissing, Facts::MissingLevels(missing)) => {
                f.write_str("the key does not hold ")?;
                list(f, missing, "")?;
                f.write_str("; it holds ")?;
                list(f, &settings.levels, "no level")
            }
            (Reason::LevelMissing, _) => {
                f.write_str("the key holds ")?;
                list(f, &request.levels, "")
            }
            (Reason::RoleTooLow, _) => self.role(f, key),
            (_, Facts::Limit(nearest)) => limited(f, *outcome, nearest),
            // A check newer than these words still shows its name.
            _ => f.write_str(reason.as_str()),
        }
    }

    fn role(&self, f: &mut fmt::Formatter<'_>, key: &Key) -> fmt::Result {
        let wanted = text(self.request.role.as_ref().map(|wanted| &wanted.name));
        match (&self.check.facts, self.check.outcome, key.effective_role()) {
            (Facts::NoSuchRole, ..) => write!(f, "this store has no role {wanted}"),
            (_, Outcome::Pass, Some((role, _))) => write!(f, "the key acts as {role}"),
            (_, _, Some((role, _))) => write!(f, "the key acts as {role}, and {wanted} is needed"),
            (Facts::OwnerTooLow, ..) => f.write_str("the key acts in no role, because its owner has none"),
            _ => write!(f, "the key acts in no role, and {wanted} is needed"),
        }
    }

    /// A refusal before a key was known.
    pub(super) fn refusal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.check.facts {
            Facts::Credential(error) => match **error {
                CredentialError::ManyLines => write!(f, "{error} (a whole request head is read with --request)"),
                _ => write!(f, "{error}"),
            },
            Facts::Token(error) => write!(f, "{error}"),
            _ => f.write_str(self.check.reason.as_str()),
        }
    }
}

/// What a limit belongs to, in words.
pub fn owner_of_limit(whose: Whose) -> &'static str {
    match whose {
        Whose::Key => "the key",
        Whose::User => "its owner",
        Whose::Tenant => "its tenant",
        Whose::Policy => "the policy",
    }
}

/// What is left of a limit, or how long nothing is left.
fn limited(
    f: &mut fmt::Formatter<'_>,
    outcome: Outcome,
    (whose, limit, standing): &(Whose, Limit, Standing),
) -> fmt::Result {
    let whose = owner_of_limit(*whose);
    match outcome {
        Outcome::Fail => {
            let wait = standing.retry_after();
            write!(f, "the limit {limit} of {whose} is used up; the next request may come in {wait} s")
        }
        _ => write!(f, "{} left of the limit {limit} of {whose}", standing.remaining),
    }
}

/// Adds which proxy header was not taken, and why: `it_means` says what its last entry should have given.
fn not_taken(f: &mut fmt::Formatter<'_>, from: &Origin, it_means: &str) -> fmt::Result {
    match from {
        Origin::NotTrusted(header) => write!(f, "; {header} was there and was not taken: it is not trusted"),
        Origin::Missing(header) => write!(f, "; there was no {header}"),
        Origin::Meaningless { header, last } if last.is_empty() => {
            write!(f, "; {header} was not taken: its last entry is empty")
        }
        Origin::Meaningless { header, last } => {
            write!(f, "; {header} was not taken: it ends in `{last}`, which {it_means}")?;
            let is_address =
                last.matches(':').count() > 1 && last.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b));
            if is_address { f.write_str(" (with a port, IPv6 is written [::1]:80)") } else { Ok(()) }
        }
        Origin::Disagreeing(header) => {
            write!(f, "; Forwarded and {header} were not taken: they do not say the same")
        }
        _ => Ok(()),
    }
}

fn enabled(outcome: Outcome) -> &'static str {
    if outcome == Outcome::Fail { "disabled" } else { "enabled" }
}

/// Writes the items separated by commas, or the text for none.
fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = T>,
    otherwise: &str,
) -> fmt::Result {
    let mut items = items.into_iter();
    let Some(first) = items.next() else { return f.write_str(otherwise) };
    write!(f, "{first}")?;
    items.try_for_each(|item| write!(f, ", {item}"))
}
