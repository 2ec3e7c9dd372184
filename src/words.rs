//! What a person is told about a check: the one place that has the sentences, the remedies and the commands in them.
//!
//! The core decides in data ([`Reason`], [`Facts`]); a sentence is made here, from the check, the key and the request.
//! The sentences stand in JSON too (`detail`) and are a part of what scripts show to people, so they change seldom; who
//! needs to tell one refusal from another reads the reason. Nothing is said about a key whose secret has not matched:
//! then there is no key here that anything could be said about.

use std::fmt;

use keyward_core::rules::credential::CredentialError;
use keyward_core::rules::decision::{Check, Facts, Outcome, Reason, Request, Transport};
use keyward_core::rules::key::Key;
use keyward_core::rules::time::rfc3339;
use keyward_core::rules::token::TokenError;
use keyward_core::verifier::VerifyError;
use serde::ser::{Serialize, SerializeSeq as _, SerializeStruct as _, Serializer};

use crate::error::{Code, Error};
use crate::text::shell_word;

/// Checks, and what they are about.
#[derive(Debug, Clone, Copy)]
pub struct Checks<'c> {
    /// The checks.
    pub checks: &'c [Check],
    /// The key, where its secret matched.
    pub key: Option<&'c Key>,
    /// The request.
    pub request: &'c Request,
}

impl<'c> Checks<'c> {
    /// Each check with what can be told of it.
    pub fn told(self) -> impl ExactSizeIterator<Item = Told<'c>> {
        self.checks.iter().map(move |check| Told { check, key: self.key, request: self.request })
    }
}

impl Checks<'_> {
    /// Writes the JSON that [`Serialize`] makes, for who writes millions: a sentence that is the same each time is
    /// copied, and not looked through for what JSON escapes.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (number, told) in self.told().enumerate() {
            let outcome = match told.check.outcome {
                Outcome::Pass => "\",\"outcome\":\"pass\",\"detail\":\"",
                Outcome::Fail => "\",\"outcome\":\"fail\",\"detail\":\"",
                Outcome::Skip => "\",\"outcome\":\"skip\",\"detail\":\"",
            };
            let (start, reason) = (if number == 0 { "{\"check\":\"" } else { ",{\"check\":\"" }, told.check.reason);
            out.extend_from_slice(start.as_bytes());
            out.extend_from_slice(reason.as_str().as_bytes());
            out.extend_from_slice(outcome.as_bytes());
            if let Some(text) = told.fixed() {
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\"}");
            } else {
                // What is written begins with the quotation mark that stands there already. A text cannot fail to be JSON.
                out.pop();
                let _ = serde_json::to_writer(&mut *out, &Detail(told));
                out.push(b'}');
            }
        }
        out.push(b']');
    }
}

impl Serialize for Checks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.checks.len()))?;
        for told in self.told() {
            list.serialize_element(&told)?;
        }
        list.end()
    }
}

/// A check in words: its facts as `Display`, its remedy apart.
#[derive(Debug, Clone, Copy)]
pub struct Told<'c> {
    /// The check.
    pub check: &'c Check,
    key: Option<&'c Key>,
    request: &'c Request,
}

impl Serialize for Told<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut check = serializer.serialize_struct("Check", 3)?;
        check.serialize_field("check", &self.check.reason)?;
        check.serialize_field("outcome", &self.check.outcome)?;
        check.serialize_field("detail", &Detail(*self))?;
        check.end()
    }
}

/// Its facts alone. Most of them are one and the same sentence each time, which is then not put together again.
struct Detail<'c>(Told<'c>);

impl Serialize for Detail<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.fixed() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(&self.0),
        }
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.fixed(), self.key) {
            (Some(text), _) => f.write_str(text),
            (None, Some(key)) => self.variable(f, key),
            (None, None) => self.refusal(f),
        }
    }
}

impl Told<'_> {
    /// A sentence that does not depend on the key or the request.
    fn fixed(&self) -> Option<&'static str> {
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
            (Reason::InsecureTransport, _, Facts::Transport(Transport::Https)) => "the request came over https",
            (Reason::InsecureTransport, _, Facts::Transport(Transport::Local)) => {
                "the request is local, which counts as secure"
            }
            (Reason::InsecureTransport, Outcome::Skip, _) => "the request came over http, which this key allows",
            (Reason::InsecureTransport, ..) => "the request came over http, and the key requires a secure connection",
            (Reason::IpNotAllowed, Outcome::Skip, _) => "the key may be used from any address",
            (Reason::TenantMismatch, Outcome::Skip, _) => "the key works for every tenant",
            (Reason::MethodNotAllowed, Outcome::Skip, _) => "the key may read and write",
            (Reason::MethodNotAllowed, _, Facts::Unknown) => "the key is read-only, and the method is not known",
            (Reason::ScopeMissing, Outcome::Skip, _) => "the request asks for no scope",
            (Reason::LevelMissing, Outcome::Skip, _) => "the request asks for no level",
            (Reason::RoleTooLow, Outcome::Skip, _) => "the request asks for no role",
            _ => return None,
        })
    }

    /// A sentence about a genuine key and a request.
    fn variable(&self, f: &mut fmt::Formatter<'_>, key: &Key) -> fmt::Result {
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
            (Reason::IpNotAllowed, Facts::Network(network)) => match request.ip {
                Some(ip) => write!(f, "{} is in {network}", ip.to_canonical()),
                None => Ok(()),
            },
            (Reason::IpNotAllowed, Facts::Address(ip)) => {
                write!(f, "{ip} is not in ")?;
                list(f, &settings.allowed_ips, "")
            }
            (Reason::IpNotAllowed, _) => {
                f.write_str("the key is bound to ")?;
                list(f, &settings.allowed_ips, "")?;
                f.write_str(", and the caller's address is not known")
            }
            (Reason::TenantMismatch, _) => {
                let own = text(settings.tenant.as_ref());
                match (outcome, &request.tenant) {
                    (Outcome::Pass, _) => write!(f, "the key works for {own}"),
                    (_, Some(wanted)) => write!(f, "the key works for {own}, not for {wanted}"),
                    (_, None) => write!(f, "the key works for {own} alone, and the request names no tenant"),
                }
            }
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
            // A check that came later than these words still says what it is called.
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
    fn refusal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.check.facts {
            Facts::Credential(error @ CredentialError::ManyLines) => {
                write!(f, "{error} (a whole request head is read with --request)")
            }
            Facts::Credential(error) => write!(f, "{error}"),
            Facts::Token(error) => write!(f, "{error}"),
            _ => f.write_str(self.check.reason.as_str()),
        }
    }

    /// What can be done about it, for a check that failed.
    pub fn remedy(&self) -> Option<String> {
        if self.check.outcome != Outcome::Fail {
            return None;
        }
        Some(match self.key {
            Some(key) => self.remedy_of_key(key),
            None => self.remedy_of_refusal().to_owned(),
        })
    }

    fn remedy_of_key(&self, key: &Key) -> String {
        let (name, settings, request) = (&key.name, &key.settings, self.request);
        match (self.check.reason, &self.check.facts) {
            (Reason::SecretRetired, _) => {
                format!("use the current secret of {name}, or mint another: keyward rotate {name}")
            }
            (Reason::KeyDisabled, _) => format!("bring it back with: keyward enable {name}"),
            (Reason::KeyExpired, _) => format!("extend it with: keyward edit {name} --expires 90d"),
            (Reason::OwnerDisabled, _) => {
                format!("bring all of their keys back with: keyward user enable {}", text(settings.owner.as_ref()))
            }
            (Reason::TenantDisabled, _) => {
                format!("bring all of its keys back with: keyward tenant enable {}", text(settings.tenant.as_ref()))
            }
            (Reason::InsecureTransport, _) => format!(
                "send it over https (say so with --transport https), or allow http with: keyward edit {name} --allow-insecure"
            ),
            (Reason::IpNotAllowed, Facts::Address(ip)) => {
                format!("add it with: keyward edit {name} --add-allow-ip {ip}")
            }
            (Reason::IpNotAllowed, _) => "say where the request came from: --ip ADDRESS".to_owned(),
            (Reason::TenantMismatch, _) => match &request.tenant {
                Some(wanted) => {
                    format!("use a key of {wanted}, or move this one with: keyward edit {name} --tenant {wanted}")
                }
                None => "say whose data is asked for: --tenant TENANT".to_owned(),
            },
            (Reason::MethodNotAllowed, Facts::Unknown) => "say what the request does: --method METHOD".to_owned(),
            (Reason::MethodNotAllowed, _) => format!("let it write with: keyward edit {name} --read-write"),
            (_, Facts::MissingScopes(missing)) => {
                format!("add it with: keyward edit {name} --add-scope {}", shell_word(&joined(missing)))
            }
            (_, Facts::MissingLevels(missing)) => {
                format!("add it with: keyward edit {name} --add-level {}", shell_word(&joined(missing)))
            }
            (_, Facts::NoSuchRole) => "name a role that exists: keyward role list".to_owned(),
            (Reason::RoleTooLow, facts) => {
                let wanted = text(request.role.as_ref().map(|wanted| &wanted.name));
                match (facts, &settings.owner) {
                    (Facts::OwnerTooLow, Some(owner)) => {
                        format!("raise its owner with: keyward user edit {owner} --role {wanted}")
                    }
                    _ => format!("raise the key with: keyward edit {name} --role {wanted}"),
                }
            }
            _ => format!("look at it with: keyward show {name}"),
        }
    }

    fn remedy_of_refusal(&self) -> &'static str {
        match (self.check.reason, &self.check.facts) {
            (_, Facts::InQuery) => {
                "send it in a header, such as Authorization: Bearer SECRET, and rotate the key: logs keep URLs"
            }
            (_, Facts::Token(TokenError::Spaces)) => {
                "send it without the white space, or in a header that `keyward help verify` names"
            }
            (_, Facts::Token(TokenError::Form)) => "send the secret as it was shown when the key was made",
            (_, Facts::Token(TokenError::Checksum)) => "copy the secret again from where it is kept",
            (Reason::NoCredential, _) => "send the secret, for example as Authorization: Bearer SECRET",
            (Reason::AmbiguousCredential, _) => "send one credential",
            (Reason::NotGenuine, _) => {
                "look for the key with `keyward list`; a lost secret is replaced with `keyward rotate KEY`"
            }
            _ => "send it in one of the forms that `keyward help verify` tells of",
        }
    }
}

/// The error for a credential that could not be checked, which is neither a yes nor a no.
pub fn not_checked(error: VerifyError) -> Error {
    match error {
        VerifyError::Store(error) => error.into(),
        VerifyError::NoThread(error) => no_thread(&error),
        VerifyError::Hash(error) => {
            Error::new(Code::StoreCorrupt, format!("the credential could not be checked: {error}"))
                .hint("nothing was decided; replace the secret with `keyward rotate KEY`, or put a backup in place")
        }
        other => anyhow::Error::new(other).into(),
    }
}

/// The error for a thread that the system does not give.
pub fn no_thread(error: &std::io::Error) -> Error {
    Error::new(Code::InvalidValue, format!("the system gives no thread to verify on: {error}"))
        .hint("allow this user more processes, see `ulimit -u`; or verify one credential at a time, without --batch")
}

fn enabled(outcome: Outcome) -> &'static str {
    if outcome == Outcome::Fail { "disabled" } else { "enabled" }
}

/// What a check that speaks of it has found to be there.
fn text<T: fmt::Display>(value: Option<&T>) -> Text<'_, T> {
    Text(value)
}

struct Text<'t, T>(Option<&'t T>);

impl<T: fmt::Display> fmt::Display for Text<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |value| value.fmt(f))
    }
}

/// Writes the items with commas in between, or what is said where there is none.
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

/// The items as the value of one flag.
fn joined<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
