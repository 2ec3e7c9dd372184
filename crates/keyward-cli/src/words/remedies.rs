//! The remedies: what can be done about a failed check, with the command for it.

use std::fmt;

use keyward_core::rules::credential::CredentialError;
use keyward_core::rules::decision::{Facts, Outcome, Reason};
use keyward_core::rules::forwarded::Origin;
use keyward_core::rules::key::Key;
use keyward_core::rules::limits::Whose;
use keyward_core::rules::token::TokenError;

use super::{CheckWords, text};
use crate::text::shell_word;

impl CheckWords<'_> {
    /// What can be done about it, if the check failed.
    pub fn remedy(&self) -> Option<String> {
        if self.check.outcome != Outcome::Fail {
            return None;
        }
        Some(match self.key {
            Some(key) => self.remedy_of_key(key),
            None => self.remedy_of_refusal(),
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
            (Reason::InsecureTransport, _) => {
                let allow = format!("or allow http with: keyward edit {name} --allow-insecure");
                match &request.transport_from {
                    Origin::Elsewhere => format!("send it over https (say so with --transport https), {allow}"),
                    Origin::NotTrusted(header) => {
                        format!(
                            "name {header} with --trust-forwarded if your proxy writes it, see `keyward help verify`; {allow}"
                        )
                    }
                    _ => format!("send it over https and have your proxy say so, see `keyward help verify`; {allow}"),
                }
            }
            (Reason::IpNotAllowed, Facts::Address(ip)) => {
                format!("add it with: keyward edit {name} --add-allow-ip {ip}")
            }
            (Reason::IpNotAllowed, _) => match &request.ip_from {
                Origin::Elsewhere => "say where the request came from: --ip ADDRESS".to_owned(),
                Origin::NotTrusted(header) => format!(
                    "say where the request came from: --ip ADDRESS; or name {header} with --trust-forwarded if your proxy \
                     writes it, see `keyward help verify`"
                ),
                _ => "have your proxy say where the request came from, see `keyward help verify`".to_owned(),
            },
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
            (_, Facts::Limit(nearest)) => match nearest.0 {
                Whose::Key => format!("wait, or raise it with: keyward edit {name} --add-limit N/PERIOD"),
                Whose::User => format!(
                    "wait, or raise it with: keyward user edit {} --add-limit N/PERIOD",
                    text(settings.owner.as_ref())
                ),
                Whose::Tenant => format!(
                    "wait, or raise it with: keyward tenant edit {} --add-limit N/PERIOD",
                    text(settings.tenant.as_ref())
                ),
                Whose::Policy => {
                    format!("wait, or give the key a limit of its own: keyward edit {name} --limit N/PERIOD")
                }
            },
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

    fn remedy_of_refusal(&self) -> String {
        if let Facts::Credential(error) = &self.check.facts
            && let CredentialError::NotAccepted(presentation) = &**error
        {
            let presentation = presentation.as_str();
            return format!("send it where it is looked at, or have it looked at there: --accept {presentation}");
        }
        let text = match (self.check.reason, &self.check.facts) {
            (_, Facts::InQuery) => {
                "send it in a header, such as Authorization: Bearer SECRET, and rotate the key: logs keep URLs"
            }
            (_, Facts::Token(TokenError::Spaces)) => {
                "send it without the white space, or in a header that `keyward help verify` names"
            }
            (_, Facts::Token(TokenError::Form)) => "send the secret as it was shown when the key was made",
            (_, Facts::Token(TokenError::Checksum)) => "copy the secret again from where it is kept",
            (Reason::NoCredential, _) => "send the secret, for example as Authorization: Bearer SECRET",
            (Reason::AmbiguousCredential, _) => "send one credential, or name the place that counts with --accept",
            (Reason::NotGenuine, _) => {
                "look for the key with `keyward list`; a lost secret is replaced with `keyward rotate KEY`"
            }
            _ => "send it in one of the forms that `keyward help verify` tells of",
        };
        text.to_owned()
    }
}

/// The items as the value of one flag.
fn joined<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
